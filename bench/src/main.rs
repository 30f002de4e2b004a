//! Compares the project with its alternatives: `make bench`. See `docs/performance.md`.
//!
//! Ratios are the claim: contestants take turns, round by round, and only values of the same round
//! are compared ([`stats`]). [`pack`], [`load`], [`instructions`], [`checks`], [`deploy`],
//! [`strategies`] and [`help`] measure, [`goals`] judges, [`render`] shows.

mod checks;
mod deploy;
mod goals;
mod help;
mod http;
mod instructions;
mod load;
mod machine;
mod ours;
mod output;
mod pack;
mod pack_on_base;
mod process;
mod registry;
mod render;
mod report;
mod script;
mod servers;
mod setting;
mod stats;
mod strategies;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::Runtime;

use process::Error;
use report::{Report, Table};
use setting::Setting;

/// Compares the project with its alternatives.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 measured, 1 a program that is measured or needed does not work, 2 wrong usage, 4 a goal was missed (with --strict), 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, print the tables, and write them to `target/bench/report.json` and `report.md`.
    Run {
        /// Measure only these parts.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Part>,
        /// Rounds of each part, instead of its default.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
        rounds: Option<u16>,
        /// Exit with code 4 if a goal is missed.
        #[arg(long)]
        strict: bool,
    },
    /// Insert the tables of the last run into a document, between its marks.
    Paste {
        /// The document.
        document: PathBuf,
    },
    /// Pack `app` in a folder as a Dockerfile says, and push it: a contestant of `run`, as a
    /// process of its own.
    #[command(hide = true)]
    PackPush {
        dockerfile: PathBuf,
        folder: PathBuf,
        address: String,
    },
}

/// Part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Pack and push, and the size of the image.
    Pack,
    /// The service under load, its start and its memory.
    App,
    /// Instructions of the service for each request.
    Instructions,
    /// Whole checks of the checker, and a thousand targets.
    Checker,
    /// Deployments on the emulator.
    Up,
    /// Changes with each deployment strategy.
    Strategies,
    /// `deployer --help`.
    Help,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(Error::Interrupted) => {
            output::error("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode, Error> {
    match &cli.command {
        Command::Run {
            only,
            rounds,
            strict,
        } => {
            // Measuring blocks the main thread, so the signal watcher needs its own.
            let runtime = runtime(tokio::runtime::Builder::new_multi_thread().worker_threads(1))?;
            runtime.spawn(process::watch());
            let parts = if only.is_empty() {
                Part::value_variants()
            } else {
                only
            };
            let setting = Setting::find(rounds.map(usize::from))?;
            let report = measure(&runtime, &setting, parts)?;
            publish(&setting, &report)?;
            let is_missed = report.goals.iter().any(|goal| !goal.is_met);
            Ok(ExitCode::from(if *strict && is_missed { 4 } else { 0 }))
        }
        Command::Paste { document } => {
            paste(&Setting::find(None)?, document)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::PackPush {
            dockerfile,
            folder,
            address,
        } => {
            // A measured program, which its parent ends: no second thread, and no watcher.
            let runtime = runtime(&mut tokio::runtime::Builder::new_current_thread())?;
            let digest = runtime.block_on(ours::pack_and_push(dockerfile, folder, address))?;
            let memory = servers::peak_memory()?;
            output::result(&format!("{digest}\n{memory}\n"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime(builder: &mut tokio::runtime::Builder) -> Result<Runtime, Error> {
    let runtime = builder.enable_all().build();
    runtime.map_err(Error::at("cannot start"))
}

fn measure(runtime: &Runtime, setting: &Setting, parts: &[Part]) -> Result<Report, Error> {
    let started = (chrono::Utc::now(), Instant::now());
    let machine = machine::describe();
    output::note("compiling the app and its peers as for an image");
    let compile = |workspace: &Path, names, target: &str| {
        let target = setting.kept.join(target);
        process::check()?;
        runtime.block_on(ours::program(workspace, names, &target))
    };
    // The same profile and flags for all, so that only the code differs.
    let app = compile(&setting.root, ("app", "app"), "app")?;
    let servers = setting.root.join("bench/peers/servers");
    let is_wanted = |part| parts.contains(&part);
    let mut tables: Vec<Table> = Vec::new();
    if is_wanted(Part::Pack) {
        tables.extend(pack::measure(setting, &app)?);
        tables.push(pack_on_base::measure(setting, &app)?);
    }
    if is_wanted(Part::App) || is_wanted(Part::Instructions) {
        let hyper = compile(&servers, ("servers", "hyper-peer"), "peers")?;
        let axum = compile(&servers, ("servers", "axum-peer"), "peers")?;
        let servers = load::servers(&app, &hyper, &axum, setting.scratch());
        if is_wanted(Part::App) {
            tables.extend(load::measure(setting, &servers)?);
        }
        if is_wanted(Part::Instructions) {
            tables.push(instructions::measure(setting, &servers)?);
        }
    }
    if is_wanted(Part::Checker) {
        let checker = compile(&setting.root, ("checker", "checker"), "checker")?;
        tables.extend(checks::measure(setting, &app, &checker)?);
    }
    if is_wanted(Part::Up) {
        tables.push(deploy::measure(runtime, setting, &app)?);
    }
    if is_wanted(Part::Strategies) {
        tables.push(strategies::measure(runtime, setting, &app)?);
    }
    if is_wanted(Part::Help) {
        tables.push(help::measure(setting)?);
    }
    Ok(Report {
        format: report::FORMAT,
        started: started.0.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        seconds: started.1.elapsed().as_secs_f64(),
        machine,
        goals: goals::judge(&tables),
        tables,
    })
}

fn publish(setting: &Setting, report: &Report) -> Result<(), Error> {
    let write = |name: &str, text: &str| {
        let path = setting.kept.join(name);
        std::fs::write(&path, text).map_err(Error::at(path.display()))
    };
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| Error::Failed(format!("the report cannot be written: {error}")))?;
    let text = render::markdown(report);
    write("report.json", &json)?;
    write("report.md", &text)?;
    output::result(&text);
    Ok(())
}

fn paste(setting: &Setting, document: &Path) -> Result<(), Error> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::at(path.display()));
    let tables = read(&setting.kept.join("report.md"))?;
    let text = render::pasted(&read(document)?, &tables).ok_or_else(|| {
        Error::Failed(format!("`{}` has no marks for tables", document.display()))
    })?;
    std::fs::write(document, text).map_err(Error::at(document.display()))
}
