//! Markdown rendering of the report, for the terminal and for `docs/performance.md`.

use std::fmt::Write as _;

use crate::report::{Cell, Goal, Limit, Report, Table};
use crate::stats::Summary;

/// Marks around the tables in a document.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Renders the report.
pub(crate) fn markdown(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "Measured {} on {} processors ({}), Linux {}, load before {:.2}, in {:.0} s.\n",
        report.started.get(..10).unwrap_or(&report.started),
        machine.processors,
        machine.model,
        machine.kernel,
        machine.load_before,
        report.seconds,
    );
    let versions: Vec<String> = machine
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    if !versions.is_empty() {
        let _ = writeln!(text, "Against {}.", versions.join(", "));
    }
    for part in &report.tables {
        let _ = write!(text, "\n### {}\n\n{}", part.title, table(part));
    }
    if !report.goals.is_empty() {
        let _ = write!(text, "\n### Goals\n\n{}", goals(&report.goals));
    }
    text
}

fn table(table: &Table) -> String {
    let mut contestants: Vec<&str> = Vec::new();
    for cell in table.columns.iter().flat_map(|column| &column.cells) {
        if !contestants.contains(&cell.contestant.as_str()) {
            contestants.push(&cell.contestant);
        }
    }
    contestants.sort_by_key(|contestant| *contestant != table.baseline);
    let mut text = String::from("| |");
    for column in &table.columns {
        let unit = if column.unit.is_empty() {
            String::new()
        } else {
            format!(", {}", column.unit)
        };
        let _ = write!(text, " {}{unit} |", column.quantity);
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(table.columns.len()));
    for contestant in contestants {
        let _ = write!(text, "| {contestant} |");
        for column in &table.columns {
            let cell = column.cells.iter().find(|it| it.contestant == contestant);
            let _ = write!(text, " {} |", cell.map(shown).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// Formats the median, the quartiles if they differ, and the ratio to the baseline.
fn shown(cell: &Cell) -> String {
    let Some(summary) = cell.summary else {
        return String::new();
    };
    let mut text = number(summary.median);
    let (lower, upper) = (number(summary.lower), number(summary.upper));
    if lower != upper {
        let _ = write!(text, " ({lower}–{upper})");
    }
    if let Some(Summary { median, .. }) = cell.ratio {
        let _ = write!(text, " **×{}**", number(median));
    }
    text
}

fn goals(goals: &[Goal]) -> String {
    let mut text = String::from("| Goal | Limit | Measured | |\n|---|---|---|---|\n");
    for goal in goals {
        let (sign, limit) = match goal.limit {
            Limit::AtMost(limit) => ("≤", limit),
            Limit::AtLeast(limit) => ("≥", limit),
        };
        let unit = if goal.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", goal.unit)
        };
        let verdict = if goal.is_met { "met" } else { "**missed**" };
        let (limit, value) = (number(limit), number(goal.value));
        let _ = writeln!(
            text,
            "| {} | {sign} {limit}{unit} | {value}{unit} | {verdict} |",
            goal.what
        );
    }
    text
}

/// Formats with three significant digits, or more if there are more before the point.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        // The bounds are those of the rounded number: 99.95 becomes 100.
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        None => grouped(&text),
        Some(_) => text,
    }
}

/// Separates thousands.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Replaces the tables between a document's markers. Returns nothing if it has none.
pub(crate) fn pasted(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", tables.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{FORMAT, Machine};

    fn report() -> Report {
        let mut table = Table::new("Speed", "ours");
        for (ours, theirs) in [(100.0, 250.0), (110.0, 220.0), (120.0, 240.0)] {
            table.add(("new", "ms"), "theirs", theirs);
            table.add(("new", "ms"), "ours", ours);
        }
        table.add(("size", "MB"), "ours", 0.7);
        let goal = Goal::judge("ours ÷ theirs".to_owned(), "", Limit::AtMost(0.2), 0.5);
        Report {
            format: FORMAT,
            started: "2026-11-25T04:00:00Z".to_owned(),
            seconds: 60.0,
            machine: Machine {
                processors: 2,
                model: "CPU".to_owned(),
                kernel: "6.1".to_owned(),
                load_before: 0.1,
                versions: [("nginx".to_owned(), "1.22.1".to_owned())].into(),
            },
            tables: vec![table.finish()],
            goals: vec![goal],
        }
    }

    #[test]
    fn a_report() {
        let expected = "\
Measured 2026-11-25 on 2 processors (CPU), Linux 6.1, load before 0.10, in 60 s.
Against nginx 1.22.1.

### Speed

| | new, ms | size, MB |
|---|---|---|
| ours | 110 (105–115) | 0.700 |
| theirs | 240 (230–245) **×2.00** |  |

### Goals

| Goal | Limit | Measured | |
|---|---|---|---|
| ours ÷ theirs | ≤ 0.200 | 0.500 | **missed** |
";
        assert_eq!(markdown(&report()), expected);
    }

    #[test]
    fn numbers() {
        let table = [
            (0.0, "0"),
            (0.0421, "0.042"),
            (0.99951, "1.00"),
            (9.999, "10.0"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ];
        for (value, expected) in table {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn tables_are_pasted_between_the_marks() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let pasted = pasted(&document, "new\n").unwrap();
        assert_eq!(pasted, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(super::pasted("no marks", "new"), None);
    }
}
