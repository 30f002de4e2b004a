//! A time server as a second witness: when the local clock and a service's disagree, it tells whose is off.

use serde::{Deserialize, Serialize};

use crate::interval::OffsetInterval;
use crate::units::{Nanoseconds, as_i64, milliseconds};
use crate::verdict::Verdict;

/// What a time server said, as it is kept with a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NtpSample {
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
    pub blame: Attribution,
}

/// Whose clock is off by more than Θ, by the time server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
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
    /// What a sample means for a check.
    pub(crate) fn new(
        sample: &NtpSample,
        clocks: impl Iterator<Item = OffsetInterval>,
        max_skew: Nanoseconds,
    ) -> Self {
        let server = sample.server.clone();
        match &sample.statement {
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
                    clocks,
                    max_skew,
                ),
            },
            Err(failure) => Self {
                server,
                stratum: None,
                lo_ms: None,
                hi_ms: None,
                failure: Some(failure.clone()),
                blame: Attribution::Undecided,
            },
        }
    }

    /// What it adds to the cause of a verdict.
    pub(crate) fn sentence(&self) -> Option<String> {
        let server = &self.server;
        match self.blame {
            Attribution::Nobody | Attribution::Undecided => None,
            Attribution::Service => {
                Some(format!("by {server} it is the service's clock that is off"))
            }
            Attribution::Local => Some(format!(
                "by {server} it is this machine's clock that is off"
            )),
            Attribution::Both => Some(format!(
                "by {server} both the service's clock and this machine's are off"
            )),
        }
    }
}

fn blame(
    witness: OffsetInterval,
    clocks: impl Iterator<Item = OffsetInterval>,
    max_skew: Nanoseconds,
) -> Attribution {
    let judge = |interval| Verdict::of_interval(interval, 1, max_skew);
    // The witness is this far ahead of us, so we are as far behind it.
    let local = judge(OffsetInterval {
        lo: -witness.hi,
        hi: -witness.lo,
    });
    let services = clocks.map(|clock| {
        judge(OffsetInterval {
            lo: clock.lo - witness.hi,
            hi: clock.hi - witness.lo,
        })
    });
    let service = Verdict::of_instances(services);
    match (service, local) {
        (Verdict::Skewed, Verdict::Skewed) => Attribution::Both,
        (Verdict::Skewed, _) => Attribution::Service,
        (_, Verdict::Skewed) => Attribution::Local,
        (Verdict::Ok, Verdict::Ok) => Attribution::Nobody,
        (Verdict::Ok | Verdict::Down | Verdict::Indeterminate { .. }, _) => Attribution::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{MILLISECOND, SECOND};

    #[test]
    fn the_witness_tells_whose_clock_is_off() {
        let around = |ms: i128, blur: i128| OffsetInterval {
            lo: (ms - blur) * MILLISECOND,
            hi: (ms + blur) * MILLISECOND,
        };
        let table = [
            // (service ahead of us, witness ahead of us, blur) in ms
            ((0, 0, 20), Attribution::Nobody),
            ((1_500, 0, 20), Attribution::Service),
            ((1_500, 1_500, 20), Attribution::Local),
            ((-1_500, -1_490, 20), Attribution::Local),
            ((3_000, 1_500, 20), Attribution::Both),
            ((1_500, 700, 20), Attribution::Nobody),
            ((1_500, 700, 900), Attribution::Undecided),
        ];
        for ((service, witness, blur), expected) in table {
            let found = blame(
                around(witness, blur),
                std::iter::once(around(service, 1)),
                SECOND,
            );
            assert_eq!(found, expected, "{service} {witness} {blur}");
        }
    }
}
