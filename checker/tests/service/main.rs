//! Library and program against small services on loopback. One binary, because all of it shares the server.
#![expect(
    clippy::unwrap_used,
    reason = "in helpers of tests too, what cannot be is a failed test"
)]

mod check;
mod program;
mod support;
