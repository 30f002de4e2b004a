//! One target over time: takes in checks, gives what each of them changes.

use std::collections::BTreeMap;

use clock::units::{MILLISECOND, Nanoseconds, nanoseconds_of};
use clock::{OffsetInterval, Reading, Record, Report};

use crate::series::drift::{Drift, Trend};
use crate::series::state::{Axes, Hysteresis, State};
use crate::series::suspects::Suspects;
use crate::series::tally::{Summary, Tally};
use crate::series::uptime::{Outage, Uptime};

/// Instances of which a rate is kept.
const KEPT: usize = 64;
/// A wall clock that was set by more than this, nanoseconds, makes a rate that no clock has.
const STEP: Nanoseconds = MILLISECOND;
/// Checks after which an instance that was not seen is forgotten: an hour of a check every 30 s. Deployments bring new ones.
const FORGOTTEN: u64 = 120;

/// The moment of a check on its grid.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tick {
    /// Ticks that passed before it.
    pub(crate) missed: u64,
    /// Milliseconds from when it was due to when it began.
    pub(crate) late_ms: f64,
}

/// All that is remembered of a target.
#[derive(Debug)]
pub(crate) struct Track {
    axes: Axes,
    uptime: Uptime,
    tally: Tally,
    /// By instance, with the number of the check that saw it last.
    drifts: BTreeMap<Option<String>, (u64, Drift)>,
    suspects: Suspects,
    /// How many instances there are, where it is known.
    expected: Option<u32>,
    checks: u64,
    last: Option<Reading>,
}

/// A check, and what it changes.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) report: Report,
    pub(crate) state: State,
    /// The one before it; `None` for the first check.
    pub(crate) before: Option<State>,
    /// Whether more checks like this one would change the state.
    pub(crate) in_doubt: bool,
    /// The outage that is over.
    pub(crate) outage: Option<Outage>,
    pub(crate) trends: Vec<Trend>,
    pub(crate) tick: Tick,
    /// Percent of the time so far: at least and at most.
    pub(crate) uptime: Option<(f64, f64)>,
}

impl Finding {
    /// Whether the state is another one than before. The first check only tells news if they are bad.
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

    /// From here on another run of the program, with clocks of its own, and perhaps with another patience.
    pub(crate) fn restart(&mut self, hysteresis: Hysteresis) {
        self.axes.set_hysteresis(hysteresis);
        self.uptime.restart();
        self.drifts.clear();
        self.last = None;
    }

    /// Sets how many instances there are.
    #[must_use]
    pub(crate) fn expecting(self, instances: Option<u32>) -> Self {
        Self {
            expected: instances,
            ..self
        }
    }

    /// Takes in a check.
    pub(crate) fn add(&mut self, record: &Record, mut report: Report, tick: Tick) -> Finding {
        let before = (self.checks > 0).then(|| self.axes.state());
        self.checks += 1;
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
        self.tally.tick(tick.missed, tick.late_ms);
        self.tally.add(&report);
        // What clocks were measured against has moved, between two checks or during one.
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
            // Reports are cut to microseconds.
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
        while self.drifts.len() > KEPT {
            let oldest = self.drifts.iter().min_by_key(|(_, (seen, _))| *seen);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.drifts.remove(&name);
        }
        trends
    }

    /// What it all amounts to.
    pub(crate) fn summary(&self) -> Summary {
        self.tally.summary(&self.uptime)
    }
}
