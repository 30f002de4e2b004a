//! What a series of checks amounts to: pure.

use std::collections::VecDeque;

use serde::Serialize;

use crate::report::{Availability, Report};
use crate::verdict::Verdict;

/// Latencies kept for the percentiles: a month of a check every 30 s, within a megabyte.
const LATENCIES: usize = 100_000;

/// Counts as checks come in.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ok: u64,
    down: u64,
    skewed: u64,
    indeterminate: u64,
    up: u64,
    missed_ticks: u64,
    latencies: VecDeque<f64>,
    offset: Option<Range>,
}

/// What to tell at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// All of them.
    pub(crate) checks: u64,
    pub(crate) ok: u64,
    pub(crate) down: u64,
    pub(crate) skewed: u64,
    pub(crate) indeterminate: u64,
    /// Of the checks that found out, those to which the service answered.
    pub(crate) up_percent: Option<f64>,
    /// Milliseconds, of the last 100 000 checks that got an answer.
    pub(crate) latency_ms: Option<Latency>,
    /// Milliseconds: the lowest and the highest estimate of any instance's offset.
    pub(crate) offset_ms: Option<Range>,
    /// Ticks that passed while a check was running.
    pub(crate) missed_ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Tally {
    pub(crate) fn missed(&mut self, ticks: u64) {
        self.missed_ticks += ticks;
    }

    pub(crate) fn add(&mut self, report: &Report) {
        match report.verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Down => self.down += 1,
            Verdict::Skewed => self.skewed += 1,
            Verdict::Indeterminate { .. } => self.indeterminate += 1,
        }
        if report.availability() == Availability::Up {
            self.up += 1;
        }
        if let Some(latency) = report.latency_ms {
            if self.latencies.len() == LATENCIES {
                self.latencies.pop_front();
            }
            self.latencies.push_back(latency);
        }
        for offset in report.instances.iter().filter_map(|one| one.offset_ms) {
            let range = self.offset.get_or_insert(Range {
                min: offset,
                max: offset,
            });
            range.min = range.min.min(offset);
            range.max = range.max.max(offset);
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            checks: self.ok + self.down + self.skewed + self.indeterminate,
            ok: self.ok,
            down: self.down,
            skewed: self.skewed,
            indeterminate: self.indeterminate,
            up_percent: percent(self.up, self.up + self.down),
            latency_ms: self.latency(),
            offset_ms: self.offset,
            missed_ticks: self.missed_ticks,
        }
    }

    fn latency(&self) -> Option<Latency> {
        let mut sorted: Vec<f64> = self.latencies.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let nearest_rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Some(Latency {
            median: nearest_rank(50)?,
            p95: nearest_rank(95)?,
            max: nearest_rank(100)?,
        })
    }
}

/// With three digits behind the point, cut off: 100 means all.
#[expect(
    clippy::cast_precision_loss,
    reason = "at most 100 000, which a double holds exactly"
)]
fn percent(part: u64, whole: u64) -> Option<f64> {
    let thousandths = (part * 100_000).checked_div(whole)?;
    Some(thousandths as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::human::tests::{report, undecided};
    use crate::verdict::Reason;

    #[test]
    fn a_series_is_summed_up() {
        let mut tally = Tally::default();
        for latency in 1..=20_u32 {
            let mut ok = report(Verdict::Ok);
            ok.latency_ms = Some(latency.into());
            ok.instances[0].offset_ms = Some(f64::from(latency) - 10.0);
            tally.add(&ok);
        }
        let mut down = report(Verdict::Down);
        down.latency_ms = None;
        down.instances.clear();
        tally.add(&down);
        let mut overloaded = report(undecided(Reason::CheckerOverloaded));
        overloaded.latency_ms = None;
        overloaded.instances.clear();
        tally.add(&overloaded);
        tally.missed(2);
        assert_eq!(
            tally.summary(),
            Summary {
                checks: 22,
                ok: 20,
                down: 1,
                skewed: 0,
                indeterminate: 1,
                up_percent: Some(95.238),
                latency_ms: Some(Latency {
                    median: 10.0,
                    p95: 19.0,
                    max: 20.0
                }),
                offset_ms: Some(Range {
                    min: -9.0,
                    max: 10.0
                }),
                missed_ticks: 2,
            }
        );
    }

    #[test]
    fn nothing_is_claimed_about_no_checks() {
        let summary = Tally::default().summary();
        assert_eq!(summary.checks, 0);
        assert_eq!(summary.up_percent, None);
        assert_eq!(summary.latency_ms, None);
    }
}
