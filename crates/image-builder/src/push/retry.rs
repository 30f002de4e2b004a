//! Trying again what may well succeed the next time. Every request of a push may be repeated: content has its digest.

use std::time::Duration;

use oci_client::errors::OciDistributionError;

use super::error::{is_connect, is_lost_upload, is_nonsense, is_of_the_way, is_silence, status};
use support::pause::jittered;

/// Longest pause, reached by doubling.
const SLOWEST: Duration = Duration::from_secs(15);

/// So often a registry that says nothing is asked again: each time, it is waited for.
const SILENCES: u32 = 1;

/// So often an answer that makes no sense is taken for that of something on the way: a page to sign in at, a balancer that starts.
const NONSENSES: u32 = 3;

/// So often an upload is started again that the registry has forgotten.
const LOST_UPLOADS: u32 = 3;

/// How often, and after what time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// After the first attempt.
    pub(super) retries: u32,
    /// Before the first retry; each further one waits twice as long.
    pub(super) first_delay: Duration,
    /// How often a refusal is taken for one that passes: where logging in fails in passing, the client asks without.
    pub(super) logins: u32,
    /// Is nobody there for good where a connection is refused?
    pub(super) gives_up_on_nobody: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            // About a minute of pauses.
            retries: 9,
            first_delay: Duration::from_millis(250),
            logins: 3,
            gives_up_on_nobody: false,
        }
    }
}

impl Retry {
    /// The same where a refusal leads to something else.
    pub(super) fn only_once_unauthorised(self) -> Self {
        Self { logins: 0, ..self }
    }

    pub(super) async fn run<T, F>(
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
            // Several replicas, or a restart: the next attempt starts another upload.
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

/// How often what passes only a few times has been seen.
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
