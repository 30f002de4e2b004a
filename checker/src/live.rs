//! Live view: a row for each target, events above. Row contents are pure; the rest drives the
//! terminal.

use std::collections::VecDeque;
use std::io;

use clock::Kind;
use clock::units::{magnitude, signed};
use console::{Term, measure_text_width, style, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human;
use crate::series::{Finding, State};

/// Maximum number of checks in a sparkline.
const SPARKS: usize = 24;
/// Number of columns of everything but sparklines and a target of usual length.
const REST: usize = 56;
const TARGET: usize = 40;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Lines of the terminal left for events.
const LEFT: usize = 4;
/// Terminal size if it cannot be determined.
const USUAL: (u16, u16) = (24, 80);
/// Redraws per second.
const RATE: u8 = 10;

/// Live view.
#[derive(Debug)]
pub(crate) struct Live {
    bars: MultiProgress,
    lines: Vec<ProgressBar>,
    terminal: Term,
    rows: Vec<Row>,
}

/// Row of one target.
#[derive(Debug, Clone, Default)]
struct Row {
    state: Option<State>,
    /// Offsets of the last checks; `None` without an answer.
    offsets: VecDeque<Option<f64>>,
    latencies: VecDeque<Option<f64>>,
    /// Set if the check is one of a clock.
    has_clock: bool,
    offset: String,
    latency: String,
    uptime: String,
    checks: u64,
    note: String,
    name: String,
}

impl Live {
    /// Creates the view; `None` if the terminal can only write lines.
    pub(crate) fn new(targets: usize) -> Option<Self> {
        let terminal = Term::stdout();
        // Without cursor movement, each redraw would add lines.
        if !terminal.features().is_attended() || std::env::var("TERM").is_ok_and(|it| it == "dumb")
        {
            return None;
        }
        let bars =
            MultiProgress::with_draw_target(ProgressDrawTarget::term(terminal.clone(), RATE));
        Some(Self {
            bars,
            lines: Vec::new(),
            terminal,
            rows: vec![Row::default(); targets],
        })
    }

    pub(crate) fn check(&mut self, target: usize, finding: &Finding) -> io::Result<()> {
        // Targets may be added while the program runs.
        let length = self.rows.len().max(target + 1);
        self.rows.resize(length, Row::default());
        if let Some(row) = self.rows.get_mut(target) {
            row.take_in(finding);
        }
        // Events that users look for in the scrollback.
        if finding.is_change() || finding.outage.is_some() {
            self.bars.println(human::check(finding))?;
        }
        self.draw();
        Ok(())
    }

    pub(crate) fn forget(&mut self, target: usize) {
        if let Some(row) = self.rows.get_mut(target) {
            *row = Row::default();
        }
        self.draw();
    }

    fn draw(&mut self) {
        // Read for every draw, because the window may be resized.
        let (height, width) = self.terminal.size_checked().unwrap_or(USUAL);
        let (height, width) = (usize::from(height), usize::from(width));
        let lines = view(&self.rows, width, height.saturating_sub(LEFT).max(1));
        while self.lines.len() < lines.len() {
            // indicatif redraws bars in place, so each row is a bar that only shows its message.
            let bar = self.bars.add(ProgressBar::new_spinner());
            if let Ok(plain) = ProgressStyle::with_template("{msg}") {
                bar.set_style(plain);
            }
            self.lines.push(bar);
        }
        while self.lines.len() > lines.len() {
            if let Some(bar) = self.lines.pop() {
                self.bars.remove(&bar);
            }
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            // A wrapped line would break the redraw.
            bar.set_message(truncate_str(&line, width.saturating_sub(1), "…").into_owned());
            bar.tick();
        }
    }

    /// Ends the view and leaves its lines on the terminal. Nothing is redrawn: an echoed Ctrl-C has
    /// moved the cursor, so a redraw would duplicate the first line.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
        if self.lines.is_empty() {
            return Ok(());
        }
        self.lines.clear();
        // The cursor is at the end of the last line.
        self.terminal.write_line("")
    }
}

