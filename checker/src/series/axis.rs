//! State of one axis (up, or clock right) with hysteresis: a change counts once several checks in a
//! row confirm it.

use serde::{Deserialize, Serialize};

/// Number of checks in a row that confirm a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hysteresis {
    /// Number of good checks in a row before a bad state becomes good.
    pub(crate) rise: u32,
    /// Number of bad checks in a row before the state becomes bad.
    pub(crate) fall: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { rise: 1, fall: 1 }
    }
}

/// State of one axis: good, bad, or unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Axis {
    good: Option<bool>,
    /// Number of checks in a row that contradict the state.
    contrary: u32,
}

impl Axis {
    /// Adds the result of a check. The first good result counts immediately, because there is
    /// nothing to recover from.
    pub(crate) fn add(&mut self, good: bool, hysteresis: Hysteresis) {
        if self.good == Some(good) {
            // One confirmation cancels all contrary results: only checks in a row count.
            self.contrary = 0;
            return;
        }
        self.contrary += 1;
        let needed = match (self.good, good) {
            (None, true) => 1,
            (Some(_), true) => hysteresis.rise,
            // Also from an unknown state: a first failed check needs as many confirmations as
            // others.
            (_, false) => hysteresis.fall,
        };
        if self.contrary >= needed {
            *self = Self {
                good: Some(good),
                contrary: 0,
            };
        }
    }

    pub(crate) fn good(self) -> Option<bool> {
        self.good
    }

    /// Returns whether the last check contradicts the state, so that further ones may change it.
    pub(crate) fn is_in_doubt(self) -> bool {
        self.contrary > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_take_as_many_checks_as_asked_for() {
        let hysteresis = Hysteresis { rise: 2, fall: 3 };
        let mut axis = Axis::default();
        let script = [
            // (said, known, in doubt)
            (false, None, true),
            (true, Some(true), false),
            (false, Some(true), true),
            (false, Some(true), true),
            (true, Some(true), false),
            (false, Some(true), true),
            (false, Some(true), true),
            (false, Some(false), false),
            (true, Some(false), true),
            (false, Some(false), false),
            (true, Some(false), true),
            (true, Some(true), false),
        ];
        for (index, (said, known, in_doubt)) in script.into_iter().enumerate() {
            axis.add(said, hysteresis);
            assert_eq!(
                (axis.good(), axis.is_in_doubt()),
                (known, in_doubt),
                "{index}"
            );
        }
    }

    #[test]
    fn bad_from_the_beginning_takes_patience_too() {
        let mut axis = Axis::default();
        for known in [None, None, Some(false)] {
            axis.add(false, Hysteresis { rise: 1, fall: 3 });
            assert_eq!(axis.good(), known);
        }
    }
}
