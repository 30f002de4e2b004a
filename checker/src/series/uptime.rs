//! How long a service was down: at least and at most, because between two checks nobody looked.

use std::collections::VecDeque;

use clock::units::{Nanoseconds, milliseconds, rfc3339};
use clock::{Availability, Reading};
use serde::Serialize;

/// Outages that are kept for the summary.
const KEPT: usize = 100;

/// Keeps count of outages.
#[derive(Debug, Default)]
pub(crate) struct Uptime {
    /// Of the run that goes on: when the first check began, and the last one ended.
    observed: Option<(Reading, Reading)>,
    /// How long earlier runs lasted, nanoseconds.
    earlier: Nanoseconds,
    /// When the last check that found the service up began.
    last_good: Option<Reading>,
    /// What the last check found.
    last: Option<Availability>,
    /// Since the last good check, something made it impossible to tell: a check that could not, or sleep.
    in_the_dark: bool,
    current: Option<Open>,
    /// Nanoseconds, of what is over.
    proven: Nanoseconds,
    possible: Nanoseconds,
    count: u64,
    outages: VecDeque<Outage>,
}

/// An outage that goes on.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The earliest moment at which it may have started: the last good check, or the first of all.
    earliest: Reading,
    first: Reading,
    last: Reading,
    /// Nanoseconds.
    proven: Nanoseconds,
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
    /// Checks that found the service down, and the time between two of them in a row: not while this machine slept, and not while it
    /// could not tell.
    pub(crate) proven_ms: f64,
    /// From the last good check before to the first one after.
    pub(crate) possible_ms: f64,
}

impl Uptime {
    /// Takes in a check; gives the outage that it ends.
    pub(crate) fn add(
        &mut self,
        started: Reading,
        finished: Reading,
        availability: Availability,
    ) -> Option<Outage> {
        let previous = self.observed.map(|(_, end)| end);
        let begin = self.observed.map_or(started, |(begin, _)| begin);
        self.observed = Some((begin, finished));
        let slept_before = previous.is_some_and(|end| end.slept_until(started));
        self.in_the_dark |=
            availability == Availability::Unknown || slept_before || started.slept_until(finished);
        let last = self.last.replace(availability);
        match availability {
            Availability::Unknown => None,
            Availability::Down => {
                // Awake, that is.
                let mut proven = finished.monotonic - started.monotonic;
                if let Some(end) = previous
                    && last == Some(Availability::Down)
                    && !slept_before
                {
                    proven += started.monotonic - end.monotonic;
                }
                let earliest = self.last_good.unwrap_or(begin);
                let open = self.current.get_or_insert(Open {
                    earliest,
                    first: started,
                    last: finished,
                    proven: 0,
                });
                open.last = finished;
                open.proven += proven;
                None
            }
            Availability::Up => {
                let since = self.last_good.replace(started).unwrap_or(begin);
                let in_the_dark = std::mem::take(&mut self.in_the_dark);
                let Some(open) = self.current.take() else {
                    if in_the_dark {
                        self.possible += since.until(finished);
                    }
                    return None;
                };
                Some(self.close(&open, open.earliest.until(finished)))
            }
        }
    }

    /// From here on another run of the program: between the two nobody looked, and their clocks have nothing in common.
    pub(crate) fn restart(&mut self) {
        let Some((begin, end)) = self.observed.take() else {
            return;
        };
        let possible = self.unsettled(begin, end);
        match self.current.take() {
            Some(open) => drop(self.close(&open, possible)),
            None => self.possible += possible,
        }
        self.earlier += begin.until(end);
        self.last_good = None;
        self.last = None;
        self.in_the_dark = false;
    }

