//! What the engine follows: an operation on a stack, a change set, a rollout, the check from outside, a disappearance.

mod check;
mod gone;
mod proposal;
mod rollout;
mod stack;

pub use check::{Network, Outside, Verification, checked};
pub use gone::Disappearance;
pub use proposal::ChangeSet;
pub use rollout::{RolloutEnd, RolloutWatch, ServiceNames};
pub use stack::{StackEnd, StackWatch};
