//! `deployer up`, `plan` and `rollback`: what is deployed, and how that is gone about.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::image::Making;

/// How long the check may take, unless told otherwise.
const DEFAULT_VERIFY_TIMEOUT: &str = "2m";

/// Settings of the service; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Default, Args)]
pub struct Sizes {
    /// Tasks that should run, at least 2.
    #[arg(long, value_name = "N", env = "DEPLOYER_TASKS")]
    pub tasks: Option<u32>,

    /// Most tasks under load; then `--tasks` is the fewest. Default: their number stays.
    #[arg(long, value_name = "N", env = "DEPLOYER_MAX_TASKS")]
    pub max_tasks: Option<u32>,

    /// CPU units of a task: 256 is a quarter of a virtual CPU.
    #[arg(long, value_name = "UNITS", env = "DEPLOYER_CPU")]
    pub cpu: Option<u32>,

    /// Memory of a task in MiB.
    #[arg(long, value_name = "MIB", env = "DEPLOYER_MEMORY")]
    pub memory: Option<u32>,

    /// Any other parameter of the template (see `docs/template.md`). May be given several times.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,

    /// The image.
    #[command(flatten)]
    pub making: Making,
}

/// How a deployment goes about it.
#[derive(Debug, Args)]
pub struct Manner {
    /// How long the check from outside may take to succeed; then the version before is put back.
    #[arg(long, value_name = "DURATION", env = "DEPLOYER_VERIFY_TIMEOUT", default_value = DEFAULT_VERIFY_TIMEOUT)]
    pub verify_timeout: String,

    /// Keep checking for this long before success is declared: a version that crashes, or stops answering, is taken back. Default:
    /// the first check that succeeds is enough.
    #[arg(long, value_name = "DURATION", env = "DEPLOYER_WATCH_FOR")]
    pub watch_for: Option<String>,

    /// Agree to replace or remove what exists; without it, `up` asks, or stops where there is nobody to ask.
    #[arg(long)]
    pub yes: bool,

    /// Do not wait for what somebody else has begun: end with exit code 7.
    #[arg(long)]
    pub no_wait: bool,

    /// Where a rollback got stuck: continue it without this resource (its name in the template), which stays as it is. May be
    /// given several times.
    #[arg(long = "skip-resource", value_name = "NAME")]
    pub skip: Vec<String>,

    /// What Ctrl-C and SIGTERM do while something is under way: take it back, or leave it to itself. A second one always leaves.
    #[arg(long, value_enum, value_name = "WHAT", env = "DEPLOYER_ON_INTERRUPT", default_value_t = OnInterrupt::Cancel)]
    pub on_interrupt: OnInterrupt,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            verify_timeout: DEFAULT_VERIFY_TIMEOUT.to_owned(),
            watch_for: None,
            yes: false,
            no_wait: false,
            skip: Vec::new(),
            on_interrupt: OnInterrupt::default(),
        }
    }
}

/// What the first Ctrl-C or SIGTERM does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnInterrupt {
    /// Cancel what was begun, and follow it until what was before is in place again.
    #[default]
    Cancel,
    /// Leave at once; what was begun goes on by itself.
    Detach,
}

/// Settings of `up`.
#[derive(Debug, Default, Args)]
pub struct Up {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,

    /// The deployment.
    #[command(flatten)]
    pub manner: Manner,

    /// Let CloudFormation end before the service is stable (its EXPRESS mode); rollout, check and rollback are done from here.
    #[arg(long, env = "DEPLOYER_EXPRESS")]
    pub express: bool,

    /// Replace the tasks even if nothing is to be changed.
    #[arg(long)]
    pub force: bool,

    /// To look before.
    #[command(flatten)]
    pub preview: Preview,

    /// Deploy the image in this file, which `image build --archive` wrote, instead of making one.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Option<PathBuf>,
}

/// Looking instead of acting.
#[derive(Debug, Default, Args)]
pub struct Preview {
    /// Show what would change, as `plan` does, and change nothing.
    #[arg(long, conflicts_with = "force")]
    pub dry_run: bool,

    /// With `--dry-run`: exit code 8 if something would change.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
}

/// Settings of `plan`.
#[derive(Debug, Default, Args)]
pub struct Plan {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,

    /// Exit code 8 if something would change.
    #[arg(long)]
    pub exit_code: bool,

    /// Do not wait for what somebody else has begun: end with exit code 7.
    #[arg(long)]
    pub no_wait: bool,

    /// Plan for the image in this file, which `image build --archive` wrote, instead of making one.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Option<PathBuf>,
}

/// Settings of `rollback`.
#[derive(Debug, Default, Args)]
pub struct Rollback {
    /// Image to go back to: its digest (also the first digits), or a revision that `history` lists. Default: the last one that
    /// ran before the one that runs.
    #[arg(long, value_name = "DIGEST|N")]
    pub to: Option<String>,

    /// The deployment.
    #[command(flatten)]
    pub manner: Manner,
}
