//! Where local time comes from: wall and monotonic time read together. A seam, so that tests can let clocks drift and step.

use std::time::{Duration, Instant, SystemTime};

use crate::units::{Nanoseconds, nanoseconds};

/// Both clocks at (nearly) one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Wall time: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall: Nanoseconds,
    /// Monotonic time: nanoseconds since a fixed moment of the clock.
    pub monotonic: Nanoseconds,
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
        // Being preempted between the two reads would look like a step of the wall clock: then read again.
        const NEIGHBOURS: Duration = Duration::from_millis(1);
        let mut attempts = 0;
        loop {
            let before = Instant::now();
            let wall = wall();
            attempts += 1;
            if before.elapsed() < NEIGHBOURS || attempts == 5 {
                return Reading {
                    wall,
                    monotonic: nanoseconds(before.saturating_duration_since(self.origin)),
                };
            }
        }
    }
}

fn wall() -> Nanoseconds {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(before) => -nanoseconds(before.duration()),
    }
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
