//! The only module that prints. Results go to stdout, everything else to stderr.

use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::time::Duration;

use clock::Report;
use clock::units::setting;
use console::Term;
use serde::Serialize;

use crate::cli::Format;
use crate::exit::{self, Exit};
use crate::live::Live;
use crate::series::{Finding, Outage, State, Summary, Trend};
use crate::{human, nagios};

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
        /// With patience: `--rise`, `--fall`.
        state: State,
        /// The one before; `null` for the first check.
        before: Option<State>,
        trends: &'a [Trend],
        #[serde(skip_serializing_if = "Option::is_none")]
        outage: Option<&'a Outage>,
        /// Ticks that passed before this check, while the one before it was running.
        missed_ticks: u64,
        /// Milliseconds from when it was due to when it began.
        late_ms: f64,
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
    form: Form,
    /// What was last said about waiting: said once, not with every attempt.
    waiting_for: Option<String>,
}

#[derive(Debug)]
enum Form {
    Lines,
    Live(Live),
    Json,
    /// And whether there are more targets than one.
    Nagios(Vec<nagios::Result>, bool),
}

impl Printer {
    /// `series` is the number of targets of a series.
    pub(crate) fn new(format: Format, series: Option<usize>) -> Self {
        let form = match (format, series) {
            (Format::Human, Some(targets)) if Term::stdout().is_term() => {
                Live::new(targets).map_or(Form::Lines, Form::Live)
            }
            (Format::Human, _) => Form::Lines,
            (Format::Json, _) => Form::Json,
            (Format::Nagios, series) => {
                Form::Nagios(Vec::new(), series.is_some_and(|targets| targets > 1))
            }
        };
        Self {
            form,
            waiting_for: None,
        }
    }

    /// The result of a check.
    pub(crate) fn check(&mut self, target: usize, finding: &Finding) -> io::Result<()> {
        match &mut self.form {
            Form::Lines => line(&human::check(finding)),
            Form::Live(live) => live.check(target, finding),
            Form::Json => json(&Line::Check {
                format: JSON_FORMAT,
                report: &finding.report,
                state: finding.state,
                before: finding.before,
                trends: &finding.trends,
                outage: finding.outage.as_ref(),
                missed_ticks: finding.tick.missed,
                late_ms: finding.tick.late_ms,
            }),
            // A plugin says one line, of all.
            Form::Nagios(results, _) => {
                results.push(nagios::Result::new(finding));
                Ok(())
            }
        }
    }

    /// The last target of a round was checked.
    pub(crate) fn round(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Nagios(results, several) if !results.is_empty() => {
                line(&nagios::line(&std::mem::take(results), !*several))
            }
            Form::Nagios(..) | Form::Lines | Form::Live(_) | Form::Json => Ok(()),
        }
    }

    /// The end of a series.
    pub(crate) fn summaries(&mut self, summaries: &[&Summary]) -> io::Result<()> {
        if let Form::Live(live) = &mut self.form {
            live.end()?;
        }
        let several = summaries.len() > 1;
        for summary in summaries {
            match self.form {
                Form::Lines | Form::Live(_) => line(&human::summary(summary, several))?,
                Form::Json => json(&Line::Summary {
                    format: JSON_FORMAT,
                    summary,
                })?,
                Form::Nagios(..) => note(&human::summary(summary, several)),
            }
        }
        Ok(())
    }

    /// Why it is not over yet, on stderr, when that has changed.
    pub(crate) fn waiting(&mut self, report: &Report, patience: Duration) {
        if self.waiting_for != report.cause {
            self.waiting_for.clone_from(&report.cause);
            let cause = report.cause.as_deref().unwrap_or_default();
            note(&format!("waiting up to {}: {cause}", setting(patience)));
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
pub(crate) fn trouble(what: &str, detail: &str) -> Exit {
    note(&format!("error: {what}: {detail}"));
    Exit::Unknown
}

/// Makes a panic, on whichever thread, one line and exit code 3.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        panicked(panic);
        exit::now(Exit::Unknown);
    }));
}

/// A mistake in this program.
fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(String::new, |location| format!(" at {location}"));
    // The live view leaves the cursor behind its last line.
    if Term::stderr().is_term() {
        note("");
    }
    note(&format!(
        "internal error{place}: {message} (a bug: report this line, and what `RUST_BACKTRACE=1` adds to it)"
    ));
}

fn json(value: &Line<'_>) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// A result.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stdout"
)]
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Something else. Nothing depends on stderr: when it is closed, so be it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stderr"
)]
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
