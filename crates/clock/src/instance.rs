//! Samples of one instance's clock, combined. Instances are never mixed, because each has its own
//! clock.

use crate::interval::{OffsetInterval, Sample};
use crate::reading::Reading;
use crate::sampling::{self, Known};
use crate::tick::Tick;
use crate::units::{MILLISECOND, Nanoseconds};
use crate::verdict::{Reason, Verdict};

/// Largest contradiction between samples that an underestimated tick may explain.
const SMALL: Nanoseconds = 20 * MILLISECOND;

/// Bounds and tick of one instance's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceClock {
    bounds: Option<Bounds>,
    tick: Tick,
    samples: u32,
    /// Shortest round trip so far, nanoseconds.
    shortest: Option<Nanoseconds>,
    discarded: Option<Reason>,
    stalled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// Interval of the time shown. The clock may be ahead of it by up to a tick.
    shown: OffsetInterval,
    /// Arrival of the newest sample, to which the interval refers.
    at: Reading,
}

impl Bounds {
    /// Returns the interval at another moment, relative to the local clock at that moment.
    fn shown_at(&self, reading: Reading) -> OffsetInterval {
        let age = reading.monotonic - self.at.monotonic;
        self.shown.widened(age).shifted(-self.at.step(reading))
    }
}

impl InstanceClock {
    /// Narrows the bounds by a sample. `connection` identifies the connection that it came by;
    /// `stalled` says that this process was delayed while it was taken.
    pub fn add(&mut self, sample: &Sample, connection: u64, stalled: bool) {
        let at = sample.received;
        let fresh = sample.shown();
        let times = (sample.sent.monotonic, at.monotonic);
        self.tick.add(sample.timestamp, times, connection);
        // Widening the intersection equals widening every earlier sample by its own age, because
        // all of them drift by the same amount.
        let shown = match self.bounds {
            None => fresh,
            Some(known) => known.shown_at(at).intersection(&fresh),
        };
        self.bounds = Some(Bounds { shown, at });
        // An empty interval has a negative width: the samples contradict each other by this much.
        let missing = -shown.of_tick(self.tick.longest()).width();
        if (1..=SMALL).contains(&missing) {
            self.tick.contradict();
        }
        self.shortest = Some(
            self.shortest
                .map_or(sample.elapsed(), |shortest| shortest.min(sample.elapsed())),
        );
        self.samples += 1;
        self.stalled |= stalled;
    }

    /// Records that an answer of this instance proved nothing. Keeps the first reason: later ones
    /// tend to be its consequences.
    pub fn discard(&mut self, reason: Reason) {
        self.discarded.get_or_insert(reason);
    }

    /// Drops all samples because the local clock, their reference, was set.
    pub fn forget(&mut self, reason: Reason) {
        self.bounds = None;
        self.samples = 0;
        self.discard(reason);
    }

    /// Returns the pause before the next request that makes its answer most useful, nanoseconds.
    pub(crate) fn pause_at(&self, reading: Reading, max_skew: Nanoseconds) -> Option<Nanoseconds> {
        let resolution = self.tick.written();
        let known = Known {
            bounds: self.interval_at(reading)?,
            resolution,
            round_trip: self.shortest?,
        };
        // A clock that ticks as finely as it writes changes at multiples of its resolution.
        let at_change = || sampling::wait(known, reading.wall, max_skew);
        self.tick.pause().or_else(at_change)
    }

    /// Returns the number of valid samples.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Returns the bounds at a moment, relative to the local clock then; `None` without a valid
    /// sample.
    pub fn interval_at(&self, reading: Reading) -> Option<OffsetInterval> {
        let tick = self.tick.longest();
        self.bounds
            .map(|bounds| bounds.shown_at(reading).of_tick(tick))
    }

    /// Returns the most likely offset at a moment. Assumes that the clock ticks as finely as it
    /// writes, unless samples contradict that.
    pub fn estimate_at(&self, reading: Reading) -> Option<Nanoseconds> {
        let shown = self.bounds?.shown_at(reading);
        let likely = shown.of_tick(self.tick.written());
        let proven = self.interval_at(reading)?;
        let best = if likely.is_empty() { proven } else { likely };
        Some(best.estimate())
    }

    /// Returns whether another answer may take back that the clock is wrong.
    pub(crate) fn is_preliminary(&self, reading: Reading, max_skew: Nanoseconds) -> bool {
        let reserve = self.tick.reserve();
        self.samples == 1
            && self.interval_at(reading).is_some_and(|interval| {
                interval.lo <= max_skew && -max_skew <= interval.hi + reserve
            })
    }

    /// Returns the verdict on this clock alone at a moment. `max_skew` is in nanoseconds.
    pub fn verdict_at(&self, reading: Reading, max_skew: Nanoseconds) -> Verdict {
        let Some(interval) = self.interval_at(reading) else {
            return Verdict::Indeterminate {
                reason: self.discarded.unwrap_or(Reason::NoSample),
            };
        };
        let verdict = Verdict::of_interval(interval, self.tick.longest(), max_skew);
        let slow = Verdict::Indeterminate {
            reason: Reason::RttTooLong,
        };
        // A delayed process measures long round trips itself, so the service is not to blame for
        // them.
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
    use crate::units::SECOND;

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
        clock.add(&sample(0, 800 * MILLISECOND, 0), 1, false);
        clock.add(&sample(SECOND, 2 * MILLISECOND, 0), 1, false);
        clock.add(&sample(2 * SECOND, 900 * MILLISECOND, 0), 1, false);
        assert_eq!(clock.samples(), 3);
        let interval = clock.interval_at(reading(2_900 * MILLISECOND)).unwrap();
        // 1 ms each way, 2 µs of margin, and 500 ppm of the 1.898 s since then.
        assert_eq!(interval.lo, -1_002_000 - 949_000);
        // Nothing is known of its tick but that it is no longer than 250 ms.
        assert_eq!(interval.hi, 1_002_000 + 949_000 + 250 * MILLISECOND);
        assert_eq!(clock.estimate_at(reading(2_900 * MILLISECOND)), Some(500));
    }

    #[test]
    fn contradicting_samples_leave_an_empty_interval() {
        let mut clock = InstanceClock::default();
        clock.add(&sample(0, 2 * MILLISECOND, 0), 1, false);
        clock.add(
            &sample(SECOND, 2 * MILLISECOND, 500 * MILLISECOND),
            1,
            false,
        );
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
            clock.add(&slow, 1, stalled);
            assert_eq!(
                clock.verdict_at(reading(3 * SECOND), SECOND),
                Verdict::Indeterminate { reason }
            );
        }
    }
}
