//! The `checker` program: verifies from outside that a service is up and that its clock is right.
//!
//! Reads arguments, prints lines and sets an exit code. The method is in the `clock` crate, the
//! network side in `probe`; `docs/checker.md` describes verdicts and output formats.

mod cli;
mod exit;
mod fan_out;
mod file;
mod grid;
mod human;
mod interrupt;
mod judge;
mod live;
mod log;
mod metrics;
mod nagios;
mod notify;
mod output;
mod page;
mod plan;
mod reload;
mod request;
#[cfg(test)]
mod samples;
mod series;
mod session;
mod webhook;
mod writer;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory as _;
use fan_out::FanOut;
use probe::SystemClock;
use writer::Writer;

use cli::{Cli, Command, SchemaOf, Watch, WebhookCommand};
use exit::{Exit, LastState};
use interrupt::Interrupt;
use log::{LogWriter, Terms};
use metrics::Metrics;
use notify::Notify;
use output::Printer;
use plan::{Plan, Subject};
use reload::Reload;
use session::Session;
use webhook::Webhook;

/// Runs the program. Every exit has one of the codes that `--help` lists, panics included.
fn main() -> ExitCode {
    output::on_panic();
    output::look_for_plugin(std::env::args_os());
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error).into(),
    };
    match cli.command {
        Some(Command::Judge(judge)) => judge::run(&judge).into(),
        Some(Command::Report(page)) => page::run(&page).into(),
        Some(Command::Webhook(WebhookCommand::Test { webhook })) => test_webhook(&webhook).into(),
        Some(Command::Schema { of }) => {
            let schema = match of {
                SchemaOf::Targets => file::schema(),
                SchemaOf::Output => output::schema(),
            };
            output::text(&format!("{schema:#}")).into()
        }
        Some(Command::Completions { shell }) => {
            output::text(&command_line::completions(Cli::command(), shell)).into()
        }
        Some(Command::ManPages { folder }) => man_pages(&folder).into(),
        None => match Plan::new(cli.watch.clone()) {
            Ok(plan) => start(plan, &cli.watch).into(),
            Err(error) => output::usage(&error).into(),
        },
    }
}

fn man_pages(folder: &Path) -> Exit {
    match command_line::write_man_pages(Cli::command(), folder) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            let what = format!("cannot write to {}", folder.display());
            output::trouble(&what, &error.to_string())
        }
    }
}

fn test_webhook(address: &str) -> Exit {
    let url = match plan::web_address(address) {
        Ok(url) => url,
        Err(detail) => return output::trouble("cannot test the webhook", &detail),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(webhook::test(&url)),
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(status) => {
            let _ = output::line(&format!("the webhook answered {status}"));
            Exit::Ok
        }
        Err(detail) => output::trouble("the webhook does not take a test message", &detail),
    }
}

fn start(plan: Plan, arguments: &Watch) -> Exit {
    let mut runtime = if plan.period.is_some() {
        // Nothing blocks in a series, and on one thread no check has to wake another one.
        tokio::runtime::Builder::new_current_thread()
    } else {
        // One thread handles signals while the other is blocked writing to a full pipe.
        let mut several = tokio::runtime::Builder::new_multi_thread();
        several.worker_threads(2);
        several
    };
    let runtime = runtime.enable_all().build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(watch(plan, arguments));
            // A name resolution still running on the blocking pool must not delay the exit.
            runtime.shutdown_background();
            exit
        }
        Err(error) => output::trouble("cannot start", &error.to_string()),
    }
}

async fn watch(plan: Plan, arguments: &Watch) -> Exit {
    exit::panic_if_told_to();
    let last = Arc::new(LastState::default());
    // First of all, so that a signal during the setup exits with a code from `--help`.
    let listening = Reload::listen(arguments, &plan).and_then(|reload| {
        let last = Arc::clone(&last);
        let interrupt = Interrupt::listen(last, plan.stops_with_ok, reload.is_some())?;
        Ok((interrupt, reload))
    });
    let (mut interrupt, mut reload) = match listening {
        Ok(listening) => listening,
        Err(error) => return output::trouble("cannot listen for signals", &error.to_string()),
    };
    let mut fan_out = match fan_out(&plan, Arc::clone(&last)).await {
        Ok(fan_out) => fan_out,
        Err((what, detail)) => return output::trouble(&what, &detail),
    };
    let session = Session::new(&plan, Arc::new(SystemClock::new()));
    let notify = Notify::from_environment();
    // After all outputs are open, so that errors at start-up reach the service manager.
    notify.ready();
    let (ran, is_interrupted) = tokio::select! {
        // The signal first: a session that is always ready must not hide it.
        biased;
        () = interrupt.received() => (Ok(()), true),
        result = session.run(&mut fan_out, &notify, reload.as_mut()) => (result, false),
    };
    notify.stopping();
    // After a print error there is no reader for a summary.
    if plan.period.is_some() && ran.is_ok() {
        fan_out.summarise();
    }
    let printed = if is_interrupted {
        fan_out.close(true).await
    } else {
        // The webhook may retry for a minute, so a signal ends the wait.
        tokio::select! {
            printed = fan_out.close(false) => printed,
            () = interrupt.received() => Ok(()),
        }
    };
    match ran.and(printed) {
        Ok(()) => interrupt.code(),
        // A reader such as `head` has closed the pipe, which is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => interrupt.code(),
        Err(error) => output::trouble("cannot write", &probe::detail(&error)),
    }
}

/// Opens all outputs of the plan.
async fn fan_out(plan: &Plan, last: Arc<LastState>) -> Result<FanOut, (String, String)> {
    let detail = |error: io::Error| probe::detail(&error);
    let log = plan
        .log
        .as_ref()
        .map(|path| {
            let terms = |subject: &Subject| Terms::new(&subject.settings, plan.hysteresis);
            LogWriter::open(path, plan.subjects.iter().map(terms).collect()).map_err(|error| {
                (
                    format!("cannot write the log {}", path.display()),
                    detail(error),
                )
            })
        })
        .transpose()?;
    let metrics = plan.prometheus.map(|_| Arc::new(Metrics::default()));
    if let Some((address, metrics)) = plan.prometheus.zip(metrics.clone()) {
        metrics::serve(address, metrics)
            .await
            .map_err(|error| (format!("cannot listen at {address}"), detail(error)))?;
    }
    let webhook = plan
        .webhook
        .clone()
        .map(Webhook::new)
        .transpose()
        .map_err(|failure| ("cannot use the webhook".to_owned(), failure.to_string()))?;
    let targets = plan.subjects.len();
    let printer = Printer::new(plan.format, plan.period.map(|_| targets));
    // Without a series the printed result is all there is, so the writer waits for its reader.
    let writer = Writer::start(printer, plan.period.is_none())
        .map_err(|error| ("cannot start".to_owned(), detail(error)))?;
    Ok(FanOut::new(writer, last, targets)
        .ending_with(plan.exit)
        .with_log(log)
        .with_metrics(metrics)
        .with_webhook(webhook))
}
