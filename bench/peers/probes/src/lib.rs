//! What the loops of probes share: the arguments, and the account at the end.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

/// Linux counts processor time in hundredths of a second.
const TICK: f64 = 0.01;

/// Asks on so many connections for so long, and prints the number of answers and the seconds of
/// processor time.
pub fn run<P, F: Future<Output = P>>(
    start: impl Fn(String) -> F,
    ask: impl AsyncFn(&mut P) -> bool,
) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, seconds, connections] = arguments.as_slice() else {
        panic!("usage: URL SECONDS CONNECTIONS");
    };
    let seconds: f64 = seconds.parse().expect("a number of seconds");
    let connections: usize = connections.parse().expect("a number of connections");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut probes = Vec::new();
        for _ in 0..connections {
            let mut probe = start(url.clone()).await;
            // The connection is made, and caches are warm.
            for _ in 0..20 {
                assert!(ask(&mut probe).await, "no answer");
            }
            probes.push(probe);
        }
        let before = processor_time();
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let counts = join_all(probes.iter_mut().map(async |probe| {
            let mut count = 0_u64;
            while Instant::now() < deadline {
                assert!(ask(probe).await, "no answer");
                count += 1;
            }
            count
        }))
        .await;
        let total: u64 = counts.into_iter().sum();
        println!("{total} {}", processor_time() - before);
    });
}

/// Of this process, seconds.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        * TICK
}
