//! Progress of a run, derived from its events. Shared by the screen and the log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::operation::Operation;
use super::text;
use super::usual::{Usual, seconds_between};
use deployment::event::{Event, Phase};
use deployment::rollout::Deployment;

/// Progress of everything that runs.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Running phases, the earliest first.
    pub(super) phases: Vec<Running>,
    /// Stack operation in progress.
    pub(super) operation: Option<Operation>,
    /// Deployments of the service in the latest observation of a rollout.
    pub(super) versions: Vec<Version>,
    /// Set while a question waits for an answer.
    pub(super) asking: bool,
    /// Set for the emulator, where usual durations on AWS do not apply.
    local: bool,
    /// Usual durations of phases in earlier runs, in seconds.
    usual: BTreeMap<Phase, f64>,
}

/// Phase of the command that is running.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) phase: Phase,
    pub(super) since: DateTime<Utc>,
    /// Latest detail of the phase, or its result.
    pub(super) detail: String,
    /// Bytes that the phase has sent, and their total.
    pub(super) sent: Option<(u64, u64)>,
    /// Duration in earlier runs, in seconds.
    pub(super) usual: Option<f64>,
}

/// Deployment of the service, as it is displayed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) ours: bool,
    /// Task definition family and revision, for example `clock:12`.
    pub(super) revision: String,
    /// Numbers of running, pending, failed and desired tasks.
    pub(super) tasks: [u32; 4],
}

/// Phase that has ended.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) phase: Phase,
    pub(super) seconds: f64,
    pub(super) detail: String,
    pub(super) well: bool,
}

