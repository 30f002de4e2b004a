//! How long a request is waited for: not so and so long from its beginning, since a large layer takes its time on a slow line, but
//! as long as something moves.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use tokio::time::{Instant, sleep_until};

/// A question is answered within this time, or not at all.
const ANSWER: Duration = Duration::from_secs(30);
/// A registry may think about a large layer for a while, but not longer.
const STILLNESS: Duration = Duration::from_mins(2);

/// When something moved for the last time, and how long it is waited for the next.
#[derive(Debug, Clone)]
pub(super) struct Movement {
    last: Arc<Mutex<Instant>>,
    stillness: Duration,
}

impl Movement {
    /// Of a question, which is short.
    pub(super) fn question() -> Self {
        Self::within(ANSWER)
    }

    /// Of content that is sent.
    pub(super) fn content() -> Self {
        Self::within(STILLNESS)
    }

    fn within(stillness: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            stillness,
        }
    }

    /// Something moved.
    pub(super) fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn patience_ends(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.stillness
    }
}

/// Waits for the answer as long as something moves.
pub(super) async fn patiently<T>(
    movement: Movement,
    request: impl Future<Output = Result<T, OciDistributionError>>,
) -> Result<T, OciDistributionError> {
    tokio::pin!(request);
    loop {
        let end = movement.patience_ends();
        tokio::select! {
            biased;
            answer = &mut request => return answer,
            () = sleep_until(end) => {
                if movement.patience_ends() <= end {
                    let message = format!("nothing moved for {} s", movement.stillness.as_secs());
                    let error = io::Error::new(io::ErrorKind::TimedOut, message);
                    return Err(OciDistributionError::IoError(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_long_as_something_moves() {
        let movement = Movement::content();
        let slow = movement.clone();
        let request = async move {
            for _ in 0..60 {
                tokio::time::sleep(Duration::from_mins(1)).await;
                slow.moved();
            }
            Ok(())
        };
        let began = Instant::now();
        assert!(patiently(movement, request).await.is_ok());
        assert_eq!(began.elapsed(), Duration::from_hours(1));
    }

    #[tokio::test(start_paused = true)]
    async fn and_not_longer() {
        let began = Instant::now();
        let never = std::future::pending::<Result<(), _>>();
        let error = patiently(Movement::content(), never).await.unwrap_err();
        assert!(error.to_string().contains("nothing moved for 120 s"));
        assert_eq!(began.elapsed(), STILLNESS);
    }
}
