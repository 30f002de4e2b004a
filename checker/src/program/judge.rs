//! `checker judge`: what a log has, judged again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::program::cli::Judge;
use crate::program::exit::Exit;
use crate::program::log::{self, Logged};
use crate::program::output::{Printer, trouble};
use crate::series::{Finding, Hysteresis, State, Summary, Track};
use crate::settings::Settings;
use crate::units::{duration, nanoseconds_of};

/// What is judged by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// `None`: as logged.
    pub(crate) max_skew: Option<Duration>,
    pub(crate) warn_skew: Option<Duration>,
    pub(crate) hysteresis: Hysteresis,
}

/// Targets of a log, by URL and where it was connected to.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    tracks: BTreeMap<(String, Option<String>), (usize, Track)>,
}

impl Replay {
    /// Takes in a check: gives the number of its target, and what was found.
    pub(crate) fn add(&mut self, logged: &Logged, limits: Limits) -> (usize, Finding) {
        let key = (logged.record.url.clone(), logged.record.connect_to.clone());
        let number = self.tracks.len();
        let (number, track) = self
            .tracks
            .entry(key)
            .or_insert_with(|| (number, Track::new(limits.hysteresis)));
        let settings = Settings {
            max_skew: limits
                .max_skew
                .unwrap_or_else(|| duration(nanoseconds_of(logged.judged.max_skew_ms))),
            warn_skew: limits.warn_skew,
            ..Settings::default()
        };
        let report = logged.record.judge(&settings);
        (*number, track.add(&logged.record, report, logged.tick))
    }

    /// In the order in which the targets appeared.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut tracks: Vec<_> = self.tracks.iter().collect();
        tracks.sort_by_key(|(_, (number, _))| *number);
        tracks
            .into_iter()
            .map(|((url, _), (_, track))| track.summary(url))
            .collect()
    }
}

pub(crate) fn run(judge: &Judge) -> Exit {
    let limits = Limits {
        max_skew: judge.max_skew,
        warn_skew: judge.warn_skew,
        hysteresis: Hysteresis {
            rise: judge.rise,
            fall: judge.fall,
        },
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
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(Trouble::Output(error)) => trouble("cannot write", &crate::failure::detail(&error)),
    }
}

enum Trouble {
    Log(String),
    Output(io::Error),
}

/// The exit code of the worst target's last check; `None` without a check.
fn replay(path: &Path, limits: Limits, printer: &mut Printer) -> Result<Option<Exit>, Trouble> {
    let mut replay = Replay::default();
    let mut states: BTreeMap<usize, State> = BTreeMap::new();
    for logged in log::read(path).map_err(Trouble::Log)? {
        let logged = logged.map_err(Trouble::Log)?;
        let (target, finding) = replay.add(&logged, limits);
        states.insert(target, finding.state);
        printer.check(target, &finding).map_err(Trouble::Output)?;
        printer.round().map_err(Trouble::Output)?;
    }
    let summaries = replay.summaries();
    let all: Vec<_> = summaries.iter().collect();
    printer.summaries(&all).map_err(Trouble::Output)?;
    Ok(states.values().max().map(|state| Exit::from(*state)))
}
