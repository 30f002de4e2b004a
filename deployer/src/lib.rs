//! Puts a containerised Rust service on ECS Fargate, and makes sure that it works.
//!
//! ```text
//! Cli + env + deployer.toml ─► Config ─► observe ─► decide ─► AWS call ─► poll ─► Event ─► Reporter
//!                                          ▲                               │
//!                                          └───────────────────────────────┘
//! ```
//!
//! - [`config`] resolves all settings once.
//! - [`commands`] do the work. What they decide on, and how, is in the crate `deployment`.
//! - [`poll`] is the only loop; [`pollers`] are what it polls.
//! - [`retry`] repeats calls to AWS that fail transiently; the calls themselves are in the crate `aws`.
//! - [`report`] turns the events of `deployment` into what people and programs read. Only it prints.
//! - [`local`] runs the AWS emulator that `--local` uses.

pub mod cancellation;
pub mod cli;
pub mod commands;
pub mod config;
mod guard;
pub mod local;
mod lock;
pub mod poll;
pub mod pollers;
mod prompt;
pub mod report;
pub mod retry;
pub mod state;

#[cfg(test)]
mod testing;

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use cancellation::CancellationToken;
use cli::{Cli, Command};
use config::{Config, LogSettings};
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Sink};
use deployment::{cost, event, policy};

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    guard::catch_panics();
    // Panics of the command itself are failures of that: this one is for what surrounds it.
    catch_unwind(run_command).unwrap_or_else(|_| {
        if let Some(failure) = guard::panic_failure() {
            report::at_the_last(&failure);
        }
        ExitCode::from(FailureKind::Unexpected.exit_code())
    })
}

fn run_command() -> ExitCode {
    let cli = Arc::new(Cli::parse());
    start_diagnostics();
    let sink = Sink::new(match cli.command {
        Command::Logs(_) => report::beside_lines(cli.shared.output, cli.shared.color),
        Command::Up(_)
        | Command::Plan(_)
        | Command::Rollback(_)
        | Command::History
        | Command::Down(_)
        | Command::Status(_)
        | Command::Doctor(_)
        | Command::Image(_)
        | Command::Reviewer(_)
        | Command::Policy(_)
        | Command::Cost(_) => {
            report::journalled(report::choose(cli.shared.output, cli.shared.color))
        }
    });
    let result = runtime().and_then(|runtime| {
        let result = runtime.block_on(interruptible(&cli, &sink));
        // A call that still hangs must not keep the program from ending.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::WouldChange) => ExitCode::from(WOULD_CHANGE),
        Ok(Outcome::NotReady) => ExitCode::from(FailureKind::Preflight.exit_code()),
        Err(failure) => {
            let exit_code = failure.kind.exit_code();
            // That somebody has seen enough of the log is nothing to tell them.
            let enough =
                failure.kind == FailureKind::Interrupted && matches!(cli.command, Command::Logs(_));
            if !enough {
                sink.send(&Event::Failed { exit_code, failure });
            }
            ExitCode::from(exit_code)
        }
    }
}

/// Exit code of `plan --exit-code` when something would change. No failure has it, so that a pipeline never takes a typing error for
/// a change.
const WOULD_CHANGE: u8 = 8;

/// How a command that did not fail ended.
enum Outcome {
    /// It did what it is for.
    Done,
    /// It was asked whether something would change, and something would.
    WouldChange,
    /// It was asked whether everything is there, and something is not.
    NotReady,
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FailureKind::Unexpected, "cannot start").because(error))
}

/// Messages of the libraries on standard error, for whoever sets `DEPLOYER_LOG` (for example to `debug`).
fn start_diagnostics() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("DEPLOYER_LOG") else {
        return;
    };
    let filter = filter.and(filter_fn(|metadata| {
        is_free_of_secrets(metadata.target(), *metadata.level())
    }));
    #[expect(clippy::disallowed_methods, reason = "diagnostics, on request")]
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // That nobody reads them is told nobody: the attempt would end the program.
        .log_internal_errors(false)
        .with_filter(filter);
    tracing_subscriber::registry().with(layer).init();
}

/// At its most talkative, AWS's SDK shows whole answers, and with them logins and passwords.
fn is_free_of_secrets(target: &str, level: tracing::Level) -> bool {
    level < tracing::Level::TRACE || !target.starts_with("aws_")
}

