//! The contract between the engine and the reporters: past-tense facts that carry all a reporter needs.
//!
//! In JSON Lines every event is one line `{"time":…,"event":…,…}`; the first carries the number of the format.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cost::Estimate;
use crate::error::Failure;
use crate::names::{Digest, StackId, StackName};
use crate::rollout::gate::LifecycleStage;
use crate::rollout::{Deployment, StoppedTask, Target, Task};
use crate::stack::change::Change;
use crate::stack::resource_status::ResourceStatus;
use crate::stack::status::StackStatus;

/// Number of the event format; grows when a reader of older output could misunderstand a newer one.
pub const FORMAT: u32 = 2;

/// A part of a command that takes time worth naming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Making sure that the AWS emulator runs.
    Emulator,
    /// Compiling the program and packing the image.
    Image,
    /// Creating the stack.
    Create,
    /// Sending the image to the registry.
    Push,
    /// Computing a change set.
    Plan,
    /// Updating the stack.
    Update,
    /// Replacing the running version.
    Rollout,
    /// Checking from outside.
    Check,
    /// Watching a version that passed the check.
    Watch,
    /// Restoring the previous version.
    Back,
    /// Deleting the stack.
    Delete,
    /// Checking whether anything is left.
    Proof,
}

impl Phase {
    /// What the phase is called on a screen.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Emulator => "emulator",
            Self::Image => "image",
            Self::Create => "create",
            Self::Push => "push",
            Self::Plan => "plan",
            Self::Update => "update",
            Self::Rollout => "rollout",
            Self::Check => "check",
            Self::Watch => "watch",
            Self::Back => "back",
            Self::Delete => "delete",
            Self::Proof => "proof",
        }
    }
}

/// How long a phase took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    /// Which phase.
    pub phase: Phase,
    /// Seconds from its beginning to its end; phases overlap.
    pub seconds: f64,
}

/// What a check from outside found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Whether a clock was checked, or the answer alone.
    pub kind: clock::Kind,
    /// In JSON `verdict`: `ok`, `down`, `skewed` or `indeterminate`, the last with a `reason`.
    #[serde(flatten)]
    pub verdict: clock::Verdict,
    /// Why it is not OK.
    pub cause: Option<String>,
    /// Estimate of the service's clock minus ours, milliseconds.
    pub offset_ms: Option<f64>,
    /// Half the width of the interval that the offset is proven to lie in, milliseconds.
    pub uncertainty_ms: Option<f64>,
    /// How many instances answered.
    pub instances: usize,
    /// The version that answered, where all answers agree.
    pub version: Option<String>,
    /// The status code of the last answer.
    pub status: Option<u16>,
    /// Requests that were sent.
    pub requests: u64,
    /// No request came as far as the service; left out where one did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

impl Checked {
    /// Whether the answer alone was checked, and is as expected.
    pub fn is_http_ok(&self) -> bool {
        self.kind == clock::Kind::Http && self.verdict == clock::Verdict::Ok
    }
}

/// What a probe saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Probed {
    /// Requests that were sent and came to an end.
    pub requests: u64,
    /// Those that got no good answer.
    pub failed: u64,
    /// The longest time between two good answers, milliseconds.
    pub longest_gap_ms: u64,
    /// Why the first one failed.
    pub first_failure: Option<String>,
}

