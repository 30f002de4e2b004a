//! Library and program against small services on loopback. One binary, because all of it shares the server.
#![expect(
    clippy::unwrap_used,
    reason = "in helpers of tests too, what cannot be is a failed test"
)]

mod behaviour;
#[path = "../../../app/tests/service/browser.rs"]
mod browser;
mod check;
mod http;
mod monitoring;
mod page;
mod program;
mod servers;
mod soak;
mod support;
mod table;