/// Runs the command. The first Ctrl-C or SIGTERM ends it in order, where there is something to be put in order; a second one, or a
/// terminal that is closed, ends it at once. It says what that leaves.
async fn interruptible(cli: &Arc<Cli>, sink: &Sink) -> Result<Outcome, Failure> {
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
    let cancellation = CancellationToken::default();
    let signalled = async {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !cancellation.cancel() {
                return Failure::interrupted()
                    .hint("nothing has to be undone; an operation in progress on the stack continues, and `status` with the same options shows it");
            }
            if !first || cli.command.on_interrupt() == cli::OnInterrupt::Detach {
                return interrupted();
            }
            sink.note("interrupted: cancelling; press Ctrl-C again to exit at once");
        }
        interrupted()
    };
    let cancelled = async {
        tokio::select! {
            _ = hung_up => interrupted(),
            failure = signalled => failure,
        }
    };
    let (cli, sink, cancellation) = (Arc::clone(cli), sink.clone(), cancellation.clone());
    let work = move || async move { dispatch(&cli, &sink, &cancellation).await };
    guard::run(work, cancelled).await
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
    Failure::interrupted().hint("the operation on the stack continues: run the same command again to resume, or `status` with the same options to see it")
}

async fn dispatch(
    cli: &Cli,
    sink: &Sink,
    cancellation: &CancellationToken,
) -> Result<Outcome, Failure> {
    let config = match settings(cli) {
        Ok(config) => config,
        Err(failure) => return not_ready(cli, failure),
    };
    let started = |command| {
        sink.send(&Event::Started {
            format: event::FORMAT,
            command,
            stack: config.stack.clone(),
            local: config.access.local,
            version: env!("CARGO_PKG_VERSION"),
        });
    };
    let context = commands::Context {
        config: &config,
        sink,
        cancellation,
    };
    // For commands whose result is all there is to say.
    let quiet = Sink::new(Box::new(event::Silent));
    let quietly = commands::Context {
        sink: &quiet,
        ..context
    };
    match &cli.command {
        Command::Plan(cli::Plan { exit_code, .. })
        | Command::Up(cli::Up {
            preview:
                cli::Preview {
                    dry_run: true,
                    exit_code,
                },
            ..
        }) => {
            started("plan");
            let plan = Box::pin(commands::plan::run(context)).await?;
            report::plan(&plan, config.output);
            return Ok(if *exit_code && plan.changes_something() {
                Outcome::WouldChange
            } else {
                Outcome::Done
            });
        }
        Command::Up(_) => {
            started("up");
            Box::pin(commands::up::run(context)).await?;
        }
        Command::Rollback(rollback) => {
            started("rollback");
            Box::pin(commands::rollback::run(context, rollback.to.as_deref())).await?;
        }
        Command::History => {
            let history = commands::history::run(quietly).await?;
            report::history(&history, config.output);
        }
        Command::Down(_) => {
            started("down");
            commands::down::run(context).await?;
        }
        Command::Status(status) => {
            if status.watch {
                started("status");
                commands::status::watch(context).await?;
            }
            let status = commands::status::run(quietly).await?;
            report::status(&status, config.output);
        }
        Command::Logs(logs) => {
            let settings = LogSettings::resolve(logs)?;
            let mut lines = report::log_lines(config.output);
            commands::logs::run(context, settings, &mut lines).await?;
        }
        Command::Image(image) => {
            started(image.command.name());
            let inspection = Box::pin(commands::image::run(context, &image.command)).await?;
            if let Some(inspection) = inspection {
                report::inspection(&inspection, config.output);
            }
        }
        Command::Reviewer(reviewer) => {
            started(reviewer.command.name());
            let wish = reviewer.command.access();
            let reviewing = Box::pin(commands::reviewer::run(context, wish)).await?;
            report::reviewing(&reviewing, config.output);
        }
        Command::Policy(asked) => report::policy(&policy_for(asked, &config, sink)?),
        Command::Cost(_) => report::cost(&cost_of(&config)?, config.output),
        Command::Doctor(_) => {
            let diagnosis = commands::doctor::run(quietly).await;
            report::diagnosis(&diagnosis, config.output);
            if !diagnosis.ready {
                return Ok(Outcome::NotReady);
            }
        }
    }
    Ok(Outcome::Done)
}

