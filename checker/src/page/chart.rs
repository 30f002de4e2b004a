//! Chart data, collected from a log check by check in bounded memory. Pure.

use std::collections::BTreeMap;

use clock::Kind;
use clock::units::MILLISECOND;

use crate::judge::{Limits, Replay};
use crate::log::Logged;
use crate::page::buckets::{Buckets, Join};
use crate::series::{State, Summary, Trend};

/// Maximum number of instances with their own band. All others share one.
const BANDS: usize = 6;
/// Maximum number of version changes listed.
const VERSIONS: usize = 50;

/// Charts of all targets of a log.
pub(crate) struct Charts {
    limits: Limits,
    replay: Replay,
    targets: Vec<Chart>,
    checks: u64,
}

/// Chart of one target.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// Limit Θ of the last check, milliseconds.
    pub(crate) max_skew_ms: f64,
    /// Cause of the last verdict, if it is not OK.
    pub(crate) cause: Option<String>,
    /// Start of the first check, milliseconds since 1970.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) states: Buckets<State>,
    /// Offsets by instance name; `None` for instances that share a band.
    pub(crate) offsets: BTreeMap<Option<String>, Buckets<Range>>,
    pub(crate) latency: Buckets<Spread>,
    pub(crate) trends: Vec<Trend>,
    /// Versions at each change, with the time of the change.
    pub(crate) versions: Vec<(i64, String)>,
}

/// Range of values, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

/// Range with sum and count, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) range: Range,
    sum: f64,
    count: f64,
}

impl Join for State {
    /// Keeps the worse state.
    fn join(&mut self, other: &Self) {
        *self = (*self).max(*other);
    }
}

impl Join for Range {
    fn join(&mut self, other: &Self) {
        self.lo = self.lo.min(other.lo);
        self.hi = self.hi.max(other.hi);
    }
}

impl Join for Spread {
    fn join(&mut self, other: &Self) {
        self.range.join(&other.range);
        self.sum += other.sum;
        self.count += other.count;
    }
}

impl Spread {
    fn one(value: f64) -> Self {
        Self {
            range: Range {
                lo: value,
                hi: value,
            },
            sum: value,
            count: 1.0,
        }
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count
    }
}

impl Charts {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            replay: Replay::default(),
            targets: Vec::new(),
            checks: 0,
        }
    }

    /// Adds a check.
    pub(crate) fn add(&mut self, logged: &Logged) {
        let (target, finding) = self.replay.add(logged, self.limits);
        let milliseconds =
            |nanoseconds: i128| i64::try_from(nanoseconds / MILLISECOND).unwrap_or_default();
        let at = milliseconds(logged.record.started.wall);
        self.checks += 1;
        // Targets are numbered in order of appearance, so a new one is always the next.
        if self.targets.len() <= target {
            self.targets.push(Chart::new(finding.report.name(), at));
        }
        let Some(chart) = self.targets.get_mut(target) else {
            return;
        };
        let report = &finding.report;
        chart.kind = report.kind;
        chart.state = finding.state;
        chart.cause.clone_from(&report.cause);
        chart.max_skew_ms = report.max_skew_ms;
        // A wall clock that was set back gives earlier moments than the first check.
        chart.begin = chart.begin.min(at);
        chart.end = chart.end.max(milliseconds(logged.record.finished.wall));
        // The single result instead of the confirmed state, so that every failed check is visible.
        chart.states.add(at, &State::of(report));
        if let Some(latency) = report.latency_ms {
            chart.latency.add(at, &Spread::one(latency));
        }
        for instance in &report.instances {
            if let (Some(lo), Some(hi)) = (instance.lo_ms, instance.hi_ms) {
                // Contradicting answers give `lo > hi`; the band covers both bounds.
                let range = Range {
                    lo: lo.min(hi),
                    hi: hi.max(lo),
                };
                chart.offset(instance.label(), at, range);
            }
        }
        chart.version(at, report);
        chart.trends = finding.trends;
    }

    pub(crate) fn checks(&self) -> u64 {
        self.checks
    }

    pub(crate) fn targets(&self) -> &[Chart] {
        &self.targets
    }

    pub(crate) fn summaries(&self) -> Vec<Summary> {
        self.replay.summaries()
    }
}

impl Chart {
    fn new(name: String, at: i64) -> Self {
        Self {
            name,
            kind: Kind::Clock,
            state: State::Unknown,
            max_skew_ms: 0.0,
            cause: None,
            begin: at,
            end: at,
            states: Buckets::new(at),
            offsets: BTreeMap::new(),
            latency: Buckets::new(at),
            trends: Vec::new(),
            versions: Vec::new(),
        }
    }

    fn offset(&mut self, instance: Option<String>, at: i64, range: Range) {
        let is_known = self.offsets.contains_key(&instance);
        // Instances beyond the maximum get `None` and share a band.
        let name = instance.filter(|_| is_known || self.offsets.len() < BANDS);
        let begin = self.begin;
        self.offsets
            .entry(name)
            .or_insert_with(|| Buckets::new(begin))
            .add(at, &range);
    }

    fn version(&mut self, at: i64, report: &clock::Report) {
        let mut versions: Vec<_> = report
            .instances
            .iter()
            .filter_map(|one| one.version.as_deref())
            .collect();
        // Sorted, so that another order of answers is no change.
        versions.sort_unstable();
        versions.dedup();
        let versions = versions.join(", ");
        let is_new = self
            .versions
            .last()
            .is_none_or(|(_, last)| *last != versions);
        if !versions.is_empty() && is_new {
            if self.versions.len() == VERSIONS {
                // Keeps the newest changes.
                self.versions.remove(0);
            }
            self.versions.push((at, versions));
        }
    }
}
