//! Retry policy for requests to a registry. Every request of a push can be repeated safely, since
//! content is addressed by digest.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::RequestError;
use support::pause::jittered;

/// Longest delay between attempts, reached by doubling.
const SLOWEST: Duration = Duration::from_secs(15);

/// Longest time that all requests of a push or a pull wait for the registry, in total.
const PATIENCE: Duration = Duration::from_mins(2);

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
    /// Returns the policy for a pull.
    pub(crate) fn of_pull(retries: u32) -> Self {
        Self {
            retries,
            logins: 1,
            ..Self::default()
        }
    }

    /// Returns a policy that does not retry a 401 response, because the caller handles it.
    pub(super) fn only_once_unauthorised(self) -> Self {
        Self { logins: 0, ..self }
    }

    /// Runs a request until it succeeds, fails for good, or the retries or the patience run out.
    /// Between two attempts, it waits as long as the registry asks for, or else for a delay that
    /// grows.
    pub(crate) async fn run<T, F>(
        &self,
        patience: &Patience,
        mut request: impl FnMut() -> F,
    ) -> Result<T, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        let mut delay = self.first_delay;
        let mut seen = Seen::default();
        for _ in 0..self.retries {
            let error = match request().await {
                Err(error) if self.is_transient(&error, &mut seen) => error,
                result => return result,
            };
            let told = error.retry_after();
            let wait = jittered(delay).max(told.unwrap_or_default());
            if !patience.allows(wait) {
                return Err(match told {
                    Some(told) => asks_to_wait(&error, told),
                    None => error,
                });
            }
            tracing::debug!(%error, ?wait, ?told, "the registry is asked again");
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(SLOWEST);
        }
        request().await
    }

    fn is_transient(&self, error: &RequestError, seen: &mut Seen) -> bool {
        match error.status() {
            // Several replicas or a restart can lose an upload: the next attempt starts another
            // one.
            Some(404) if error.is_lost_upload() => count(&mut seen.lost_uploads) <= LOST_UPLOADS,
            Some(401) => count(&mut seen.refusals) <= self.logins,
            Some(status) => status == 408 || status == 429 || (500..=599).contains(&status),
            None if error.is_silence() => count(&mut seen.silences) <= SILENCES,
            None if error.is_nonsense() => count(&mut seen.nonsenses) <= NONSENSES,
            None if error.is_connect() && self.gives_up_on_nobody => false,
            None => error.is_of_the_way(),
        }
    }
}

/// Returns the error of a registry that asks to wait too long.
fn asks_to_wait(error: &RequestError, told: Duration) -> RequestError {
    let message = format!("it asks to wait for {} s", told.as_secs());
    let status = error.status().unwrap_or_default();
    RequestError::of_status(status, message.as_bytes(), None)
}

/// Time that requests have waited for a registry. Concurrent waits count once.
#[derive(Debug, Default)]
pub(crate) struct Patience(Mutex<Waited>);

#[derive(Debug, Default)]
struct Waited {
    total: Duration,
    /// End of the longest wait so far.
    until: Option<Instant>,
}

impl Patience {
    /// Returns whether a request may wait for so long from now on, and counts it if so.
    fn allows(&self, wait: Duration) -> bool {
        // A panic elsewhere leaves valid times.
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(end) = now.checked_add(wait) else {
            return false;
        };
        let counted = waited.until.map_or(now, |until| until.max(now));
        let more = end.saturating_duration_since(counted);
        let total = waited.total.saturating_add(more);
        if total > PATIENCE {
            return false;
        }
        *waited = Waited {
            total,
            until: Some(end.max(counted)),
        };
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn concurrent_waits_count_once_and_the_total_is_limited() {
        let patience = Patience::default();
        let minute = Duration::from_mins(1);
        assert!(patience.allows(minute));
        // Within the first one, and half a minute longer.
        assert!(patience.allows(minute));
        tokio::time::sleep(minute / 2).await;
        assert!(patience.allows(minute));
        assert!(!patience.allows(2 * minute));
        assert!(!patience.allows(Duration::MAX));
        tokio::time::sleep(10 * minute).await;
        // Half a minute is left.
        assert!(!patience.allows(minute));
        assert!(patience.allows(minute / 2));
        tokio::time::sleep(minute).await;
        assert!(!patience.allows(Duration::from_millis(1)));
    }
}
