//! Downtime of a service as bounds: between two checks its availability is unknown.

use std::collections::VecDeque;

use clock::units::{Nanoseconds, milliseconds, rfc3339};
use clock::{Availability, Reading};
use serde::Serialize;

/// Maximum number of outages kept for the summary.
const KEPT: usize = 100;

/// Record of outages.
#[derive(Debug, Default)]
pub(crate) struct Uptime {
    /// Start of the first check and end of the last one, of the current run.
    observed: Option<(Reading, Reading)>,
    /// Duration of earlier runs, nanoseconds.
    earlier: Nanoseconds,
    /// Start of the last check that found the service up.
    last_good: Option<Reading>,
    /// Result of the last check.
    last: Option<Availability>,
    /// Set if a check that could not tell, or a suspension, happened since the last good check.
    in_the_dark: bool,
    current: Option<Open>,
    /// Cause of the current outage, by its first check.
    cause: Option<String>,
    /// Proven downtime of past outages, nanoseconds.
    proven: Nanoseconds,
    possible: Nanoseconds,
    count: u64,
    outages: VecDeque<Outage>,
}

/// Current outage.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Earliest possible start: the last good check, or the first check of all.
    earliest: Reading,
    first: Reading,
    last: Reading,
    /// Proven downtime so far, nanoseconds.
    proven: Nanoseconds,
    checks: u64,
}

/// Outage, from the first to the last check that found the service down.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Outage {
    /// Start of the first check that found it, by the local clock.
    pub(crate) began: String,
    /// End of the last check that found it.
    pub(crate) ended: String,
    /// Number of checks that found it.
    pub(crate) checks: u64,
    /// Cause that the first of them gave.
    pub(crate) cause: Option<String>,
    #[serde(flatten)]
    pub(crate) downtime: Downtime,
}

/// Bounds of downtime, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Downtime {
    /// Duration of checks that found the service down, plus the time between two such checks in a
    /// row. Excludes suspension, and times at which this host could not tell.
    pub(crate) proven_ms: f64,
    /// Time from the last good check before to the first good check after.
    pub(crate) possible_ms: f64,
}

impl Uptime {
    /// Adds a check and returns the outage that it ends.
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
                // Monotonic time excludes suspension, during which nothing was observed.
                let mut proven = finished.monotonic - started.monotonic;
                // Two failed checks in a row count as downtime in between, unless the host slept.
                if let Some(end) = previous
                    && last == Some(Availability::Down)
                    && !slept_before
                {
                    proven += started.monotonic - end.monotonic;
                }
                // The service may have failed right after the last good check.
                let earliest = self.last_good.unwrap_or(begin);
                let open = self.current.get_or_insert(Open {
                    earliest,
                    first: started,
                    last: finished,
                    proven: 0,
                    checks: 0,
                });
                open.last = finished;
                open.checks += 1;
                open.proven += proven;
                None
            }
            Availability::Up => {
                let since = self.last_good.replace(started).unwrap_or(begin);
                let in_the_dark = std::mem::take(&mut self.in_the_dark);
                let Some(open) = self.current.take() else {
                    // The service may have been down unnoticed since the last good check.
                    if in_the_dark {
                        self.possible += since.until(finished);
                    }
                    return None;
                };
                Some(self.close(&open, open.earliest.until(finished)))
            }
        }
    }

    /// Sets the cause of the current outage, unless it has one.
    pub(crate) fn explain(&mut self, cause: Option<&str>) {
        if self.current.is_some() && self.cause.is_none() {
            self.cause = cause.map(str::to_owned);
        }
    }

    /// Starts another run. Nothing was observed between the runs, and their clocks are not
    /// comparable.
    pub(crate) fn restart(&mut self) {
        let Some((begin, end)) = self.observed.take() else {
            return;
        };
        let possible = self.unsettled(begin, end);
        match self.current.take() {
            // The outage is recorded, but no check ends it, so none reports it.
            Some(open) => drop(self.close(&open, possible)),
            None => self.possible += possible,
        }
        // Only durations are kept: readings of two runs are not comparable.
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
            checks: open.checks,
            cause: self.cause.take(),
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

    /// Returns the downtime of all outages, including the current one.
    pub(crate) fn downtime(&self) -> Downtime {
        let (proven, possible) = self.totals();
        Downtime {
            proven_ms: milliseconds(proven),
            possible_ms: milliseconds(possible),
        }
    }

    /// Returns the number of outages, including the current one.
    pub(crate) fn count(&self) -> u64 {
        self.count + u64::from(self.current.is_some())
    }

    /// Returns the most recent outages that are over.
    pub(crate) fn outages(&self) -> impl Iterator<Item = &Outage> {
        self.outages.iter()
    }

    /// Returns the time at which the current outage was found, by the local clock.
    pub(crate) fn down_since(&self) -> Option<String> {
        self.current.map(|open| rfc3339(open.first.wall))
    }

    /// Returns the bounds of the uptime in percent, over the observed time of all runs. `None`
    /// before the first check.
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
        // The possible downtime gives the lower bound, the proven one the upper bound.
        Some((up(possible_ms), up(proven_ms)))
    }

    /// Returns the observed time: from the first check to the end of the last one, of each run.
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

    /// Returns the possible downtime, nanoseconds, that no good check has ended yet.
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
            checks: 2,
            cause: None,
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
