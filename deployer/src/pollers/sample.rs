//! Comparison of a new version with what the public gets: requests of both kinds, sent in pairs.

use std::time::Duration;

use clock::Settings;
use tokio::time::Instant;

use super::{Check, ExternalCheck};
use deployment::event::Sampled;
use deployment::template::GATE_HEADER;

/// Number of requests of each kind.
const REQUESTS: u32 = 20;
/// Time after which no further request is sent. Slow responses are no reason to stay at the gate.
const LIMIT: Duration = Duration::from_secs(5);

/// Compares the new version, which `check` reaches through the gate's header, with the public one if
/// there is one.
pub(super) async fn compare(
    outside: &dyn ExternalCheck,
    check: &Check,
    is_public: bool,
) -> (Sampled, Option<Sampled>) {
    let new = &check.settings;
    let mut public = new.clone();
    public.headers.retain(|header| header.name != GATE_HEADER);
    let began = Instant::now();
    let mut times = (Vec::new(), Vec::new());
    let mut requests = 0;
    while requests < REQUESTS && began.elapsed() < LIMIT {
        requests += 1;
        let of_new = time(outside, check, new);
        if is_public {
            let (of_new, of_public) = tokio::join!(of_new, time(outside, check, &public));
            times.0.extend(of_new);
            times.1.extend(of_public);
        } else {
            times.0.extend(of_new.await);
        }
    }
    let public = is_public.then(|| sampled(requests, times.1));
    (sampled(requests, times.0), public)
}

/// Returns how long a request took, unless it failed.
async fn time(outside: &dyn ExternalCheck, check: &Check, settings: &Settings) -> Option<Duration> {
    let began = Instant::now();
    let result = outside.knock(&check.url.target, settings).await;
    result.ok().map(|()| began.elapsed())
}

fn sampled(requests: u32, mut times: Vec<Duration>) -> Sampled {
    times.sort_unstable();
    let succeeded = u32::try_from(times.len()).unwrap_or(requests);
    let median = times.get(times.len() / 2);
    Sampled {
        requests,
        failed: requests.saturating_sub(succeeded),
        median_ms: median.map(|median| median.as_secs_f64() * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_those_that_succeeded() {
        let times = [40, 2, 3].map(Duration::from_millis);
        let found = sampled(4, times.to_vec());
        assert_eq!((found.failed, found.median_ms), (1, Some(3.0)));
        assert_eq!(sampled(2, Vec::new()).median_ms, None);
    }
}
