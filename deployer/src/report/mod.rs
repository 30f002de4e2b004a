//! Readers of the event stream: bars on a terminal, lines elsewhere, groups and annotations in GitHub Actions, JSON Lines. And of
//! the log. The only place that prints.
//!
//! What they say is made by pure parts from events and the time: `text`, `screen`, `log`, `workflow`, `markdown`.

mod canvas;
mod color;
mod diagnosis;
mod environment;
mod github;
mod inspection;
mod journal;
mod json;
mod line;
mod lines;
mod lists;
mod log;
mod markdown;
mod operation;
mod plain;
mod progress;
mod screen;
mod terminal;
mod text;
mod usual;
mod workflow;

#[cfg(test)]
mod samples;

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::cli::{Color, Output};
use crate::commands::CommandResult;
#[cfg(test)]
use crate::commands::{doctor::Diagnosis, plan::Plan, reviewer::Reviewing};
use crate::pollers::LogReader;
use color::Paint;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Reporter};
use support::printable::without_commands;

/// How often a log is asked whether the time brings a line.
const LOG_TICK: Duration = Duration::from_millis(250);

/// Chooses the reporter, once.
pub fn choose(output: Output, color: Color) -> Box<dyn Reporter> {
    let terminal = crate::prompt::is_capable_terminal();
    let paint = Paint::new(color, terminal);
    match output {
        Output::Json => Box::new(json::Json),
        Output::Human if github::is_here() => Box::new(github::GitHub::new(paint)),
        Output::Human if terminal => Box::new(terminal::Terminal::new(paint)),
        Output::Human => Box::new(plain::Plain::new(paint)),
    }
}

/// The same, with a journal of what it is told, where there is a folder for that.
pub fn journalled(reporter: Box<dyn Reporter>) -> Box<dyn Reporter> {
    match crate::state::folder() {
        Some(folder) => Box::new(journal::Journal::new(reporter, folder)),
        None => reporter,
    }
}

/// The same, with commands that name this environment.
pub fn in_environment(reporter: Box<dyn Reporter>, name: Option<&str>) -> Box<dyn Reporter> {
    match name {
        Some(name) => Box::new(environment::InEnvironment {
            inner: reporter,
            name: name.to_owned(),
        }),
        None => reporter,
    }
}

/// The reporter beside log lines, which are the result of a command by themselves.
pub fn beside_lines(output: Output, color: Color) -> Box<dyn Reporter> {
    let paint = Paint::new(color, crate::prompt::is_capable_terminal());
    Box::new(lines::Beside { output, paint })
}

/// Prints log lines: with time and task, or the messages alone where `is_output` of one program.
pub fn log_lines(output: Output, is_output: bool) -> impl LogReader {
    let form = if is_output {
        lines::message
    } else {
        lines::human
    };
    lines::Lines { output, form }
}

/// Does this to a state again and again, until nobody else has it any more.
fn keep_ticking<State: Send + 'static>(
    state: &Arc<Mutex<State>>,
    every: Duration,
    tick: impl Fn(&mut State) + Send + 'static,
) {
    let weak = Arc::downgrade(state);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(every);
            let Some(state) = weak.upgrade() else { return };
            tick(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
}

/// The time by which people are told how long something takes: the clock as it was at the first call, and what has passed since by
/// one that nobody sets. A clock that is set while the program runs would make an hour of a second. Journals and JSON lines have
/// the clock's own time.
fn steady_now() -> DateTime<Utc> {
    static START: LazyLock<(DateTime<Utc>, Instant)> =
        LazyLock::new(|| (Utc::now(), Instant::now()));
    START.0 + START.1.elapsed()
}

/// Prints the result of a command: one JSON object, or text. Its commands name this environment.
pub(crate) fn print(
    result: &CommandResult,
    output: Output,
    environment: Option<&str>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(FailureKind::Unexpected, "cannot print").because(error);
    let text = match (output, result) {
        // A policy is JSON, and is read by people as well.
        (_, CommandResult::Policy(policy)) => {
            serde_json::to_string_pretty(policy).map_err(failed)? + "\n"
        }
        (Output::Json, result) => json::object(result).map_err(failed)?,
        (Output::Human, CommandResult::Initialized(project)) => lists::initialized(project),
        (Output::Human, CommandResult::Plan(plan)) => {
            if github::is_here() {
                github::append_summary(&markdown::plan(plan));
            }
            lists::plan(plan)
        }
        (Output::Human, CommandResult::Status(status)) => text::status(status),
        (Output::Human, CommandResult::History(history)) => lists::history(history),
        (Output::Human, CommandResult::Address(address)) => format!("{}\n", address.url),
        (Output::Human, CommandResult::Inspection(image)) => inspection::inspection(image),
        (Output::Human, CommandResult::Reviewing(reviewing)) => lists::reviewing(reviewing),
        (Output::Human, CommandResult::Template { template }) => template.clone(),
        (Output::Human, CommandResult::Cost(table)) => table.text(),
        (Output::Human, CommandResult::Diagnosis(found)) => diagnosis::diagnosis(found),
    };
    to_stdout(&crate::explain::in_environment(&text, environment));
    Ok(())
}

/// Writes to standard output, no line as a command to a pipeline. A reader that went away ends the output, not the work.
fn to_stdout(text: &str) {
    let text = without_commands(text);
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Writes to standard error, likewise.
fn to_stderr(text: &str) {
    commands_to_stderr(&without_commands(text));
}

/// Writes to standard error what may have commands to GitHub in it: our own.
fn commands_to_stderr(text: &str) {
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Tells of a failure where no reporter can be trusted any more.
pub fn at_the_last(failure: &Failure) {
    to_stderr(&support::printable::printable(&text::failure(failure)));
}

/// What people get at the end of a command: results on standard output, failures on standard error.
fn print_end(event: &Event, paint: Paint) {
    match text::words(event) {
        text::Words::Result(text) => to_stdout(&text),
        text::Words::Failure(text) => to_stderr(&paint.lines(&text)),
        text::Words::Line(_) | text::Words::Nothing => {}
    }
}

/// A plan as people get it: for transcripts.
#[cfg(test)]
pub(crate) fn plan_in_words(plan: &Plan) -> String {
    lists::plan(plan)
}

/// What reviewers were given, as people get it: for transcripts.
#[cfg(test)]
pub(crate) fn reviewing_in_words(reviewing: &Reviewing) -> String {
    lists::reviewing(reviewing)
}

/// What `init` says.
#[cfg(test)]
pub(crate) fn initialized_in_words(project: &crate::commands::init::Initialized) -> String {
    lists::initialized(project)
}

/// A diagnosis as people get it: for transcripts.
#[cfg(test)]
pub(crate) fn diagnosis_in_words(diagnosis: &Diagnosis) -> String {
    diagnosis::diagnosis(diagnosis)
}

/// An event as people get it, in whichever way: for transcripts.
#[cfg(test)]
pub(crate) fn in_words(event: &Event) -> Option<String> {
    match text::words(event) {
        text::Words::Line(text) | text::Words::Result(text) | text::Words::Failure(text) => {
            Some(text)
        }
        text::Words::Nothing => None,
    }
}
