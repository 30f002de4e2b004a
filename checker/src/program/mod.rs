//! The command line around the library: arguments in, lines and an exit code out.

mod cli;
mod exit;
mod file;
mod grid;
mod hub;
mod human;
mod interrupt;
mod judge;
mod live;
mod log;
mod metrics;
mod nagios;
mod output;
mod page;
mod plan;
mod press;
mod session;
mod webhook;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use cli::{Cli, Command};
use exit::{Exit, LastState};
use hub::Hub;
use interrupt::Interrupt;
use log::{LogWriter, Terms};
use metrics::Board;
use output::Printer;
use plan::{Plan, Subject};
use press::Press;
use session::Session;
use webhook::Webhook;

use crate::clock::SystemClock;

/// Runs the program. Every way out has one of the exit codes that `--help` lists, panics included.
pub fn main() -> ExitCode {
    exit::on_panic();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error).into(),
    };
    match cli.command {
        Some(Command::Judge(judge)) => judge::run(&judge).into(),
        Some(Command::Report(page)) => page::run(&page).into(),
        None => match Plan::new(cli.watch) {
            Ok(plan) => start(plan).into(),
            Err(error) => output::usage(&error).into(),
        },
    }
}

fn start(plan: Plan) -> Exit {
    // Two threads at least: a signal has to be heard while the other one is stuck in writing to a full pipe.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(watch(plan));
            // A name that is still being resolved must not hold up the end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => output::trouble("cannot start", &error.to_string()),
    }
}

async fn watch(plan: Plan) -> Exit {
    exit::panic_if_told_to();
    let last = Arc::new(LastState::default());
    let mut interrupt = match Interrupt::listen(Arc::clone(&last)) {
        Ok(interrupt) => interrupt,
        Err(error) => return output::trouble("cannot listen for signals", &error.to_string()),
    };
    let mut hub = match hub(&plan, Arc::clone(&last)).await {
        Ok(hub) => hub,
        Err((what, detail)) => return output::trouble(&what, &detail),
    };
    let session = Session::new(&plan, Arc::new(SystemClock::new()));
    let ran = tokio::select! {
        biased;
        () = interrupt.received() => Ok(()),
        result = session.run(&mut hub) => result,
    };
    if plan.period.is_some() && ran.is_ok() {
        hub.summarise();
    }
    let printed = hub.close().await;
    match ran.and(printed) {
        Ok(()) => last.get(),
        // Whoever read has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => last.get(),
        Err(error) => output::trouble("cannot write", &crate::failure::detail(&error)),
    }
}

/// All that is told to, ready to be told.
async fn hub(plan: &Plan, last: Arc<LastState>) -> Result<Hub, (String, String)> {
    let detail = |error: io::Error| crate::failure::detail(&error);
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
    let board = plan.prometheus.map(|_| Arc::new(Board::default()));
    if let Some((address, board)) = plan.prometheus.zip(board.clone()) {
        metrics::serve(address, board)
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
    let press = Press::start(printer, plan.period.is_none())
        .map_err(|error| ("cannot start".to_owned(), detail(error)))?;
    Ok(Hub::new(press, last, targets)
        .with_log(log)
        .with_board(board)
        .with_webhook(webhook))
}
