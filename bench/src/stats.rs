//! Robust statistics of what was measured: medians and quartiles, and ratios of what was measured side by side.

use serde::Serialize;

/// What a row of measurements comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The value in the middle.
    pub(crate) median: f64,
    /// A quarter of the values are below.
    pub(crate) lower: f64,
    /// A quarter of the values are above.
    pub(crate) upper: f64,
    /// How many values there are.
    pub(crate) count: usize,
}

impl Summary {
    /// Of these values; nothing of none, or where one is not a number.
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
}

/// The quartile (1 to 3) of sorted values, between two of them by linear interpolation.
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

/// The ratios, round by round: what disturbs a round disturbs both, and so does not count. Of rounds that both have.
pub(crate) fn ratios(values: &[f64], baseline: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(baseline)
        .filter(|(_, base)| **base != 0.0)
        .map(|(value, base)| value / base)
        .collect()
}

/// The order of `count` contestants in a round: each comes first, second, … equally often.
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
    fn everyone_is_first_once() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
