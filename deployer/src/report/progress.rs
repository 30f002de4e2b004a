//! What is under way, as the events tell it: pure, read by whatever shows or logs it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::operation::Operation;
use super::text;
use super::usual::{Usual, seconds_between};
use deployment::event::{Event, Phase};
use deployment::rollout::Deployment;

/// Everything that is under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Phases, the first that began first.
    pub(super) phases: Vec<Running>,
    /// What is being done to the stack.
    pub(super) operation: Option<Operation>,
    /// Versions that come and go, of the last look at a rollout.
    pub(super) versions: Vec<Version>,
    /// A question waits for an answer.
    pub(super) asking: bool,
    /// On this machine things take no time, and so not the usual one.
    local: bool,
    /// How long phases took before, seconds.
    usual: BTreeMap<Phase, f64>,
}

/// A phase that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) phase: Phase,
    pub(super) since: DateTime<Utc>,
    /// What it is about just now, or what it has come to.
    pub(super) detail: String,
    /// Of the bytes that it sends: those that are sent, and all.
    pub(super) sent: Option<(u64, u64)>,
    /// How long it took before, seconds.
    pub(super) usual: Option<f64>,
}

/// A deployment of the service, as people tell it from the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) ours: bool,
    /// For example `clock:12`.
    pub(super) revision: String,
    /// Running, pending, failed, desired.
    pub(super) tasks: [u32; 4],
}

/// A phase that is under way no longer.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) phase: Phase,
    pub(super) seconds: f64,
    pub(super) detail: String,
    pub(super) well: bool,
}

impl Progress {
    /// Takes an event in; returns the phases that it ended.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> Vec<Over> {
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
                if let Some(seconds) = host.and_then(|host| self.usual.get(&host)) {
                    operation.usual = Some(*seconds);
                }
                self.operation = Some(operation);
            }
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
            | Event::Deleted { .. }
            | Event::NothingThere { .. }
            | Event::ImageReady { .. }
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
            | Event::GateAnswered { .. }
            | Event::Probed { .. }
            | Event::Asked { .. }
            | Event::Warned { .. }
            | Event::Noted { .. } => {}
        }
        if let Some((phase, detail)) = detail(event) {
            self.detail(phase, detail);
        }
        Vec::new()
    }

    /// The phase that shows what is done to the stack.
    pub(super) fn host(&self) -> Option<Phase> {
        let phases = self.phases.iter().rev();
        let mut phases = phases.map(|running| running.phase);
        phases.find(|phase| shows_operation(*phase))
    }

    fn begin(&mut self, at: DateTime<Utc>, phase: Phase) -> Vec<Over> {
        let replaced = |running: &mut Running| is_replaced(running.phase, phase);
        let replaced = self.phases.extract_if(.., replaced);
        let over = replaced.map(|running| running.over(at)).collect();
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

    /// What is under way, in one line; nothing where nothing is.
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

/// What an event says about the phase that it belongs to.
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

/// Does the beginning of `next` show that this phase came to an end that nobody told?
///
/// What is done to the stack is done one after the other, apart from the way back, which consists of such phases.
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
    let goes_on = running == Phase::Back && next != Phase::Delete;
    on_the_stack(running) && on_the_stack(next) && !goes_on
}

/// Is this a phase in which something is done to the stack?
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
