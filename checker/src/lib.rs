//! Verifies from outside that a service is up and that its clock is right.
//!
//! One request cannot prove *the* offset of a remote clock, it proves an interval that holds the offset. Verdicts follow from
//! intervals alone, so a healthy clock behind a slow line is never called wrong, and a wrong one never right:
//!
//! ```text
//! Target ─► Route ─► Connection ─► Exchange ─► Outcome ─► Evidence ─► Verdict ─► Report
//!          resolve   HTTP client   clock read  └──────────── pure ────────────┘
//!                                              before/after
//! ```
//!
//! - [`check()`] judges a [`Target`] once and never fails: whatever went wrong is in the [`Report`].
//! - [`Timestamp`], [`Sample`], [`OffsetInterval`], [`InstanceClock`] and [`Verdict`] are the method; they know no clock, no network.
//! - [`Clock`] is where wall and monotonic time come from.
//! - [`program`] is the command line around it.
//!
//! `docs/checker.md` describes method, verdicts and output formats.

mod answer;
mod cause;
mod check;
mod clock;
mod connection;
pub mod duration;
mod evidence;
mod exchange;
mod failure;
mod field;
mod instance;
mod interval;
mod observation;
mod owner;
pub mod program;
mod record;
mod reference;
mod report;
mod sampling;
mod series;
mod settings;
#[cfg(test)]
mod simulation;
mod stall;
mod target;
mod timestamp;
mod units;
mod verdict;

pub use answer::{Answer, AnswerError};
pub use check::{Probe, check, check_with_clock, knock, record};
pub use clock::{Clock, Reading, SystemClock};
pub use failure::Failure;
pub use field::{Field, FieldError};
pub use instance::InstanceClock;
pub use interval::{OffsetInterval, Sample, drift};
pub use observation::{Answered, Discard, Echo, Observation, Source};
pub use record::Record;
pub use reference::{Blame, Bounds, ReferenceReport, Testimony};
pub use report::{AddressReport, Apart, Availability, InstanceReport, Note, Report};
pub use settings::{Family, Settings};
pub use target::{ConnectTo, Target, TargetError};
pub use timestamp::{Timestamp, TimestampError};
pub use units::Nanoseconds;
pub use verdict::{Reason, Verdict, Warning};
