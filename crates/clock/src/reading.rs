//! Local time: wall and monotonic time read together, and the interruptions between two readings.

use serde::{Deserialize, Serialize};

use crate::units::{MILLISECOND, Nanoseconds, as_i64};

/// Wall and monotonic time, read at nearly the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Wall time: nanoseconds since 1970-01-01T00:00:00Z.
    #[serde(rename = "wall_ns", with = "as_i64")]
    pub wall: Nanoseconds,
    /// Monotonic time: nanoseconds since a fixed moment of the clock, without suspensions.
    #[serde(rename = "monotonic_ns", with = "as_i64")]
    pub monotonic: Nanoseconds,
    /// Total nanoseconds for which the host has been suspended, as far as the system reports it.
    #[serde(rename = "suspended_ns", with = "as_i64")]
    pub suspended: Nanoseconds,
}

impl Reading {
    /// Returns the nanoseconds from `self` to `later`, suspension included, however the wall clock
    /// was set.
    pub fn until(self, later: Self) -> Nanoseconds {
        later.monotonic + later.suspended - self.monotonic - self.suspended
    }

    /// Returns the nanoseconds by which the wall clock was set from `self` to `later`.
    pub fn step(self, later: Self) -> Nanoseconds {
        (later.wall - self.wall) - (later.monotonic - self.monotonic)
    }

    /// Returns what makes two readings incomparable; `None` if time passed undisturbed.
    pub fn interruption(self, later: Self) -> Option<Interruption> {
        /// Smallest step that counts. Shorter ones shift the interval instead.
        const STEP: Nanoseconds = 10 * MILLISECOND;
        // Checked first, because a suspension also moves the wall clock against the monotonic one.
        if (later.suspended - self.suspended).abs() > STEP {
            Some(Interruption::Suspended)
        } else if self.step(later).abs() > STEP {
            Some(Interruption::Step)
        } else {
            None
        }
    }

    /// Returns whether the host was suspended between the two readings.
    pub fn slept_until(self, later: Self) -> bool {
        self.interruption(later) == Some(Interruption::Suspended)
    }
}

/// Reason that two readings cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The wall clock was set.
    Step,
    /// The host was suspended.
    Suspended,
}

/// Source of local time.
pub trait Clock: Send + Sync {
    /// Reads both clocks, the monotonic one first. The end of a request computed as `wall +
    /// elapsed` is then late at worst, which makes an interval looser, not wrong.
    fn read(&self) -> Reading;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_and_a_suspension_are_told_apart() {
        let start = Reading {
            wall: 1_000 * MILLISECOND,
            monotonic: 0,
            suspended: 0,
        };
        let later = |wall: Nanoseconds, suspended: Nanoseconds| Reading {
            wall: (1_000 + wall) * MILLISECOND,
            monotonic: 100 * MILLISECOND,
            suspended: suspended * MILLISECOND,
        };
        assert_eq!(start.interruption(later(100, 0)), None);
        assert_eq!(start.interruption(later(110, 1)), None);
        assert_eq!(start.interruption(later(111, 0)), Some(Interruption::Step));
        assert_eq!(start.interruption(later(89, 0)), Some(Interruption::Step));
        let slept = start.interruption(later(60_100, 60_000));
        assert_eq!(slept, Some(Interruption::Suspended));
        // The wall clock may be wrong after a suspension: it is one all the same.
        let slept = start.interruption(later(100, 60_000));
        assert_eq!(slept, Some(Interruption::Suspended));
    }
}
