//! Events as the log of a job in GitHub Actions: grouped lines, and annotations.
//!
//! Groups cannot be nested, but phases overlap. A group therefore covers the time in which the same
//! phases run, and names all of them.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::log::Log;
use super::text;
use deployment::error::Failure;
use deployment::event::Event;
use support::printable::{printable, without_commands};

/// State of the log.
#[derive(Default)]
pub(super) struct Workflow {
    log: Log,
    /// Title of the open group.
    open: Option<String>,
}

impl Workflow {
    /// Processes an event; returns the text to log.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> String {
        // Taken before the event: the line of a phase that ends belongs to its group.
        let title = self.log.title();
        let mut lines = if let Event::Warned { message } = event {
            // A collected line comes first, because its resources completed before the warning.
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

    /// Returns the text that is due by now.
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
        // Messages of the service must not act as commands to GitHub.
        text.push_str(&without_commands(lines));
        text
    }

    fn close(&mut self) -> String {
        let open = self.open.take();
        open.map(|_| "::endgroup::\n".to_owned())
            .unwrap_or_default()
    }
}

/// Formats a failure without its evidence, which is in the log.
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

/// Returns an annotation, a message that GitHub also shows outside the log.
pub(super) fn annotation(kind: &str, title: &str, message: &str) -> String {
    let message = printable(message);
    format!("::{kind} title={}::{}\n", property(title), data(&message))
}

/// Escapes the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests;
