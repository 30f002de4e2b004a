//! Fan-out of findings to all outputs, one after the other.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clock::{Record, Report};

use crate::cli::ExitWith;
use crate::exit::{Exit, LastState};
use crate::log::{LogWriter, Terms};
use crate::metrics::Metrics;
use crate::series::{Finding, SharedTrack, State, Summary, locked};
use crate::webhook::Webhook;
use crate::writer::Writer;

/// Finding with its record.
#[derive(Debug)]
pub(crate) struct Found {
    /// Number of the target.
    pub(crate) target: usize,
    pub(crate) record: Record,
    pub(crate) finding: Finding,
    /// History of the target.
    pub(crate) track: SharedTrack,
}

/// Outputs of findings, and the exit code they lead to.
pub(crate) struct FanOut {
    writer: Writer,
    log: Option<LogWriter>,
    metrics: Option<Arc<Metrics>>,
    webhook: Option<Webhook>,
    last: Arc<LastState>,
    /// Histories by target, summed up on demand.
    tracks: Vec<Option<SharedTrack>>,
    states: Vec<Option<State>>,
    /// Targets that were removed: a check of one may still be on its way.
    forgotten: BTreeSet<usize>,
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
            tracks: vec![None; targets],
            states: vec![None; targets],
            forgotten: BTreeSet::new(),
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

    /// Sets the terms that the log notes for a target, a new one or one that has changed.
    pub(crate) fn set_terms(&mut self, target: usize, terms: Terms) {
        let length = self.states.len().max(target + 1);
        self.states.resize(length, None);
        self.tracks.resize(length, None);
        if let Some(log) = &mut self.log {
            log.set_terms(target, terms);
        }
    }

    /// Forgets a target that is not checked any more. Its summary stays.
    pub(crate) fn forget(&mut self, target: usize) {
        self.forgotten.insert(target);
        if let Some(state) = self.states.get_mut(target) {
            *state = None;
        }
        self.last.set(self.exit());
        if let Some(metrics) = &self.metrics {
            metrics.forget(target);
        }
        self.writer.forget(target);
    }

    /// Reports what the program is waiting for.
    pub(crate) fn waiting(&self, report: Report, patience: Duration) {
        self.writer.waiting(report, patience);
    }

    /// Sends a finding to all outputs.
    pub(crate) fn tell(&mut self, found: Found) {
        let Found {
            target,
            record,
            finding,
            track,
        } = found;
        if self.forgotten.contains(&target) {
            return;
        }
        if let Some(state) = self.states.get_mut(target) {
            *state = Some(finding.state);
        }
        self.worst = self.worst.max(Some(finding.state));
        // Set before the outputs run, so that a signal in between exits with this state.
        self.last.set(self.exit());
        if let Some(metrics) = &self.metrics {
            metrics.update(target, record.finished.wall, &finding, summary(&track));
        }
        if let Some(log) = &self.log {
            log.append(target, record, &finding);
        }
        if let Some(webhook) = self.webhook.as_ref().filter(|_| finding.is_change()) {
            webhook.send(target, &finding);
        }
        // Last, because the writer takes ownership of the finding.
        self.writer.check(target, finding);
        if let Some(known) = self.tracks.get_mut(target) {
            *known = Some(track);
        }
    }

    /// Returns the exit code of the worst target. Targets not checked yet do not count.
    fn exit(&self) -> Exit {
        let last = self.states.iter().flatten().max();
        let told = match self.exit {
            ExitWith::Last => last,
            ExitWith::Worst => self.worst.as_ref(),
        };
        told.map_or(Exit::Unknown, |state| Exit::from(*state))
    }

    /// Ends a round.
    pub(crate) fn round(&self) {
        self.writer.round();
    }

    /// Completes when printing has failed for good.
    pub(crate) async fn failed(&mut self) -> io::Error {
        self.writer.failed().await
    }

    /// Prints the summaries of a series.
    pub(crate) fn summarise(&self) {
        let known = self.tracks.iter().flatten().map(summary).collect();
        self.writer.summaries(known);
    }

    /// Flushes all outputs and returns a print error. If `is_urgent`, the webhook gets little time.
    pub(crate) async fn close(self, is_urgent: bool) -> io::Result<()> {
        // Stdout first, so that readers get the results while the webhook still retries.
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

fn summary(track: &SharedTrack) -> Summary {
    locked(track).summary()
}
