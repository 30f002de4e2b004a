//! State of a target, from which notifications and the exit code follow.

use clock::{Availability, Report};
use serde::{Deserialize, Serialize};

use crate::series::axis::Axis;
pub(crate) use crate::series::axis::Hysteresis;
use clock::Verdict;

/// State of a target, from best to worst.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Up, with a right clock.
    Ok,
    /// Up, with a right clock, but with a warning.
    Warning,
    /// Undecided, or not checked yet.
    Unknown,
    /// Up, with a clock that is off.
    Skewed,
    /// No answer, or not the expected one.
    Down,
}

impl State {
    /// All states, from best to worst.
    pub(crate) const ALL: [Self; 5] = [
        Self::Ok,
        Self::Warning,
        Self::Unknown,
        Self::Skewed,
        Self::Down,
    ];

    /// Returns the name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Unknown => "UNKNOWN",
            Self::Skewed => "SKEWED",
            Self::Down => "DOWN",
        }
    }

    /// Returns the name in JSON, metrics and CSS classes.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Skewed => "skewed",
            Self::Down => "down",
        }
    }

    /// Returns the state by a single check, without hysteresis.
    pub(crate) fn of(report: &Report) -> Self {
        match report.verdict {
            Verdict::Down => Self::Down,
            Verdict::Skewed => Self::Skewed,
            Verdict::Indeterminate { .. } => Self::Unknown,
            Verdict::Ok if report.warnings.is_empty() => Self::Ok,
            Verdict::Ok => Self::Warning,
        }
    }
}

/// Availability and clock, each with its own hysteresis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes {
    hysteresis: Hysteresis,
    up: Axis,
    right: Axis,
    /// Number of checks in a row that proved nothing about the clock.
    undecided: u32,
    state: State,
}

impl Axes {
    pub(crate) fn new(hysteresis: Hysteresis) -> Self {
        Self {
            hysteresis,
            up: Axis::default(),
            right: Axis::default(),
            undecided: 0,
            state: State::Unknown,
        }
    }

    pub(crate) fn set_hysteresis(&mut self, hysteresis: Hysteresis) {
        self.hysteresis = hysteresis;
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns whether to check again sooner. Not for long if no check can decide.
    pub(crate) fn is_in_doubt(&self) -> bool {
        /// Maximum number of undecided checks in a row that are repeated sooner.
        const IMPATIENT: u32 = 10;
        let clock_may_tell = self.up.good() != Some(false) && self.undecided < IMPATIENT;
        self.up.is_in_doubt() || (clock_may_tell && self.right.is_in_doubt())
    }

    /// Adds a check. One that is undecided about the clock neither advances nor resets its counter.
    /// The same holds for an OK that did not reach an instance that was proven wrong before.
    pub(crate) fn add(&mut self, report: &Report, suspect: bool) -> State {
        match report.availability() {
            Availability::Up => self.up.add(true, self.hysteresis),
            Availability::Down => self.up.add(false, self.hysteresis),
            Availability::Unknown => {}
        }
        match report.verdict {
            Verdict::Ok if suspect => {}
            Verdict::Ok => self.right.add(true, self.hysteresis),
            Verdict::Skewed => self.right.add(false, self.hysteresis),
            // An outage says nothing about the clock, so the counter of the clock stays.
            Verdict::Down | Verdict::Indeterminate { .. } => {}
        }
        self.undecided = match report.verdict {
            Verdict::Ok | Verdict::Skewed => 0,
            Verdict::Down | Verdict::Indeterminate { .. } => self.undecided.saturating_add(1),
        };
        let single = State::of(report);
        self.state = match (self.up.good(), self.right.good(), single) {
            // Availability comes first: nobody can use the clock of a service that is down.
            (Some(false), ..) => State::Down,
            (_, Some(false), _) => State::Skewed,
            (.., State::Unknown) | (None, ..) | (_, None, _) => State::Unknown,
            // Not confirmed yet, so the previous state holds.
            (.., State::Down | State::Skewed) => match self.state {
                known @ (State::Ok | State::Warning | State::Unknown) => known,
                // The counters have just left this state.
                State::Skewed | State::Down => State::Ok,
            },
            (.., State::Ok | State::Warning) => single,
        };
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{down, report, undecided};
    use clock::{Reason, Warning};

    fn states(hysteresis: Hysteresis, verdicts: &[Verdict]) -> Vec<State> {
        let mut axes = Axes::new(hysteresis);
        verdicts
            .iter()
            .map(|it| axes.add(&report(*it), false))
            .collect()
    }

    #[test]
    fn what_no_check_can_tell_is_not_awaited_with_impatience_for_ever() {
        let mut axes = Axes::new(Hysteresis { rise: 1, fall: 3 });
        let borderline = undecided(Reason::Borderline);
        for verdict in [Verdict::Ok, Verdict::Skewed] {
            let _ = axes.add(&report(verdict), false);
        }
        assert!(axes.is_in_doubt());
        for check in 1..=20 {
            let _ = axes.add(&report(borderline), false);
            assert_eq!(axes.is_in_doubt(), check < 10, "{check}");
        }
        // Neither while it is down.
        let mut axes = Axes::new(Hysteresis { rise: 1, fall: 2 });
        for verdict in [Verdict::Ok, Verdict::Skewed] {
            let _ = axes.add(&report(verdict), false);
        }
        let _ = axes.add(&down(), false);
        assert!(axes.is_in_doubt());
        let _ = axes.add(&down(), false);
        assert!(!axes.is_in_doubt());
    }

    #[test]
    fn without_patience_the_state_is_the_last_verdict() {
        let borderline = undecided(Reason::Borderline);
        let all = [
            Verdict::Down,
            Verdict::Ok,
            borderline,
            Verdict::Skewed,
            Verdict::Ok,
            Verdict::Down,
            Verdict::Ok,
        ];
        let expected = [
            State::Down,
            State::Ok,
            State::Unknown,
            State::Skewed,
            State::Ok,
            State::Down,
            State::Ok,
        ];
        assert_eq!(states(Hysteresis::default(), &all), expected);
    }

    #[test]
    fn the_axes_have_counters_of_their_own() {
        let (ok, down, skewed) = (Verdict::Ok, Verdict::Down, Verdict::Skewed);
        let borderline = undecided(Reason::Borderline);
        let hysteresis = Hysteresis { rise: 2, fall: 2 };
        // A check that is down says nothing of the clock, one that is undecided does not either.
        let script = [
            (ok, State::Ok),
            (skewed, State::Ok),
            (down, State::Ok),
            (borderline, State::Unknown),
            (skewed, State::Skewed),
            (ok, State::Skewed),
            (down, State::Skewed),
            (down, State::Down),
            (ok, State::Down),
            (ok, State::Ok),
        ];
        let verdicts = script.map(|(verdict, _)| verdict);
        assert_eq!(
            states(hysteresis, &verdicts),
            script.map(|(_, state)| state)
        );
    }

    #[test]
    fn a_clock_that_stays_wrong_is_not_forgotten_while_the_service_is_down() {
        let verdicts = [
            Verdict::Skewed,
            Verdict::Down,
            undecided(Reason::Borderline),
        ];
        let expected = [State::Skewed, State::Down, State::Skewed];
        assert_eq!(states(Hysteresis::default(), &verdicts), expected);
    }

    #[test]
    fn warnings_are_told_of_what_is_ok_only() {
        let mut warned = report(Verdict::Ok);
        warned.warnings = vec![Warning::Skew];
        assert_eq!(State::of(&warned), State::Warning);
        warned.verdict = Verdict::Skewed;
        assert_eq!(State::of(&warned), State::Skewed);
    }
}
