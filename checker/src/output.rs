//! All output. Results go to stdout, everything else to stderr; no other module prints.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Report;
use clock::units::setting;
use console::Term;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use crate::cli::Format;
use crate::exit::{self, Exit};
use crate::live::Live;
use crate::series::{Finding, Outage, State, Summary, Trend};
use crate::{human, nagios};

/// Format version of the JSON lines. Incremented when readers have to change.
const JSON_FORMAT: u32 = 1;

/// JSON line.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Check {
        format: u32,
        #[serde(flatten)]
        report: &'a Report,
        /// State with hysteresis: `--rise`, `--fall`.
        state: State,
        /// State before this check; `null` for the first one.
        before: Option<State>,
        trends: &'a [Trend],
        #[serde(skip_serializing_if = "Option::is_none")]
        outage: Option<&'a Outage>,
        /// Ticks that passed before this check, while the previous one was running.
        missed_ticks: u64,
        /// Milliseconds from the moment the check was due to its start.
        late_ms: f64,
    },
    Summary {
        format: u32,
        #[serde(flatten)]
        summary: &'a Summary,
    },
}

/// Returns the JSON Schema of such a line.
pub(crate) fn schema() -> serde_json::Value {
    let settings = SchemaSettings::draft07().for_serialize();
    let generator = settings.into_generator();
    generator.into_root_schema_for::<Line<'_>>().to_value()
}

/// Printer of results in the chosen format.
#[derive(Debug)]
pub(crate) struct Printer {
    form: Form,
    /// Last note about waiting, so that attempts with the same cause do not repeat it.
    waiting_for: Option<String>,
}

#[derive(Debug)]
enum Form {
    Lines,
    Live(Live),
    Json,
    /// Results of the current round, and whether there are several targets.
    Nagios(Vec<nagios::Result>, bool),
}

impl Printer {
    /// Creates a printer. `series` is the number of targets of a series.
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

    /// Prints the result of a check.
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
            // A monitoring plugin prints one line for all targets.
            Form::Nagios(results, _) => {
                results.push(nagios::Result::new(finding));
                Ok(())
            }
        }
    }

    /// Removes a target from the live view.
    pub(crate) fn forget(&mut self, target: usize) {
        if let Form::Live(live) = &mut self.form {
            live.forget(target);
        }
    }

    /// Ends a round: the last target was checked.
    pub(crate) fn round(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Nagios(results, several) if !results.is_empty() => {
                line(&nagios::line(&std::mem::take(results), !*several))
            }
            Form::Nagios(..) | Form::Lines | Form::Live(_) | Form::Json => Ok(()),
        }
    }

    /// Prints the summaries at the end of a series.
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
                // Monitoring systems parse stdout, so the summary goes to stderr.
                Form::Nagios(..) => note(&human::summary(summary, several)),
            }
        }
        Ok(())
    }

    /// Prints to stderr what the program is waiting for, if it has changed.
    pub(crate) fn waiting(&mut self, report: &Report, patience: Duration) {
        if self.waiting_for != report.cause {
            self.waiting_for.clone_from(&report.cause);
            let cause = report.cause.as_deref().unwrap_or_default();
            note(&format!("waiting up to {}: {cause}", setting(patience)));
        }
    }
}

/// Set if a monitoring system reads stdout, and shows nothing else.
static IS_PLUGIN: AtomicBool = AtomicBool::new(false);

/// Finds out from the raw arguments whether the output is that of a monitoring plugin, because
/// errors of usage come before the arguments are parsed.
pub(crate) fn look_for_plugin(arguments: impl Iterator<Item = OsString>) {
    let mut previous = OsString::new();
    for argument in arguments {
        if argument == "--output=nagios" || (previous == "--output" && argument == "nagios") {
            // Relaxed, because no other memory is published through it.
            IS_PLUGIN.store(true, Ordering::Relaxed);
        }
        previous = argument;
    }
}

/// Prints an error as a monitoring plugin does, if that is the output.
fn plugin_line(text: &str) {
    if IS_PLUGIN.load(Ordering::Relaxed) {
        let first = text.lines().next().unwrap_or_default().replace('|', "/");
        let first = first.strip_prefix("error: ").unwrap_or(&first);
        let _ = line(&format!("CHECKER UNKNOWN - {first}"));
    }
}

/// Prints help, version, or a usage error. clap's exit code for usage errors would mean CRITICAL
/// here.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // If the terminal is gone, there is nowhere to report the error.
    let _ = error.print();
    // clap also returns `--help` and `--version` as errors, but prints them to stdout.
    if error.use_stderr() {
        plugin_line(&error.to_string());
        Exit::Unknown
    } else {
        Exit::Ok
    }
}

/// Prints an error of this program.
pub(crate) fn trouble(what: &str, detail: &str) -> Exit {
    let text = format!("error: {what}: {detail}");
    note(&text);
    plugin_line(&text);
    Exit::Unknown
}

/// Installs a panic hook that prints one line and exits with code 3, whichever thread panics.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        panicked(panic);
        // A panic ends only its own thread, and the others would continue without it.
        exit::now(Exit::Unknown);
    }));
}

/// Reports a panic.
fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(String::new, |location| format!(" at {location}"));
    // The live view leaves the cursor at the end of its last line.
    if Term::stderr().is_term() {
        note("");
    }
    note(&format!(
        "internal error{place}: {message} (a bug: report this line, and what `RUST_BACKTRACE=1` adds to it)"
    ));
}

/// Writes a text of many lines to stdout. A reader that is gone wants no more of it.
pub(crate) fn text(text: &str) -> Exit {
    match line(text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            trouble("cannot write", &error.to_string())
        }
        _ => Exit::Ok,
    }
}

fn json(value: &Line<'_>) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Writes a line to stdout.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stdout"
)]
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    // One write for the whole line. The buffer of stdout would split a long one.
    stdout.write_all([text, "\n"].concat().as_bytes())?;
    stdout.flush()
}

/// Writes a line to stderr. Errors are ignored: no result depends on stderr.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to stderr"
)]
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
