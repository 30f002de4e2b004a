//! Trying again what may well succeed the next time. Every request of a push may be repeated: content has its digest.

use std::time::Duration;

use oci_client::errors::OciDistributionError;

use super::error::{is_connect, status};

/// How often, and after what time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// After the first attempt.
    pub(super) retries: u32,
    /// Before the first retry; each further one waits four times as long.
    pub(super) first_delay: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 3,
            first_delay: Duration::from_millis(250),
        }
    }
}

impl Retry {
    pub(super) async fn run<T, F>(
        &self,
        mut request: impl FnMut() -> F,
    ) -> Result<T, OciDistributionError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut delay = self.first_delay;
        for _ in 0..self.retries {
            match request().await {
                Err(error) if is_transient(&error) => {
                    tracing::debug!(%error, ?delay, "the registry is asked again");
                    tokio::time::sleep(delay).await;
                    delay *= 4;
                }
                result => return result,
            }
        }
        request().await
    }
}

fn is_transient(error: &OciDistributionError) -> bool {
    match status(error) {
        Some(status) => status == 429 || (500..=599).contains(&status),
        // A connection that breaks is worth another one. One that is refused is not: nobody is there.
        None => matches!(error, OciDistributionError::RequestError(_)) && !is_connect(error),
    }
}
