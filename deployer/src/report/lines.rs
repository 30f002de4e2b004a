//! Log lines on standard output: `TIME TASK MESSAGE` for people, an object a line in JSON. And what is said beside them.

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

/// Prints log lines. Unlike the reporters it tells when nobody reads them: they are all that the command is for.
pub(super) struct Lines {
    pub(super) output: Output,
    /// How people see a line.
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

/// The task that wrote it: the last part of the stream's name.
fn task(line: &LogLine) -> &str {
    line.stream.rsplit('/').next().unwrap_or(&line.stream)
}

/// A line without what would control a terminal or a pipeline.
pub(super) fn message(line: &LogLine) -> String {
    without_commands(&printable(line.message.trim_end())) + "\n"
}

/// A line with its time and task.
pub(super) fn human(line: &LogLine) -> String {
    let task = printable(task(line));
    let task = task.get(..8).unwrap_or(&task);
    // What has several lines stays one entry to the eye.
    let message = message(line);
    let message = message.trim_end().replace('\n', "\n    ");
    format!("{} {task:<8} {message}\n", time(line))
}

#[derive(Serialize)]
struct Object<'a> {
    time: String,
    task: &'a str,
    message: &'a str,
}

fn json(line: &LogLine) -> String {
    let object = Object {
        time: time(line),
        task: task(line),
        message: line.message.trim_end_matches(['\r', '\n']),
    };
    json::object(&object).unwrap_or_default()
}

/// Reports what is said beside log lines on standard error, and nothing else.
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
            // Whatever else is told: the lines are the result.
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