/// What `up` achieved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Did this run change anything?
    pub changed: bool,
    /// Where the service answers.
    pub url: String,
    /// Address of the image that runs, with its digest.
    pub image: String,
    /// The version that answered.
    pub version: Option<String>,
    /// Tasks that run.
    pub tasks: Vec<Task>,
    /// The last check; absent where the load balancer's health checks are relied on.
    pub check: Option<Checked>,
    /// What was relied on instead or besides, and what is not proven then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// What a probe saw while the version before was replaced; absent where there was none, or nothing was changed.
    pub probe: Option<Probed>,
    /// What it costs, dollars an hour without traffic; absent on this machine, and where prices are not known.
    #[serde(rename = "cost_per_hour")]
    pub cost: Option<Estimate>,
    /// The command that deletes it.
    pub delete: String,
    /// How long each phase took.
    pub timings: Vec<Timing>,
    /// How long all of it took, seconds.
    pub seconds: f64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "field names say it; the variants are documented"
)]
pub enum Event {
    /// A command began.
    Started {
        format: u32,
        command: &'static str,
        stack: StackName,
        local: bool,
        version: &'static str,
    },
    /// So long the phases of such a run took before, on this machine: medians of those that changed something and ended well.
    UsuallyTook { timings: Vec<Timing> },
    /// A phase began.
    PhaseStarted { phase: Phase },
    /// A phase ended well.
    PhaseEnded { phase: Phase, seconds: f64 },
    /// The emulator is being installed: the first time takes a while.
    EmulatorInstalling { version: &'static str },
    /// The emulator answers.
    EmulatorReady { endpoint: String, reused: bool },
    /// The emulator was stopped.
    EmulatorStopped { endpoint: String },
    /// The emulator goes on, because something else lives there.
    EmulatorKept { reason: String },
    /// The credentials are good, and these are whose.
    Identified {
        account: String,
        arn: String,
        region: String,
        endpoint: Option<String>,
    },
    /// So many crates are compiled.
    Compiled { crates: usize, name: String },
    /// The builder came to this instruction of the Dockerfile.
    BuildStepped { step: String },
    /// The image is packed.
    ImagePacked { digest: Digest, bytes: u64 },
    /// This is the state the stack was found in; absent when there is none.
    StackFound { status: Option<StackStatus> },
    /// An operation on the stack began, or one was found under way.
    OperationStarted {
        operation: &'static str,
        stack_id: StackId,
        /// Types of the resources that it concerns, where known.
        resource_types: Vec<String>,
    },
    /// A resource (or the stack itself) changed its status.
    ResourceChanged {
        logical_id: String,
        resource_type: String,
        status: ResourceStatus,
        reason: Option<String>,
    },
    /// The operation ended in this status; absent when the stack is gone.
    OperationEnded { status: Option<StackStatus> },
    /// These changes will be made.
    Proposed { changes: Vec<Change> },
    /// There is nothing to change.
    Unchanged,
    /// So many bytes of the image were sent.
    PushProgressed { sent: u64, total: u64 },
    /// The registry has the image.
    Pushed {
        digest: Digest,
        bytes_sent: u64,
        already_there: bool,
    },
    /// The rollout moved.
    RolloutMoved {
        /// ARN of the task definition that should run.
        task_definition: String,
        deployments: Vec<Deployment>,
        healthy_targets: usize,
        registered_targets: usize,
        /// Tasks of the new version that failed so far.
        failed_tasks: u32,
        /// Failed tasks at which ECS gives up, where known.
        threshold: Option<u32>,
    },
    /// A task ended that should not have.
    TaskFailed { task: StoppedTask, log: Vec<String> },
    /// A target was found unhealthy, for this reason for the first time.
    TargetUnhealthy { target: Target },
    /// The service told of a problem.
    ServiceComplained { at: DateTime<Utc>, message: String },
    /// The service's answers have told which check fits.
    CheckChosen {
        kind: clock::Kind,
        url: String,
        /// Why it is not one of a clock.
        because: Option<String>,
    },
    /// A check from outside was made.
    Checked { check: Checked },
    /// The deployment waits at the gate, where the new version is checked before any public request reaches it.
    GateReached { stage: LifecycleStage },
    /// The gate was answered: the deployment goes on, or ECS takes the new version back.
    GateAnswered { stage: LifecycleStage, passed: bool },
    /// What a probe saw while one version was replaced by another.
    Probed { probe: Probed },
    /// The user is asked a question, to be answered by yes or no.
    Asked { question: String },
    /// Something is not as it should be, without being in the way.
    Warned { message: String },
    /// Something worth knowing.
    Noted { message: String },
    /// `up` reached its end.
    Succeeded { summary: Box<Summary> },
    /// `image build` or `image push` reached its end.
    ImageReady {
        name: String,
        digest: Digest,
        bytes: u64,
        /// The file that it was written to.
        archive: Option<String>,
        /// By which name Docker or podman has it.
        loaded: Option<String>,
        /// Its address in the registry.
        pushed: Option<String>,
        /// The file that lists what the program is made of.
        sbom: Option<String>,
    },
    /// `down` reached its end; these were looked for and not found.
    Deleted {
        looked_for: Vec<String>,
        seconds: f64,
    },
    /// `down` found nothing to delete.
    NothingThere { message: String },
    /// The command failed.
    Failed { exit_code: u8, failure: Failure },
}

/// Reads events as they come.
pub trait Reporter: Send {
    /// Takes one event.
    fn report(&mut self, at: DateTime<Utc>, event: &Event);
}

/// Reports nothing: for commands whose result is all there is to say.
pub struct Silent;

impl Reporter for Silent {
    fn report(&mut self, _: DateTime<Utc>, _: &Event) {}
}

/// Where events go: one reporter, shared by all that goes on side by side.
#[derive(Clone)]
pub struct Sink {
    reporter: Arc<Mutex<Box<dyn Reporter>>>,
    timings: Arc<Mutex<Vec<Timing>>>,
}

impl Sink {
    /// A sink that feeds this reporter.
    pub fn new(reporter: Box<dyn Reporter>) -> Self {
        Self {
            reporter: Arc::new(Mutex::new(reporter)),
            timings: Arc::default(),
        }
    }

    /// Reports one event, now.
    pub fn send(&self, event: &Event) {
        self.reporter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .report(Utc::now(), event);
    }

    /// Reports something that is not as it should be.
    pub fn warn(&self, message: impl Into<String>) {
        self.send(&Event::Warned {
            message: message.into(),
        });
    }

    /// Reports something worth knowing.
    pub fn note(&self, message: impl Into<String>) {
        self.send(&Event::Noted {
            message: message.into(),
        });
    }

    /// Runs one phase: reports its beginning and, if it ends well, its end with the time it took.
    pub async fn phase<T, E>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.send(&Event::PhaseStarted { phase });
        let began = Instant::now();
        let result = work.await;
        if result.is_ok() {
            let seconds = began.elapsed().as_secs_f64();
            self.timings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Timing { phase, seconds });
            self.send(&Event::PhaseEnded { phase, seconds });
        }
        result
    }

    /// The phases that ended so far.
    pub fn timings(&self) -> Vec<Timing> {
        self.timings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
