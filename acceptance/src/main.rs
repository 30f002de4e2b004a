//! Proves the project on an AWS account, or on the emulator: `make acceptance`. See
//! `docs/acceptance.md`.
//!
//! [`steps`] calls the programs under test by their public command line, [`trap`] deletes what they
//! created however the run ends, [`record`] lets the next run do so after `kill -9`, [`claims`]
//! judges what could not be proved so far, and [`render`] shows the [`report`].

mod claims;
mod deletion;
mod images;
mod load;
mod output;
mod place;
mod price;
mod process;
mod programs;
mod record;
mod render;
mod report;
mod steps;
mod trap;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

use place::Place;

/// Proves the project on an AWS account, or on the emulator.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 passed, 1 a step failed, 2 wrong usage, 3 not started, 5 something may be left, 130 interrupted. With 0, 1, 3 and 130 nothing is left."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the price, ask, deploy in every way, delete everything, and write a report.
    Run(Box<Run>),
    /// Build the images of a run into a folder. Needs no credentials.
    Images {
        /// The folder.
        folder: PathBuf,
    },
    /// Delete what killed runs have left.
    Clean,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    place: Place,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Name of the stack, for credentials that may deploy only one. It must not exist. Default: a
    /// random name
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Run only these steps; `doctor`, `create` and `delete` always run.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(steps::STEPS.map(|step| step.0)))]
    only: Vec<String>,
    /// Parameter of the template for each deployment, for example `PermissionsBoundary=ARN`.
    /// Repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
    /// Take the images from this folder, which `acceptance images` has filled, instead of building
    /// them.
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Time after which the run is ended and everything is deleted, such as `90m`. The deletion has
    /// no limit.
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = humantime::parse_duration)]
    limit: Duration,
    /// Compare with this report.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Write `report.json` and `report.md` into this folder. Default: `target/acceptance`
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
}

/// Reason why there is no run.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Nothing was created.
    #[error("{0}")]
    NotStarted(String),
    /// A run before may have left something.
    #[error("{0}")]
    Left(String),
    #[error("interrupted; nothing was created")]
    Interrupted,
}

impl From<String> for Error {
    fn from(reason: String) -> Self {
        Self::NotStarted(reason)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(start(cli.command)),
        Err(error) => Err(Error::NotStarted(format!("cannot start: {error}"))),
    };
    let error = match result {
        Ok(code) => return ExitCode::from(code),
        Err(error) => error,
    };
    output::error(&error.to_string());
    ExitCode::from(match error {
        Error::NotStarted(_) => 3,
        Error::Left(_) => 5,
        Error::Interrupted => 130,
    })
}

async fn start(command: Command) -> Result<u8, Error> {
    match command {
        Command::Run(run) => trap::run(*run).await,
        Command::Images { folder } => {
            let mut signals = trap::Signals::new()?;
            build_images(&folder, &mut signals).await?;
            Ok(0)
        }
        Command::Clean => {
            let mut signals = trap::Signals::new()?;
            trap::clean(&mut signals).await?;
            Ok(0)
        }
    }
}

/// Builds the images, until a signal comes.
async fn build_images(folder: &Path, signals: &mut trap::Signals) -> Result<(), Error> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    let mark = format!("images-{}", std::process::id());
    let result = tokio::select! {
        result = images::build(folder, &mark) => result.map_err(Error::from),
        _ = signals.next() => Err(Error::Interrupted),
    };
    process::end_all(&mark).await;
    result
}
