//! Markdown form of a command's result, for the job summary in GitHub Actions.

use std::fmt::Write as _;

use super::{lists, text};
use crate::commands::plan::Plan;
use deployment::error::Failure;
use deployment::event::Probed;
use deployment::event::{Event, Phase, Summary};
use support::printable::printable;

/// Maximum number of evidence lines.
const EVIDENCE: usize = 100;

/// Data collected for the summary.
#[derive(Default)]
pub(super) struct JobSummary {
    /// Headline such as `up: stack clock`.
    headline: Option<String>,
    timings: Vec<(Phase, f64)>,
    probed: Option<Probed>,
}

impl JobSummary {
    /// Processes an event; returns the summary if the event is the last of a command.
    pub(super) fn take(&mut self, event: &Event) -> Option<String> {
        if let Event::Started {
            command,
            stack,
            local,
            ..
        } = event
        {
            let on = if *local { " on this machine" } else { "" };
            self.headline = Some(format!("{command}: stack {stack}{on}"));
        } else if let Event::PhaseEnded { phase, seconds } = event {
            self.timings.push((*phase, *seconds));
        } else if let Event::Probed { probe } = event {
            self.probed = Some(probe.clone());
        } else if let Event::Succeeded { summary } = event {
            return Some(self.succeeded(summary));
        } else if let Event::Held {
            expires_at,
            continue_with,
            rollback_with,
            ..
        } = event
        {
            let mut rows = vec![("result", "the new version waits at the gate".to_owned())];
            rows.extend(expires_at.map(|at| ("until", deployment::rollout::gate::expiry(at))));
            rows.extend([
                ("continue", code(continue_with)),
                ("rollback", code(rollback_with)),
            ]);
            return Some(self.table("⏸️", &rows, None));
        } else if let Event::Deleted { seconds, .. } = event {
            let rows = [("result", "everything is gone".to_owned())];
            return Some(self.table("✅", &rows, Some(*seconds)));
        } else if let Event::NothingThere { message } = event {
            return Some(self.table("✅", &[("result", inline(message))], None));
        } else if let Event::Failed { exit_code, failure } = event {
            return Some(self.failed(*exit_code, failure));
        }
        None
    }

    fn succeeded(&self, summary: &Summary) -> String {
        let result = if summary.check.is_none() {
            "the service is deployed, and healthy as the load balancer has it"
        } else if summary.changed {
            "the service is up"
        } else {
            "nothing changed: the service was up to date, and is up"
        };
        let mut rows = vec![("result", result.to_owned()), ("url", code(&summary.url))];
        if let Some(version) = &summary.version {
            rows.push(("version", code(version)));
        }
        rows.push(("image", code(&summary.image)));
        rows.push(("check", inline(&text::how_checked(summary))));
        if let Some(probe) = &summary.probe {
            rows.push(("rollout", inline(&text::probed(probe))));
        }
        if let Some(cost) = &summary.cost {
            rows.push(("cost", inline(&cost.line())));
        }
        self.table("✅", &rows, Some(summary.seconds))
    }

    fn failed(&self, exit_code: u8, failure: &Failure) -> String {
        let mut rows = vec![
            ("result", inline(&failure.message)),
            ("exit code", exit_code.to_string()),
        ];
        if let Some(cause) = &failure.cause {
            rows.push(("because", inline(cause)));
        }
        if let Some(probe) = &self.probed {
            rows.push(("rollout", inline(&text::probed(probe))));
        }
        let mut markdown = self.table("❌", &rows, None);
        if !failure.evidence.is_empty() {
            markdown.push_str(&fenced(&failure.evidence));
            markdown.push('\n');
        }
        for hint in &failure.hints {
            // Writing to a `String` cannot fail.
            let _ = writeln!(markdown, "- {}", inline(hint));
        }
        if !failure.hints.is_empty() {
            markdown.push('\n');
        }
        markdown
    }

    fn table(&self, mark: &str, rows: &[(&str, String)], seconds: Option<f64>) -> String {
        let headline = self.headline.as_deref().unwrap_or("deployer");
        // GitHub renders a table only with a header row, even an empty one.
        let mut markdown = format!("### {mark} {}\n\n| | |\n|---|---|\n", inline(headline));
        for (name, value) in rows {
            let _ = writeln!(markdown, "| {name} | {} |", cell(value));
        }
        let times = self.timings.iter();
        let times: Vec<String> = times
            .map(|(phase, seconds)| format!("{} {}", phase.title(), text::duration(*seconds)))
            .collect();
        let all = seconds.map(text::duration);
        let time = match (all, times.is_empty()) {
            (Some(all), false) => format!("{all}: {}", times.join(", ")),
            (Some(all), true) => all,
            (None, _) => times.join(", "),
        };
        if !time.is_empty() {
            let _ = writeln!(markdown, "| time | {time} |");
        }
        markdown.push('\n');
        markdown
    }
}

/// Formats a plan as a summary.
pub(super) fn plan(plan: &Plan) -> String {
    let lines: Vec<String> = lists::plan(plan).lines().map(str::to_owned).collect();
    let fenced = fenced(&lines);
    format!(
        "### plan: stack {}\n\n{fenced}\n",
        inline(plan.stack.as_str())
    )
}

/// Formats lines as a code block, with a fence that none of them can close.
fn fenced(lines: &[String]) -> String {
    let text = printable(&lines.join("\n"));
    let mut shown: Vec<&str> = text.lines().collect();
    let more = shown.len().saturating_sub(EVIDENCE);
    shown.truncate(EVIDENCE);
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    let more = match more {
        0 => String::new(),
        count => format!("… and {count} more\n"),
    };
    format!("{fence}text\n{}\n{more}{fence}\n", shown.join("\n"))
}

/// Formats text as inline code.
fn code(text: &str) -> String {
    let text = printable(text);
    // Inline code cannot contain a backtick or a line break.
    if text.contains(['`', '\n']) {
        return inline(&text);
    }
    format!("`{text}`")
}

/// Escapes text, except for code between backticks.
fn inline(text: &str) -> String {
    let text = printable(text);
    // With paired backticks, the number of pieces is odd.
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        // A backtick without a partner: everything is plain text.
        return escaped(&text).replace('`', "\\`");
    }
    let shown = pieces.iter().enumerate().map(|(index, piece)| {
        if index.is_multiple_of(2) {
            escaped(piece)
        } else {
            format!("`{piece}`")
        }
    });
    shown.collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // GitHub would render HTML that a log line contains.
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '*' | '_' | '[' | ']' | '#' | '~' => escaped.extend(['\\', letter]),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Formats text as a table cell: one line, with escaped separators.
fn cell(text: &str) -> String {
    // GitHub splits a row into cells before it reads code, so that code is escaped as well.
    text.replace('|', "\\|").replace('\n', "<br>")
}

#[cfg(test)]
mod tests;
