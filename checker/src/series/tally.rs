//! Statistics of a series of checks. Pure.

use clock::{Availability, Report, Verdict};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::series::uptime::{Downtime, Outage, Uptime};

/// Significant digits of percentiles. With three, a thousand targets would take a hundred
/// megabytes.
const DIGITS: u8 = 2;

/// Running counts of a series.
#[derive(Debug)]
pub(crate) struct Tally {
    /// URL, and the address connected to instead.
    target: (String, Option<String>),
    ok: u64,
    warnings: u64,
    down: u64,
    skewed: u64,
    indeterminate: u64,
    up: u64,
    missed_ticks: u64,
    latency: Distribution,
    late: Distribution,
    offset: Option<Range>,
}

/// Distribution of durations, in bounded memory.
#[derive(Debug)]
struct Distribution {
    /// Histogram in microseconds.
    counts: Option<Histogram<u32>>,
    /// Exact maximum, milliseconds.
    max: f64,
}

/// Summary of a series.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Summary {
    pub(crate) url: String,
    pub(crate) connect_to: Option<String>,
    /// Number of all checks.
    pub(crate) checks: u64,
    pub(crate) ok: u64,
    /// Number of OK checks with a warning.
    pub(crate) warnings: u64,
    pub(crate) down: u64,
    pub(crate) skewed: u64,
    pub(crate) indeterminate: u64,
    /// Share of answered checks among those that could tell, percent.
    pub(crate) up_percent: Option<f64>,
    /// Share of the time from the first check to the end of the last. The lower bound is rounded
    /// down, the upper one up.
    pub(crate) uptime_percent: Option<Bounds>,
    /// Length of that time, milliseconds.
    pub(crate) observed_ms: f64,
    /// Downtime of all outages.
    #[serde(flatten)]
    pub(crate) downtime: Downtime,
    pub(crate) outages: u64,
    /// Time at which the current outage was found.
    pub(crate) down_since: Option<String>,
    /// Most recent outages that are over.
    pub(crate) last_outages: Vec<Outage>,
    /// Latency of the answered checks, milliseconds; percentiles to one in a hundred.
    pub(crate) latency_ms: Option<Latency>,
    /// Lowest and highest estimate of any instance's offset, milliseconds.
    pub(crate) offset_ms: Option<Range>,
    /// Number of ticks that passed while a check was running.
    pub(crate) missed_ticks: u64,
    /// Milliseconds from the moment a check was due to its start.
    pub(crate) late_ms: Option<Latency>,
}

/// Bounds of a share, percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Bounds {
    pub(crate) at_least: f64,
    pub(crate) at_most: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Latency {
    pub(crate) median: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Returns the target's name for people.
    pub(crate) fn name(&self) -> String {
        clock::report_name(&self.url, self.connect_to.as_ref())
    }
}

