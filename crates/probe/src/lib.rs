//! Network side of a check: resolves, connects, sends requests, and reads the clocks around them.
//!
//! [`check()`] judges a [`Target`] once and never fails: every problem is part of the report. The
//! `clock` crate decides what answers prove.
//!
//! ```text
//! Target ─► Route ─► Connection ─► clock::Exchange ─► clock::Evidence
//!          resolve   HTTP client
//! ```

mod check;
mod client_error;
pub mod connection;
mod error_text;
mod header;
mod sntp;
mod stall;
mod system_clock;
mod target;

pub use check::{Probe, check, check_with_clock, knock, record};
pub use client_error::not_built;
pub use connection::check_identity;
pub use error_text::{detail, innermost_detail};
pub use header::{header, secret};
pub use sntp::{Server, ServerError, Witness};
pub use system_clock::SystemClock;
pub use target::{ConnectTo, Target, TargetError};
