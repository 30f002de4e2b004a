//! Idle timeouts for requests to a registry.
//!
//! A limit for the whole request would fail large layers on slow lines. Instead, a request fails if
//! no data moves for some time.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::RequestError;

/// Idle timeout for a short request.
const ANSWER: Duration = Duration::from_secs(30);
/// Idle timeout for an upload. Registries process a large layer for a while before they respond.
const STILLNESS: Duration = Duration::from_mins(2);

/// Time of the last activity, and the idle timeout.
#[derive(Debug, Clone)]
pub(crate) struct Movement {
    last: Arc<Mutex<Instant>>,
    stillness: Duration,
}

impl Movement {
    /// Creates a timer for a short request.
    pub(crate) fn question() -> Self {
        Self::within(ANSWER)
    }

    /// Creates a timer for an upload.
    pub(crate) fn content() -> Self {
        Self::within(STILLNESS)
    }

    fn within(stillness: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            stillness,
        }
    }

    /// Records activity, which restarts the timeout.
    pub(crate) fn moved(&self) {
        // A panic elsewhere cannot leave a time in an invalid state.
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn patience_ends(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.stillness
    }
}

/// Waits for the response until the idle timeout expires.
pub(crate) async fn patiently<T>(
    movement: Movement,
    request: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    tokio::pin!(request);
    loop {
        let end = movement.patience_ends();
        tokio::select! {
            // A response that is ready wins over a timeout that expires at the same time.
            biased;
            answer = &mut request => return answer,
            () = sleep_until(end) => {
                // Activity meanwhile may have moved the deadline.
                if movement.patience_ends() <= end {
                    let message = format!("nothing moved for {} s", movement.stillness.as_secs());
                    let error = io::Error::new(io::ErrorKind::TimedOut, message);
                    return Err(RequestError::Io(error));
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
