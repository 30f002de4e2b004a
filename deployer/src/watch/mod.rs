//! What the engine follows: an operation on a stack, a change set, a rollout, the check from outside, a version for a while longer, a disappearance, a log.

mod bake;
mod check;
mod evidence;
mod gone;
mod log;
mod probe;
mod proposal;
mod rollout;
mod stack;
mod update;

pub use bake::{Asked, Bake, Relapse};
pub use check::{Network, Outside, Verification, Verified, checked};
pub use evidence::Witness;
pub use gone::Disappearance;
pub use log::{LogEnd, LogReader, LogWatch};
pub use probe::Probe;
pub use proposal::ChangeSet;
pub use rollout::{RolloutEnd, RolloutWatch, ServiceNames};
pub use stack::{StackEnd, StackWatch};
pub use update::{UpdateEnd, UpdateWatch};

use deployment::names::{CONTAINER, LogStreamName};

/// The log stream of a task.
fn log_stream(task: &str) -> LogStreamName {
    LogStreamName::new(format!("{CONTAINER}/{CONTAINER}/{task}"))
}