    fn close(&mut self, open: &Open, possible: Nanoseconds) -> Outage {
        self.proven += open.proven;
        self.possible += possible;
        self.count += 1;
        let outage = Outage {
            began: rfc3339(open.first.wall),
            ended: rfc3339(open.last.wall),
            downtime: Downtime {
                proven_ms: milliseconds(open.proven),
                possible_ms: milliseconds(possible),
            },
        };
        if self.outages.len() == KEPT {
            self.outages.pop_front();
        }
        self.outages.push_back(outage.clone());
        outage
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

    /// Of the time from the first check to the end of the last one of each run, percent: at least and at most. `None` before the
    /// first.
    pub(crate) fn percent(&self) -> Option<(f64, f64)> {
        self.observed?;
        let observed = milliseconds(self.observed());
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

    /// From the first check to the end of the last one of each run.
    pub(crate) fn observed(&self) -> Nanoseconds {
        let now = self.observed.map_or(0, |(begin, end)| begin.until(end));
        self.earlier + now
    }

    fn totals(&self) -> (Nanoseconds, Nanoseconds) {
        let Some((begin, end)) = self.observed else {
            return (self.proven, self.possible);
        };
        let proven = self.current.map_or(0, |open| open.proven);
        (
            self.proven + proven,
            self.possible + self.unsettled(begin, end),
        )
    }

    /// How long it may be down by now, nanoseconds, of what no good check has ended yet.
    fn unsettled(&self, begin: Reading, end: Reading) -> Nanoseconds {
        match &self.current {
            Some(open) => open.earliest.until(end),
            None if self.in_the_dark => self.last_good.unwrap_or(begin).until(end),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::units::SECOND;

    fn reading(at: i128) -> Reading {
        Reading {
            wall: 1_795_305_600 * SECOND + at * SECOND,
            monotonic: at * SECOND,
            suspended: 0,
        }
    }

    /// Checks of one second each, at these seconds.
    fn run(checks: &[(i128, Availability)]) -> (Uptime, Vec<Outage>) {
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
        // Down before and after: in between it may have been anything.
        let (_, ended) = run(&[
            (0, Up),
            (30, Down),
            (60, Unknown),
            (90, Down),
            (120, Down),
            (150, Up),
        ]);
        assert_eq!(
            ended[0].downtime,
            Downtime {
                proven_ms: 32_000.0,
                possible_ms: 151_000.0
            }
        );
        // Up before and after, too.
        let (uptime, ended) = run(&[(0, Up), (30, Unknown), (60, Up), (90, Up)]);
        assert!(ended.is_empty());
        let possible = Downtime {
            proven_ms: 0.0,
            possible_ms: 61_000.0,
        };
        assert_eq!((uptime.downtime(), uptime.count()), (possible, 0));
        let (least, most) = uptime.percent().unwrap();
        assert!((least - 100.0 * (1.0 - 61.0 / 91.0)).abs() < 1e-9);
        assert!((most - 100.0).abs() < 1e-9);
        // As long as it goes on, and from the beginning.
        let (uptime, _) = run(&[(0, Up), (30, Unknown)]);
        assert!((uptime.downtime().possible_ms - 31_000.0).abs() < 1e-9);
        let (uptime, _) = run(&[(0, Unknown), (30, Up)]);
        assert!((uptime.downtime().possible_ms - 31_000.0).abs() < 1e-9);
    }

    #[test]
    fn sleep_proves_nothing() {
        let hours = 8 * 3_600 * SECOND;
        for found in [Up, Down] {
            let mut uptime = Uptime::default();
            let awake = reading(0);
            let _ = uptime.add(awake, reading(1), found);
            let slept = |reading: Reading| Reading {
                wall: reading.wall + hours,
                suspended: hours,
                ..reading
            };
            let _ = uptime.add(slept(reading(30)), slept(reading(31)), found);
            let Downtime {
                proven_ms,
                possible_ms,
            } = uptime.downtime();
            let proven = if found == Down { 2_000.0 } else { 0.0 };
            assert!((proven_ms - proven).abs() < 1e-9, "{found:?}");
            assert!(
                (possible_ms - milliseconds(hours + 31 * SECOND)).abs() < 1e-9,
                "{found:?}"
            );
        }
    }

    #[test]
    fn runs_have_clocks_of_their_own_and_nothing_is_known_of_the_time_between_them() {
        let (mut uptime, _) = run(&[(0, Up), (604_770, Down)]);
        uptime.restart();
        // A week later by the wall clock; the other one begins at zero again.
        for (at, found) in [(0, Down), (30, Up), (60, Up)] {
            let mut started = reading(at);
            started.wall += 14 * 86_400 * SECOND;
            let mut finished = reading(at + 1);
            finished.wall += 14 * 86_400 * SECOND;
            let _ = uptime.add(started, finished, found);
        }
        assert_eq!(uptime.count(), 2);
        let Downtime {
            proven_ms,
            possible_ms,
        } = uptime.downtime();
        assert!((proven_ms - 2_000.0).abs() < 1e-9);
        assert!((possible_ms - (604_771_000.0 + 31_000.0)).abs() < 1e-9);
        let (least, most) = uptime.percent().unwrap();
        let observed = 604_771.0 + 61.0;
        assert!((least - 100.0 * (1.0 - (604_771.0 + 31.0) / observed)).abs() < 1e-9);
        assert!((most - 100.0 * (1.0 - 2.0 / observed)).abs() < 1e-9);
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
