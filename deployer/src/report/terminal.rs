//! Bars on a terminal: one line for each phase that is under way, a mark when it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use console::Style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text;
use crate::event::{Event, Phase, Reporter};
use crate::stack::resource::{describe, usual_seconds};

/// How often spinners turn.
const TICK: Duration = Duration::from_millis(100);

const SPINNER: &str = "  {spinner} {prefix:<9} {elapsed:>4} {wide_msg}";
const BAR: &str = "  {spinner} {prefix:<9} {elapsed:>4} {bar:20} {wide_msg}";

/// Resources of the operation under way.
#[derive(Default)]
struct Operation {
    /// Weight of all of them, seconds; 0 where it is not known.
    total: u64,
    /// Weight of those that are done.
    done: u64,
    /// Those being worked on: logical id → what people call it.
    active: BTreeMap<String, String>,
    finished: usize,
}

/// The reporter.
pub(super) struct Terminal {
    screen: MultiProgress,
    bars: Vec<(Phase, ProgressBar)>,
    operation: Operation,
    /// What is written beside the mark of a phase that is done.
    details: BTreeMap<&'static str, String>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            bars: Vec::new(),
            operation: Operation::default(),
            details: BTreeMap::new(),
        }
    }

    fn line(&self, text: &str) {
        // Without a terminal to draw on (any more) there is nobody to tell.
        let _ = self.screen.println(text);
    }

    fn bar(&self, phase: Phase) -> Option<&ProgressBar> {
        self.bars
            .iter()
            .find(|(of, _)| *of == phase)
            .map(|(_, bar)| bar)
    }

    /// The bar of the operation on the stack that is under way.
    fn operation_bar(&self) -> Option<&ProgressBar> {
        [Phase::Create, Phase::Update, Phase::Delete]
            .into_iter()
            .find_map(|phase| self.bar(phase))
    }

    fn message(&self, phase: Phase, text: impl Into<String>) {
        if let Some(bar) = self.bar(phase) {
            bar.set_message(text.into());
        }
    }

    fn begin(&mut self, phase: Phase) {
        let bar = self.screen.add(ProgressBar::no_length());
        bar.set_style(style(SPINNER));
        bar.set_prefix(phase.title());
        bar.enable_steady_tick(TICK);
        self.bars.push((phase, bar));
    }

    fn finish(&mut self, phase: Phase, seconds: f64) {
        self.remove(phase);
        let mark = Style::new().for_stderr().green().apply_to("✓");
        let took = Style::new()
            .for_stderr()
            .dim()
            .apply_to(text::duration(seconds));
        let detail = self.details.remove(phase.title()).unwrap_or_default();
        self.line(&format!("  {mark} {:<9} {detail} {took}", phase.title()));
    }

    fn remove(&mut self, phase: Phase) {
        if let Some(index) = self.bars.iter().position(|(of, _)| *of == phase) {
            let (_, bar) = self.bars.remove(index);
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }

    fn detail(&mut self, phase: Phase, text: impl Into<String>) {
        let text = text.into();
        self.message(phase, text.clone());
        self.details.insert(phase.title(), text);
    }

    fn operation_begun(&mut self, resource_types: &[String]) {
        self.operation = Operation {
            total: resource_types.iter().map(|name| usual_seconds(name)).sum(),
            ..Operation::default()
        };
        if let Some(bar) = self.operation_bar()
            && self.operation.total > 0
        {
            bar.set_length(self.operation.total);
            bar.set_style(style(BAR).progress_chars("━━─"));
        }
    }

    fn resource_changed(&mut self, logical_id: &str, resource_type: &str, status: &str) {
        if resource_type == "AWS::CloudFormation::Stack" {
            return;
        }
        let operation = &mut self.operation;
        if status.ends_with("_IN_PROGRESS") {
            operation
                .active
                .insert(logical_id.to_owned(), describe(resource_type).to_owned());
        } else if operation.active.remove(logical_id).is_some() {
            operation.finished += 1;
            operation.done = (operation.done + usual_seconds(resource_type)).min(operation.total);
        }
        let names: Vec<&str> = operation.active.values().map(String::as_str).collect();
        let message = names.join(", ");
        let done = operation.done;
        let plural = if operation.finished == 1 { "" } else { "s" };
        let summary = format!("{} resource{plural}", operation.finished);
        for phase in [Phase::Create, Phase::Update, Phase::Delete] {
            if self.bar(phase).is_some() {
                self.details.insert(phase.title(), summary.clone());
            }
        }
        if let Some(bar) = self.operation_bar() {
            bar.set_position(done);
            bar.set_message(message);
        }
    }

    fn failed_resource(&self, event: &Event) {
        if let Event::ResourceChanged { status, .. } = event
            && status.ends_with("_FAILED")
            && let Some(line) = text::line(event)
        {
            let mark = Style::new().for_stderr().red().apply_to("✗");
            self.line(&format!("  {mark} {line}"));
        }
    }

    fn clear(&mut self) {
        for (phase, _) in self.bars.clone() {
            self.remove(phase);
        }
    }
}

