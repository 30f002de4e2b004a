//! Retry policy for requests to a registry. Every request of a push can be repeated safely, since
//! content is addressed by digest.

use std::time::Duration;

use oci_client::errors::OciDistributionError;

use super::error::{is_connect, is_lost_upload, is_nonsense, is_of_the_way, is_silence, status};
use super::loopback::is_loopback;
use support::pause::jittered;

/// Longest delay between attempts, reached by doubling.
const SLOWEST: Duration = Duration::from_secs(15);

/// Retries after a timeout. Each attempt waits for the whole timeout.
const SILENCES: u32 = 1;

/// Retries after an invalid response, which may come from a captive portal or a load balancer that
/// is starting.
const NONSENSES: u32 = 3;

/// Retries after the registry has dropped an upload.
const LOST_UPLOADS: u32 = 3;

/// Number of retries, and the delays between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    /// Number of retries after the first attempt.
    pub(super) retries: u32,
    /// Delay before the first retry; doubled for each further one.
    pub(super) first_delay: Duration,
    /// Number of 401 responses to retry. If a login fails temporarily, the client sends the request
    /// without one.
    pub(super) logins: u32,
    /// Set if a refused connection is a permanent error.
    pub(super) gives_up_on_nobody: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            // With the delays doubling up to 15 s, the retries take about a minute.
            retries: 9,
            first_delay: Duration::from_millis(250),
            logins: 3,
            gives_up_on_nobody: false,
        }
    }
}

impl Retry {
    /// Returns the policy for a pull, whose caller handles a 401 response.
    pub(crate) fn of_pull(registry: &str, retries: u32) -> Self {
        Self {
            retries,
            logins: 0,
            gives_up_on_nobody: is_loopback(registry),
            ..Self::default()
        }
    }

    /// Returns a policy that does not retry a 401 response, because the caller handles it.
    pub(super) fn only_once_unauthorised(self) -> Self {
        Self { logins: 0, ..self }
    }

    pub(crate) async fn run<T, F>(
        &self,
        mut request: impl FnMut() -> F,
    ) -> Result<T, OciDistributionError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut delay = self.first_delay;
        let mut seen = Seen::default();
        for _ in 0..self.retries {
            match request().await {
                Err(error) if self.is_transient(&error, &mut seen) => {
                    tracing::debug!(%error, ?delay, "the registry is asked again");
                    tokio::time::sleep(jittered(delay)).await;
                    delay = (delay * 2).min(SLOWEST);
                }
                result => return result,
            }
        }
        request().await
    }

    fn is_transient(&self, error: &OciDistributionError, seen: &mut Seen) -> bool {
        match status(error) {
            // Several replicas or a restart can lose an upload: the next attempt starts another
            // one.
            Some(404) if is_lost_upload(error) => count(&mut seen.lost_uploads) <= LOST_UPLOADS,
            Some(401) => count(&mut seen.refusals) <= self.logins,
            Some(status) => status == 408 || status == 429 || (500..=599).contains(&status),
            None if is_silence(error) => count(&mut seen.silences) <= SILENCES,
            None if is_nonsense(error) => count(&mut seen.nonsenses) <= NONSENSES,
            None if is_connect(error) && self.gives_up_on_nobody => false,
            None => is_of_the_way(error),
        }
    }
}

/// Counters for errors that are retried only a few times.
#[derive(Debug, Default)]
struct Seen {
    refusals: u32,
    silences: u32,
    nonsenses: u32,
    lost_uploads: u32,
}

fn count(seen: &mut u32) -> u32 {
    *seen += 1;
    *seen
}
