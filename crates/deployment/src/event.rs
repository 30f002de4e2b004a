//! Contract between the engine and the reporters: past-tense facts with all the data a reporter
//! needs.
//!
//! In JSON Lines every event is one line `{"time":…,"event":…,…}`; the first carries the version of
//! the format.

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

/// Version of the event format. Incremented when a reader of the old format could misunderstand the
/// new one.
pub const FORMAT: u32 = 2;

/// Named part of a command, with its own timing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Starting or finding the AWS emulator.
    Emulator,
    /// Compiling the program and building the image.
    Image,
    /// Creating the stack.
    Create,
    /// Pushing the image to the registry.
    Push,
    /// Computing a change set.
    Plan,
    /// Updating the stack.
    Update,
    /// Replacing the running version.
    Rollout,
    /// Checking the service from outside.
    Check,
    /// Observing a version that passed the check.
    Watch,
    /// Rolling back to the previous version.
    Back,
    /// Deleting the stack.
    Delete,
    /// Verifying that nothing is left after a deletion.
    Proof,
}

impl Phase {
    /// Returns the name of the phase for the terminal.
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

/// Duration of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Timing {
    /// Phase that was timed.
    pub phase: Phase,
    /// Seconds from start to end; phases overlap.
    pub seconds: f64,
}

/// Result of a check from outside.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Checked {
    /// Kind of the check: of a clock, or of the HTTP response only.
    pub kind: clock::Kind,
    /// Verdict, in JSON `verdict`: `ok`, `down`, `skewed` or `indeterminate`, the last with a
    /// `reason`.
    #[serde(flatten)]
    pub verdict: clock::Verdict,
    /// Reason for a verdict other than OK.
    pub cause: Option<String>,
    /// Estimated offset of the service's clock from the local one, milliseconds.
    pub offset_ms: Option<f64>,
    /// Half the width of the interval that contains the offset, milliseconds.
    pub uncertainty_ms: Option<f64>,
    /// Number of distinct instances that answered.
    pub instances: usize,
    /// Version that answered, if all responses agree.
    pub version: Option<String>,
    /// Status code of the last response.
    pub status: Option<u16>,
    /// Number of requests that were sent.
    pub requests: u64,
    /// Set if no request reached the service; left out of the JSON otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

impl Checked {
    /// Returns whether only the HTTP response was checked, and is as expected.
    pub fn is_http_ok(&self) -> bool {
        self.kind == clock::Kind::Http && self.verdict == clock::Verdict::Ok
    }
}

/// Result of a probe that ran during a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Probed {
    /// Number of requests that completed, with or without success.
    pub requests: u64,
    /// Number of requests without a valid response.
    pub failed: u64,
    /// Longest time between two valid responses, milliseconds.
    pub longest_gap_ms: u64,
    /// Reason of the first failed request.
    pub first_failure: Option<String>,
}

/// Requests of one kind, sent one after the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Sampled {
    /// Number of requests that completed, with or without success.
    pub requests: u32,
    /// Number of requests without a valid response.
    pub failed: u32,
    /// Median time from connecting to the end of the response, milliseconds. Absent if all failed.
    pub median_ms: Option<f64>,
}

/// Result of a successful `up`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Summary {
    /// Set if this run changed anything.
    pub changed: bool,
    /// URL of the service.
    pub url: String,
    /// Address of the deployed image, with its digest.
    pub image: String,
    /// Version that answered.
    pub version: Option<String>,
    /// Running tasks.
    pub tasks: Vec<Task>,
    /// Last check; absent if the run relied on the load balancer's health checks.
    pub check: Option<Checked>,
    /// Evidence that was used instead of a check, and its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// Probe results during the rollout; absent if nothing was probed or changed.
    pub probe: Option<Probed>,
    /// Cost in dollars an hour without traffic; absent on this machine, and if prices are not
    /// known.
    #[serde(rename = "cost_per_hour")]
    pub cost: Option<Estimate>,
    /// Command that deletes the stack.
    pub delete: String,
    /// Duration of each phase.
    pub timings: Vec<Timing>,
    /// Duration of the whole command, seconds.
    pub seconds: f64,
}

