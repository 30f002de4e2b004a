//! Reporters: progress bars on a terminal, lines elsewhere, groups and annotations in GitHub
//! Actions, JSON Lines, and the journal. Only this module prints.
//!
//! Pure submodules turn events and the time into text: `text`, `screen`, `log`, `workflow`,
//! `markdown`.

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
use crate::commands::schema::Of;
#[cfg(test)]
use crate::commands::{doctor::Diagnosis, plan::Plan, reviewer::Reviewing};
use crate::pollers::LogReader;
#[cfg(test)]
use crate::testing::schema::assert_result;
use color::Paint;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Reporter};
use support::printable::without_commands;

/// Interval at which a log is checked for due lines.
const LOG_TICK: Duration = Duration::from_millis(250);

/// Returns the JSON Schema of output.
pub fn schema(of: Of) -> serde_json::Value {
    match of {
        Of::Events => json::schema_of::<json::Line<'_>>(),
        Of::Logs => json::schema_of::<lines::Object<'_>>(),
        Of::Results | Of::Config => json::schema_of::<CommandResult>(),
    }
}

/// Returns the reporter for this form of output and this environment.
pub fn choose(output: Output, color: Color) -> Box<dyn Reporter> {
    let terminal = crate::prompt::is_capable_terminal();
    let paint = Paint::new(color, terminal);
    match output {
        Output::Json => Box::new(json::Json),
        // Checked before the terminal, which a self-hosted runner may have.
        Output::Human if github::is_here() => Box::new(github::GitHub::new(paint)),
        Output::Human if terminal => Box::new(terminal::Terminal::new(paint)),
        Output::Human => Box::new(plain::Plain::new(paint)),
    }
}

/// Wraps a reporter so that it also writes a journal, if the user has a state directory.
pub fn journalled(reporter: Box<dyn Reporter>) -> Box<dyn Reporter> {
    match crate::state::folder() {
        Some(folder) => Box::new(journal::Journal::new(reporter, folder)),
        None => reporter,
    }
}

/// Wraps a reporter so that the commands in messages name this environment.
pub fn in_environment(reporter: Box<dyn Reporter>, name: Option<&str>) -> Box<dyn Reporter> {
    match name {
        Some(name) => Box::new(environment::InEnvironment {
            inner: reporter,
            name: name.to_owned(),
        }),
        None => reporter,
    }
}

/// Returns the reporter for commands whose result is log lines.
pub fn beside_lines(output: Output, color: Color) -> Box<dyn Reporter> {
    let paint = Paint::new(color, crate::prompt::is_capable_terminal());
    Box::new(lines::Beside { output, paint })
}

/// Returns a printer of log lines: with time and task, or only messages if `is_output` of a single
/// program.
pub fn log_lines(output: Output, is_output: bool) -> impl LogReader {
    let form = if is_output {
        lines::message
    } else {
        lines::human
    };
    lines::Lines { output, form }
}

/// Calls `tick` at this interval on a thread, until all other references to the state are dropped.
fn keep_ticking<State: Send + 'static>(
    state: &Arc<Mutex<State>>,
    every: Duration,
    tick: impl Fn(&mut State) + Send + 'static,
) {
    let weak = Arc::downgrade(state);
    // A weak reference, so that the thread ends with its reporter.
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(every);
            let Some(state) = weak.upgrade() else { return };
            // A panic elsewhere must not end the output, so a poisoned lock is used all the same.
            tick(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
}

/// Returns the current time for durations: the wall clock at the first call plus the monotonic time
/// since. Setting the clock during a run would otherwise turn a second into an hour. Journals and
/// JSON Lines use the wall clock.
fn steady_now() -> DateTime<Utc> {
    static START: LazyLock<(DateTime<Utc>, Instant)> =
        LazyLock::new(|| (Utc::now(), Instant::now()));
    START.0 + START.1.elapsed()
}

/// Prints the result of a command as text or one JSON object. Its commands name this environment.
pub(crate) fn print(
    result: &CommandResult,
    output: Output,
    environment: Option<&str>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(FailureKind::Unexpected, "cannot print").because(error);
    let text = match (output, result) {
        // Indented, because people read these in both forms of output.
        (_, CommandResult::Document(document)) => {
            serde_json::to_string_pretty(document).map_err(failed)? + "\n"
        }
        (_, CommandResult::Schema(of)) => format!("{:#}\n", schema(*of)),
        (_, CommandResult::Text(text)) => text.clone(),
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
        (Output::Human, CommandResult::Verification(it)) => inspection::verification(it),
        (Output::Human, CommandResult::Reviewing(reviewing)) => lists::reviewing(reviewing),
        (Output::Human, CommandResult::Template { template }) => template.clone(),
        (Output::Human, CommandResult::Cost(table)) => table.text(),
        (Output::Human, CommandResult::Diagnosis(found)) => diagnosis::diagnosis(found),
    };
    to_stdout(&crate::explain::in_environment(&text, environment));
    Ok(())
}

/// Writes to standard output, without commands to a pipeline. A reader that is gone ends the
/// output, but not the command.
fn to_stdout(text: &str) {
    let text = without_commands(text);
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        // Text without a final line break would otherwise wait in the buffer.
        .and_then(|()| stdout.flush());
}

/// Writes to standard error, without commands to a pipeline.
fn to_stderr(text: &str) {
    commands_to_stderr(&without_commands(text));
}

/// Writes text to standard error that may contain this program's own commands to GitHub.
fn commands_to_stderr(text: &str) {
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Prints a failure when the reporter may no longer work.
pub fn at_the_last(failure: &Failure) {
    to_stderr(&support::printable::printable(&text::failure(failure)));
}

/// Prints the end of a command: results to standard output, failures to standard error.
fn print_end(event: &Event, paint: Paint) {
    match text::words(event) {
        text::Words::Result(text) => to_stdout(&text),
        text::Words::Failure(text) => to_stderr(&paint.lines(&text)),
        text::Words::Line(_) | text::Words::Nothing => {}
    }
}

/// Returns an event as a line of JSON, for transcripts.
#[cfg(test)]
pub(crate) fn as_line(event: &Event) -> String {
    json::line(Utc::now(), event)
}

/// Returns a plan as text, for transcripts.
#[cfg(test)]
pub(crate) fn plan_in_words(plan: &Plan) -> String {
    assert_result(plan);
    lists::plan(plan)
}

/// Returns a status as text, for transcripts.
#[cfg(test)]
pub(crate) fn status_in_words(status: &crate::commands::status::Status) -> String {
    assert_result(status);
    text::status(status)
}

/// Returns the access of reviewers as text, for transcripts.
#[cfg(test)]
pub(crate) fn reviewing_in_words(reviewing: &Reviewing) -> String {
    assert_result(reviewing);
    lists::reviewing(reviewing)
}

/// Returns the result of `init` as text, for transcripts.
#[cfg(test)]
pub(crate) fn initialized_in_words(project: &crate::commands::init::Initialized) -> String {
    assert_result(project);
    lists::initialized(project)
}

/// Returns a diagnosis as text, for transcripts.
#[cfg(test)]
pub(crate) fn diagnosis_in_words(diagnosis: &Diagnosis) -> String {
    assert_result(diagnosis);
    diagnosis::diagnosis(diagnosis)
}

/// Returns an event as text, for transcripts.
#[cfg(test)]
pub(crate) fn in_words(event: &Event) -> Option<String> {
    match text::words(event) {
        text::Words::Line(text) | text::Words::Result(text) | text::Words::Failure(text) => {
            Some(text)
        }
        text::Words::Nothing => None,
    }
}