impl Progress {
    /// Processes an event; returns the phases that it ended.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> Vec<Over> {
        // Any later event means that the question was answered.
        self.asking = matches!(event, Event::Asked { .. });
        match event {
            Event::Started { local, .. } => self.local = *local,
            Event::UsuallyTook { timings } => {
                let usual = timings.iter().map(|timing| (timing.phase, timing.seconds));
                self.usual = usual.collect();
            }
            Event::PhaseStarted { phase } => return self.begin(at, *phase),
            Event::PhaseEnded { phase, seconds } => return self.end(*phase, *seconds),
            Event::OperationStarted {
                operation,
                resource_types,
                ..
            } => {
                let mut operation = Operation::new(at, operation, resource_types, self.local);
                let host = self.host();
                // The durations of this user's earlier runs are better than the estimate.
                if let Some(seconds) = host.and_then(|host| self.usual.get(&host)) {
                    operation.usual = Some(*seconds);
                }
                self.operation = Some(operation);
            }
            // The next operation of the same run, such as a rollback, has its own progress.
            Event::OperationEnded { .. } => self.operation = None,
            Event::ResourceChanged {
                logical_id,
                resource_type,
                status,
                ..
            } => {
                if let Some(operation) = &mut self.operation {
                    operation.change(at, logical_id, resource_type, status);
                    if operation.finished > 0 {
                        let done = text::counted(operation.finished, "resource");
                        self.detail_of_operation(&done);
                    }
                }
            }
            Event::RolloutMoved {
                task_definition,
                deployments,
                healthy_targets,
                registered_targets,
                failed_tasks,
                threshold,
            } => {
                // Replaced as a whole: deployments that ended are no longer reported.
                self.versions = versions(deployments, task_definition);
                let failed = match threshold {
                    Some(threshold) if *failed_tasks > 0 => {
                        format!(", failed tasks {failed_tasks}/{threshold}")
                    }
                    Some(_) | None => String::new(),
                };
                let detail =
                    format!("{healthy_targets} of {registered_targets} targets healthy{failed}");
                self.detail(Phase::Rollout, detail);
            }
            Event::Succeeded { .. }
            | Event::Held { .. }
            | Event::Deleted { .. }
            | Event::NothingThere { .. }
            | Event::ImageReady { .. }
            // The end of a command ends everything that is still displayed.
            | Event::Failed { .. } => *self = Self::default(),
            Event::PushProgressed { sent, total } => {
                if let Some(running) = self.running(Phase::Push) {
                    running.sent = Some((*sent, *total));
                }
            }
            Event::TargetUnhealthy { .. }
            | Event::ServiceComplained { .. }
            | Event::EmulatorInstalling { .. }
            | Event::EmulatorReady { .. }
            | Event::Compiled { .. }
            | Event::BuildStepped { .. }
            | Event::ImagePacked { .. }
            | Event::Proposed { .. }
            | Event::Unchanged
            | Event::Pushed { .. }
            | Event::Checked { .. }
            | Event::EmulatorStopped { .. }
            | Event::EmulatorKept { .. }
            | Event::Identified { .. }
            | Event::StackFound { .. }
            | Event::TaskFailed { .. }
            | Event::CheckChosen { .. }
            | Event::GateReached { .. }
            | Event::GateCompared { .. }
            | Event::GateAnswered { .. }
            | Event::ServesAgain { .. }
            | Event::ReleaseStarted { .. }
            | Event::ReleaseEnded { .. }
            | Event::Probed { .. }
            | Event::VerdictAttached { .. }
            | Event::Asked { .. }
            | Event::Warned { .. }
            | Event::Noted { .. } => {}
        }
        if let Some((phase, detail)) = detail(event) {
            self.detail(phase, detail);
        }
        Vec::new()
    }

    /// Returns the phase that displays the stack operation.
    pub(super) fn host(&self) -> Option<Phase> {
        // The latest phase contains the operation: a rollback phase may contain others.
        let phases = self.phases.iter().rev();
        let mut phases = phases.map(|running| running.phase);
        phases.find(|phase| shows_operation(*phase))
    }

    fn begin(&mut self, at: DateTime<Utc>, phase: Phase) -> Vec<Over> {
        // Failed phases have no end event: the start of the next phase ends them.
        let replaced = |running: &mut Running| is_replaced(running.phase, phase);
        let replaced = self.phases.extract_if(.., replaced);
        let over = replaced.map(|running| running.over(at)).collect();
        // The table of the failed rollout no longer applies.
        if phase == Phase::Back {
            self.versions.clear();
        }
        self.phases.push(Running {
            phase,
            since: at,
            detail: String::new(),
            sent: None,
            usual: self.usual.get(&phase).copied(),
        });
        over
    }

    fn end(&mut self, phase: Phase, seconds: f64) -> Vec<Over> {
        if matches!(phase, Phase::Update | Phase::Rollout | Phase::Back) {
            self.versions.clear();
        }
        let ended = self.phases.extract_if(.., |running| running.phase == phase);
        let over = ended.map(|running| Over {
            phase,
            seconds,
            detail: running.detail,
            well: true,
        });
        over.collect()
    }

    fn running(&mut self, phase: Phase) -> Option<&mut Running> {
        self.phases
            .iter_mut()
            .find(|running| running.phase == phase)
    }

    fn detail(&mut self, phase: Phase, detail: String) {
        if let Some(running) = self.running(phase) {
            running.detail = detail;
        }
    }

    fn detail_of_operation(&mut self, detail: &str) {
        let phases = self.phases.iter_mut();
        for running in phases.filter(|running| shows_operation(running.phase)) {
            detail.clone_into(&mut running.detail);
        }
    }

    /// Describes everything that runs in one line; returns `None` if nothing runs.
    pub(super) fn in_words(&self, now: DateTime<Utc>) -> Option<String> {
        let phases = self.phases.iter().map(|running| {
            let since = text::whole_duration(seconds_between(running.since, now));
            let usual = Usual::of(running.usual, running.since);
            let usual = usual.map(|usual| format!(", {}", usual.in_words()));
            let usual = usual.unwrap_or_default();
            let detail = Some(&running.detail).filter(|detail| !detail.is_empty());
            let detail = detail
                .map(|detail| format!(" ({detail})"))
                .unwrap_or_default();
            format!("{} for {since}{usual}{detail}", running.phase.title())
        });
        let mut text = phases.collect::<Vec<_>>().join(", ");
        if let Some(operation) = &self.operation {
            let names: Vec<String> = operation
                .active
                .iter()
                .map(|(id, one)| one.name(id))
                .collect();
            if !names.is_empty() {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(&names.join(", "));
            }
        }
        Some(text).filter(|text| !text.is_empty())
    }
}

