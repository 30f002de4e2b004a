//! One of the two questions, with patience: a change counts when it has been seen several times in a row.

use serde::{Deserialize, Serialize};

/// How many checks in a row it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hysteresis {
    /// To be good again.
    pub(crate) rise: u32,
    /// To be bad.
    pub(crate) fall: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { rise: 1, fall: 1 }
    }
}

/// Good, bad, or not known yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Axis {
    good: Option<bool>,
    /// Checks in a row that say otherwise.
    contrary: u32,
}

impl Axis {
    /// Takes in what a check says. At the beginning the first good one will do: there is nothing to come back from.
    pub(crate) fn add(&mut self, good: bool, hysteresis: Hysteresis) {
        if self.good == Some(good) {
            self.contrary = 0;
            return;
        }
        self.contrary += 1;
        let needed = match (self.good, good) {
            (None, true) => 1,
            (Some(_), true) => hysteresis.rise,
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

    /// Whether the last check spoke against what is known, and more of them would change it.
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
