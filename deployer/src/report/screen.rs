//! Content of the terminal: permanent lines, and below them the redrawn progress. Events and the
//! time go in, text comes out.

use chrono::{DateTime, Utc};

use super::color::{Paint, Tint};
use super::line::{Line, column, right_column};
use super::operation::{Direction, Operation};
use super::progress::{Over, Progress, Running};
use super::text;
use super::usual::{Usual, seconds_between};
use deployment::event::Event;

/// Spinner frames, one for each tenth of a second.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Columns for the name of a phase, and for a time such as `12 min 05 s`.
const TITLE: usize = 9;
const TIME: usize = 11;
/// Maximum number of columns for the name of a resource.
const NAME: usize = 56;
const INDENT: &str = "      ";

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// State of the screen.
pub(super) struct Screen {
    paint: Paint,
    progress: Progress,
}

impl Screen {
    pub(super) fn new(paint: Paint) -> Self {
        Self {
            paint,
            progress: Progress::default(),
        }
    }

    /// Processes an event; returns the permanent lines.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> Vec<String> {
        let over = self.progress.take(at, event);
        let mut lines: Vec<String> = over.iter().map(|over| self.over(over)).collect();
        lines.extend(self.line(event));
        lines
    }

    fn over(&self, over: &Over) -> String {
        let mark = if over.well {
            self.paint.tint(Tint::Good, "✓")
        } else {
            self.paint.tint(Tint::Bad, "✗")
        };
        let took = text::duration(over.seconds);
        let took = self.paint.tint(Tint::Faint, &took);
        let detail = Some(over.detail.as_str()).filter(|detail| !detail.is_empty());
        let detail = detail
            .map(|detail| format!("{detail} "))
            .unwrap_or_default();
        format!(
            "  {mark} {} {detail}{took}",
            column(over.phase.title(), TITLE)
        )
    }

    /// Returns the permanent line of an event, unless the phases show it.
    fn line(&self, event: &Event) -> Option<String> {
        let line = text::line(event);
        match event {
            Event::ResourceChanged { status, .. } => {
                let mark = self.paint.tint(Tint::Bad, "✗");
                // Successful resources only count in the progress of their operation.
                let failed = line.filter(|_| status.is_failure());
                failed.map(|line| format!("  {mark} {line}"))
            }
            Event::Started { .. }
            | Event::EmulatorStopped { .. }
            | Event::EmulatorKept { .. }
            | Event::Identified { .. }
            | Event::TaskFailed { .. }
            | Event::TargetUnhealthy { .. }
            | Event::ServiceComplained { .. }
            | Event::CheckChosen { .. }
            | Event::GateReached { .. }
            | Event::GateCompared { .. }
            | Event::GateAnswered { .. }
            | Event::ServesAgain { .. }
            | Event::ReleaseStarted { .. }
            | Event::ReleaseEnded { .. }
            | Event::Probed { .. }
            | Event::Asked { .. }
            | Event::Warned { .. }
            | Event::Noted { .. } => line.map(|line| self.paint.lines(&format!("  {line}"))),
            Event::PhaseStarted { .. }
            | Event::PhaseEnded { .. }
            | Event::UsuallyTook { .. }
            | Event::EmulatorInstalling { .. }
            | Event::EmulatorReady { .. }
            | Event::Compiled { .. }
            | Event::BuildStepped { .. }
            | Event::ImagePacked { .. }
            | Event::StackFound { .. }
            | Event::OperationStarted { .. }
            | Event::OperationEnded { .. }
            | Event::Proposed { .. }
            | Event::Unchanged
            | Event::PushProgressed { .. }
            | Event::Pushed { .. }
            | Event::RolloutMoved { .. }
            | Event::Checked { .. }
            | Event::VerdictAttached { .. }
            | Event::Succeeded { .. }
            | Event::Held { .. }
            | Event::Deleted { .. }
            | Event::NothingThere { .. }
            | Event::ImageReady { .. }
            | Event::Failed { .. } => None,
        }
    }

    /// Returns one line for each running item, within the size of the screen.
    pub(super) fn frame(&self, now: DateTime<Utc>, size: Size) -> Vec<String> {
        let progress = &self.progress;
        if progress.asking {
            // Redrawing would overwrite the question.
            return Vec::new();
        }
        let host = progress.host();
        let mut blocks: Vec<(Line, Vec<Line>)> = Vec::new();
        for running in &progress.phases {
            let operation = progress.operation.as_ref();
            let operation = operation.filter(|_| host == Some(running.phase));
            blocks.push(match operation {
                Some(operation) => (
                    operation_line(running.phase.title(), running.since, operation, now, size),
                    operation_details(operation, now, size),
                ),
                None => (phase_line(running, now, size), Vec::new()),
            });
        }
        // An operation without a phase, for example of another caller, gets a line of its own.
        if let (None, Some(operation)) = (host, &progress.operation) {
            let line = operation_line("stack", operation.since, operation, now, size);
            blocks.push((line, operation_details(operation, now, size)));
        }
        if let Some((_, details)) = blocks.last_mut() {
            details.extend(versions(progress));
        }
        // The cursor is in the last line. The line above is left for permanent output.
        let lines = within(blocks, size.rows.saturating_sub(2).max(1));
        // Text in the last column makes some terminals wrap.
        let columns = size.columns.saturating_sub(1);
        lines
            .iter()
            .map(|line| line.clip(columns, self.paint))
            .collect()
    }
}

