//! Where local time comes from: wall and monotonic time read together. A seam, so that tests can let clocks drift and step.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use crate::units::SECOND;
use crate::units::{MILLISECOND, Nanoseconds, as_i64, nanoseconds};

/// Both clocks at (nearly) one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Wall time: nanoseconds since 1970-01-01T00:00:00Z.
    #[serde(rename = "wall_ns", with = "as_i64")]
    pub wall: Nanoseconds,
    /// Monotonic time: nanoseconds since a fixed moment of the clock. It stands still while the machine is suspended.
    #[serde(rename = "monotonic_ns", with = "as_i64")]
    pub monotonic: Nanoseconds,
    /// Nanoseconds for which the machine has been suspended in all, as far as the system tells.
    #[serde(rename = "suspended_ns", with = "as_i64")]
    pub suspended: Nanoseconds,
}

impl Reading {
    /// Nanoseconds that have passed at `later`, sleep included, however the wall clock was set.
    pub(crate) fn until(self, later: Self) -> Nanoseconds {
        later.monotonic + later.suspended - self.monotonic - self.suspended
    }

    /// Nanoseconds by which the wall clock was set from `self` to `later`.
    pub(crate) fn step(self, later: Self) -> Nanoseconds {
        (later.wall - self.wall) - (later.monotonic - self.monotonic)
    }

    /// What the wall clock did from `self` to `later` beyond the time that passed: none if it was left alone.
    pub(crate) fn interruption(self, later: Self) -> Option<Interruption> {
        /// More than this is a matter of its own. Less is taken into account where it happens.
        const STEP: Nanoseconds = 10 * MILLISECOND;
        if (later.suspended - self.suspended).abs() > STEP {
            Some(Interruption::Suspended)
        } else if self.step(later).abs() > STEP {
            Some(Interruption::Step)
        } else {
            None
        }
    }

    /// Whether the machine slept in between.
    pub(crate) fn slept_until(self, later: Self) -> bool {
        self.interruption(later) == Some(Interruption::Suspended)
    }
}

/// Why two readings cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The wall clock was set.
    Step,
    /// The machine slept.
    Suspended,
}

/// Reads local time.
pub trait Clock: Send + Sync {
    /// Both clocks, the monotonic one first: the end of a request computed as `wall + elapsed` is then late at worst, which makes
    /// an interval looser, not wrong.
    fn read(&self) -> Reading;
}

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn read(&self) -> Reading {
        // Being preempted between the two reads would look like a step of the wall clock, and every bound would be off by it:
        // of several pairs, the closest one counts.
        let (monotonic, wall) = closest(wall);
        Reading {
            wall,
            monotonic: nanoseconds(monotonic.saturating_duration_since(self.origin)),
            suspended: suspended(),
        }
    }
}

/// Reads clocks until that takes as good as no time, or for some times; gives what was read in the shortest time, and when that
/// began.
fn closest<T>(read: impl Fn() -> T) -> (Instant, T) {
    /// What every interval is widened by.
    const NEIGHBOURS: Duration = Duration::from_micros(1);
    const ATTEMPTS: u32 = 32;
    let timed = || {
        let before = Instant::now();
        let value = read();
        (before.elapsed(), (before, value))
    };
    let mut best = timed();
    for _ in 1..ATTEMPTS {
        if best.0 < NEIGHBOURS {
            break;
        }
        let next = timed();
        if next.0 < best.0 {
            best = next;
        }
    }
    best.1
}

fn wall() -> Nanoseconds {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(before) => -nanoseconds(before.duration()),
    }
}

/// Linux has a clock that goes on while the machine sleeps, beside the one of [`Instant`] that does not.
#[cfg(target_os = "linux")]
fn suspended() -> Nanoseconds {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    let total =
        |time: Timespec| Nanoseconds::from(time.tv_sec) * SECOND + Nanoseconds::from(time.tv_nsec);
    // In this order the difference is too large at most, by what passes between the two.
    let (_, suspended) = closest(|| {
        let awake = total(clock_gettime(ClockId::Monotonic));
        total(clock_gettime(ClockId::Boottime)) - awake
    });
    suspended
}

/// Elsewhere a suspension shows as a step of the wall clock.
#[cfg(not(target_os = "linux"))]
fn suspended() -> Nanoseconds {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_together() {
        let clock = SystemClock::new();
        let first = clock.read();
        let second = clock.read();
        assert!(second.monotonic >= first.monotonic);
        assert!(first.wall > 1_700_000_000_000_000_000);
    }

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
