//! Measurements as data: the format of `report.json`, documented in `docs/performance.md`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::{Summary, ratios};

/// Format version. Incremented when a reader of older reports could misunderstand a newer one.
pub(crate) const FORMAT: u32 = 2;

/// Complete report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    /// Time of the start, RFC 3339 in UTC.
    pub(crate) started: String,
    /// Duration in seconds, builds included.
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
}

/// Host of the measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    pub(crate) model: String,
    pub(crate) kernel: String,
    /// Load average of the minute before the start: near 0 on an idle host.
    pub(crate) load_before: f64,
    /// Versions of the programs that the project was compared with, by name.
    pub(crate) versions: BTreeMap<String, String>,
}

/// Comparison of contestants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// Contestant that ratios refer to: the first.
    pub(crate) baseline: String,
    pub(crate) columns: Vec<Column>,
}

/// Values of one quantity for all contestants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Column {
    pub(crate) quantity: String,
    pub(crate) unit: String,
    pub(crate) cells: Vec<Cell>,
}

/// Values of one quantity for one contestant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cell {
    pub(crate) contestant: String,
    pub(crate) summary: Option<Summary>,
    /// Ratios to the baseline, round by round; absent for the baseline itself.
    pub(crate) ratio: Option<Summary>,
    /// Values by round.
    pub(crate) values: Vec<f64>,
}

impl Table {
    pub(crate) fn new(title: &str, baseline: &str) -> Self {
        Self {
            title: title.to_owned(),
            baseline: baseline.to_owned(),
            columns: Vec::new(),
        }
    }

    /// Adds values of a contestant, with quantity and unit, unless the round does not count.
    pub(crate) fn add_if(&mut self, counts: bool, contestant: &str, values: &[(&str, &str, f64)]) {
        for &(quantity, unit, value) in values.iter().filter(|_| counts) {
            self.add((quantity, unit), contestant, value);
        }
    }

    /// Adds the value of a round.
    pub(crate) fn add(&mut self, (quantity, unit): (&str, &str), contestant: &str, value: f64) {
        let at = self.columns.iter().position(|it| it.quantity == quantity);
        let at = at.unwrap_or_else(|| {
            self.columns.push(Column {
                quantity: quantity.to_owned(),
                unit: unit.to_owned(),
                cells: Vec::new(),
            });
            self.columns.len() - 1
        });
        let Some(column) = self.columns.get_mut(at) else {
            return;
        };
        match column
            .cells
            .iter_mut()
            .find(|it| it.contestant == contestant)
        {
            Some(cell) => cell.values.push(value),
            None => column.cells.push(Cell {
                contestant: contestant.to_owned(),
                summary: None,
                ratio: None,
                values: vec![value],
            }),
        }
    }

    /// Computes summaries and ratios, and puts the baseline first.
    pub(crate) fn finish(mut self) -> Self {
        for column in &mut self.columns {
            // `false` sorts first, and a stable sort keeps the order of the others.
            column
                .cells
                .sort_by_key(|cell| cell.contestant != self.baseline);
            let baseline = column
                .cells
                .iter()
                .find(|cell| cell.contestant == self.baseline)
                .map(|cell| cell.values.clone());
            for cell in &mut column.cells {
                cell.summary = Summary::of(&cell.values);
                cell.ratio = baseline
                    .as_ref()
                    .filter(|_| cell.contestant != self.baseline)
                    .and_then(|baseline| Summary::of(&ratios(&cell.values, baseline)));
            }
        }
        self
    }

    fn values(&self, quantity: &str, contestant: &str) -> Option<(&str, &[f64])> {
        let column = self.columns.iter().find(|it| it.quantity == quantity)?;
        let cell = column.cells.iter().find(|it| it.contestant == contestant)?;
        Some((&column.unit, &cell.values))
    }

    /// Returns the unit and the median of a quantity.
    pub(crate) fn median(&self, quantity: &str, contestant: &str) -> Option<(&str, f64)> {
        let (unit, values) = self.values(quantity, contestant)?;
        Some((unit, Summary::of(values)?.median))
    }

    /// Returns the ratios of one contestant to another.
    pub(crate) fn ratio(&self, quantity: &str, of: &str, to: &str) -> Option<Summary> {
        let ratios = ratios(self.values(quantity, of)?.1, self.values(quantity, to)?.1);
        Summary::of(&ratios)
    }
}

/// Goal with the measured value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) limit: Limit,
    /// Measured value.
    pub(crate) value: f64,
    pub(crate) is_met: bool,
}

/// Limit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// Judges a measured value.
    pub(crate) fn judge(what: String, unit: &str, limit: Limit, value: f64) -> Self {
        let is_met = match limit {
            Limit::AtMost(most) => value <= most,
            Limit::AtLeast(least) => value >= least,
        };
        Self {
            what,
            unit: unit.to_owned(),
            limit,
            value,
            is_met,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_rounds_and_the_baseline_is_first() {
        let mut table = Table::new("speed", "ours");
        for (theirs, ours) in [(2.0, 1.0), (40.0, 10.0), (6.0, 2.0)] {
            table.add(("time", "ms"), "theirs", theirs);
            table.add(("time", "ms"), "ours", ours);
        }
        let table = table.finish();
        let cells = &table.columns[0].cells;
        assert_eq!(cells[0].contestant, "ours");
        assert_eq!(cells[0].ratio, None);
        assert_eq!(cells[1].ratio.map(|ratio| ratio.median), Some(3.0));
        let ratio = table.ratio("time", "ours", "theirs");
        assert_eq!(ratio.map(|ratio| ratio.median), Some(1.0 / 3.0));
        assert_eq!(table.median("time", "theirs"), Some(("ms", 6.0)));
        assert_eq!(table.median("time", "nobody"), None);
    }

    #[test]
    fn goals_are_judged_at_their_limit_too() {
        let judge = |limit, value| Goal::judge(String::new(), "", limit, value).is_met;
        assert!(judge(Limit::AtMost(0.2), 0.2));
        assert!(!judge(Limit::AtMost(0.2), 0.21));
        assert!(judge(Limit::AtLeast(1.0), 1.0));
        assert!(!judge(Limit::AtLeast(1.0), 0.99));
    }
}
