//! Detects delays of this process itself. A delayed process cannot attribute a late answer to the
//! service.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(25);

/// Runs `work`, and returns its output with the longest time for which this task was ready but did
/// not run.
pub(crate) async fn watched<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut work = pin!(work);
    let mut worst = Duration::ZERO;
    let mut expected = Instant::now() + BEAT;
    loop {
        tokio::select! {
            // The heartbeat first: after a stall both branches are ready, and the stall has to be
            // counted.
            biased;
            () = sleep_until(expected) => {
                let now = Instant::now();
                worst = worst.max(now - expected);
                expected = now + BEAT;
            }
            output = &mut work => {
                worst = worst.max(Instant::now().saturating_duration_since(expected));
                return (output, worst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::STALL;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_a_stall() {
        let (output, stall) = watched(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            7
        })
        .await;
        assert_eq!(output, 7);
        assert!(stall < STALL, "{stall:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn being_held_up_is() {
        let ((), stall) = watched(async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Time passes without this task being asked: what a stopped process sees.
            tokio::time::advance(Duration::from_secs(3)).await;
        })
        .await;
        assert!(stall > Duration::from_secs(2), "{stall:?}");
    }

    #[tokio::test]
    async fn being_held_up_at_the_end_is_one_too() {
        // No heartbeat comes after it: the work is done.
        let ((), stall) = watched(async { std::thread::sleep(BEAT + 2 * STALL) }).await;
        assert!(stall > STALL, "{stall:?}");
    }
}
