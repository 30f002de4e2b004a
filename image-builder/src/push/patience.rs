//! How long a request is waited for: not so and so long from its beginning, since a large layer takes its time on a slow line, but
//! as long as something moves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oci_client::errors::OciDistributionError;
use tokio::time::{Instant, sleep_until};

/// A registry may think about a large layer for a while, but not longer.
const STILLNESS: Duration = Duration::from_mins(2);

/// When something moved for the last time.
#[derive(Debug, Clone)]
pub(super) struct Movement(Arc<Mutex<Instant>>);

impl Default for Movement {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Movement {
    /// Something moved.
    pub(super) fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn patience_ends(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) + STILLNESS
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
                    let message = format!("nothing moved for {} s", STILLNESS.as_secs());
                    return Err(OciDistributionError::GenericError(Some(message)));
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
        let movement = Movement::default();
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
        let error = patiently(Movement::default(), never).await.unwrap_err();
        assert!(error.to_string().contains("nothing moved for 120 s"));
        assert_eq!(began.elapsed(), STILLNESS);
    }
}
