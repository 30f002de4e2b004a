//! Rounds and robust statistics: medians, quartiles, and ratios of values measured side by side.

use serde::Serialize;

use crate::process::Error;

/// Summary of a row of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Value in the middle.
    pub(crate) median: f64,
    /// Value below which a quarter of the values are.
    pub(crate) lower: f64,
    /// Value above which a quarter of the values are.
    pub(crate) upper: f64,
    /// Number of values.
    pub(crate) count: usize,
}

impl Summary {
    /// Summarises values. Returns nothing if there are none or one is not a number.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&sorted, 2)?,
            lower: quantile(&sorted, 1)?,
            upper: quantile(&sorted, 3)?,
            count: sorted.len(),
        })
    }

    /// Returns half the width of the 95 % interval of the median (McGill, Tukey and Larsen, 1978).
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer rounds than an f64 can count"
    )]
    pub(crate) fn noise(&self) -> f64 {
        1.57 * (self.upper - self.lower) / (self.count as f64).sqrt()
    }
}

/// Returns the quartile (1 to 3) of sorted values, between two of them by linear interpolation.
fn quantile(sorted: &[f64], quartile: usize) -> Option<f64> {
    let quarters = sorted.len().checked_sub(1)? * quartile;
    let below = *sorted.get(quarters / 4)?;
    let above = *sorted.get((quarters / 4) + 1).unwrap_or(&below);
    let share = match quarters % 4 {
        0 => 0.0,
        1 => 0.25,
        2 => 0.5,
        _ => 0.75,
    };
    Some(below + (above - below) * share)
}

/// Returns the ratios of the rounds that both have. A disturbance of a round affects both values,
/// and so cancels out.
pub(crate) fn ratios(values: &[f64], baseline: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(baseline)
        .filter(|(_, base)| **base != 0.0)
        .map(|(value, base)| value / base)
        .collect()
}

/// Calls `measure` for each contestant in each round, and in one more round at the start, which
/// warms caches and does not count.
pub(crate) fn take_turns<C>(
    rounds: usize,
    contestants: &[C],
    mut measure: impl FnMut(&C, bool) -> Result<(), Error>,
) -> Result<(), Error> {
    for round in 0..=rounds {
        for contestant in order(contestants.len(), round).filter_map(|at| contestants.get(at)) {
            measure(contestant, round > 0)?;
        }
    }
    Ok(())
}

/// Returns the order of `count` contestants in a round: each comes first, second, … equally often.
pub(crate) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + round) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        type Quartiles = (f64, f64, f64);
        let table: [(&[f64], Quartiles); 5] = [
            (&[7.0], (7.0, 7.0, 7.0)),
            (&[3.0, 1.0], (1.5, 2.0, 2.5)),
            (&[3.0, 1.0, 2.0], (1.5, 2.0, 2.5)),
            (&[4.0, 1.0, 3.0, 2.0, 5.0], (2.0, 3.0, 4.0)),
            // One round that was disturbed moves nothing.
            (&[1.0, 1.0, 1.0, 1.0, 1000.0], (1.0, 1.0, 1.0)),
        ];
        for (values, (lower, median, upper)) in table {
            let count = values.len();
            let expected = Summary {
                median,
                lower,
                upper,
                count,
            };
            assert_eq!(Summary::of(values), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn noise_is_less_with_more_rounds() {
        let noise = |rounds| {
            let values: Vec<f64> = (0..rounds).map(|round| f64::from(round % 5)).collect();
            Summary::of(&values).map(|summary| summary.noise())
        };
        assert_eq!(noise(25), Some(1.57 * 2.0 / 5.0));
        assert_eq!(noise(100), Some(1.57 * 2.0 / 10.0));
    }

    #[test]
    fn there_is_no_summary_of_nothing() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        assert_eq!(ratios(&[1.0, 20.0, 3.0], &[2.0, 40.0]), [0.5, 0.5]);
        assert_eq!(ratios(&[1.0, 2.0], &[0.0, 1.0]), [2.0]);
    }

    #[test]
    fn everyone_is_first_once_and_the_first_round_does_not_count() {
        let mut turns = Vec::new();
        let taken = take_turns(2, &["a", "b", "c"], |name, counts| {
            turns.push(if counts {
                name.to_uppercase()
            } else {
                (*name).to_owned()
            });
            Ok(())
        });
        assert!(taken.is_ok());
        assert_eq!(turns.concat(), "abcBCACAB");
    }
}
