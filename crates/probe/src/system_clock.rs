//! Wall clock and monotonic clock of the host.

use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use clock::units::SECOND;
use clock::units::{Nanoseconds, nanoseconds};
use clock::{Clock, Reading};

/// Clock of the host.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Creates a clock whose monotonic time starts now.
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
        // Preemption between the two reads would look like a step of the wall clock, and every
        // bound would be off by it. The closest of several pairs counts.
        let (monotonic, wall) = closest(wall);
        Reading {
            wall,
            monotonic: nanoseconds(monotonic.saturating_duration_since(self.origin)),
            suspended: suspended(),
        }
    }
}

/// Reads until a read takes almost no time, or the attempts are used up. Returns the value of the
/// fastest read, and the moment at which that read began.
fn closest<T>(read: impl Fn() -> T) -> (Instant, T) {
    /// Margin by which every interval is widened: a faster read gains nothing.
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

/// Returns the suspended time. On Linux, `CLOCK_BOOTTIME` continues during suspension;
/// `CLOCK_MONOTONIC`, which [`Instant`] uses, does not.
#[cfg(target_os = "linux")]
fn suspended() -> Nanoseconds {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    let total =
        |time: Timespec| Nanoseconds::from(time.tv_sec) * SECOND + Nanoseconds::from(time.tv_nsec);
    // In this order the difference is at most too large, by the time between the two reads.
    let (_, suspended) = closest(|| {
        let awake = total(clock_gettime(ClockId::Monotonic));
        total(clock_gettime(ClockId::Boottime)) - awake
    });
    suspended
}

/// Returns zero. On other systems a suspension shows as a step of the wall clock.
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
