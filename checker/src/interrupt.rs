//! SIGINT and SIGTERM: the first asks for an orderly end and gives it two seconds, the second ends the program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{self, LastState};

/// For the summary, should the reader of stdout be slow.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Hears the first signal.
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts to listen. `last` has the exit code for an end without ceremony.
    pub(crate) fn listen(last: Arc<LastState>) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            sender.send_replace(true);
            let _ = tokio::time::timeout(PATIENCE, either(&mut interrupt, &mut terminate)).await;
            exit::now(last.get());
        });
        Ok(Self(receiver))
    }

    /// Completes when a signal has come.
    pub(crate) async fn received(&mut self) {
        // It only fails when the sender is gone, which ends the process itself.
        let _ = self.0.wait_for(|received| *received).await;
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