/// Event of a command, in the past tense.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "field names say it; the variants are documented"
)]
pub enum Event {
    /// The command started.
    Started {
        format: u32,
        command: &'static str,
        stack: StackName,
        local: bool,
        version: &'static str,
    },
    /// Median duration of each phase in earlier successful runs on this machine that changed
    /// something.
    UsuallyTook { timings: Vec<Timing> },
    /// A phase started.
    PhaseStarted { phase: Phase },
    /// A phase completed successfully.
    PhaseEnded { phase: Phase, seconds: f64 },
    /// The emulator is being installed, which takes a while the first time.
    EmulatorInstalling { version: &'static str },
    /// The emulator answers.
    EmulatorReady { endpoint: String, reused: bool },
    /// The emulator was stopped.
    EmulatorStopped { endpoint: String },
    /// The emulator keeps running, because other resources live in it.
    EmulatorKept { reason: String },
    /// The credentials are valid and belong to this identity.
    Identified {
        account: String,
        arn: String,
        region: String,
        endpoint: Option<String>,
    },
    /// Number of crates that are compiled so far.
    Compiled { crates: usize, name: String },
    /// The builder reached this instruction of the Dockerfile.
    BuildStepped { step: String },
    /// The image is built.
    ImagePacked { digest: Digest, bytes: u64 },
    /// The stack was found in this status; absent if there is no stack.
    StackFound { status: Option<StackStatus> },
    /// An operation on the stack started, or was already in progress.
    OperationStarted {
        operation: &'static str,
        stack_id: StackId,
        /// Types of the affected resources, if known.
        resource_types: Vec<String>,
    },
    /// A resource (or the stack itself) changed its status.
    ResourceChanged {
        logical_id: String,
        resource_type: String,
        status: ResourceStatus,
        reason: Option<String>,
    },
    /// The operation ended in this status; absent if the stack is deleted.
    OperationEnded { status: Option<StackStatus> },
    /// The change set contains these changes.
    Proposed { changes: Vec<Change> },
    /// There is nothing to change.
    Unchanged,
    /// Bytes of the image that are sent so far.
    PushProgressed { sent: u64, total: u64 },
    /// The registry has the image.
    Pushed {
        digest: Digest,
        bytes_sent: u64,
        already_there: bool,
    },
    /// The rollout made progress.
    RolloutMoved {
        /// ARN of the task definition that is being rolled out.
        task_definition: String,
        deployments: Vec<Deployment>,
        healthy_targets: usize,
        registered_targets: usize,
        /// Failed tasks of the new version so far.
        failed_tasks: u32,
        /// Number of failed tasks at which ECS gives up (deployment circuit breaker), if known.
        threshold: Option<u32>,
    },
    /// A task stopped unexpectedly.
    TaskFailed { task: StoppedTask, log: Vec<String> },
    /// A target became unhealthy, for this reason for the first time.
    TargetUnhealthy { target: Target },
    /// An event message of the ECS service told of a problem.
    ServiceComplained { at: DateTime<Utc>, message: String },
    /// The responses of the service decided which check applies.
    CheckChosen {
        kind: clock::Kind,
        url: String,
        /// Reason why the clock is not checked.
        because: Option<String>,
    },
    /// A check from outside completed.
    Checked { check: Checked },
    /// The deployment waits at the gate, where the new version is checked before it gets public
    /// requests.
    GateReached {
        stage: LifecycleStage,
        /// Share of the public requests that it gets already, percent.
        share: f64,
        /// Set if no version ran before. Public requests may reach it already.
        is_first: bool,
    },
    /// Requests to the new version through the gate and to the public URL, sent alternately. A first
    /// version has no public one beside it.
    GateCompared {
        new: Sampled,
        public: Option<Sampled>,
    },
    /// The gate was answered: the deployment continues, or ECS rolls it back.
    GateAnswered { stage: LifecycleStage, passed: bool },
    /// `up --hold` ended: the new version has passed the check, and waits at the gate.
    Held {
        stage: LifecycleStage,
        /// Time at which ECS rolls it back unless somebody decides.
        expires_at: Option<DateTime<Utc>>,
        /// Command that lets it pass.
        continue_with: String,
        /// Command that rolls it back.
        rollback_with: String,
    },
    /// `rollback` has taken back a deployment in progress: the previous version answers everywhere.
    ServesAgain {
        /// Seconds since the request to ECS.
        seconds: f64,
        check: Checked,
    },
    /// A task of the new version runs the release command, and the service waits for it.
    ReleaseStarted { command: Vec<String>, task: String },
    /// The release command ended; the exit code is absent if it never started.
    ReleaseEnded {
        passed: bool,
        exit_code: Option<i32>,
    },
    /// A probe ended with the rollout.
    Probed { probe: Probed },
    /// The user is asked a question.
    Asked {
        question: String,
        /// Answers to choose from, the default one in upper case.
        answers: &'static str,
    },
    /// A problem that does not keep the command from continuing.
    Warned { message: String },
    /// A fact worth knowing.
    Noted { message: String },
    /// The verdict on a deployment that succeeded is attached to its image.
    VerdictAttached {
        image: String,
        /// Result of the test, `PASSED` or `WARNED`.
        result: String,
    },
    /// `up` succeeded.
    Succeeded { summary: Box<Summary> },
    /// `image build` or `image push` succeeded.
    ImageReady {
        name: String,
        digest: Digest,
        bytes: u64,
        /// File that the image was written to.
        archive: Option<String>,
        /// Name of the image in Docker or podman.
        loaded: Option<String>,
        /// Address of the image in the registry.
        pushed: Option<String>,
        /// File of the SBOM.
        sbom: Option<String>,
        /// File of the provenance.
        provenance: Option<String>,
    },
    /// `down` succeeded; these resources were searched for and not found.
    Deleted {
        looked_for: Vec<String>,
        seconds: f64,
    },
    /// `down` found nothing to delete.
    NothingThere { message: String },
    /// The command failed.
    Failed { exit_code: u8, failure: Failure },
}

/// Consumer of events, such as the terminal or JSON output.
pub trait Reporter: Send {
    /// Handles one event.
    fn report(&mut self, at: DateTime<Utc>, event: &Event);
}

/// Reporter that discards every event, for commands whose only output is their result.
pub struct Silent;

impl Reporter for Silent {
    fn report(&mut self, _: DateTime<Utc>, _: &Event) {}
}

/// Shared handle to one reporter, for tasks that run concurrently.
#[derive(Clone)]
pub struct Sink {
    // One lock for the whole reporter, so that the lines of concurrent tasks do not mix.
    reporter: Arc<Mutex<Box<dyn Reporter>>>,
    timings: Arc<Mutex<Vec<Timing>>>,
}

impl Sink {
    /// Creates a sink that feeds this reporter.
    pub fn new(reporter: Box<dyn Reporter>) -> Self {
        Self {
            reporter: Arc::new(Mutex::new(reporter)),
            timings: Arc::default(),
        }
    }

    /// Reports an event with the current time.
    pub fn send(&self, event: &Event) {
        // After a panic in a reporter, events still have to come out: the lock is used although
        // poisoned.
        self.reporter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .report(Utc::now(), event);
    }

    /// Reports a problem that does not keep the command from continuing.
    pub fn warn(&self, message: impl Into<String>) {
        self.send(&Event::Warned {
            message: message.into(),
        });
    }

    /// Reports a fact worth knowing.
    pub fn note(&self, message: impl Into<String>) {
        self.send(&Event::Noted {
            message: message.into(),
        });
    }

    /// Runs one phase: reports its start and, on success, its end with the duration.
    pub async fn phase<T, E>(
        &self,
        phase: Phase,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.send(&Event::PhaseStarted { phase });
        let began = Instant::now();
        let result = work.await;
        // Failed phases have no end event and no timing: their durations would distort the medians.
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

    /// Returns the timings of the phases that completed so far.
    pub fn timings(&self) -> Vec<Timing> {
        self.timings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
