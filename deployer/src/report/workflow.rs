//! Events as the log of a job in GitHub Actions: lines in groups, and annotations. Pure.
//!
//! Groups cannot be nested, but phases overlap: a group is what happens while the same phases are under way, and has the
//! names of all of them.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::log::Log;
use super::text;
use deployment::error::Failure;
use deployment::event::Event;
use support::printable::{printable, without_commands};

/// The state of the log.
#[derive(Default)]
pub(super) struct Workflow {
    log: Log,
    /// Title of the group that is open.
    open: Option<String>,
}

impl Workflow {
    /// Takes an event in; returns what there is to log now.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> String {
        let title = self.log.title();
        let mut lines = if let Event::Warned { message } = event {
            let rest = self.log.rest();
            self.grouped(title, &rest) + &annotation("warning", "deployer", message)
        } else {
            let lines = self.log.take(at, event);
            self.grouped(title, &lines)
        };
        if self.log.title().is_none() {
            lines.push_str(&self.close());
        }
        if let Event::Failed { exit_code, failure } = event {
            lines.push_str(&without_commands(&printable(&text::failure(failure))));
            let title = format!("deployer: exit code {exit_code}");
            lines.push_str(&annotation("error", &title, &all_of(failure)));
        }
        lines
    }

    /// What the time brings.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) -> String {
        let lines = self.log.tick(now);
        self.grouped(self.log.title(), &lines)
    }

    fn grouped(&mut self, title: Option<String>, lines: &str) -> String {
        if lines.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        if self.open != title {
            text.push_str(&self.close());
            if let Some(title) = &title {
                let _ = writeln!(text, "::group::{}", data(title));
            }
            self.open = title;
        }
        text.push_str(&without_commands(lines));
        text
    }

    fn close(&mut self) -> String {
        let open = self.open.take();
        open.map(|_| "::endgroup::\n".to_owned())
            .unwrap_or_default()
    }
}

/// A failure without its evidence, which is in the log.
fn all_of(failure: &Failure) -> String {
    let mut text = failure.message.clone();
    if let Some(cause) = &failure.cause {
        let _ = write!(text, "\nbecause: {cause}");
    }
    for hint in &failure.hints {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

/// A line that GitHub shows beside the job, too.
pub(super) fn annotation(kind: &str, title: &str, message: &str) -> String {
    let message = printable(message);
    format!("::{kind} title={}::{}\n", property(title), data(&message))
}

/// The text of a command, as GitHub wants it.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests;
