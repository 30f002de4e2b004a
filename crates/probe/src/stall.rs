//! Detects delays of this process itself. A delayed process cannot attribute a late answer to the
//! service.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(25);

/// Returns the next heartbeat after an instant. All tasks share the same ones: a timer that is earlier
/// than all others costs the runtime a system call.
fn next_beat(after: Instant) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = after.saturating_duration_since(*FIRST);
    after
        + BEAT.saturating_sub(Duration::from_nanos_u128(
            since.as_nanos() % BEAT.as_nanos(),
        ))
}

/// Runs `work` for at most `limit`. Returns its output, and the longest time for which this task was
/// ready but did not run. One timer serves as heartbeat and limit.
pub(crate) async fn watched<T>(
    limit: Duration,
    work: impl Future<Output = T>,
) -> (Option<T>, Duration) {
    let mut work = pin!(work);
    let start = Instant::now();
    let deadline = start + limit;
    let mut worst = Duration::ZERO;
    let mut expected = next_beat(start);
    // Before the first timer, which many names and connections never need.
    let mut output = now_or_never(work.as_mut()).await;
    while output.is_none() && Instant::now() < deadline {
        tokio::select! {
            // The heartbeat first: after a stall both branches are ready, and the stall has to be
            // counted.
            biased;
            () = sleep_until(expected.min(deadline)) => {
                worst = worst.max(Instant::now().saturating_duration_since(expected));
                expected = next_beat(Instant::now());
                // An output that is ready at the deadline counts.
                output = now_or_never(work.as_mut()).await;
            }
            done = &mut work => output = Some(done),
        }
    }
    worst = worst.max(Instant::now().saturating_duration_since(expected));
    (output, worst)
}

/// Returns the output if it is ready.
async fn now_or_never<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::STALL;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn waiting_is_not_a_stall() {
        let (output, stall) = watched(LIMIT, async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            7
        })
        .await;
        assert_eq!(output, Some(7));
        assert!(stall < STALL, "{stall:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_its_limit_but_for_what_is_ready_then() {
        let sleep = |seconds| watched(LIMIT, tokio::time::sleep(Duration::from_secs(seconds)));
        let start = Instant::now();
        assert_eq!(sleep(11).await.0, None);
        assert_eq!(start.elapsed(), LIMIT);
        assert_eq!(sleep(10).await.0, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn being_held_up_is() {
        let (_, stall) = watched(LIMIT, async {
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
        let (_, stall) = watched(LIMIT, async { std::thread::sleep(BEAT + 2 * STALL) }).await;
        assert!(stall > STALL, "{stall:?}");
    }
}
