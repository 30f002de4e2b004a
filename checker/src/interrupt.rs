//! SIGINT and SIGTERM: the first asks for an orderly end and gives it two seconds, the second ends the program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{self, Exit, LastState};

/// For the summary, should the reader of stdout be slow.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The signal that asked for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Interrupted,
    Terminated,
}

/// Hears the first signal.
pub(crate) struct Interrupt {
    stop: watch::Receiver<Option<Stop>>,
    ending: Ending,
}

/// What a signal ends the program with.
#[derive(Clone)]
struct Ending {
    last: Arc<LastState>,
    /// Whether SIGTERM is no news, but the usual end of a series.
    stops_with_ok: bool,
}

impl Ending {
    fn code(&self, stop: Option<Stop>) -> Exit {
        match stop {
            Some(Stop::Terminated) if self.stops_with_ok => Exit::Ok,
            Some(Stop::Interrupted | Stop::Terminated) | None => self.last.get(),
        }
    }
}

impl Interrupt {
    /// Starts to listen. `last` has the exit code for an end without ceremony, unless SIGTERM has one of its own.
    pub(crate) fn listen(last: Arc<LastState>, stops_with_ok: bool) -> io::Result<Self> {
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
            sender.send_replace(Some(stop));
            let _ = tokio::time::timeout(PATIENCE, either(&mut interrupt, &mut terminate)).await;
            exit::now(of_task.code(Some(stop)));
        });
        Ok(Self { stop, ending })
    }

    /// Completes when a signal has come.
    pub(crate) async fn received(&mut self) {
        // It only fails when the sender is gone, which ends the process itself.
        let _ = self.stop.wait_for(Option::is_some).await;
    }

    /// Returns what the program ends with.
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
