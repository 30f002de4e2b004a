//! Monotonic grid of ticks. A late tick does not shift later ones, and missed ticks are skipped.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::series::Tick;

/// Ticks at `start + n · interval`.
#[derive(Debug)]
pub(crate) struct Grid {
    start: Instant,
    interval: Duration,
    /// Lowest possible number of the next tick.
    next: u32,
}

impl Grid {
    /// Creates a grid whose first tick is at `start`.
    pub(crate) fn new(start: Instant, interval: Duration) -> Self {
        Self {
            start,
            interval,
            next: 0,
        }
    }

    /// Waits for the next future tick, plus `delay`.
    pub(crate) async fn tick(&mut self, delay: Duration) -> Tick {
        let number = self.upcoming();
        let missed = number - self.next;
        self.next = number.saturating_add(1);
        let due = self.moment(number) + delay;
        sleep_until(due).await;
        Tick {
            missed: missed.into(),
            late_ms: milliseconds_since(due),
        }
    }

    /// Waits for `pause`, or for the next tick if that is due sooner.
    pub(crate) async fn tick_soon(&mut self, pause: Duration) -> Tick {
        let soon = Instant::now() + pause;
        if soon >= self.moment(self.upcoming()) {
            return self.tick(Duration::ZERO).await;
        }
        sleep_until(soon).await;
        Tick {
            // A retry is an additional check outside the grid, so it misses no tick.
            missed: 0,
            late_ms: milliseconds_since(soon),
        }
    }

    /// Returns the number of the next future tick.
    fn upcoming(&self) -> u32 {
        if self.next == 0 {
            // The first tick is due immediately, so it is never missed.
            return 0;
        }
        let elapsed = self.start.elapsed();
        // Rounded up to the next tick in the future. `max(1)` avoids a division by zero.
        let passed = elapsed.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        self.next.max(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    fn moment(&self, number: u32) -> Instant {
        // Computed from the start each time, so that rounding and delays do not add up.
        self.start + self.interval.saturating_mul(number)
    }
}

fn milliseconds_since(due: Instant) -> f64 {
    due.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_check_of_two_and_a_half_intervals_skips_two_ticks() {
        let start = Instant::now();
        let mut grid = Grid::new(start, INTERVAL);
        let mut seen = Vec::new();
        for work in [0, 25, 1, 10, 0, 11] {
            let tick = grid.tick(Duration::ZERO).await;
            seen.push((start.elapsed().as_secs(), tick.missed));
            tokio::time::sleep(Duration::from_secs(work)).await;
        }
        seen.push((
            start.elapsed().as_secs(),
            grid.tick(Duration::ZERO).await.missed,
        ));
        // A check that lasts exactly one interval misses nothing.
        let grid_kept = [(0, 0), (10, 0), (40, 2), (50, 0), (60, 0), (70, 0), (81, 1)];
        assert_eq!(seen, grid_kept);
        assert_eq!(start.elapsed().as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_by_chance_and_a_retry_leave_the_grid_alone() {
        let start = Instant::now();
        let mut grid = Grid::new(start + Duration::from_secs(3), INTERVAL);
        let mut seen = Vec::new();
        let mut note = |tick: Tick| seen.push((start.elapsed().as_secs(), tick.missed));
        note(grid.tick(Duration::from_secs(2)).await);
        note(grid.tick_soon(Duration::from_secs(4)).await);
        // Sooner than this one is the tick.
        note(grid.tick_soon(Duration::from_secs(5)).await);
        note(grid.tick(Duration::from_secs(9)).await);
        note(grid.tick(Duration::ZERO).await);
        assert_eq!(seen, [(5, 0), (9, 0), (13, 0), (32, 0), (33, 0)]);
    }

    /// Resident memory in KiB, and open descriptors.
    fn size() -> (u64, usize) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .unwrap();
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        (memory.trim().parse().unwrap(), descriptors)
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "memory is a process's, and other tests would fill this one's"
    )]
    fn eight_hours_move_no_grid_and_fill_no_memory() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "grid::tests::eight_hours"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    #[ignore = "for the test above, in a process of its own"]
    async fn eight_hours() {
        use crate::samples::{down, record, report};
        use crate::series::{Hysteresis, Track};
        use clock::{Reading, Verdict};

        const TARGETS: usize = 100;
        let interval = Duration::from_secs(30);
        let start = Instant::now();
        let mut grid = Grid::new(start, interval);
        let mut tracks: Vec<Track> = (0..TARGETS)
            .map(|_| Track::new(Hysteresis::default()))
            .collect();
        let mut after_half = None;
        for number in 0..960_u32 {
            let tick = grid.tick(Duration::ZERO).await;
            // The clock of tests has milliseconds.
            assert!(tick.late_ms <= 2.0, "{tick:?}");
            assert_eq!(tick.missed, 0);
            let off = start.elapsed().saturating_sub(interval * number);
            assert!(off <= Duration::from_millis(2), "{number}: {off:?}");
            let at = clock::units::nanoseconds(start.elapsed());
            let mut record = record(Reading {
                wall: at,
                monotonic: at,
                suspended: 0,
            });
            record.finished.monotonic += 1_000_000;
            for track in &mut tracks {
                // Every tenth check finds it down, and every deployment brings new instances.
                let mut found = if number % 10 == 0 {
                    down()
                } else {
                    report(Verdict::Ok)
                };
                for instance in &mut found.instances {
                    instance.instance = Some((number / 20).to_string());
                }
                let _ = track.add(&record, found, tick);
            }
            if number == 480 {
                after_half = Some(size());
            }
            // From nothing to nearly all of the interval.
            tokio::time::sleep(Duration::from_millis(u64::from(number) * 31 % 29_990)).await;
        }
        let (before, now) = (after_half.unwrap(), size());
        // Of each target the last hundred outages are kept: 48 more since then.
        assert!(now.0 <= before.0 + 2 * 1024, "{before:?} {now:?}");
        assert!(now.1 <= before.1, "{before:?} {now:?}");
        assert_eq!(tracks[0].summary().outages, 96);
    }
}
