//! Where the findings of all targets come together: they are told from here, one after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clock::{Record, Report};

use crate::cli::ExitWith;
use crate::exit::{Exit, LastState};
use crate::log::LogWriter;
use crate::metrics::Metrics;
use crate::series::{Finding, State, Summary};
use crate::webhook::Webhook;
use crate::writer::Writer;

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
pub(crate) struct FanOut {
    writer: Writer,
    log: Option<LogWriter>,
    metrics: Option<Arc<Metrics>>,
    webhook: Option<Webhook>,
    last: Arc<LastState>,
    /// By target.
    summaries: Vec<Option<Summary>>,
    states: Vec<Option<State>>,
    exit: ExitWith,
    worst: Option<State>,
}

impl FanOut {
    pub(crate) fn new(writer: Writer, last: Arc<LastState>, targets: usize) -> Self {
        Self {
            writer,
            log: None,
            metrics: None,
            webhook: None,
            last,
            summaries: vec![None; targets],
            states: vec![None; targets],
            exit: ExitWith::Last,
            worst: None,
        }
    }

    pub(crate) fn ending_with(self, exit: ExitWith) -> Self {
        Self { exit, ..self }
    }

    pub(crate) fn with_log(mut self, log: Option<LogWriter>) -> Self {
        self.log = log;
        self
    }

    pub(crate) fn with_metrics(mut self, metrics: Option<Arc<Metrics>>) -> Self {
        self.metrics = metrics;
        self
    }

    pub(crate) fn with_webhook(mut self, webhook: Option<Webhook>) -> Self {
        self.webhook = webhook;
        self
    }

    /// Tells why it is not over yet.
    pub(crate) fn waiting(&self, report: Report, patience: Duration) {
        self.writer.waiting(report, patience);
    }

    /// Tells of a finding.
    pub(crate) fn tell(&mut self, found: Found) {
        let Found {
            target,
            record,
            finding,
            summary,
        } = found;
        if let Some(state) = self.states.get_mut(target) {
            *state = Some(finding.state);
        }
        self.worst = self.worst.max(Some(finding.state));
        self.last.set(self.exit());
        if let Some(metrics) = &self.metrics {
            metrics.update(target, record.finished.wall, &finding, &summary);
        }
        if let Some(log) = &self.log {
            log.append(target, record, &finding);
        }
        if let Some(webhook) = self.webhook.as_ref().filter(|_| finding.is_change()) {
            webhook.send(target, &finding);
        }
        self.writer.check(target, finding);
        if let Some(known) = self.summaries.get_mut(target) {
            *known = Some(summary);
        }
    }

    /// Of the target that is worst off; those that were not checked yet do not count.
    fn exit(&self) -> Exit {
        let last = self.states.iter().flatten().max();
        let told = match self.exit {
            ExitWith::Last => last,
            ExitWith::Worst => self.worst.as_ref(),
        };
        told.map_or(Exit::Unknown, |state| Exit::from(*state))
    }

    /// All that belongs to one round was told.
    pub(crate) fn round(&self) {
        self.writer.round();
    }

    /// Completes when nothing can be printed any more.
    pub(crate) async fn failed(&mut self) -> io::Error {
        self.writer.failed().await
    }

    /// The end of a series.
    pub(crate) fn summarise(&self) {
        let known = self.summaries.iter().flatten().cloned().collect();
        self.writer.summaries(known);
    }

    /// Delivers what is not delivered yet; if the end is urgent, only what goes out at once. Tells what could not be printed.
    pub(crate) async fn close(self, is_urgent: bool) -> io::Result<()> {
        let printed = self.writer.close();
        if let Some(log) = self.log {
            log.close();
        }
        if let Some(webhook) = self.webhook {
            webhook.close(is_urgent).await;
        }
        printed
    }
}