impl Row {
    fn take_in(&mut self, finding: &Finding) {
        let report = &finding.report;
        let worst = human::furthest(report);
        self.has_clock = report.kind == Kind::Clock;
        if self.has_clock {
            push(&mut self.offsets, worst.and_then(|one| one.offset_ms));
        }
        push(&mut self.latencies, report.latency_ms);
        self.state = Some(finding.state);
        self.offset = worst
            .and_then(|one| one.offset_ms.zip(one.uncertainty_ms))
            .map(|(offset, uncertainty)| format!("{} ± {}", signed(offset), magnitude(uncertainty)))
            .or_else(|| human::status(report))
            .unwrap_or_else(|| "-".to_owned());
        self.latency = report.latency_ms.map_or_else(|| "-".to_owned(), magnitude);
        self.uptime = finding.uptime.map_or_else(String::new, |(least, most)| {
            // Bounds that agree in the digits shown are one number. It is rounded down, so that 100
            // means all.
            if most - least < 0.05 {
                format!("{:.1} %", (least * 10.0).floor() / 10.0)
            } else {
                format!("{least:.1}-{most:.1} %")
            }
        });
        self.checks += 1;
        self.note = report.cause.clone().unwrap_or_default();
        self.name = report.name();
    }
}

fn push(values: &mut VecDeque<Option<f64>>, value: Option<f64>) {
    if values.len() == SPARKS {
        values.pop_front();
    }
    values.push_back(value);
}

/// Renders the view: one line for a single target, else a table. If there are too many rows, the
/// worst come first.
fn view(rows: &[Row], width: usize, most: usize) -> Vec<String> {
    // In a narrow window the sparklines are shortened first.
    let sparks = (width.saturating_sub(REST + TARGET) / 2).min(SPARKS);
    let mut known: Vec<&Row> = rows.iter().filter(|row| row.state.is_some()).collect();
    if let ([_], [row]) = (rows, known.as_slice()) {
        return vec![single(row, sparks)];
    }
    let hidden = known.len().saturating_sub(most);
    if hidden > 0 {
        // A stable sort keeps the order within a state.
        known.sort_by_key(|row| std::cmp::Reverse(row.state));
        known.truncate(most);
    }
    let mut lines = vec![
        style(table_line(
            &["STATE", "OFFSET", "", "LATENCY", "", "UP", "TARGET"],
            sparks,
        ))
        .dim()
        .to_string(),
    ];
    lines.extend(known.into_iter().map(|row| {
        let Some(state) = row.state else {
            return String::new();
        };
        let target = if row.note.is_empty() {
            row.name.clone()
        } else {
            format!("{}  {}", row.name, row.note)
        };
        let cells = [
            state.name(),
            &row.offset,
            &sparkline(&row.offsets, sparks),
            &row.latency,
            &sparkline(&row.latencies, sparks),
            &row.uptime,
            &target,
        ];
        let line = table_line(&cells, sparks);
        coloured(state, &line)
    }));
    if hidden > 0 {
        lines.push(
            style(format!("and {hidden} more, none of them worse"))
                .dim()
                .to_string(),
        );
    }
    lines
}

fn single(row: &Row, sparks: usize) -> String {
    let state = row.state.unwrap_or(State::Unknown);
    let checks = match row.checks {
        1 => "1 check".to_owned(),
        several => format!("{several} checks"),
    };
    let mut parts = vec![coloured(state, &format!("{:<7}", state.name()))];
    if !row.note.is_empty() {
        parts.push(row.note.clone());
    }
    let past = |values: &VecDeque<Option<f64>>| match sparkline(values, sparks) {
        empty if empty.is_empty() => empty,
        past => format!("{past} "),
    };
    if row.has_clock {
        parts.push(format!("offset {}{}", past(&row.offsets), row.offset));
    } else {
        parts.push(row.offset.clone());
    }
    parts.push(format!("latency {}{}", past(&row.latencies), row.latency));
    parts.push(format!("up {}", row.uptime));
    parts.push(checks);
    parts.push(row.name.clone());
    parts.join("   ")
}

