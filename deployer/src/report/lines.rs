//! Log lines on standard output: `TIME TASK MESSAGE`, or one JSON object per line. Other messages
//! go to standard error.

use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::color::Paint;
use super::{json, text};
use crate::cli::Output;
use crate::pollers::LogReader;
use aws::remote::LogLine;
use deployment::event::{Event, Reporter};
use support::printable::{printable, without_commands};

/// Printer of log lines. Unlike reporters, it returns write errors: without a reader, the command
/// has no purpose.
pub(super) struct Lines {
    pub(super) output: Output,
    /// Format of a line for people.
    pub(super) form: fn(&LogLine) -> String,
}

impl LogReader for Lines {
    fn take(&mut self, lines: &[LogLine]) -> io::Result<()> {
        let text: String = lines
            .iter()
            .map(|line| match self.output {
                Output::Human => (self.form)(line),
                Output::Json => json(line),
            })
            .collect();
        #[expect(clippy::disallowed_methods, reason = "reporters print")]
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

fn time(line: &LogLine) -> String {
    line.at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the task that wrote the line: the last part of the log stream's name.
fn task(line: &LogLine) -> &str {
    line.stream.rsplit('/').next().unwrap_or(&line.stream)
}

/// Returns the message without control sequences and pipeline commands.
pub(super) fn message(line: &LogLine) -> String {
    without_commands(&printable(line.message.trim_end())) + "\n"
}

/// Returns the message with its time and task.
pub(super) fn human(line: &LogLine) -> String {
    let task = printable(task(line));
    // Eight characters of a task id are enough to tell tasks apart.
    let task = task.get(..8).unwrap_or(&task);
    // Indentation shows that the lines belong to one entry.
    let message = message(line);
    let message = message.trim_end().replace('\n', "\n    ");
    format!("{} {task:<8} {message}\n", time(line))
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Object<'a> {
    time: String,
    task: &'a str,
    message: &'a str,
}

fn json(line: &LogLine) -> String {
    let object = Object {
        time: time(line),
        task: task(line),
        // Trailing spaces stay: programs that read JSON get the message as it was logged.
        message: line.message.trim_end_matches(['\r', '\n']),
    };
    json::object(&object).unwrap_or_default()
}

/// Reporter beside log lines: prints only notes, warnings and failures.
pub(super) struct Beside {
    pub(super) output: Output,
    pub(super) paint: Paint,
}

impl Reporter for Beside {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        match (event, self.output) {
            (Event::Failed { .. }, Output::Json) => super::to_stdout(&json::line(at, event)),
            (Event::Failed { .. }, Output::Human) => super::print_end(event, self.paint),
            (Event::Warned { .. } | Event::Noted { .. }, _) => {
                if let Some(line) = text::line(event) {
                    super::to_stderr(&(line + "\n"));
                }
            }
            // The lines themselves are the result, so other events are not shown.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine {
            id: "1".to_owned(),
            at: DateTime::from_timestamp(1_795_341_845, 120_000_000).unwrap(),
            stream: "app/app/16318c12aaaa4bbb".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn lines_for_people_and_for_programs() {
        assert_eq!(message(&line("\u{1b}[31mred\n")), "red\n");
        let both = |message: &str| human(&line(message)) + &json(&line(message));
        let text = both("listening on 0.0.0.0:8080\n")
            + &both("\u{1b}[31mred\u{1b}[0m\u{7}")
            + &both("two\nlines\r\n")
            + &both("");
        insta::assert_snapshot!(text, @r#"
        2026-11-22T10:04:05.120Z 16318c12 listening on 0.0.0.0:8080
        {"time":"2026-11-22T10:04:05.120Z","task":"16318c12aaaa4bbb","message":"listening on 0.0.0.0:8080"}
        2026-11-22T10:04:05.120Z 16318c12 red
        {"time":"2026-11-22T10:04:05.120Z","task":"16318c12aaaa4bbb","message":"\u001b[31mred\u001b[0m\u0007"}
        2026-11-22T10:04:05.120Z 16318c12 two
            lines
        {"time":"2026-11-22T10:04:05.120Z","task":"16318c12aaaa4bbb","message":"two\nlines"}
        2026-11-22T10:04:05.120Z 16318c12 
        {"time":"2026-11-22T10:04:05.120Z","task":"16318c12aaaa4bbb","message":""}
        "#);
    }
}
