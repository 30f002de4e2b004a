//! Trying again what may well succeed the next time. Every request of a push may be repeated: content has its digest.

use std::time::Duration;

use oci_client::errors::OciDistributionError;

use super::error::{is_connect, status};
use crate::pause::jittered;

/// Longest pause, reached by doubling.
const SLOWEST: Duration = Duration::from_secs(15);

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
        for attempt in 0..self.retries {
            match request().await {
                Err(error) if self.is_transient(&error, attempt) => {
                    tracing::debug!(%error, ?delay, "the registry is asked again");
                    tokio::time::sleep(jittered(delay)).await;
                    delay = (delay * 2).min(SLOWEST);
                }
                result => return result,
            }
        }
        request().await
    }

    fn is_transient(&self, error: &OciDistributionError, attempt: u32) -> bool {
        match status(error) {
            Some(401) => attempt < self.logins,
            Some(status) => status == 408 || status == 429 || (500..=599).contains(&status),
            None if is_connect(error) => !self.gives_up_on_nobody,
            // A connection that breaks, an answer that is cut or makes no sense.
            None => true,
        }
    }
}
