//! The deployment domain: names, stack, rollout, cost, policy, and the events and errors that tell of
//! them.
//!
//! Everything here is pure. It knows neither an async runtime nor an AWS SDK, so that every decision
//! can be tested as a table.

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
