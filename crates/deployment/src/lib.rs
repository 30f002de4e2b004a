//! The deployment domain: names, stack, rollout, cost and policy, with their events and errors.
//!
//! Everything here is pure: no async runtime and no AWS SDK, so that every decision can be tested
//! as a table.

mod api_enum;
pub mod cost;
pub mod error;
pub mod event;
pub mod names;
pub mod partition;
pub mod policy;
pub mod rollout;
pub mod stack;
pub mod template;
