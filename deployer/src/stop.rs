//! The user's wish to stop, and who has to be given the time to stop in order.
//!
//! While nothing is started that would go on without this program, a wish to stop ends it at once. Where something is, a
//! [`Duty`] is held: the wish is then heard by whoever holds it, who undoes what was started. A second wish ends the program
//! in any case.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Where a wish to stop is expressed: one for the whole program.
#[derive(Debug)]
pub struct StopSwitch {
    wish: watch::Sender<bool>,
    duties: Arc<AtomicUsize>,
}

/// Where it is heard.
#[derive(Debug, Clone)]
pub struct Stop {
    wish: watch::Receiver<bool>,
    duties: Arc<AtomicUsize>,
}

/// Held while something is under way that has to be undone before the program ends.
#[must_use]
#[derive(Debug)]
pub struct Duty(Arc<AtomicUsize>);

impl Drop for Duty {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl StopSwitch {
    /// A switch that nobody has pressed yet, and its ear.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        let duties = Arc::new(AtomicUsize::new(0));
        let stop = Stop {
            wish: receiver,
            duties: Arc::clone(&duties),
        };
        (
            Self {
                wish: sender,
                duties,
            },
            stop,
        )
    }

    /// Expresses the wish to stop; true when somebody has the duty to do so in order, and so has to be waited for.
    pub fn press(&self) -> bool {
        self.wish.send_replace(true);
        self.duties.load(Ordering::Relaxed) > 0
    }
}

impl Stop {
    /// Nobody ever wishes to stop.
    pub fn never() -> Self {
        let (_switch, stop) = StopSwitch::new();
        stop
    }

    /// Takes on the duty to stop in order.
    pub fn duty(&self) -> Duty {
        self.duties.fetch_add(1, Ordering::Relaxed);
        Duty(Arc::clone(&self.duties))
    }

    /// Does somebody wish to stop?
    pub fn is_wished(&self) -> bool {
        *self.wish.borrow()
    }

    /// Returns once somebody wishes to stop.
    pub async fn wished(&self) {
        let mut wish = self.wish.clone();
        if wish.wait_for(|wished| *wished).await.is_err() {
            // The switch is gone, and nobody can press it any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_a_duty_is_waited_for() {
        let (switch, stop) = StopSwitch::new();
        let duty = stop.duty();
        assert!(switch.press());
        stop.wished().await;
        drop(duty);
        assert!(!switch.press());
    }

    #[tokio::test(start_paused = true)]
    async fn never_is_never() {
        let never = Stop::never();
        let wished = tokio::time::timeout(std::time::Duration::from_hours(1), never.wished());
        assert!(wished.await.is_err());
    }
}