impl Distribution {
    fn new() -> Self {
        Self {
            // Fails only for numbers of digits other than one to five.
            counts: Histogram::new(DIGITS).ok(),
            max: 0.0,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a double ends at the bounds, and times are not negative"
    )]
    fn add(&mut self, milliseconds: f64) {
        self.max = self.max.max(milliseconds);
        if let Some(counts) = &mut self.counts {
            // The histogram grows with its values, so they are capped at an hour.
            let microseconds = ((milliseconds * 1000.0).round() as u64).min(3_600_000_000);
            let _ = counts.record(microseconds);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^53")]
    fn latency(&self) -> Option<Latency> {
        let counts = self.counts.as_ref().filter(|counts| !counts.is_empty())?;
        // The histogram rounds up to its resolution, possibly beyond the exact maximum.
        let at = |quantile| (counts.value_at_quantile(quantile) as f64 / 1000.0).min(self.max);
        Some(Latency {
            median: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: self.max,
        })
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            target: (String::new(), None),
            ok: 0,
            warnings: 0,
            down: 0,
            skewed: 0,
            indeterminate: 0,
            up: 0,
            missed_ticks: 0,
            latency: Distribution::new(),
            late: Distribution::new(),
            offset: None,
        }
    }

    /// Adds the number of ticks missed before a check, and its delay in milliseconds.
    pub(crate) fn tick(&mut self, missed: u64, late_ms: f64) {
        self.missed_ticks += missed;
        self.late.add(late_ms);
    }

    pub(crate) fn add(&mut self, report: &Report) {
        self.target.0.clone_from(&report.url);
        self.target.1.clone_from(&report.connect_to);
        match report.verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Down => self.down += 1,
            Verdict::Skewed => self.skewed += 1,
            Verdict::Indeterminate { .. } => self.indeterminate += 1,
        }
        if report.verdict == Verdict::Ok && !report.warnings.is_empty() {
            self.warnings += 1;
        }
        // A service whose clock is off is still up, so this differs from the number of OK checks.
        if report.availability() == Availability::Up {
            self.up += 1;
        }
        if let Some(latency) = report.latency_ms {
            self.latency.add(latency);
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

    pub(crate) fn summary(&self, uptime: &Uptime) -> Summary {
        let (url, connect_to) = self.target.clone();
        Summary {
            url,
            connect_to,
            checks: self.ok + self.down + self.skewed + self.indeterminate,
            ok: self.ok,
            warnings: self.warnings,
            down: self.down,
            skewed: self.skewed,
            indeterminate: self.indeterminate,
            up_percent: percent(self.up, self.up + self.down),
            uptime_percent: uptime.percent().map(|(at_least, at_most)| Bounds {
                at_least: (at_least * 1000.0).floor() / 1000.0,
                at_most: (at_most * 1000.0).ceil() / 1000.0,
            }),
            observed_ms: clock::units::milliseconds(uptime.observed()),
            downtime: uptime.downtime(),
            outages: uptime.count(),
            down_since: uptime.down_since(),
            last_outages: uptime.outages().cloned().collect(),
            latency_ms: self.latency.latency(),
            offset_ms: self.offset,
            missed_ticks: self.missed_ticks,
            late_ms: self.late.latency(),
        }
    }
}

/// Returns a percentage with three decimal places, rounded down so that 100 means all.
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
    use crate::samples::{down, report, undecided};
    use clock::Reason;

    #[test]
    fn a_series_is_summed_up() {
        let mut tally = Tally::new();
        for latency in 1..=100_u32 {
            let mut ok = report(Verdict::Ok);
            ok.latency_ms = Some(latency.into());
            ok.instances[0].offset_ms = Some(f64::from(latency) - 10.0);
            tally.add(&ok);
            tally.tick(0, 0.2);
        }
        tally.add(&down());
        let mut overloaded = report(undecided(Reason::CheckerOverloaded));
        overloaded.latency_ms = None;
        overloaded.instances.clear();
        tally.add(&overloaded);
        tally.tick(2, 7.0);
        let summary = tally.summary(&Uptime::default());
        assert_eq!((summary.checks, summary.ok, summary.down), (102, 100, 1));
        assert_eq!((summary.skewed, summary.indeterminate), (0, 1));
        assert_eq!(summary.up_percent, Some(99.009));
        assert_eq!(summary.missed_ticks, 2);
        let latency = summary.latency_ms.unwrap();
        assert!((latency.median - 50.0).abs() <= 0.5, "{latency:?}");
        assert!((latency.p95 - 95.0).abs() <= 1.0, "{latency:?}");
        assert!((latency.max - 100.0).abs() < 1e-9);
        assert!((summary.late_ms.unwrap().max - 7.0).abs() < 1e-9);
        let expected = Range {
            min: -9.0,
            max: 90.0,
        };
        assert_eq!(summary.offset_ms, Some(expected));
    }

    #[test]
    fn nothing_is_claimed_about_no_checks() {
        let summary = Tally::new().summary(&Uptime::default());
        assert_eq!(summary.checks, 0);
        assert_eq!(summary.up_percent, None);
        assert_eq!(summary.latency_ms, None);
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_checks() {
        let mut tally = Tally::new();
        let mut slow = report(Verdict::Ok);
        slow.latency_ms = Some(1_000_000.0);
        tally.add(&slow);
        let size = |tally: &Tally| tally.latency.counts.as_ref().unwrap().distinct_values();
        let before = size(&tally);
        for latency in 0..100_000 {
            slow.latency_ms = Some(f64::from(latency));
            tally.add(&slow);
        }
        assert_eq!(size(&tally), before);
        assert!(before < 4_000, "{before}");
    }
}
