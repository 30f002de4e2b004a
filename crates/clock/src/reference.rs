//! Time servers as a second reference. When the local clock and a service's disagree, they tell
//! which one is off.

use serde::{Deserialize, Serialize};

use crate::interval::OffsetInterval;
use crate::units::{Nanoseconds, as_i64, milliseconds};
use crate::verdict::Verdict;

/// Answer of a time server, as stored in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NtpSample {
    /// Server that was asked.
    pub server: String,
    /// Bounds, or the reason that there are none.
    pub statement: Result<Bounds, String>,
}

/// Bounds for true time minus local time, by a time server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Distance from a reference clock, in hops.
    pub stratum: u8,
    /// Lower bound, nanoseconds.
    #[serde(rename = "lo_ns", with = "as_i64")]
    pub lo: Nanoseconds,
    /// Upper bound, nanoseconds.
    #[serde(rename = "hi_ns", with = "as_i64")]
    pub hi: Nanoseconds,
}

/// Bounds that a majority of time servers agrees on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Common bounds, as if one server had given them.
    pub(crate) sample: NtpSample,
    /// Servers whose bounds contradict the majority's.
    pub(crate) falsetickers: Vec<String>,
}

impl Agreed {
    /// Combines the answers by majority. If most servers are right, true time lies where most of
    /// their bounds overlap; a server whose bounds lie elsewhere is then proven wrong.
    pub(crate) fn of(samples: &[NtpSample]) -> Option<Self> {
        let answers: Vec<(&str, Bounds)> = samples
            .iter()
            .filter_map(|sample| Some((sample.server.as_str(), sample.statement.clone().ok()?)))
            .collect();
        // A strict majority: two halves that contradict each other prove nothing.
        let most = answers.len() / 2 + 1;
        let is_common = |point: Nanoseconds| {
            let around = |bounds: &Bounds| bounds.lo <= point && point <= bounds.hi;
            answers.iter().filter(|(_, bounds)| around(bounds)).count() >= most
        };
        // The number of overlapping bounds only changes at their ends, so the ends are the only
        // candidates.
        let ends = answers
            .iter()
            .flat_map(|(_, bounds)| [bounds.lo, bounds.hi]);
        let common: Vec<Nanoseconds> = ends.filter(|end| is_common(*end)).collect();
        let agrees = |bounds: &Bounds| common.iter().any(|it| bounds.lo <= *it && *it <= bounds.hi);
        let named = |names: Vec<&str>| names.join(", ");
        let (Some(lo), Some(hi)) = (common.iter().min(), common.iter().max()) else {
            return Self::nothing(samples, answers.is_empty());
        };
        let (agreeing, falsetickers): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(_, bounds)| agrees(bounds));
        // The combined result is only as good as its worst source.
        let stratum = agreeing.iter().map(|(_, bounds)| bounds.stratum).max()?;
        Some(Self {
            sample: NtpSample {
                server: named(agreeing.iter().map(|(name, _)| *name).collect()),
                statement: Ok(Bounds {
                    stratum,
                    lo: *lo,
                    hi: *hi,
                }),
            },
            falsetickers: falsetickers
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        })
    }

    /// Returns the result without common bounds: no server answered, or no majority agrees.
    fn nothing(samples: &[NtpSample], is_silent: bool) -> Option<Self> {
        let failures: Vec<String> = match samples {
            [] => return None,
            [only] => only.statement.clone().err().into_iter().collect(),
            several => {
                let failed = |sample: &NtpSample| {
                    let failure = sample.statement.as_ref().err()?;
                    Some(format!("{}: {failure}", sample.server))
                };
                several.iter().filter_map(failed).collect()
            }
        };
        let failure = if is_silent {
            failures.join("; ")
        } else {
            "they contradict each other".to_owned()
        };
        let servers: Vec<&str> = samples
            .iter()
            .map(|sample| sample.server.as_str())
            .collect();
        Some(Self {
            sample: NtpSample {
                server: servers.join(", "),
                statement: Err(failure),
            },
            falsetickers: Vec::new(),
        })
    }
}

/// Serde format of samples: one as an object, as in logs of earlier versions; several as a list.
pub(crate) mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::NtpSample;

    pub(crate) fn serialize<S: Serializer>(
        samples: &[NtpSample],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match samples {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<NtpSample>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(NtpSample),
            Many(Vec<NtpSample>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(sample) => vec![sample],
            Written::Many(samples) => samples,
        })
    }
}

/// Bounds of the services' clocks against the time server's, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Utc {
    /// Every clock is at least this far ahead of UTC (negative: behind).
    pub lo_ms: f64,
    /// Upper bound of the same distance.
    pub hi_ms: f64,
}

/// Time server's result: bounds for the local clock, and whose clock is off.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ReferenceReport {
    /// Server that was asked.
    pub server: String,
    /// Distance from a reference clock, in hops; `None` without an answer.
    pub stratum: Option<u8>,
    /// Milliseconds: lower bound of its clock minus the local one (negative: behind).
    pub lo_ms: Option<f64>,
    /// Milliseconds: upper bound of its clock minus the local one.
    pub hi_ms: Option<f64>,
    /// Reason that there is no answer.
    pub failure: Option<String>,
    /// Clock that is off according to the server.
    pub blame: Attribution,
    /// Bounds of the services' clocks against the server's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utc: Option<Utc>,
    /// Servers that contradict the majority.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub falsetickers: Vec<String>,
}