/// Limits the lines to the available rows: all headings first, then as many details as there is
/// room for.
fn within(blocks: Vec<(Line, Vec<Line>)>, rows: usize) -> Vec<Line> {
    let mut left = rows.saturating_sub(blocks.len());
    let mut lines = Vec::new();
    for (heading, mut details) in blocks {
        if details.len() > left {
            // The last row is for the number of lines that are left out.
            let kept = left.saturating_sub(1);
            let more = details.len() - kept;
            details.truncate(kept);
            if left > 0 {
                let more = format!("{INDENT}and {more} more");
                details.push(Line::default().add(Tint::Faint, &more));
            }
        }
        left -= details.len();
        lines.push(heading);
        lines.extend(details);
    }
    // The headings alone may exceed a very small terminal.
    lines.truncate(rows);
    lines
}

fn started(title: &str, since: DateTime<Utc>, now: DateTime<Utc>) -> Line {
    let tenths = usize::try_from(now.timestamp_millis() / 100).unwrap_or_default();
    let turning = SPINNER.get(tenths % SPINNER.len()).unwrap_or(&"-");
    let elapsed = text::whole_duration(seconds_between(since, now));
    Line::of("  ")
        .add(Tint::Hint, turning)
        .plain(&format!(" {} ", column(title, TITLE)))
        .plain(&format!("{}  ", right_column(&elapsed, TIME)))
}

fn phase_line(running: &Running, now: DateTime<Utc>, size: Size) -> Line {
    let line = started(running.phase.title(), running.since, now);
    let line = match running.sent {
        Some((sent, total)) if total > 0 => {
            bar(line, share(sent, total), Tint::Good, size).plain("  ")
        }
        Some(_) | None => line,
    };
    let usual = Usual::of(running.usual, running.since);
    if usual.is_none() || running.detail.is_empty() {
        return with_usual(line.plain(&running.detail), usual, now);
    }
    with_usual(line.plain(&running.detail).plain("  "), usual, now)
}

fn operation_line(
    title: &str,
    since: DateTime<Utc>,
    operation: &Operation,
    now: DateTime<Utc>,
    size: Size,
) -> Line {
    let mut line = started(title, since, now);
    let tint = match operation.direction {
        Direction::Forwards => Tint::Good,
        Direction::Backwards => Tint::Odd,
    };
    if let Some(fraction) = operation.fraction(now) {
        line = bar(line, fraction, tint, size).plain("  ");
    }
    match operation.direction {
        Direction::Backwards => line.add(Tint::Odd, "rolling back"),
        Direction::Forwards => with_usual(line, operation.usual(), now),
    }
}

/// Adds the usual duration to a line, highlighted if it is exceeded.
fn with_usual(line: Line, usual: Option<Usual>, now: DateTime<Utc>) -> Line {
    match usual {
        Some(usual) if usual.is_exceeded(now) => line.add(Tint::Odd, &usual.in_words()),
        Some(usual) => line.add(Tint::Faint, &usual.in_words()),
        None => line,
    }
}

fn operation_details(operation: &Operation, now: DateTime<Utc>, size: Size) -> Vec<Line> {
    let free = size.columns.saturating_sub(INDENT.len() + TIME + 2);
    let names = operation
        .active
        .iter()
        .map(|(id, one)| (one.name(id), one.since));
    let mut names: Vec<_> = names.collect();
    // The longest-running resource comes first, because it usually delays the others.
    names.sort_by_key(|(_, since)| *since);
    let lines = names.into_iter().map(|(name, since)| {
        let elapsed = text::whole_duration(seconds_between(since, now));
        let name = column(&name, free.min(NAME)).into_owned();
        Line::of(INDENT)
            .plain(&name)
            .add(Tint::Faint, &right_column(&elapsed, TIME))
    });
    lines.collect()
}

/// Returns the service's deployments as a table.
fn versions(progress: &Progress) -> Vec<Line> {
    if progress.versions.is_empty() {
        return Vec::new();
    }
    let heading = format!(
        "{INDENT}{:<18}  {:>7}  {:>7}  {:>6}  {:>7}",
        "deployment", "running", "pending", "failed", "desired"
    );
    let mut lines = vec![Line::default().add(Tint::Faint, &heading)];
    for version in &progress.versions {
        let age = if version.ours { "new" } else { "old" };
        let name = format!("{age}  {}", version.revision);
        let [running, pending, failed, desired] = version.tasks;
        let failed_tint = if failed > 0 { Tint::Bad } else { Tint::Plain };
        let line = Line::of(&format!("{INDENT}{}", column(&name, 18)))
            .plain(&format!("  {running:>7}  {pending:>7}"))
            .add(failed_tint, &format!("  {failed:>6}"))
            .plain(&format!("  {desired:>7}"));
        lines.push(line);
    }
    lines
}

/// Adds a progress bar that suits the width of the terminal.
fn bar(line: Line, fraction: f64, tint: Tint, size: Size) -> Line {
    let width: usize = match size.columns {
        0..70 => 10,
        70..120 => 20,
        _ => 40,
    };
    // Counts the full cells, because converting the fraction to a number would need a lossy cast.
    let full = (1..=width)
        .filter(|cell| share_of(*cell, width) <= fraction)
        .count();
    line.add(tint, &"━".repeat(full))
        .add(Tint::Faint, &"─".repeat(width - full))
}

fn share_of(cell: usize, width: usize) -> f64 {
    let whole = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    whole(cell) / whole(width)
}

#[expect(clippy::cast_precision_loss, reason = "shown as a bar")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests;
