//! A time server as a second witness: when the local clock and a service's disagree, it tells whose is off.

mod packet;
mod server;

pub(crate) use server::{Server, ServerError, Witness};

use serde::{Deserialize, Serialize};

use crate::interval::OffsetInterval;
use crate::report::Report;
use crate::units::{Nanoseconds, as_i64, milliseconds, nanoseconds_of};
use crate::verdict::Verdict;

/// What a time server said, as it is kept with a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Whom was asked.
    pub server: String,
    /// Or why it said nothing.
    pub statement: Result<Bounds, String>,
}

/// Bounds for true time minus local time, by a time server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Its distance from a reference clock, in hops.
    pub stratum: u8,
    /// Nanoseconds.
    #[serde(rename = "lo_ns", with = "as_i64")]
    pub lo: Nanoseconds,
    /// Nanoseconds.
    #[serde(rename = "hi_ns", with = "as_i64")]
    pub hi: Nanoseconds,
}

/// What a time server says about this machine's clock, and about who is to blame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReferenceReport {
    /// Whom was asked.
    pub server: String,
    /// Its distance from a reference clock, in hops; `None` without an answer.
    pub stratum: Option<u8>,
    /// Milliseconds: its clock is at least this far ahead of the local one (negative: behind).
    pub lo_ms: Option<f64>,
    /// Milliseconds: and at most this far.
    pub hi_ms: Option<f64>,
    /// Why there is no answer.
    pub failure: Option<String>,
    /// Whose clock is off by it.
    pub blame: Blame,
}

/// Whose clock is off by more than Θ, by the time server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Nobody's.
    Nobody,
    /// A service's.
    Service,
    /// This machine's.
    Local,
    /// Both.
    Both,
    /// That is not certain.
    Undecided,
}

impl ReferenceReport {
    /// What a testimony means for a check.
    pub(crate) fn new(testimony: &Testimony, report: &Report) -> Self {
        let server = testimony.server.clone();
        match &testimony.statement {
            Ok(bounds) => Self {
                server,
                stratum: Some(bounds.stratum),
                lo_ms: Some(milliseconds(bounds.lo)),
                hi_ms: Some(milliseconds(bounds.hi)),
                failure: None,
                blame: blame(
                    OffsetInterval {
                        lo: bounds.lo,
                        hi: bounds.hi,
                    },
                    report,
                ),
            },
            Err(failure) => Self {
                server,
                stratum: None,
                lo_ms: None,
                hi_ms: None,
                failure: Some(failure.clone()),
                blame: Blame::Undecided,
            },
        }
    }

    /// What it adds to the cause of a verdict.
    pub(crate) fn sentence(&self) -> Option<String> {
        let server = &self.server;
        match self.blame {
            Blame::Nobody | Blame::Undecided => None,
            Blame::Service => Some(format!("by {server} it is the service's clock that is off")),
            Blame::Local => Some(format!(
                "by {server} it is this machine's clock that is off"
            )),
            Blame::Both => Some(format!(
                "by {server} both the service's clock and this machine's are off"
            )),
        }
    }
}

fn blame(witness: OffsetInterval, report: &Report) -> Blame {
    let max_skew = nanoseconds_of(report.max_skew_ms);
    let judge = |interval| Verdict::of_interval(interval, 1, max_skew);
    // The witness is this far ahead of us, so we are as far behind it.
    let local = judge(OffsetInterval {
        lo: -witness.hi,
        hi: -witness.lo,
    });
    let services = report.instances.iter().map(|instance| {
        instance.lo_ms.zip(instance.hi_ms).map(|(lo, hi)| {
            judge(OffsetInterval {
                lo: nanoseconds_of(lo) - witness.hi,
                hi: nanoseconds_of(hi) - witness.lo,
            })
        })
    });
    let service = Verdict::of_instances(services.flatten());
    match (service, local) {
        (Verdict::Skewed, Verdict::Skewed) => Blame::Both,
        (Verdict::Skewed, _) => Blame::Service,
        (_, Verdict::Skewed) => Blame::Local,
        (Verdict::Ok, Verdict::Ok) => Blame::Nobody,
        (Verdict::Ok | Verdict::Down | Verdict::Indeterminate { .. }, _) => Blame::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{instance, report};
    use crate::units::MILLISECOND;

    #[test]
    fn the_witness_tells_whose_clock_is_off() {
        let skewed = |offset_ms| Report {
            instances: vec![instance("a", offset_ms)],
            ..report(Verdict::Skewed)
        };
        let around = |ms: i128, blur: i128| OffsetInterval {
            lo: (ms - blur) * MILLISECOND,
            hi: (ms + blur) * MILLISECOND,
        };
        let table = [
            // (service ahead of us, witness ahead of us, blur) in ms
            ((0.0, 0, 20), Blame::Nobody),
            ((1_500.0, 0, 20), Blame::Service),
            ((1_500.0, 1_500, 20), Blame::Local),
            ((-1_500.0, -1_490, 20), Blame::Local),
            ((3_000.0, 1_500, 20), Blame::Both),
            ((1_500.0, 700, 20), Blame::Nobody),
            ((1_500.0, 700, 900), Blame::Undecided),
        ];
        for ((service, witness, blur), expected) in table {
            let found = blame(around(witness, blur), &skewed(service));
            assert_eq!(found, expected, "{service} {witness} {blur}");
        }
    }
}