fn style(template: &'static str) -> ProgressStyle {
    // The templates are constants of this file; a mistake in one shows in its test.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Reporter for Terminal {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        match event {
            Event::PhaseBegun { phase } => self.begin(*phase),
            Event::PhaseEnded { phase, seconds } => self.finish(*phase, *seconds),
            Event::EmulatorInstalling { version } => {
                self.message(
                    Phase::Emulator,
                    format!("installing ministack {version}: only the first time"),
                );
            }
            Event::EmulatorReady { endpoint, reused } => {
                let how = if *reused { "runs already" } else { "started" };
                self.detail(Phase::Emulator, format!("{how} at {endpoint}"));
            }
            Event::Compiled { crates, name } => {
                self.message(Phase::Image, format!("compiled {crates} crates: {name}"));
            }
            Event::ImagePacked { digest, bytes } => {
                self.detail(
                    Phase::Image,
                    format!("{} of {}", digest.short(), text::size(*bytes)),
                );
            }
            Event::OperationBegun { resource_types, .. } => self.operation_begun(resource_types),
            Event::ResourceChanged {
                logical_id,
                resource_type,
                status,
                ..
            } => {
                self.resource_changed(logical_id, resource_type, status);
                self.failed_resource(event);
            }
            Event::Proposed { changes } => {
                let plural = if changes.len() == 1 { "" } else { "s" };
                self.detail(Phase::Plan, format!("{} change{plural}", changes.len()));
            }
            Event::Unchanged => self.detail(Phase::Plan, "nothing to change"),
            Event::PushProgressed { sent, total } => {
                if let Some(bar) = self.bar(Phase::Push) {
                    bar.set_style(style(BAR).progress_chars("━━─"));
                    bar.set_length(*total);
                    bar.set_position(*sent);
                    bar.set_message(format!("{} of {}", text::size(*sent), text::size(*total)));
                }
            }
            Event::Pushed {
                digest,
                bytes_sent,
                already_there,
            } => self.detail(
                Phase::Push,
                text::pushed(digest.short(), *bytes_sent, *already_there),
            ),
            Event::RolloutMoved {
                task_definition,
                deployments,
                healthy_targets,
                registered_targets,
                failed_tasks,
                threshold,
            } => {
                let failures = threshold.map(|limit| (*failed_tasks, limit));
                let deployments = text::rollout(deployments, task_definition, failures);
                self.message(Phase::Rollout, deployments);
                let detail = format!("{healthy_targets} of {registered_targets} targets healthy");
                self.details.insert(Phase::Rollout.title(), detail);
            }
            Event::Checked { check } => self.detail(Phase::Check, text::checked(check)),
            Event::Warned { message } => {
                let label = Style::new().for_stderr().yellow().apply_to("warning:");
                self.line(&format!("  {label} {message}"));
            }
            Event::Begun { .. }
            | Event::EmulatorStopped { .. }
            | Event::EmulatorKept { .. }
            | Event::Identified { .. }
            | Event::TaskFailed { .. }
            | Event::Probed { .. }
            | Event::TargetUnhealthy { .. }
            | Event::ServiceComplained { .. }
            | Event::Noted { .. } => {
                if let Some(line) = text::line(event) {
                    self.line(&format!("  {line}"));
                }
            }
            Event::Asked { question } => {
                // Bars that are drawn anew would take the question with them.
                self.screen.set_move_cursor(false);
                self.line(&format!("  {question} [y/N]"));
            }
            // The phases show it.
            Event::StackFound { .. } | Event::OperationEnded { .. } => {}
            Event::Succeeded { .. }
            | Event::TakenDown { .. }
            | Event::NothingThere { .. }
            | Event::Failed { .. } => {
                self.clear();
                super::print_end(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [SPINNER, BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
