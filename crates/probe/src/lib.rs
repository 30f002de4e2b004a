//! Network side of a check: resolves, connects, sends requests, and reads the clocks around them.
//!
//! [`check()`] judges a [`Target`] once and never fails: every problem is part of the report. The
//! `clock` crate decides what answers prove.
//!
//! ```text
//! Target ─► Route ─► Connection ─► clock::Exchange ─► clock::Evidence
//!          resolve   HTTP
//! ```

mod check;
mod client_error;
mod connection;
mod error_text;
mod header;
mod proxy;
mod sntp;
mod stall;
mod system_clock;
mod target;
mod tls;
mod transport;

pub use check::{check, check_with_clock, knock, record};
pub use error_text::{detail, innermost_detail};
pub use header::{header, secret};
pub use sntp::{Server, ServerError, Witness};
pub use system_clock::SystemClock;
pub use target::{ConnectTo, Target, TargetError};
pub use tls::{check_identity, install_tls_provider, tls};
