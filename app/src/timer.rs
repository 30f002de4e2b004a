//! A timer for deadlines that are set anew with every request and nearly never pass.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection.
///
/// hyper asks for a new sleep for every request head, and gives it up as soon as the head is there. A
/// real one would be put into the runtime's wheel and taken out again each time, some thousand
/// instructions. Here all of them share one real sleep, which is left alone when it would end too
/// early: it then wakes the connection once for nothing and is set to the deadline that holds by then.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionTimer {
    alarm: Arc<Mutex<Option<Alarm>>>,
}

/// A real sleep that is under way.
#[derive(Debug)]
struct Alarm {
    sleep: Pin<Box<tokio::time::Sleep>>,
    waker: Waker,
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(LazySleep {
            deadline,
            alarm: Arc::clone(&self.alarm),
        })
    }
}

/// Ready at its deadline; a look at the clock happens only when the shared alarm went off.
struct LazySleep {
    deadline: Instant,
    alarm: Arc<Mutex<Option<Alarm>>>,
}

impl Sleep for LazySleep {}

impl Future for LazySleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let mut shared = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = shared.get_or_insert_with(|| Alarm {
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
            waker: Waker::noop().clone(),
        });
        if alarm.sleep.deadline() > deadline {
            // It would be late.
            alarm.sleep.as_mut().reset(deadline);
        } else if !alarm.sleep.is_elapsed() && alarm.waker.will_wake(context.waker()) {
            return Poll::Pending;
        }
        alarm.waker.clone_from(context.waker());
        loop {
            if alarm.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if alarm.sleep.deadline() == deadline {
                return Poll::Ready(());
            }
            // It was early.
            alarm.sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn sleeps_end_at_their_deadlines_and_not_before() {
        runtime().block_on(async {
            let timer = ConnectionTimer::default();
            let start = timer.now();
            let millis = Duration::from_millis;
            // Given up before its end: the alarm is set to 30 ms and will be early for the next ones.
            let first = timer.sleep_until(start + millis(30));
            let given_up = tokio::time::timeout(millis(5), first).await;
            assert!(given_up.is_err());
            // Later, earlier and repeated deadlines than that of the alarm.
            for deadline in [60, 90, 91, 91, 100, 20, 120] {
                timer.sleep_until(start + millis(deadline)).await;
                let passed = start.elapsed();
                assert!(passed >= millis(deadline), "{deadline}: {passed:?}");
            }
            let passed = start.elapsed();
            assert!(passed < millis(1000), "{passed:?}");
        });
    }

    #[test]
    fn a_sleep_with_an_earlier_deadline_does_not_wait_for_the_later_one() {
        runtime().block_on(async {
            let timer = ConnectionTimer::default();
            let late = timer.sleep(Duration::from_mins(10));
            let given_up = tokio::time::timeout(Duration::from_millis(5), late).await;
            assert!(given_up.is_err());
            let early = timer.sleep(Duration::from_millis(20));
            let on_time = tokio::time::timeout(Duration::from_secs(20), early).await;
            assert!(on_time.is_ok());
        });
    }

    #[test]
    fn another_task_is_woken_as_well() {
        runtime().block_on(async {
            let timer = ConnectionTimer::default();
            let deadline = timer.now() + Duration::from_millis(40);
            let mut sleep = timer.sleep_until(deadline);
            let given_up = tokio::time::timeout(Duration::from_millis(5), &mut sleep).await;
            assert!(given_up.is_err());
            let moved = tokio::spawn(sleep);
            let woken = tokio::time::timeout(Duration::from_secs(20), moved).await;
            assert!(matches!(woken, Ok(Ok(()))));
        });
    }
}