/// What a service with these settings costs.
fn cost_of(config: &Config) -> Result<cost::Table, Failure> {
    let region = config.access.region.as_deref();
    let region = region.unwrap_or(cost::USUAL_REGION);
    let service_options = cost::Sizes::of_parameters(region, &config.parameters);
    let service_options = service_options.ok_or_else(|| {
        let message = "the sizes of the service are not known";
        Failure::new(FailureKind::Unexpected, message)
    })?;
    Ok(cost::table(&service_options))
}

/// The policy that was asked for; warns of what its user has to know.
fn policy_for(
    asked: &cli::Policy,
    config: &Config,
    sink: &Sink,
) -> Result<serde_json::Value, Failure> {
    let region = config.access.region.as_deref().ok_or_else(|| {
        Failure::preflight("a policy is for one region, and none is set")
            .hint("give it with `--region`, or set `region` in `deployer.toml`")
    })?;
    let scope = policy::Scope {
        region,
        account: config.account.as_deref(),
        stack: &config.stack,
        boundary: asked.boundary.as_deref(),
    };
    if asked.reviewers {
        return policy::reviewing(&scope);
    }
    sink.warn(policy::caution(&scope));
    policy::deploying(&scope)
}

/// Settings that cannot be resolved: what `doctor` is there to tell, and the end of every other command.
fn not_ready(cli: &Cli, failure: Failure) -> Result<Outcome, Failure> {
    match &cli.command {
        Command::Doctor(_) if failure.kind != FailureKind::Usage => {
            let diagnosis = commands::doctor::without_settings(&failure);
            report::diagnosis(&diagnosis, cli.shared.output);
            Ok(Outcome::NotReady)
        }
        Command::Doctor(_)
        | Command::Up(_)
        | Command::Plan(_)
        | Command::Rollback(_)
        | Command::History
        | Command::Down(_)
        | Command::Status(_)
        | Command::Logs(_)
        | Command::Image(_)
        | Command::Reviewer(_)
        | Command::Policy(_)
        | Command::Cost(_) => Err(failure),
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
    let resolve = |service_options: &cli::ServiceOptions, deploy: &cli::DeployOptions| {
        config::resolve(&cli.shared, service_options, deploy, file, &root)
    };
    match &cli.command {
        Command::Up(up) => {
            let mut config = resolve(&up.service_options, &up.deploy)?;
            config.image.archive.clone_from(&up.image_archive);
            Ok(Config {
                express: up.express,
                force: up.force,
                ..config
            })
        }
        Command::Plan(plan) => {
            let mut config = resolve(&plan.service_options, &cli::DeployOptions::default())?;
            config.image.archive.clone_from(&plan.image_archive);
            let wait = !plan.no_wait;
            Ok(Config { wait, ..config })
        }
        Command::Doctor(doctor) => resolve(&doctor.service_options, &cli::DeployOptions::default()),
        Command::Cost(cost) => resolve(&cost.service_options, &cli::DeployOptions::default()),
        Command::Image(image) => {
            let service_options = cli::ServiceOptions {
                image_options: image.command.source().image_options.clone(),
                ..cli::ServiceOptions::default()
            };
            resolve(&service_options, &cli::DeployOptions::default())
        }
        Command::Rollback(rollback) => resolve(&cli::ServiceOptions::default(), &rollback.deploy),
        Command::Down(down) => {
            let mut config = resolve(
                &cli::ServiceOptions::default(),
                &cli::DeployOptions::default(),
            )?;
            config.consent.retain.clone_from(&down.retain);
            config.consent.agreed = down.yes;
            Ok(config)
        }
        Command::History
        | Command::Status(_)
        | Command::Logs(_)
        | Command::Reviewer(_)
        | Command::Policy(_) => resolve(
            &cli::ServiceOptions::default(),
            &cli::DeployOptions::default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{WOULD_CHANGE, ignores_hangup, is_free_of_secrets};
    use tracing::Level;

    #[test]
    fn no_failure_looks_like_a_change() {
        // 0 to 7 and 130 are those of `FailureKind`; 101 is a panic's, and what a signal ends has more than 128.
        assert_eq!(WOULD_CHANGE, 8);
    }

    #[test]
    fn whole_answers_are_never_shown() {
        let orchestrator = "aws_smithy_runtime::client::orchestrator";
        assert!(!is_free_of_secrets(orchestrator, Level::TRACE));
        assert!(is_free_of_secrets(orchestrator, Level::DEBUG));
        assert!(is_free_of_secrets("deployer", Level::TRACE));
    }

    #[test]
    fn what_nohup_does_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
