//! `checker judge`: what a log has, judged again.

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

/// What is to be judged by instead of what it was judged by then.
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

/// Targets of a log, by URL and where it was connected to.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    targets: BTreeMap<(String, Option<String>), Replayed>,
}

#[derive(Debug)]
struct Replayed {
    number: usize,
    track: Track,
    /// That of the last check, and when it ended.
    run: String,
    finished: Reading,
}

impl Replay {
    /// Takes in a check: gives the number of its target, and what was found.
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
                finished: record.started,
            });
        // Lines of earlier versions do not say which run they are from; the clock that begins at zero does, as a rule.
        if target.run != logged.run || record.started.monotonic < target.finished.monotonic {
            target.track.restart(limits.hysteresis(terms));
        }
        target.run.clone_from(&logged.run);
        target.finished = record.finished;
        let report = record.judge(&limits.settings(terms));
        let finding = target.track.add(record, report, logged.tick);
        (target.number, finding)
    }

    /// In the order in which the targets appeared.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut targets: Vec<_> = self.targets.values().collect();
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
    // Never a live view: all of it is over.
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

/// The exit code of the worst target's last check; `None` without a check. Whoever reads may go away: that changes no verdict.
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
        states.insert(target, finding.state);
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

/// Tells of a line that is none of a log.
pub(crate) fn left_out(detail: &str) {
    note(&format!("left out: {detail}"));
}
