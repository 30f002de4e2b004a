//! The machine's clocks.

use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use clock::units::SECOND;
use clock::units::{Nanoseconds, nanoseconds};
use clock::{Clock, Reading};

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
}
