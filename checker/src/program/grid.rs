//! A monotonic grid of moments: what comes late does not shift those after it, and what was missed is not made up for.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Ticks at `start + n · interval`.
#[derive(Debug)]
pub(crate) struct Grid {
    start: Instant,
    interval: Duration,
    /// The number of the next tick at the earliest.
    next: u32,
}

impl Grid {
    /// The first tick is now.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            start: Instant::now(),
            interval,
            next: 0,
        }
    }

    /// Waits for the next tick that has not passed, and tells how many have.
    pub(crate) async fn tick(&mut self) -> u64 {
        let elapsed = self.start.elapsed();
        let passed = elapsed.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        let tick = self.next.max(u32::try_from(passed).unwrap_or(u32::MAX));
        // The first is due at once, not a microsecond ago.
        let tick = if self.next == 0 { 0 } else { tick };
        let missed = tick - self.next;
        self.next = tick.saturating_add(1);
        sleep_until(self.start + self.interval.saturating_mul(tick)).await;
        missed.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_check_of_two_and_a_half_intervals_skips_two_ticks() {
        let mut grid = Grid::new(INTERVAL);
        let start = Instant::now();
        let mut seen = Vec::new();
        for work in [0, 25, 1, 10, 0, 11] {
            let missed = grid.tick().await;
            seen.push((start.elapsed().as_secs(), missed));
            tokio::time::sleep(Duration::from_secs(work)).await;
        }
        seen.push((start.elapsed().as_secs(), grid.tick().await));
        // A check that lasts exactly one interval misses nothing.
        let grid_kept = [(0, 0), (10, 0), (40, 2), (50, 0), (60, 0), (70, 0), (81, 1)];
        assert_eq!(seen, grid_kept);
        assert_eq!(start.elapsed().as_secs(), 90);
    }
}
