//! Interval that one request proves for the offset of a remote clock, by causality alone.

use crate::reading::Reading;
use crate::timestamp::Timestamp;
use crate::units::{MICROSECOND, Nanoseconds};

/// Returns how far two undisciplined clocks drift apart within `elapsed` nanoseconds: 500 ppm,
/// rounded up.
pub fn drift(elapsed: Nanoseconds) -> Nanoseconds {
    (elapsed.max(0) + 1999) / 2000
}

/// One answered request: the local clocks around it, and the timestamp in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Local time just before sending.
    pub sent: Reading,
    /// Local time when the bytes that carry the timestamp had arrived.
    pub received: Reading,
    /// Timestamp that the service sent.
    pub timestamp: Timestamp,
}

impl Sample {
    /// Returns the monotonic nanoseconds from sending to receiving.
    pub fn elapsed(&self) -> Nanoseconds {
        self.received.monotonic - self.sent.monotonic
    }

    /// Returns the interval that holds the offset of a clock that ticks as finely as it writes. The
    /// offset is remote minus local time at the arrival of the answer. Symmetric paths are not
    /// needed: the service only has to read its clock between the sending of the request and the
    /// arrival of the answer.
    pub fn interval(&self) -> OffsetInterval {
        self.shown().of_tick(self.timestamp.resolution)
    }

    /// Returns the interval for the time shown. The clock itself may be ahead of it by up to a
    /// tick.
    pub(crate) fn shown(&self) -> OffsetInterval {
        let served = self.timestamp.nanoseconds;
        let sent = self.sent.wall;
        // Monotonic time, so that a step of the wall clock during the request does not count.
        let received = sent + self.elapsed();
        let margin = MICROSECOND + drift(self.elapsed());
        OffsetInterval {
            lo: served - received - margin,
            hi: served - sent + margin,
        }
        // The interval so far refers to the local clock at sending; the shift moves it to the
        // arrival.
        .shifted(-self.sent.step(self.received))
    }
}

/// Bounds, in nanoseconds, for remote minus local time. Empty (`lo > hi`) if samples contradict
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetInterval {
    /// Lower bound of the offset.
    pub lo: Nanoseconds,
    /// Upper bound of the offset.
    pub hi: Nanoseconds,
}

impl OffsetInterval {
    /// Returns the middle of the interval.
    pub fn estimate(&self) -> Nanoseconds {
        i128::midpoint(self.lo, self.hi)
    }

    /// Returns the largest distance of a bound from an estimate: the offset is `estimate ±
    /// uncertainty`.
    pub fn farthest_from(&self, estimate: Nanoseconds) -> Nanoseconds {
        (self.hi - estimate).max(estimate - self.lo)
    }

    /// Returns the width; negative if the interval is empty.
    pub fn width(&self) -> Nanoseconds {
        self.hi - self.lo
    }

    /// Returns whether no offset is possible.
    pub fn is_empty(&self) -> bool {
        self.lo > self.hi
    }

    /// Returns the interval of a clock that may be ahead of the time shown by up to a tick.
    #[must_use]
    pub(crate) fn of_tick(&self, tick: Nanoseconds) -> Self {
        Self {
            // Only the upper bound moves, because a clock never shows more than its time.
            hi: self.hi + tick,
            ..*self
        }
    }

    /// Returns the interval after `age` nanoseconds of drift.
    #[must_use]
    pub fn widened(&self, age: Nanoseconds) -> Self {
        Self {
            lo: self.lo - drift(age),
            hi: self.hi + drift(age),
        }
    }

    /// Returns the interval against another local clock, which is behind by `by` nanoseconds.
    #[must_use]
    pub fn shifted(&self, by: Nanoseconds) -> Self {
        Self {
            lo: self.lo + by,
            hi: self.hi + by,
        }
    }

    /// Returns the offsets that lie in both intervals.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            lo: self.lo.max(other.lo),
            hi: self.hi.min(other.hi),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{MILLISECOND, SECOND};

    fn sample(round_trip: Nanoseconds, served: Nanoseconds, resolution: Nanoseconds) -> Sample {
        Sample {
            sent: Reading {
                wall: 1_000 * SECOND,
                monotonic: 7 * SECOND,
                suspended: 0,
            },
            received: Reading {
                wall: 1_000 * SECOND + round_trip,
                monotonic: 7 * SECOND + round_trip,
                suspended: 0,
            },
            timestamp: Timestamp {
                nanoseconds: 1_000 * SECOND + served,
                resolution,
            },
        }
    }

    #[test]
    fn the_interval_follows_the_formulas() {
        // (round trip, served after sending, resolution) -> (lo, hi); the margin is 1 µs + round trip / 2000.
        let table = [
            ((0, 0, 1), (-1_000, 1_001)),
            (
                (2 * MILLISECOND, MILLISECOND, MICROSECOND),
                (-1_002_000, 1_003_000),
            ),
            (
                (2 * MILLISECOND, -300 * MILLISECOND, SECOND),
                (-302_002_000, 700_002_000),
            ),
            (
                (3 * SECOND, 3600 * SECOND, MICROSECOND),
                (3597 * SECOND - 1_501_000, 3600 * SECOND + 1_502_000),
            ),
        ];
        for ((round_trip, served, resolution), (lo, hi)) in table {
            assert_eq!(
                sample(round_trip, served, resolution).interval(),
                OffsetInterval { lo, hi }
            );
        }
    }

    #[test]
    fn a_small_step_of_the_local_clock_is_taken_into_account() {
        let mut stepped = sample(2 * MILLISECOND, 0, 1);
        let straight = stepped.interval();
        stepped.received.wall += 9 * MILLISECOND;
        assert_eq!(stepped.interval(), straight.shifted(-9 * MILLISECOND));
    }

    #[test]
    fn estimate_and_uncertainty_span_the_interval() {
        let interval = OffsetInterval { lo: -10, hi: 31 };
        assert_eq!(interval.estimate(), 10);
        assert_eq!(interval.farthest_from(10), 21);
        assert_eq!(drift(0), 0);
        assert_eq!(drift(1), 1);
        assert_eq!(drift(SECOND), 500 * MICROSECOND);
        assert_eq!(interval.widened(4_000), OffsetInterval { lo: -12, hi: 33 });
    }
}
