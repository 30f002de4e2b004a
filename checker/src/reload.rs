//! SIGHUP: reads the configuration file again.

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Watch;
use crate::output::note;
use crate::plan::Plan;

/// Listener for SIGHUP.
pub(crate) struct Reload {
    watch: Watch,
    hangup: Signal,
}

impl Reload {
    /// Starts to listen if there is a file to read again. On a terminal, SIGHUP says that the
    /// terminal is gone.
    pub(crate) fn listen(watch: &Watch, plan: &Plan) -> io::Result<Option<Self>> {
        let is_daemon = !io::stdin().is_terminal();
        if watch.config.is_none() || plan.period.is_none() || !is_daemon {
            return Ok(None);
        }
        Ok(Some(Self {
            watch: watch.clone(),
            hangup: signal(SignalKind::hangup())?,
        }))
    }

    /// Completes when a signal has arrived and the file is valid. An invalid one is reported and
    /// changes nothing.
    pub(crate) async fn plan(&mut self) -> Plan {
        loop {
            if self.hangup.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            match Plan::again(self.watch.clone()) {
                Ok(plan) => return plan,
                Err(message) => {
                    // Errors of `toml` draw the place below several lines.
                    let message: Vec<_> = message.lines().map(str::trim).collect();
                    note(&format!(
                        "the targets stay as they were: {}",
                        message.join(" ")
                    ));
                }
            }
        }
    }
}
