//! `checker judge`: judges a log again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use clock::{Reading, Settings};

use crate::cli::Judge;
use crate::exit::Exit;
use crate::log::{self, Logged, Terms};
use crate::output::{Printer, note, trouble};
use crate::series::{Finding, Hysteresis, State, Summary, Track};

/// Limits that override the logged ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) max_skew: Option<Duration>,
    pub(crate) warn_skew: Option<Duration>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
}

impl Limits {
    fn settings(self, terms: &Terms) -> Settings {
        let logged = terms.settings();
        Settings {
            max_skew: self.max_skew.unwrap_or(logged.max_skew),
            warn_skew: self.warn_skew.or(logged.warn_skew),
            ..logged
        }
    }

    fn hysteresis(self, terms: &Terms) -> Hysteresis {
        let logged = terms.hysteresis;
        Hysteresis {
            rise: self.rise.unwrap_or(logged.rise),
            fall: self.fall.unwrap_or(logged.fall),
        }
    }
}

/// Targets of a log, by URL and the address connected to.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    targets: BTreeMap<(String, Option<String>), Replayed>,
}

#[derive(Debug)]
struct Replayed {
    number: usize,
    track: Track,
    /// Run of the last check.
    run: String,
    finished: Reading,
}

impl Replay {
    /// Adds a check. Returns the number of its target, and the finding.
    pub(crate) fn add(&mut self, logged: &Logged, limits: Limits) -> (usize, Finding) {
        let record = &logged.record;
        let terms = &logged.judged.terms;
        let number = self.targets.len();
        let target = self
            .targets
            .entry((record.url.clone(), record.connect_to.clone()))
            .or_insert_with(|| Replayed {
                number,
                track: Track::new(limits.hysteresis(terms)).expecting(terms.expect_instances),
                run: logged.run.clone(),
                // Equal to the start, so that the first check of a target never looks like a
                // restart.
                finished: record.started,
            });
        // Lines of earlier versions do not name their run. Monotonic time that goes back reveals a
        // new one.
        if target.run != logged.run || record.started.monotonic < target.finished.monotonic {
            target.track.restart(limits.hysteresis(terms));
        }
        target.run.clone_from(&logged.run);
        target.finished = record.finished;
        let report = record.judge(&limits.settings(terms));
        let finding = target.track.add(record, report, logged.tick);
        (target.number, finding)
    }

    /// Returns the summaries in the order in which the targets appeared.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut targets: Vec<_> = self.targets.values().collect();
        // The map is ordered by URL, not by appearance.
        targets.sort_by_key(|target| target.number);
        let summary = |target: &Replayed| target.track.summary();
        targets.into_iter().map(summary).collect()
    }
}

pub(crate) fn run(judge: &Judge) -> Exit {
    let limits = Limits {
        max_skew: judge.max_skew,
        warn_skew: judge.warn_skew,
        rise: judge.rise,
        fall: judge.fall,
    };
    // No live view, because nothing is in progress.
    let mut printer = Printer::new(judge.format, None);
    match replay(&judge.file, limits, &mut printer) {
        Ok(Some(exit)) => exit,
        Ok(None) => trouble(
            "nothing to judge",
            &format!("{} is empty", judge.file.display()),
        ),
        Err(Trouble::Log(detail)) => trouble("cannot judge", &detail),
        Err(Trouble::Output(error)) => trouble("cannot write", &probe::detail(&error)),
    }
}

enum Trouble {
    Log(String),
    Output(io::Error),
}

/// Returns the exit code of the worst target's last check; `None` without a check. A reader that
/// goes away changes no verdict.
fn replay(path: &Path, limits: Limits, printer: &mut Printer) -> Result<Option<Exit>, Trouble> {
    let mut replay = Replay::default();
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    let mut is_read = true;
    let tell = |printed: io::Result<()>| match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).map_err(Trouble::Output),
    };
    for logged in log::read(path, left_out).map_err(Trouble::Log)? {
        let logged = logged.map_err(Trouble::Log)?;
        let (target, finding) = replay.add(&logged, limits);
        // Overwrites earlier states, because only the last one of each target counts.
        states.insert(target, finding.state);
        // After a broken pipe, judging continues: the exit code depends on all checks.
        is_read = is_read
            && tell(
                printer
                    .check(target, &finding)
                    .and_then(|()| printer.round()),
            )?;
    }
    if is_read {
        let summaries = replay.summaries();
        let all: Vec<_> = summaries.iter().collect();
        let _ = tell(printer.summaries(&all))?;
    }
    Ok(states.values().max().map(|state| Exit::from(*state)))
}

/// Reports a skipped line.
pub(crate) fn left_out(detail: &str) {
    note(&format!("left out: {detail}"));
}
