//! How long a service was down: at least and at most, because between two checks nobody looked.

use std::collections::VecDeque;

use serde::Serialize;

use crate::clock::Reading;
use crate::report::Availability;
use crate::units::{Nanoseconds, milliseconds, rfc3339};

/// Outages that are kept for the summary.
const KEPT: usize = 100;

/// Keeps count of outages.
#[derive(Debug, Default)]
pub(crate) struct Uptime {
    /// When the first check began, and the last one ended.
    observed: Option<(Reading, Reading)>,
    /// When the last check that found the service up began.
    last_good: Option<Reading>,
    current: Option<Open>,
    /// Nanoseconds in outages that are over.
    proven: Nanoseconds,
    possible: Nanoseconds,
    count: u64,
    outages: VecDeque<Outage>,
}

/// An outage that goes on.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The earliest moment at which it may have begun: the last good check, or the first of all.
    earliest: Reading,
    first: Reading,
    last: Reading,
}

/// An outage, from the first to the last check that found the service down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Outage {
    /// When the first check that found it began, by the local clock.
    pub(crate) began: String,
    /// When the last one ended.
    pub(crate) ended: String,
    #[serde(flatten)]
    pub(crate) downtime: Downtime,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Downtime {
    /// From the begin of the first check that found the service down to the end of the last one, with nothing else between them.
    pub(crate) proven_ms: f64,
    /// From the last good check before to the first one after.
    pub(crate) possible_ms: f64,
}

impl Open {
    fn proven(&self) -> Nanoseconds {
        self.first.until(self.last)
    }
}

impl Uptime {
    /// Takes in a check; gives the outage that it ends.
    pub(crate) fn add(
        &mut self,
        started: Reading,
        finished: Reading,
        availability: Availability,
    ) -> Option<Outage> {
        let begin = self.observed.map_or(started, |(begin, _)| begin);
        self.observed = Some((begin, finished));
        match availability {
            Availability::Unknown => None,
            Availability::Down => {
                match &mut self.current {
                    Some(open) => open.last = finished,
                    None => {
                        self.current = Some(Open {
                            earliest: self.last_good.unwrap_or(begin),
                            first: started,
                            last: finished,
                        });
                    }
                }
                None
            }
            Availability::Up => {
                self.last_good = Some(started);
                let open = self.current.take()?;
                let (proven, possible) = (open.proven(), open.earliest.until(finished));
                self.proven += proven;
                self.possible += possible;
                self.count += 1;
                let outage = Outage {
                    began: rfc3339(open.first.wall),
                    ended: rfc3339(open.last.wall),
                    downtime: Downtime {
                        proven_ms: milliseconds(proven),
                        possible_ms: milliseconds(possible),
                    },
                };
                if self.outages.len() == KEPT {
                    self.outages.pop_front();
                }
                self.outages.push_back(outage.clone());
                Some(outage)
            }
        }
    }

    /// Of all outages, the one that goes on included.
    pub(crate) fn downtime(&self) -> Downtime {
        let (proven, possible) = self.totals();
        Downtime {
            proven_ms: milliseconds(proven),
            possible_ms: milliseconds(possible),
        }
    }

    /// How many, the one that goes on included.
    pub(crate) fn count(&self) -> u64 {
        self.count + u64::from(self.current.is_some())
    }

    /// The last ones that are over.
    pub(crate) fn outages(&self) -> impl Iterator<Item = &Outage> {
        self.outages.iter()
    }

    /// When the outage that goes on was found, by the local clock.
    pub(crate) fn down_since(&self) -> Option<String> {
        self.current.map(|open| rfc3339(open.first.wall))
    }

    /// Of the time from the first check to the end of the last one, percent: at least and at most. `None` before the first.
    pub(crate) fn percent(&self) -> Option<(f64, f64)> {
        let (begin, end) = self.observed?;
        let observed = milliseconds(begin.until(end));
        let Downtime {
            proven_ms,
            possible_ms,
        } = self.downtime();
        let up = |down: f64| {
            if observed > 0.0 {
                (1.0 - down / observed).clamp(0.0, 1.0) * 100.0
            } else {
                100.0
            }
        };
        // One check alone lasts as long as all of them.
        Some((up(possible_ms), up(proven_ms)))
    }

    fn totals(&self) -> (Nanoseconds, Nanoseconds) {
        let Some((open, (_, end))) = self.current.zip(self.observed) else {
            return (self.proven, self.possible);
        };
        (
            self.proven + open.proven(),
            self.possible + open.earliest.until(end),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SECOND;

    /// Checks of one second each, at these seconds.
    fn run(checks: &[(i128, Availability)]) -> (Uptime, Vec<Outage>) {
        let reading = |at: i128| Reading {
            wall: 1_795_305_600 * SECOND + at * SECOND,
            monotonic: at * SECOND,
            suspended: 0,
        };
        let mut uptime = Uptime::default();
        let ended = checks
            .iter()
            .filter_map(|(at, found)| uptime.add(reading(*at), reading(at + 1), *found))
            .collect();
        (uptime, ended)
    }

    use Availability::{Down, Unknown, Up};

    #[test]
    fn an_outage_lasted_at_least_and_at_most() {
        let (uptime, ended) = run(&[(0, Up), (30, Down), (60, Down), (90, Up), (120, Up)]);
        let expected = Outage {
            began: "2026-11-22T00:00:30.000Z".to_owned(),
            ended: "2026-11-22T00:01:01.000Z".to_owned(),
            downtime: Downtime {
                proven_ms: 31_000.0,
                possible_ms: 91_000.0,
            },
        };
        assert_eq!(ended, [expected]);
        let (least, most) = uptime.percent().unwrap();
        assert!((least - 100.0 * (1.0 - 91.0 / 121.0)).abs() < 1e-9);
        assert!((most - 100.0 * (1.0 - 31.0 / 121.0)).abs() < 1e-9);
        assert_eq!((uptime.count(), uptime.down_since()), (1, None));
    }

    #[test]
    fn what_nobody_saw_is_possible_and_not_proven() {
        let (_, ended) = run(&[(0, Up), (30, Unknown), (60, Down), (90, Unknown), (120, Up)]);
        assert_eq!(
            ended[0].downtime,
            Downtime {
                proven_ms: 1_000.0,
                possible_ms: 121_000.0
            }
        );
        let (uptime, _) = run(&[(0, Up), (30, Unknown), (60, Up)]);
        assert_eq!(uptime.downtime(), Downtime::default());
        assert_eq!(uptime.percent(), Some((100.0, 100.0)));
    }

    #[test]
    fn an_outage_that_goes_on_counts() {
        let (uptime, ended) = run(&[(0, Down), (30, Down)]);
        assert!(ended.is_empty());
        assert_eq!(uptime.percent(), Some((0.0, 0.0)));
        assert_eq!(uptime.count(), 1);
        assert_eq!(uptime.down_since().unwrap(), "2026-11-22T00:00:00.000Z");
        assert_eq!(Uptime::default().percent(), None);
    }
}
