//! SIGINT and SIGTERM. The first signal starts a graceful shutdown of at most 1.5 seconds; the
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
    /// Starts to listen. `last` has the exit code, unless SIGTERM has its own.
    pub(crate) fn listen(last: Arc<LastState>, stops_with_ok: bool) -> io::Result<Self> {
        // Registered before the task starts, so that no early signal takes its default action.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, stop) = watch::channel(None);
        let ending = Ending {
            last,
            stops_with_ok,
        };
        let of_task = ending.clone();
        tokio::spawn(async move {
            let stop = either(&mut interrupt, &mut terminate).await;
            // Unlike `send`, succeeds even if the receiver is gone.
            sender.send_replace(Some(stop));
            // The process exits after a second signal or the timeout, whichever comes first.
            let _ = tokio::time::timeout(PATIENCE, either(&mut interrupt, &mut terminate)).await;
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

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> Stop {
    tokio::select! {
        _ = interrupt.recv() => Stop::Interrupted,
        _ = terminate.recv() => Stop::Terminated,
    }
}
