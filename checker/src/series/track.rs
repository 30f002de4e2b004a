//! History of one target: adds checks and returns what each of them changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::units::{MILLISECOND, Nanoseconds, nanoseconds_of};
use clock::{OffsetInterval, Reading, Record, Report};

use crate::series::drift::{Drift, Trend};
use crate::series::state::{Axes, Hysteresis, State};
use crate::series::suspects::Suspects;
use crate::series::tally::{Summary, Tally};
use crate::series::uptime::{Outage, Uptime};

/// Maximum number of instances with a known rate.
const KEPT: usize = 64;
/// Step of the wall clock, in nanoseconds, above which known rates are discarded.
const STEP: Nanoseconds = MILLISECOND;
/// Number of checks after which an unseen instance is forgotten: an hour at one check every 30 s.
/// Deployments create new instances.
const FORGOTTEN: u64 = 120;

/// Moment of a check on its grid.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tick {
    /// Number of ticks that passed before it.
    pub(crate) missed: u64,
    /// Milliseconds from the moment it was due to its start.
    pub(crate) late_ms: f64,
}

/// State kept for a target.
#[derive(Debug)]
pub(crate) struct Track {
    axes: Axes,
    uptime: Uptime,
    tally: Tally,
    /// Rates by instance, with the number of the last check that saw it.
    drifts: BTreeMap<Option<String>, (u64, Drift)>,
    suspects: Suspects,
    /// Number of instances, if known.
    expected: Option<u32>,
    checks: u64,
    last: Option<Reading>,
}

/// State shared by the series that extends it and the outputs that sum it up.
pub(crate) type SharedTrack = Arc<Mutex<Track>>;

/// Locks a state. A poisoned lock is usable, because a panic ends the program anyway.
pub(crate) fn locked(track: &Mutex<Track>) -> MutexGuard<'_, Track> {
    track.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Check with its consequences.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) report: Report,
    pub(crate) state: State,
    /// State before it; `None` for the first check.
    pub(crate) before: Option<State>,
    /// Set if more checks like this one would change the state.
    pub(crate) in_doubt: bool,
    /// Outage that this check ended.
    pub(crate) outage: Option<Outage>,
    pub(crate) trends: Vec<Trend>,
    pub(crate) tick: Tick,
    /// Bounds of the uptime so far, percent.
    pub(crate) uptime: Option<(f64, f64)>,
}

impl Finding {
    /// Returns whether the state has changed. The first check counts as a change only if it is not
    /// OK.
    pub(crate) fn is_change(&self) -> bool {
        self.before.unwrap_or(State::Ok) != self.state
    }
}

impl Track {
    pub(crate) fn new(hysteresis: Hysteresis) -> Self {
        Self {
            axes: Axes::new(hysteresis),
            uptime: Uptime::default(),
            tally: Tally::new(),
            drifts: BTreeMap::new(),
            suspects: Suspects::default(),
            expected: None,
            checks: 0,
            last: None,
        }
    }

    /// Starts another run of the program, which has its own clocks and perhaps another hysteresis.
    pub(crate) fn restart(&mut self, hysteresis: Hysteresis) {
        // Keeps the state: a restart of the checker changes nothing about the target.
        self.axes.set_hysteresis(hysteresis);
        self.uptime.restart();
        self.drifts.clear();
        self.last = None;
    }

    /// Sets the number of instances.
    pub(crate) fn expect(&mut self, instances: Option<u32>) {
        self.expected = instances;
    }

    /// Returns it with this number of instances.
    #[must_use]
    pub(crate) fn expecting(mut self, instances: Option<u32>) -> Self {
        self.expect(instances);
        self
    }

    /// Adds a check.
    pub(crate) fn add(&mut self, record: &Record, mut report: Report, tick: Tick) -> Finding {
        let before = (self.checks > 0).then(|| self.axes.state());
        self.checks += 1;
        // Before the axes, which need to know whether a suspect is still unseen.
        self.suspects.add(&report, self.expected);
        let suspect = self.suspects.unseen();
        let state = self.axes.add(&report, suspect.is_some());
        if let Some((name, checks)) = suspect.filter(|_| state == State::Skewed) {
            let name = name.map_or_else(String::new, |name| format!(" `{name}`"));
            let checks = match checks {
                1 => "this check has".to_owned(),
                several => format!("the last {several} checks have"),
            };
            let sentence =
                format!("the clock of instance{name} was proven wrong, and {checks} not seen it");
            report.cause = Some(match report.cause.take() {
                Some(cause) => format!("{cause}; {sentence}"),
                None => sentence,
            });
        }
        let outage = self
            .uptime
            .add(record.started, record.finished, report.availability());
        self.uptime.explain(report.cause.as_deref());
        self.tally.tick(tick.missed, tick.late_ms);
        self.tally.add(&report);
        // The local clock, to which all offsets refer, was set between two checks or during one.
        let moved = |from: Reading, to: Reading| {
            from.interruption(to).is_some() || from.step(to).abs() > STEP
        };
        if moved(record.started, record.finished)
            || self.last.is_some_and(|last| moved(last, record.started))
        {
            self.drifts.clear();
        }
        self.last = Some(record.finished);
        let trends = self.trends(record.finished.monotonic, &report);
        Finding {
            state,
            before,
            in_doubt: self.axes.is_in_doubt(),
            outage,
            trends,
            tick,
            uptime: self.uptime.percent(),
            report,
        }
    }

    fn trends(&mut self, at: Nanoseconds, report: &Report) -> Vec<Trend> {
        let max_skew = nanoseconds_of(report.max_skew_ms);
        let mut trends = Vec::new();
        for instance in &report.instances {
            let (Some(lo), Some(hi)) = (instance.lo_ms, instance.hi_ms) else {
                continue;
            };
            // Reports are truncated to microseconds.
            let bounds = OffsetInterval {
                lo: nanoseconds_of(lo) - 1_000,
                hi: nanoseconds_of(hi) + 1_000,
            };
            let (seen, drift) = self.drifts.entry(instance.label()).or_default();
            *seen = self.checks;
            drift.add(at, bounds);
            trends.extend(drift.trend(instance.label(), max_skew));
        }
        let checks = self.checks;
        self.drifts
            .retain(|_, (seen, _)| checks - *seen <= FORGOTTEN);
        // Limits memory if instance names change with every check.
        while self.drifts.len() > KEPT {
            let oldest = self.drifts.iter().min_by_key(|(_, (seen, _))| *seen);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.drifts.remove(&name);
        }
        trends
    }

    /// Returns the summary of all checks.
    pub(crate) fn summary(&self) -> Summary {
        self.tally.summary(&self.uptime)
    }
}
