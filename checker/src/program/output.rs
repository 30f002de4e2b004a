//! The only module that prints. Results go to stdout, everything else to stderr.

use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::time::Duration;

use serde::Serialize;

use crate::program::cli::Format;
use crate::program::exit::Exit;
use crate::program::human;
use crate::program::summary::Summary;
use crate::report::Report;
use crate::units::setting;

/// The format of the JSON lines; raised when a reader would have to change.
const JSON_FORMAT: u32 = 1;

/// A JSON line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Check {
        format: u32,
        #[serde(flatten)]
        report: &'a Report,
        /// Ticks that passed before this check, while the one before it was running.
        missed_ticks: u64,
    },
    Summary {
        format: u32,
        #[serde(flatten)]
        summary: &'a Summary,
    },
}

/// Writes results in the chosen format.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    /// What was last said about waiting: said once, not with every attempt.
    waiting_for: Option<String>,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            waiting_for: None,
        }
    }

    /// The result of a check.
    pub(crate) fn check(&self, report: &Report, missed_ticks: u64) -> io::Result<()> {
        match self.format {
            Format::Human => line(&human::check(report, missed_ticks)),
            Format::Json => json(&Line::Check {
                format: JSON_FORMAT,
                report,
                missed_ticks,
            }),
        }
    }

    /// The end of a series.
    pub(crate) fn summary(&self, summary: &Summary) -> io::Result<()> {
        match self.format {
            Format::Human => line(&human::summary(summary)),
            Format::Json => json(&Line::Summary {
                format: JSON_FORMAT,
                summary,
            }),
        }
    }

    /// Why it is not over yet, on stderr, when that has changed.
    pub(crate) fn waiting(&mut self, report: &Report, patience: Duration) {
        if self.waiting_for != report.cause {
            self.waiting_for.clone_from(&report.cause);
            let cause = report.cause.as_deref().unwrap_or_default();
            aside(&format!("waiting up to {}: {cause}", setting(patience)));
        }
    }
}

/// Help, version, or what is wrong with the arguments. clap's own exit code for that means CRITICAL here.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    if error.use_stderr() {
        Exit::Unknown
    } else {
        Exit::Ok
    }
}

/// An error of our own.
pub(crate) fn trouble(what: &str, error: &io::Error) -> Exit {
    aside(&format!("error: {what}: {error}"));
    Exit::Unknown
}

/// A mistake in this program.
pub(crate) fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(String::new, |location| format!(" at {location}"));
    aside(&format!("internal error{place}: {message}"));
}

fn json(value: &Line<'_>) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stdout"
)]
fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Nothing depends on stderr: when it is closed, so be it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stderr"
)]
fn aside(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
