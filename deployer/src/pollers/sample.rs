//! Comparison of a new version with what the public gets: requests of both kinds, sent in pairs.

use std::time::Duration;

use clock::Settings;
use tokio::time::Instant;

use super::{Check, ExternalCheck};
use deployment::event::Sampled;
use deployment::template::GATE_HEADER;

/// Number of requests to the new version of each kind: through the gate's header, and by the public
/// way, where it gets a share of them.
const REQUESTS: u32 = 20;
/// Time after which no further request is sent. Slow responses are no reason to stay at the gate.
const LIMIT: Duration = Duration::from_secs(5);

/// Returns the number of public requests of which the new version is expected to get enough. `share`
/// is what it gets of them, percent.
fn public_requests(share: f64) -> u32 {
    let times = if share > 0.0 { 100.0 / share } else { 1.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest number in range"
    )]
    let requests = (f64::from(REQUESTS) * times).ceil() as u32;
    requests
}

/// Compares the new version, which `check` reaches through the gate's header, with the public way if
/// there is one. `share` is what the new version gets of the public requests, percent.
pub(super) async fn compare(
    outside: &dyn ExternalCheck,
    check: &Check,
    share: Option<f64>,
) -> (Sampled, Option<Sampled>) {
    let new = &check.settings;
    let mut public = new.clone();
    public.headers.retain(|header| header.name != GATE_HEADER);
    let began = Instant::now();
    let (mut of_new, mut of_public) = (Vec::new(), Vec::new());
    let wanted = share.map_or(0, public_requests);
    let (mut to_new, mut to_public) = (0, 0);
    while (to_new < REQUESTS || to_public < wanted) && began.elapsed() < LIMIT {
        let one = time(outside, check, new, to_new < REQUESTS);
        let other = time(outside, check, &public, to_public < wanted);
        let (one, other) = tokio::join!(one, other);
        to_new += u32::from(one.is_some());
        to_public += u32::from(other.is_some());
        of_new.extend(one.flatten());
        of_public.extend(other.flatten());
    }
    let public = share.map(|_| sampled(to_public, of_public));
    (sampled(to_new, of_new), public)
}

/// Sends a request if it is wanted. Returns how long it took, unless it failed.
async fn time(
    outside: &dyn ExternalCheck,
    check: &Check,
    settings: &Settings,
    is_wanted: bool,
) -> Option<Option<Duration>> {
    if !is_wanted {
        return None;
    }
    let began = Instant::now();
    let result = outside.knock(&check.url.target, settings).await;
    Some(result.ok().map(|()| began.elapsed()))
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
    fn the_new_version_gets_as_many_by_the_public_way() {
        for (share, requests) in [
            (0.0, 20),
            (0.1, 20_000),
            (10.0, 200),
            (75.0, 27),
            (100.0, 20),
        ] {
            assert_eq!(public_requests(share), requests, "{share} %");
        }
    }

    #[test]
    fn the_median_is_of_those_that_succeeded() {
        let times = [40, 2, 3].map(Duration::from_millis);
        let found = sampled(4, times.to_vec());
        assert_eq!((found.failed, found.median_ms), (1, Some(3.0)));
        assert_eq!(sampled(2, Vec::new()).median_ms, None);
    }
}
