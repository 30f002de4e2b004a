//! SIGINT, SIGTERM, and SIGHUP where it has no other meaning. The first signal starts a graceful shutdown of at most 1.5 seconds; the
//! second one exits immediately.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{self, Exit, LastState};

/// Timeout of a graceful shutdown, in case the reader of stdout is slow.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Signal that requested the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Interrupted,
    Terminated,
}

/// Listener for the first signal.
pub(crate) struct Interrupt {
    stop: watch::Receiver<Option<Stop>>,
    ending: Ending,
}

/// Exit code after a signal.
#[derive(Clone)]
struct Ending {
    last: Arc<LastState>,
    /// Set if SIGTERM is the usual end of a series and exits with 0.
    stops_with_ok: bool,
}

impl Ending {
    fn code(&self, stop: Option<Stop>) -> Exit {
        match stop {
            // Service managers stop programs with SIGTERM and report another exit code as a
            // failure.
            Some(Stop::Terminated) if self.stops_with_ok => Exit::Ok,
            Some(Stop::Interrupted | Stop::Terminated) | None => self.last.get(),
        }
    }
}

impl Interrupt {
    /// Starts to listen. `last` has the exit code, unless SIGTERM has its own. If `reloads`, SIGHUP
    /// is left to others.
    pub(crate) fn listen(
        last: Arc<LastState>,
        stops_with_ok: bool,
        reloads: bool,
    ) -> io::Result<Self> {
        // Registered before the task starts, so that no early signal takes its default action.
        let mut signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: (!reloads)
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
        };
        let (sender, stop) = watch::channel(None);
        let ending = Ending {
            last,
            stops_with_ok,
        };
        let of_task = ending.clone();
        tokio::spawn(async move {
            let stop = signals.next().await;
            // Unlike `send`, succeeds even if the receiver is gone.
            sender.send_replace(Some(stop));
            // The process exits after a second signal or the timeout, whichever comes first.
            let _ = tokio::time::timeout(PATIENCE, signals.next()).await;
            exit::now(of_task.code(Some(stop)));
        });
        Ok(Self { stop, ending })
    }

    /// Completes when a signal has arrived.
    pub(crate) async fn received(&mut self) {
        // Fails only if the sender is gone, whose task exits the process.
        let _ = self.stop.wait_for(Option::is_some).await;
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> Exit {
        self.ending.code(*self.stop.borrow())
    }
}

/// Signals that end the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    async fn next(&mut self) -> Stop {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupted,
            _ = self.terminate.recv() => Stop::Terminated,
            _ = hangup => Stop::Interrupted,
        }
    }
}
