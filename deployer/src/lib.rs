//! Deploys a containerised Rust service to ECS Fargate, and verifies that it works.
//!
//! - [`commands`] holds one file per command: its arguments and its implementation.
//! - [`cli`] holds the options that commands share; [`config`] resolves all settings once.
//! - `deploy`, `image`, `stack_operations` and their siblings hold the steps of commands.
//! - [`poll`] is the only polling loop; [`pollers`] are its subjects. [`retry`] repeats calls.
//! - [`report`] is the only module that prints: it renders events and the results of commands.
//! - [`local`] manages the AWS emulator that `--local` uses.
//!
//! The crate `deployment` holds the pure logic, the crate `aws` the calls of AWS.

pub mod cancellation;
mod checks;
pub mod cli;
pub mod commands;
pub mod config;
mod context;
mod deploy;
mod diagnostics;
mod explain;
mod guard;
mod host;
mod image;
pub mod local;
mod lock;
pub mod poll;
pub mod pollers;
mod prompt;
mod reachability;
pub mod report;
pub mod retry;
mod secrets;
mod service_linked_roles;
mod signals;
mod stack_operations;
pub mod state;
pub mod template;
mod verdict;

#[cfg(test)]
mod testing;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use cancellation::CancellationToken;
use commands::{Cli, Done};
use context::Context;
use deployment::error::{Failure, FailureKind};
use deployment::event::{self, Event, Sink};

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    guard::catch_panics();
    // `guard::run` turns a panic of the command into a failure. This catches panics around it.
    catch_unwind(run_command).unwrap_or_else(|_| {
        if let Some(failure) = guard::panic_failure() {
            report::at_the_last(&failure);
        }
        ExitCode::from(FailureKind::Unexpected.exit_code())
    })
}

fn run_command() -> ExitCode {
    // Shared with the thread that runs the command: see `guard::run`.
    let cli = Arc::new(Cli::parse());
    diagnostics::start();
    let (output, color) = (cli.shared.output, cli.shared.color);
    let (on_interrupt, continues, is_log_stream) = {
        let command = cli.command.get();
        let on_interrupt = command.on_interrupt();
        (on_interrupt, command.continues(), command.is_log_stream())
    };
    let reporter = if is_log_stream {
        // A log stream has standard output to itself, and no journal: it runs until it is
        // interrupted.
        report::beside_lines(output, color)
    } else {
        report::journalled(report::choose(output, color))
    };
    let environment = cli.command.get().environment(&cli.shared);
    let sink = Sink::new(report::in_environment(reporter, environment));
    let result = runtime().and_then(|runtime| {
        // `execute` takes the other clone along to its thread.
        let events = sink.clone();
        let work = move |token| async move { execute(&cli, &events, &token).await };
        let work = signals::interruptible(on_interrupt, continues, &sink, work);
        let result = runtime.block_on(work);
        // Dropping the runtime would wait for blocking calls: one that hangs would keep the program
        // running.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(failure) => {
            let exit_code = failure.kind.exit_code();
            // Ctrl-C is the normal end of a log stream, and therefore no failure to report, unless
            // something is left behind. Neither is a version that is held: an event has told of it.
            let is_end_of_log = is_log_stream
                && failure.kind == FailureKind::Interrupted
                && failure.hints.is_empty();
            if !is_end_of_log && failure.kind != FailureKind::Held {
                sink.send(&Event::Failed { exit_code, failure });
            }
            ExitCode::from(exit_code)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FailureKind::Unexpected, "cannot start").because(error))
}

/// Resolves the settings, executes the command, and prints its result; returns the exit code.
async fn execute(cli: &Cli, sink: &Sink, token: &CancellationToken) -> Result<u8, Failure> {
    let command = cli.command.get();
    let output = cli.shared.output;
    let Done { result, exit_code } = match command.settings(&cli.shared) {
        Ok(config) => {
            if let Some(name) = command.reported_as() {
                sink.send(&Event::Started {
                    format: event::FORMAT,
                    command: name,
                    stack: config.stack.clone(),
                    local: config.access.local,
                    version: env!("CARGO_PKG_VERSION"),
                });
            }
            let context = Context {
                config: &config,
                sink,
                cancellation: token,
            };
            let mut lines = report::log_lines(output, command.shows_output());
            command.execute(context, &mut lines).await?
        }
        // `doctor` also reports on settings that cannot be resolved.
        Err(failure) => command.without_settings(failure)?,
    };
    if let Some(result) = result {
        report::print(&result, output, command.environment(&cli.shared))?;
    }
    Ok(exit_code)
}
