//! What the engine follows: an operation on a stack, a change set, a rollout, the check from outside, a disappearance.

mod check;
mod evidence;
mod gone;
mod probe;
mod proposal;
mod rollout;
mod stack;
mod update;

pub use check::{Network, Outside, Verification, checked};
pub use evidence::Evidence;
pub use gone::Disappearance;
pub use probe::{Probe, Probed};
pub use proposal::ChangeSet;
pub use rollout::{RolloutEnd, RolloutWatch, ServiceNames};
pub use stack::{StackEnd, StackWatch};
pub use update::{UpdateEnd, UpdateWatch};