/// Clock that is off by more than Θ according to the time server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// No clock.
    Nobody,
    /// The clock of a service.
    Service,
    /// The clock of this host.
    Local,
    /// Both clocks.
    Both,
    /// Not decided: bounds allow either.
    Undecided,
}

impl ReferenceReport {
    /// Combines the servers' bounds with those of a check's clocks.
    pub(crate) fn new(
        agreed: Agreed,
        clocks: impl Iterator<Item = OffsetInterval>,
        max_skew: Nanoseconds,
    ) -> Self {
        let NtpSample { server, statement } = agreed.sample;
        let falsetickers = agreed.falsetickers;
        match statement {
            Ok(bounds) => {
                let witness = OffsetInterval {
                    lo: bounds.lo,
                    hi: bounds.hi,
                };
                let clocks: Vec<_> = clocks.collect();
                // Bounds that hold for every clock of the service.
                let lo = clocks.iter().map(|clock| clock.lo - witness.hi).min();
                let hi = clocks.iter().map(|clock| clock.hi - witness.lo).max();
                Self {
                    server,
                    stratum: Some(bounds.stratum),
                    lo_ms: Some(milliseconds(bounds.lo)),
                    hi_ms: Some(milliseconds(bounds.hi)),
                    failure: None,
                    blame: blame(witness, clocks.into_iter(), max_skew),
                    utc: lo.zip(hi).map(|(lo, hi)| Utc {
                        lo_ms: milliseconds(lo),
                        hi_ms: milliseconds(hi),
                    }),
                    falsetickers,
                }
            }
            Err(failure) => Self {
                server,
                stratum: None,
                lo_ms: None,
                hi_ms: None,
                failure: Some(failure),
                blame: Attribution::Undecided,
                utc: None,
                falsetickers,
            },
        }
    }

    /// Returns the sentence that the result adds to the cause of a verdict.
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
    // The resolution only selects the reason of an undecided verdict, which is not used here.
    let judge = |interval| Verdict::of_interval(interval, 1, max_skew);
    // The server is this far ahead of the local clock, so the local clock is as far behind it.
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

    fn sample(server: &str, bounds: Option<(i128, i128)>) -> NtpSample {
        NtpSample {
            server: server.to_owned(),
            statement: bounds
                .map(|(lo, hi)| Bounds { stratum: 2, lo, hi })
                .ok_or_else(|| "no answer in time".to_owned()),
        }
    }

    /// Names, bounds and falsetickers.
    fn agreed(said: &[Option<(i128, i128)>]) -> (String, Result<(i128, i128), String>, String) {
        let names = ["a", "b", "c", "d"];
        let samples: Vec<_> = names
            .iter()
            .zip(said)
            .map(|(name, said)| sample(name, *said))
            .collect();
        let Agreed {
            sample,
            falsetickers,
        } = Agreed::of(&samples).unwrap();
        let bounds = sample.statement.map(|bounds| (bounds.lo, bounds.hi));
        (sample.server, bounds, falsetickers.join(", "))
    }

    #[test]
    fn most_servers_decide_and_a_falseticker_is_named() {
        let text = str::to_owned;
        let contradict = || Err(text("they contradict each other"));
        let table = [
            (vec![Some((1, 5))], (text("a"), Ok((1, 5)), text(""))),
            (
                vec![None],
                (text("a"), Err(text("no answer in time")), text("")),
            ),
            (
                vec![None, None],
                (
                    text("a, b"),
                    Err(text("a: no answer in time; b: no answer in time")),
                    text(""),
                ),
            ),
            // Who is silent has no voice.
            (vec![None, Some((1, 5))], (text("b"), Ok((1, 5)), text(""))),
            (
                vec![Some((0, 5)), Some((3, 9))],
                (text("a, b"), Ok((3, 5)), text("")),
            ),
            (
                vec![Some((0, 2)), Some((3, 9))],
                (text("a, b"), contradict(), text("")),
            ),
            (
                vec![Some((0, 5)), Some((100, 101)), Some((4, 9))],
                (text("a, c"), Ok((4, 5)), text("b")),
            ),
            // Two of three overlap here, and two others there: it may be either.
            (
                vec![Some((0, 5)), Some((4, 9)), Some((8, 12))],
                (text("a, b, c"), Ok((4, 9)), text("")),
            ),
            (
                vec![Some((0, 1)), Some((0, 1)), Some((8, 9)), Some((8, 9))],
                (text("a, b, c, d"), contradict(), text("")),
            ),
        ];
        for (said, expected) in table {
            assert_eq!(agreed(&said), expected, "{said:?}");
        }
        assert_eq!(Agreed::of(&[]), None);
    }

    #[test]
    fn true_time_is_never_excluded_while_most_are_right() {
        // Every combination of three right servers around 0 and two others anywhere.
        let right = [(-3, 1), (-1, 4), (0, 0), (-9, 9), (-2, 0)];
        let others = [(-20, -10), (-4, -2), (1, 6), (5, 6), (-1, 1), (-50, 50)];
        for a in right {
            for b in right {
                for c in right {
                    for d in others {
                        for e in others {
                            let all = [a, b, c, d, e].map(|bounds| sample("x", Some(bounds)));
                            let Agreed { sample, .. } = Agreed::of(&all).unwrap();
                            let Bounds { lo, hi, .. } = sample.statement.unwrap();
                            assert!(lo <= 0 && 0 <= hi, "{all:?}");
                        }
                    }
                }
            }
        }
    }

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
