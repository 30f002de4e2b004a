//! Usual durations of a run's phases, computed from the journals of earlier successful runs that
//! changed something.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use deployment::event::{Phase, Timing};

use super::text;

/// Event of a journal, reduced to the fields in use.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum End {
    Started {
        local: bool,
    },
    Succeeded {
        summary: Summary,
    },
    PhaseEnded {
        phase: Phase,
        seconds: f64,
    },
    Deleted {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Summary {
    changed: bool,
}

/// Returns the median of each phase over these journals (JSON Lines), either those of the emulator
/// or those of AWS.
pub(super) fn usual<'a>(journals: impl IntoIterator<Item = &'a str>, local: bool) -> Vec<Timing> {
    let mut seconds: BTreeMap<Phase, Vec<f64>> = BTreeMap::new();
    let runs = journals.into_iter();
    for run in runs.filter_map(|journal| timings(journal, local)) {
        for (phase, took) in run {
            seconds.entry(phase).or_default().push(took);
        }
    }
    let medians = seconds.into_iter().filter_map(|(phase, mut all)| {
        // A median ignores single outliers.
        all.sort_by(f64::total_cmp);
        let seconds = *all.get(all.len() / 2)?;
        Some(Timing { phase, seconds })
    });
    medians.collect()
}

/// Returns the duration of each phase. `None` if the run was elsewhere, failed, changed nothing, or
/// cannot be read.
fn timings(journal: &str, local: bool) -> Option<BTreeMap<Phase, f64>> {
    let mut phases = BTreeMap::new();
    let mut counts = false;
    let mut started = false;
    for line in journal.lines() {
        // Lines that cannot be parsed are skipped: the run was killed, or another version wrote
        // them.
        match serde_json::from_str(line).unwrap_or(End::Other) {
            End::Started { local: there } if there != local => return None,
            End::Started { .. } => started = true,
            End::PhaseEnded { phase, seconds } if seconds.is_finite() && seconds >= 0.0 => {
                phases.insert(phase, seconds);
            }
            End::Succeeded { summary } => counts = summary.changed,
            End::Deleted {} => counts = true,
            End::PhaseEnded { .. } | End::Other => {}
        }
    }
    (started && counts).then_some(phases)
}

/// Minimum usual duration that is mentioned, in seconds.
const WORTH_TELLING: f64 = 5.0;

/// Usual duration of something that has started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    seconds: f64,
    since: DateTime<Utc>,
}

impl Usual {
    /// Returns the usual duration of something that started at `since`, if it is known and long
    /// enough.
    pub(super) fn of(seconds: Option<f64>, since: DateTime<Utc>) -> Option<Self> {
        let seconds = seconds.filter(|seconds| *seconds >= WORTH_TELLING)?;
        Some(Self { seconds, since })
    }

    pub(super) fn in_words(self) -> String {
        format!("usually {}", text::whole_duration(self.seconds))
    }

    /// Returns whether it takes clearly longer than usual.
    pub(super) fn is_exceeded(self, now: DateTime<Utc>) -> bool {
        seconds_between(self.since, now) > 1.5 * self.seconds
    }
}

/// Returns the seconds between two times, or 0 if the clock was set back.
pub(super) fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(update: f64, end: &str) -> String {
        format!(
            "{{\"time\":\"…\",\"event\":\"started\",\"format\":2,\"local\":false}}\n\
             {{\"event\":\"phase_ended\",\"phase\":\"update\",\"seconds\":{update}}}\n\
             {{\"event\":\"phase_ended\",\"phase\":\"a phase of tomorrow\",\"seconds\":1}}\n\
             half a line\n{end}\n"
        )
    }

    #[test]
    fn medians_of_what_ended_well() {
        let well = "{\"event\":\"succeeded\",\"summary\":{\"changed\":true,\"url\":\"…\"}}";
        let unchanged = well.replace("true", "false");
        let failed = "{\"event\":\"failed\",\"exit_code\":4}";
        let journals = [
            run(100.0, well),
            run(400.0, well),
            run(120.0, well),
            run(1.0, &unchanged),
            run(2.0, failed),
            run(3.0, ""),
            "not a journal".to_owned(),
        ];
        let journals = || journals.iter().map(String::as_str);
        assert_eq!(usual(journals(), true), []);
        let usual = usual(journals(), false);
        let phase = Phase::Update;
        let seconds = 120.0;
        assert_eq!(usual, [Timing { phase, seconds }]);
    }

    #[test]
    fn what_never_happened_has_no_usual_time() {
        assert_eq!(usual([], false), []);
        let down = run(
            5.0,
            "{\"event\":\"deleted\",\"looked_for\":[],\"seconds\":9}",
        );
        assert_eq!(usual([down.as_str()], false).len(), 1);
    }
}
