//! What several samples prove together about one instance's clock. Never across instances: each has a clock of its own.

use crate::interval::{OffsetInterval, Sample};
use crate::reading::Reading;
use crate::sampling::Known;
use crate::units::Nanoseconds;
use crate::verdict::{Reason, Verdict};

/// Everything known about one instance's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceClock {
    bounds: Option<Bounds>,
    samples: u32,
    /// Nanoseconds from sending to the answer, at best.
    shortest: Option<Nanoseconds>,
    discarded: Option<Reason>,
    stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    interval: OffsetInterval,
    /// When the newest sample had arrived: what the interval is relative to.
    at: Reading,
    /// Nanoseconds: the coarsest one seen.
    resolution: Nanoseconds,
}

impl Bounds {
    /// By the local clock as it is at another moment.
    fn interval_at(&self, reading: Reading) -> OffsetInterval {
        let age = reading.monotonic - self.at.monotonic;
        self.interval.widened(age).shifted(-self.at.step(reading))
    }
}

impl InstanceClock {
    /// Narrows the bounds. `stalled`: this program did not run smoothly while the sample was taken.
    pub fn add(&mut self, sample: &Sample, stalled: bool) {
        let at = sample.received;
        let fresh = Bounds {
            interval: sample.interval(),
            at,
            resolution: sample.timestamp.resolution,
        };
        // Widening the running maximum widens every earlier sample by its own age: all of them move by the same amount.
        self.bounds = Some(match self.bounds {
            None => fresh,
            Some(known) => Bounds {
                interval: known.interval_at(at).intersection(&fresh.interval),
                at,
                resolution: known.resolution.max(fresh.resolution),
            },
        });
        self.shortest = Some(
            self.shortest
                .map_or(sample.elapsed(), |shortest| shortest.min(sample.elapsed())),
        );
        self.samples += 1;
        self.stalled |= stalled;
    }

    /// Notes that an answer of this instance proved nothing. The first reason counts: later ones tend to be its consequences.
    pub fn discard(&mut self, reason: Reason) {
        self.discarded.get_or_insert(reason);
    }

    /// Drops all samples: what they were measured against (the local clock) has moved.
    pub fn forget(&mut self, reason: Reason) {
        self.bounds = None;
        self.samples = 0;
        self.discard(reason);
    }

    /// What is known for choosing the moment of the next request.
    pub(crate) fn known_at(&self, reading: Reading) -> Option<Known> {
        let bounds = self.bounds?;
        Some(Known {
            bounds: bounds.interval_at(reading),
            resolution: bounds.resolution,
            round_trip: self.shortest?,
        })
    }

    /// Valid samples.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The bounds at a moment, by the local clock as it is then; `None` without a valid sample.
    pub fn interval_at(&self, reading: Reading) -> Option<OffsetInterval> {
        self.bounds.map(|bounds| bounds.interval_at(reading))
    }

    /// The verdict on this clock alone, at a moment. `max_skew` in nanoseconds.
    pub fn verdict_at(&self, reading: Reading, max_skew: Nanoseconds) -> Verdict {
        let (Some(bounds), Some(interval)) = (self.bounds, self.interval_at(reading)) else {
            return Verdict::Indeterminate {
                reason: self.discarded.unwrap_or(Reason::NoSample),
            };
        };
        let verdict = Verdict::of_interval(interval, bounds.resolution, max_skew);
        let slow = Verdict::Indeterminate {
            reason: Reason::RttTooLong,
        };
        if verdict == slow && self.stalled {
            return Verdict::Indeterminate {
                reason: Reason::CheckerOverloaded,
            };
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;
    use crate::units::{MILLISECOND, SECOND};

    fn reading(time: Nanoseconds) -> Reading {
        Reading {
            wall: 1_000 * SECOND + time,
            monotonic: time,
            suspended: 0,
        }
    }

    /// A sample sent at `at`, answered after `round_trip`, by a clock `offset` ahead that is read half-way.
    fn sample(at: Nanoseconds, round_trip: Nanoseconds, offset: Nanoseconds) -> Sample {
        Sample {
            sent: reading(at),
            received: reading(at + round_trip),
            timestamp: Timestamp {
                nanoseconds: 1_000 * SECOND + at + round_trip / 2 + offset,
                resolution: 1_000,
            },
        }
    }

    #[test]
    fn the_best_bounds_of_all_samples_count() {
        let mut clock = InstanceClock::default();
        clock.add(&sample(0, 800 * MILLISECOND, 0), false);
        clock.add(&sample(SECOND, 2 * MILLISECOND, 0), false);
        clock.add(&sample(2 * SECOND, 900 * MILLISECOND, 0), false);
        assert_eq!(clock.samples(), 3);
        let interval = clock.interval_at(reading(2_900 * MILLISECOND)).unwrap();
        // 1 ms each way, 2 µs of margin, and 500 ppm of the 1.898 s since then.
        assert_eq!(interval.lo, -1_002_000 - 949_000);
        assert_eq!(interval.hi, 1_003_000 + 949_000);
    }

    #[test]
    fn contradicting_samples_leave_an_empty_interval() {
        let mut clock = InstanceClock::default();
        clock.add(&sample(0, 2 * MILLISECOND, 0), false);
        clock.add(&sample(SECOND, 2 * MILLISECOND, 500 * MILLISECOND), false);
        assert!(clock.interval_at(reading(SECOND)).unwrap().is_empty());
        assert_eq!(
            clock.verdict_at(reading(SECOND), SECOND),
            Verdict::Indeterminate {
                reason: Reason::Inconsistent
            }
        );
    }

    #[test]
    fn the_first_reason_for_having_no_sample_is_told() {
        let mut clock = InstanceClock::default();
        clock.discard(Reason::Stale);
        clock.discard(Reason::LocalStep);
        assert_eq!(
            clock.verdict_at(reading(0), SECOND),
            Verdict::Indeterminate {
                reason: Reason::Stale
            }
        );
    }

    #[test]
    fn a_stalled_checker_suspects_itself_not_the_line() {
        let slow = sample(0, 3 * SECOND, 0);
        for (stalled, reason) in [
            (false, Reason::RttTooLong),
            (true, Reason::CheckerOverloaded),
        ] {
            let mut clock = InstanceClock::default();
            clock.add(&slow, stalled);
            assert_eq!(
                clock.verdict_at(reading(3 * SECOND), SECOND),
                Verdict::Indeterminate { reason }
            );
        }
    }
}
