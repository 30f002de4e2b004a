//! Judges remote clocks: which offset requests and their answers prove. Pure: uses no network and
//! reads no clock.
//!
//! One request cannot prove *the* offset of a remote clock. It proves an interval that holds the
//! offset. Verdicts follow from intervals alone, so a healthy clock behind a slow connection is
//! never called wrong, and a wrong one never right:
//!
//! ```text
//! Exchange ─► Observation ─► Evidence ─► Verdict ─► Report
//! ```
//!
//! - [`Timestamp`], [`Sample`], [`OffsetInterval`], [`InstanceClock`] and [`Verdict`]: the method.
//! - [`Exchange`]: a request and its response; [`Observation`]: what the log keeps of it.
//! - [`Evidence`]: collects the observations of a check and chooses the next request.
//! - [`Record`]: everything a check observed; [`Record::judge`] turns it into a [`Report`].
//!
//! The `probe` crate sends the requests. `docs/checker.md` describes method, verdicts and output
//! formats.

mod answer;
mod cause;
mod certificate;
pub mod duration;
mod evidence;
mod excerpt;
mod exchange;
mod expected;
mod failure;
mod field;
mod instance;
mod interval;
mod observation;
mod owner;
mod reading;
mod record;
mod reference;
mod report;
#[cfg(test)]
mod samples;
mod sampling;
pub mod schema;
mod settings;
#[cfg(test)]
mod simulation;
mod tick;
mod timestamp;
pub mod units;
mod verdict;

pub use answer::{Answer, AnswerError};
pub use certificate::certificate_expiry;
pub use evidence::{Contact, Evidence, Next, Note};
pub use excerpt::excerpt;
pub use exchange::{Exchange, Received};
pub use expected::{Expected, ExpectedError, JsonValue, JsonValues, Statuses, text_to_find};
pub use failure::Failure;
pub use field::{Field, FieldError};
pub use instance::InstanceClock;
pub use interval::{OffsetInterval, Sample, drift};
pub use observation::{Answered, Discard, Echo, Observation, STALL, Source};
pub use reading::{Clock, Interruption, Reading};
pub use record::Record;
pub use reference::{Attribution, Bounds, NtpSample, ReferenceReport, Utc};
pub use report::{
    AddressReport, Apart, Availability, CertificateReport, InstanceReport, Report, report_name,
};
pub use settings::{Family, Header, Identity, Kind, Settings};
pub use timestamp::{Timestamp, TimestampError};
pub use verdict::{Reason, Verdict, Warning};
