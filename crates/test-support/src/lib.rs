//! What tests of several crates share.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "what cannot be is a failed test"
)]

pub mod documents;
pub mod programs;
pub mod schema;