fn table_line(cells: &[&str; 7], sparks: usize) -> String {
    let widths = [7, 20, sparks, 9, sparks, 13, 0];
    let padded = cells.iter().zip(widths).map(|(cell, width)| {
        // `format!` pads by characters, some of which are two columns wide.
        let missing = width.saturating_sub(measure_text_width(cell));
        format!("{cell}{}", " ".repeat(missing))
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn coloured(state: State, text: &str) -> String {
    let text = style(text);
    match state {
        State::Ok => text.green(),
        State::Warning | State::Unknown => text.yellow(),
        State::Skewed | State::Down => text.red(),
    }
    .to_string()
}

/// Renders the last values scaled to their range, the newest at the right; a cross where there is
/// none.
fn sparkline(values: &VecDeque<Option<f64>>, most: usize) -> String {
    let values = values.range(values.len().saturating_sub(most)..);
    let known = values.clone().flatten();
    // `f64` is not `Ord`, so the extremes are folded instead of `min` and `max`.
    let least = known.clone().copied().fold(f64::INFINITY, f64::min);
    let greatest = known.copied().fold(f64::NEG_INFINITY, f64::max);
    let range = greatest - least;
    values
        .map(|value| match value {
            None => '×',
            // Differences below a microsecond are noise and drawn flat.
            Some(_) if range < 0.001 => LEVELS[0],
            Some(value) => level((value - least) / range),
        })
        .collect()
}

fn level(share: f64) -> char {
    let below = LEVELS
        .iter()
        .zip(1_u8..)
        .find(|(_, number)| share * 8.0 <= f64::from(*number));
    below.map_or(LEVELS[7], |(level, _)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::human::tests::finding;
    use crate::samples::{down, report, without_clock};
    use clock::Verdict;

    fn row(name: &str, findings: &[Finding]) -> Row {
        let mut row = Row::default();
        for finding in findings {
            row.take_in(finding);
        }
        row.name = format!("http://{name}.test/now");
        row
    }

    fn good(offset: f64, latency: f64) -> Finding {
        let mut report = report(Verdict::Ok);
        report.instances[0].offset_ms = Some(offset);
        report.latency_ms = Some(latency);
        finding(report)
    }

    fn plain(lines: &[String]) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect();
        lines.join("\n")
    }

    #[test]
    fn one_target_is_one_line_several_are_a_table() {
        let one = row(
            "a",
            &[
                good(0.4, 1.0),
                good(-0.2, 3.0),
                finding(down()),
                good(0.1, 2.0),
            ],
        );
        let two = row("b", &[finding(down())]);
        let three = row("c", &[good(500.0, 20.0)]);
        let single = view(std::slice::from_ref(&one), 150, 20);
        let table = view(
            &[one.clone(), two.clone(), three.clone(), Row::default()],
            150,
            20,
        );
        let crowded = view(&[one, two, three], 100, 2);
        let http = view(&[row("d", &[finding(without_clock())])], 150, 20);
        insta::assert_snapshot!(
            [single, table, crowded, http]
                .map(|lines| plain(&lines))
                .join("\n\n")
        );
    }

    #[test]
    fn a_sparkline_spans_least_to_greatest() {
        let values = |values: &[Option<f64>]| values.iter().copied().collect::<VecDeque<_>>();
        assert_eq!(sparkline(&values(&[]), SPARKS), "");
        assert_eq!(
            sparkline(&values(&[Some(5.0), Some(5.0), None]), SPARKS),
            "▁▁×"
        );
        assert_eq!(
            sparkline(&values(&[Some(0.0), Some(1.0), Some(0.5)]), SPARKS),
            "▁█▄"
        );
        let mut many = VecDeque::new();
        for _ in 0..100 {
            push(&mut many, None);
        }
        assert_eq!(many.len(), SPARKS);
    }
}
