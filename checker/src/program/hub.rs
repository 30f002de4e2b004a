//! Where the findings of all targets come together: they are told from here, one after the other.

use std::io;
use std::sync::Arc;

use crate::program::exit::{Exit, LastState};
use crate::program::log::LogWriter;
use crate::program::metrics::Board;
use crate::program::output::Printer;
use crate::program::webhook::Webhook;
use crate::record::Record;
use crate::series::{Finding, State, Summary};

/// A finding, and what it follows from.
#[derive(Debug)]
pub(crate) struct Found {
    /// The number of the target.
    pub(crate) target: usize,
    pub(crate) record: Record,
    pub(crate) finding: Finding,
    /// Of all checks of the target so far.
    pub(crate) summary: Summary,
}

/// All that is told to.
pub(crate) struct Hub {
    printer: Printer,
    log: Option<LogWriter>,
    board: Option<Arc<Board>>,
    webhook: Option<Webhook>,
    last: Arc<LastState>,
    /// By target.
    summaries: Vec<Option<Summary>>,
    states: Vec<Option<State>>,
}

impl Hub {
    pub(crate) fn new(printer: Printer, last: Arc<LastState>, targets: usize) -> Self {
        Self {
            printer,
            log: None,
            board: None,
            webhook: None,
            last,
            summaries: vec![None; targets],
            states: vec![None; targets],
        }
    }

    pub(crate) fn with_log(mut self, log: Option<LogWriter>) -> Self {
        self.log = log;
        self
    }

    pub(crate) fn with_board(mut self, board: Option<Arc<Board>>) -> Self {
        self.board = board;
        self
    }

    pub(crate) fn with_webhook(mut self, webhook: Option<Webhook>) -> Self {
        self.webhook = webhook;
        self
    }

    pub(crate) fn printer(&mut self) -> &mut Printer {
        &mut self.printer
    }

    /// Tells of a finding.
    pub(crate) fn tell(&mut self, found: Found) -> io::Result<()> {
        let Found {
            target,
            record,
            finding,
            summary,
        } = found;
        if let Some(state) = self.states.get_mut(target) {
            *state = Some(finding.state);
        }
        self.last.set(self.exit());
        if let Some(log) = &self.log {
            log.append(record, &finding);
        }
        if let Some(webhook) = self.webhook.as_ref().filter(|_| finding.is_change()) {
            webhook.send(&finding);
        }
        if let Some(board) = &self.board {
            board.update(target, &finding, &summary);
        }
        let printed = self.printer.check(target, &finding);
        if let Some(known) = self.summaries.get_mut(target) {
            *known = Some(summary);
        }
        printed
    }

    /// Of the target that is worst off; those that were not checked yet do not count.
    fn exit(&self) -> Exit {
        self.states
            .iter()
            .flatten()
            .max()
            .map_or(Exit::Unknown, |state| Exit::from(*state))
    }

    /// All that belongs to one round was told.
    pub(crate) fn round(&mut self) -> io::Result<()> {
        self.printer.round()
    }

    /// The end of a series.
    pub(crate) fn summarise(&mut self) -> io::Result<()> {
        let known: Vec<_> = self.summaries.iter().flatten().collect();
        self.printer.summaries(&known)
    }

    /// What has not been delivered yet goes out, if it does so soon.
    pub(crate) async fn close(self) {
        if let Some(webhook) = self.webhook {
            webhook.close().await;
        }
        if let Some(log) = self.log {
            log.close();
        }
    }
}
