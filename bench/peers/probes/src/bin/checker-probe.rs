//! The checker's warm probe: nonce, clock readings around, answer read and judged usable for a sample.

use clock::Settings;
use probe::{Probe, Target};

fn main() {
    let settings = Settings::default();
    probes::run(
        async |url: String| {
            let target = Target::new(&url, None).expect("a URL");
            Probe::new(&target, &settings).await.expect("a probe")
        },
        async |probe: &mut Probe| probe.ask().await.result.is_ok(),
    );
}
