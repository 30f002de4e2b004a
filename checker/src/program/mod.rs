//! The command line around the library: arguments in, lines and an exit code out.

mod cli;
mod exit;
mod grid;
mod human;
mod interrupt;
mod output;
mod session;
mod summary;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use cli::{Cli, Plan};
use exit::{Exit, LastState};
use interrupt::Interrupt;
use output::Printer;
use session::Session;

/// Runs the program. Every way out has one of the exit codes that `--help` lists, panics included.
pub fn main() -> ExitCode {
    exit::on_panic();
    let plan = match Cli::try_parse().and_then(Cli::resolve) {
        Ok(plan) => plan,
        Err(error) => return output::usage(&error).into(),
    };
    // Two threads at least: a signal has to be heard while the other one is stuck in writing to a full pipe.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(plan));
            // A name that is still being resolved must not hold up the end.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => output::trouble("cannot start", &error).into(),
    }
}

async fn run(plan: Plan) -> Exit {
    let last = Arc::new(LastState::default());
    let mut interrupt = match Interrupt::listen(Arc::clone(&last)) {
        Ok(interrupt) => interrupt,
        Err(error) => return output::trouble("cannot listen for signals", &error),
    };
    let periodic = plan.period.is_some();
    let printer = Printer::new(plan.format);
    let mut session = Session::new(plan, printer, Arc::clone(&last));
    let mut result = tokio::select! {
        biased;
        () = interrupt.received() => Ok(()),
        result = session.run() => result,
    };
    if periodic && result.is_ok() {
        result = session.finish();
    }
    match result {
        Ok(()) => last.get(),
        // Whoever read has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => last.get(),
        Err(error) => output::trouble("cannot write", &error),
    }
}
