//! Options of every command that deploys.

use clap::{Args, ValueEnum};

use super::heading;
use super::image::ImageOptions;

/// Default time limit of the check.
const DEFAULT_VERIFY_TIMEOUT: &str = "2m";

/// Settings of the service; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServiceOptions {
    /// Number of tasks; one alone is not highly available.
    #[arg(long, help_heading = heading::SERVICE, value_name = "N", env = "DEPLOYER_TASKS")]
    pub tasks: Option<u32>,

    /// Scale up to this many tasks under load; `--tasks` is then the minimum. Default: no scaling.
    #[arg(long, help_heading = heading::SERVICE, value_name = "N", env = "DEPLOYER_MAX_TASKS")]
    pub max_tasks: Option<u32>,

    /// CPU units of a task: 256 is a quarter of a vCPU.
    #[arg(long, help_heading = heading::SERVICE, value_name = "UNITS", env = "DEPLOYER_CPU")]
    pub cpu: Option<u32>,

    /// Memory of a task in MiB.
    #[arg(long, help_heading = heading::SERVICE, value_name = "MIB", env = "DEPLOYER_MEMORY")]
    pub memory: Option<u32>,

    /// The strategy.
    #[command(flatten)]
    pub strategy: StrategyOption,

    /// Any other parameter of the template (see `docs/template.md`). Repeatable.
    #[arg(help_heading = heading::SERVICE, long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,

    /// The image.
    #[command(flatten)]
    pub image_options: ImageOptions,
}

/// Deployment strategy, which decides what the template contains.
#[derive(Debug, Clone, Default, Args)]
pub struct StrategyOption {
    /// How a new version takes over. All but `rolling` hold it at a gate until it has passed the check, before any public request.
    #[arg(long, help_heading = heading::DEPLOYMENT, value_enum, value_name = "HOW", env = "DEPLOYER_STRATEGY")]
    pub strategy: Option<StrategyName>,
}

/// How a deployment proceeds.
#[derive(Debug, Clone, Args)]
pub struct DeployOptions {
    /// Time limit for the check from outside. After that, the previous version is restored.
    #[arg(long, help_heading = heading::CHECK, value_name = "DURATION", env = "DEPLOYER_VERIFY_TIMEOUT", default_value = DEFAULT_VERIFY_TIMEOUT)]
    pub verify_timeout: String,

    /// Keep checking for this long after the first success, and roll back a version that crashes or stops answering. Default:
    /// off.
    #[arg(long, help_heading = heading::CHECK, value_name = "DURATION", env = "DEPLOYER_WATCH_FOR")]
    pub watch_for: Option<String>,

    /// Replace or remove existing resources without asking. By default, `up` asks on a terminal and fails elsewhere.
    #[arg(long)]
    pub yes: bool,

    /// Exit with code 7 instead of waiting for another operation.
    #[arg(long)]
    pub no_wait: bool,

    /// After a failed rollback: continue it without this resource (its name in the template). Repeatable.
    #[arg(long = "skip-resource", value_name = "NAME")]
    pub skip: Vec<String>,

    /// What the first Ctrl-C or SIGTERM does during an operation. The second one always exits at once.
    #[arg(long, value_enum, value_name = "WHAT", env = "DEPLOYER_ON_INTERRUPT", default_value_t = OnInterrupt::Cancel)]
    pub on_interrupt: OnInterrupt,
}

impl Default for DeployOptions {
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
    /// Cancel the operation, and wait until the previous version is restored.
    #[default]
    Cancel,
    /// Exit at once; AWS continues the operation.
    Detach,
}

/// What goes on in AWS without the program, once it has started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continues {
    /// Nothing: the command only reads, or works on this machine.
    Nothing,
    /// A change set, which changes nothing.
    ChangeSet,
    /// A task that runs a command.
    Task,
    /// An operation on the stack.
    Operation,
}

impl Continues {
    /// Returns what an interrupt leaves behind. `is_guarded` says whether something was started.
    pub(crate) const fn hint(self, is_guarded: bool) -> Option<&'static str> {
        match (self, is_guarded) {
            (Self::Nothing, _) | (Self::ChangeSet | Self::Task, false) => None,
            (Self::ChangeSet, true) => Some(
                "nothing is changed; a change set of this run may be left at the stack, and does no harm",
            ),
            (Self::Task, true) => Some(
                "the command may still run, until it ends by itself or `aws ecs stop-task` ends its task",
            ),
            (Self::Operation, false) => Some(
                "nothing has to be undone; an operation in progress on the stack continues, and `status` with the same options shows it",
            ),
            (Self::Operation, true) => Some(
                "the operation on the stack continues: run the same command again to resume, or `status` with the same options to see it",
            ),
        }
    }
}

/// How a new version takes over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// Its tasks take requests as soon as they are healthy.
    Rolling,
    /// It passes the gate, then takes all requests at once.
    BlueGreen,
    /// It passes the gate, then takes requests in equal steps.
    Linear,
    /// It passes the gate, then takes a part of the requests, then all.
    Canary,
}
