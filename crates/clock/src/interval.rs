//! What one request proves about the offset of a remote clock: an interval, by causality alone.

use crate::reading::Reading;
use crate::timestamp::Timestamp;
use crate::units::{MICROSECOND, Nanoseconds};

/// How far two undisciplined clocks may drift apart within `elapsed` nanoseconds: 500 ppm, rounded up.
pub fn drift(elapsed: Nanoseconds) -> Nanoseconds {
    (elapsed.max(0) + 1999) / 2000
}

/// One answered request: the local clocks around it, and the timestamp in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Just before sending.
    pub sent: Reading,
    /// When the bytes that carry the timestamp had arrived.
    pub received: Reading,
    /// What the service said.
    pub timestamp: Timestamp,
}

impl Sample {
    /// Monotonic nanoseconds from sending to receiving.
    pub fn elapsed(&self) -> Nanoseconds {
        self.received.monotonic - self.sent.monotonic
    }

    /// Returns the interval that holds the offset (remote minus local, as local time is when the answer has arrived) of a clock
    /// that ticks as finely as it writes. It needs no symmetric paths: only that the service read its clock after the request
    /// was sent and before the answer arrived.
    pub fn interval(&self) -> OffsetInterval {
        self.shown().of_tick(self.timestamp.resolution)
    }

    /// Returns the same for what was shown: the clock itself may be further ahead, by up to a tick.
    pub(crate) fn shown(&self) -> OffsetInterval {
        let served = self.timestamp.nanoseconds;
        let sent = self.sent.wall;
        let received = sent + self.elapsed();
        let margin = MICROSECOND + drift(self.elapsed());
        OffsetInterval {
            lo: served - received - margin,
            hi: served - sent + margin,
        }
        // Up to here by the local clock as it was when the request was sent.
        .shifted(-self.sent.step(self.received))
    }
}

/// Bounds, in nanoseconds, for remote minus local time. Empty (`lo > hi`) when samples contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetInterval {
    /// The offset is at least this.
    pub lo: Nanoseconds,
    /// The offset is at most this.
    pub hi: Nanoseconds,
}

impl OffsetInterval {
    /// The middle.
    pub fn estimate(&self) -> Nanoseconds {
        i128::midpoint(self.lo, self.hi)
    }

    /// How far a bound is from an estimate at most: the offset is `estimate ± uncertainty`.
    pub fn farthest_from(&self, estimate: Nanoseconds) -> Nanoseconds {
        (self.hi - estimate).max(estimate - self.lo)
    }

    /// The width; negative when empty.
    pub fn width(&self) -> Nanoseconds {
        self.hi - self.lo
    }

    /// Whether no offset is possible.
    pub fn is_empty(&self) -> bool {
        self.lo > self.hi
    }

    /// Returns the interval of a clock that may be ahead of what it shows by up to a tick.
    #[must_use]
    pub(crate) fn of_tick(&self, tick: Nanoseconds) -> Self {
        Self {
            hi: self.hi + tick,
            ..*self
        }
    }

    /// What the interval has become after `age` nanoseconds.
    #[must_use]
    pub fn widened(&self, age: Nanoseconds) -> Self {
        Self {
            lo: self.lo - drift(age),
            hi: self.hi + drift(age),
        }
    }

    /// The same for another local clock: one that is behind by so many nanoseconds.
    #[must_use]
    pub fn shifted(&self, by: Nanoseconds) -> Self {
        Self {
            lo: self.lo + by,
            hi: self.hi + by,
        }
    }

    /// Offsets that lie in both.
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
