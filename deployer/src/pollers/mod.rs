//! Pollers for everything that changes on its own: stack operations, change sets, rollouts,
//! external checks, bake time, deletions and logs.

mod bake;
mod check;
mod evidence;
mod gate;
mod gone;
mod log;
mod probe;
mod proposal;
mod release;
mod rollout;
mod sample;
mod stack;
mod update;

pub use bake::{Asked, Bake, Regression};
pub use check::{
    Check, ExternalCheck, NetworkCheck, PublicUrl, Refusal, Verification, Verified, Working,
    checked,
};
pub(crate) use check::{check_once, is_refused};
pub use evidence::EvidenceCollector;
pub use gate::{Checking, Gate, GatedEnd, GatedUpdate, Objection, Rejection, UnderWay, WayBack};
pub use gone::LeftoverSearch;
pub use log::{LogEnd, LogPoller, LogReader};
pub use probe::Probe;
pub use proposal::ChangeSetPoller;
pub use release::{ReleaseFailure, ReleasePoller};
pub use rollout::{RolloutEnd, RolloutPoller, ServiceNames};
pub use stack::{StackEnd, StackPoller};
pub use update::{UpdateEnd, UpdatePoller};

use deployment::names::{CONTAINER, LogStreamName};

/// Returns the log stream of a task. The `awslogs` driver names it `prefix/container/task-id`.
fn log_stream(task: &str) -> LogStreamName {
    LogStreamName::new(format!("{CONTAINER}/{CONTAINER}/{task}"))
}