impl Running {
    fn over(self, at: DateTime<Utc>) -> Over {
        Over {
            phase: self.phase,
            seconds: seconds_between(self.since, at),
            detail: self.detail,
            well: false,
        }
    }
}

/// Returns the detail that an event adds to its phase.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a detail is an extra: what an event means is decided elsewhere, for each"
)]
fn detail(event: &Event) -> Option<(Phase, String)> {
    let (phase, detail) = match event {
        Event::EmulatorInstalling { version } => (
            Phase::Emulator,
            format!("installing ministack {version}: only the first time"),
        ),
        Event::EmulatorReady { endpoint, reused } => {
            let how = if *reused { "runs already" } else { "started" };
            (Phase::Emulator, format!("{how} at {endpoint}"))
        }
        Event::Compiled { crates, name } => {
            let crates = text::counted(*crates, "crate");
            (Phase::Image, format!("compiled {crates}: {name}"))
        }
        Event::BuildStepped { step } => (Phase::Image, text::shortened(step)),
        Event::ImagePacked { digest, bytes } => (
            Phase::Image,
            format!("{} of {}", digest.short(), text::size(*bytes)),
        ),
        Event::Proposed { changes } => (Phase::Plan, text::counted(changes.len(), "change")),
        Event::Unchanged => (Phase::Plan, "nothing to change".to_owned()),
        Event::PushProgressed { sent, total } => {
            let detail = format!("{} of {}", text::size(*sent), text::size(*total));
            (Phase::Push, detail)
        }
        Event::Pushed {
            digest,
            bytes_sent,
            already_there,
        } => (
            Phase::Push,
            text::pushed(digest.short(), *bytes_sent, *already_there),
        ),
        Event::Checked { check } => (Phase::Check, text::checked(check)),
        _ => return None,
    };
    Some((phase, detail))
}

/// Returns whether the start of `next` implies that `running` ended without an event.
///
/// Phases on the stack never overlap, except for the rollback phase, which contains others.
fn is_replaced(running: Phase, next: Phase) -> bool {
    let on_the_stack = |phase: Phase| match phase {
        Phase::Create
        | Phase::Plan
        | Phase::Update
        | Phase::Rollout
        | Phase::Check
        | Phase::Watch
        | Phase::Back
        | Phase::Delete
        | Phase::Proof => true,
        Phase::Emulator | Phase::Image | Phase::Push => false,
    };
    // Updates and checks may be part of a rollback; a deletion ends it.
    let goes_on = running == Phase::Back && next != Phase::Delete;
    on_the_stack(running) && on_the_stack(next) && !goes_on
}

/// Returns whether the stack is changed in this phase.
pub(super) const fn shows_operation(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Create | Phase::Update | Phase::Back | Phase::Delete
    )
}

fn versions(deployments: &[Deployment], ours: &str) -> Vec<Version> {
    let part = deployments.iter().filter(|one| one.is_part_of(ours));
    let versions = part.map(|deployment| {
        let arn = &deployment.task_definition;
        Version {
            ours: deployment.is_new(deployments, ours),
            revision: arn.rsplit('/').next().unwrap_or(arn).to_owned(),
            tasks: [
                deployment.running,
                deployment.pending,
                deployment.failed,
                deployment.desired,
            ],
        }
    });
    versions.collect()
}
