//! Puts a containerised Rust service on ECS Fargate, and makes sure that it works.
//!
//! ```text
//! Cli + env + deployer.toml ─► Config ─► observe ─► decide ─► remote call ─► look ─► Event ─► Reporter
//!                                           ▲                               │
//!                                           └────────── engine ◄────────────┘
//! ```
//!
//! - [`config`] resolves all settings once, purely; commands see nothing else.
//! - [`stack`] and [`rollout`] are pure: what CloudFormation and ECS say, and what follows from it.
//! - [`engine`] is the only loop; [`watch`] is what it follows.
//! - [`event`] is the contract with the reporters in [`report`], the only place that prints.
//! - [`remote`] are the traits that `aws` implements, the only files that name an SDK crate; [`steady`] repeats what fails in passing.
//! - [`image`] compiles, packs and pushes without Docker; [`process`] is the only file that starts programs.
//! - [`local`] looks after the AWS emulator that `--local` uses.

pub mod aws;
pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod image;
pub mod local;
pub mod names;
pub mod process;
pub mod remote;
pub mod report;
pub mod rollout;
pub mod stack;
pub mod steady;
pub mod watch;

#[cfg(test)]
mod testing;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use cli::{Cli, Command};
use config::Config;
use error::{Failure, FailureKind};
use event::{Event, Sink};

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    start_diagnostics();
    let sink = Sink::new(report::choose(cli.shared.output));
    let result = runtime().and_then(|runtime| {
        let result = runtime.block_on(interruptible(&cli, &sink));
        // A call that still hangs must not keep the program from ending.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let exit_code = failure.kind.exit_code();
            sink.send(&Event::Failed { exit_code, failure });
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

/// Messages of the libraries on standard error, for whoever sets `DEPLOYER_LOG` (for example to `debug`).
fn start_diagnostics() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("DEPLOYER_LOG") {
        #[expect(clippy::disallowed_methods, reason = "diagnostics, on request")]
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}

/// Runs the command; Ctrl-C, SIGTERM and a terminal that is closed end it, and say what that leaves.
async fn interruptible(cli: &Cli, sink: &Sink) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(FailureKind::Unexpected, "cannot listen to signals").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // Whoever asked for it with `nohup` means it; to listen would undo that.
    let mut hangup = if hangup_is_ignored() {
        None
    } else {
        Some(signal(SignalKind::hangup()).map_err(failed)?)
    };
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = dispatch(cli, sink) => result,
        _ = hung_up => Err(interrupted()),
        _ = interrupt.recv() => Err(interrupted()),
        _ = terminate.recv() => Err(interrupted()),
    }
}

/// Was this process told to ignore that its terminal is closed?
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Of `/proc/self/status`: the lowest bit of the ignored signals is signal 1, SIGHUP.
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

fn interrupted() -> Failure {
    Failure::new(FailureKind::Interrupted, "interrupted")
        .hint("what was begun on the stack goes on by itself: the same command again comes back to it, `status` with the same options shows it")
}

async fn dispatch(cli: &Cli, sink: &Sink) -> Result<(), Failure> {
    let config = settings(cli)?;
    let begun = |command| {
        sink.send(&Event::Begun {
            format: event::FORMAT,
            command,
            stack: config.stack.clone(),
            local: config.access.local,
            version: env!("CARGO_PKG_VERSION"),
        });
    };
    match &cli.command {
        Command::Up(_) => {
            begun("up");
            Box::pin(commands::up::run(&config, sink)).await
        }
        Command::Down => {
            begun("down");
            commands::down::run(&config, sink).await
        }
        Command::Status => {
            let quiet = Sink::new(Box::new(event::Silent));
            let status = commands::status::run(&config, &quiet).await?;
            report::status(&status, config.output);
            Ok(())
        }
    }
}

/// Reads and resolves all settings.
fn settings(cli: &Cli) -> Result<Config, Failure> {
    let file = config::read(&cli.shared.config)?;
    let folder = cli
        .shared
        .config
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let root = std::fs::canonicalize(folder).map_err(|error| {
        Failure::preflight(format!("cannot find `{}`", folder.display())).because(error)
    })?;
    let default_up = cli::Up::for_other_commands();
    let up = match &cli.command {
        Command::Up(up) => up,
        Command::Down | Command::Status => &default_up,
    };
    config::resolve(
        &cli.shared,
        up,
        file,
        &root,
        std::env::var("AWS_DEFAULT_REGION").ok().as_ref(),
    )
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn what_nohup_does_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
