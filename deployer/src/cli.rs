//! The command line: clap types only. What they mean is decided in `config`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
    0  done, or nothing to do
    1  unexpected error
    2  wrong usage
    3  configuration, credentials, tools or program are not fit to be deployed; what runs is untouched
    4  the deployment failed; what was there before is in place again
    5  the stack needs a person
    6  deployed, but the check from outside failed
    7  another operation is under way and did not end in time
  130  interrupted";

/// How long the check may take, unless told otherwise.
const DEFAULT_VERIFY_TIMEOUT: &str = "2m";

/// Puts a containerised Rust service on ECS Fargate, and makes sure that it works.
///
/// Settings come from flags, then from the environment, then from `deployer.toml`. Without an AWS account, `--local`
/// runs the same template and the same code on this machine, against an AWS emulator with real containers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// Settings that every command shares.
    #[command(flatten)]
    pub shared: Shared,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that every command shares.
#[derive(Debug, Default, Args)]
pub struct Shared {
    /// Configuration file; relative paths in it start from its folder.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "deployer.toml",
        env = "DEPLOYER_CONFIG"
    )]
    pub config: PathBuf,

    /// Name of the CloudFormation stack.
    #[arg(long, global = true, value_name = "NAME", env = "DEPLOYER_STACK")]
    pub stack: Option<String>,

    /// CloudFormation template.
    #[arg(long, global = true, value_name = "FILE", env = "DEPLOYER_TEMPLATE")]
    pub template: Option<PathBuf>,

    /// AWS region.
    #[arg(long, global = true, value_name = "REGION", env = "AWS_REGION")]
    pub region: Option<String>,

    /// Profile of the AWS configuration files.
    #[arg(long, global = true, value_name = "NAME", env = "AWS_PROFILE")]
    pub profile: Option<String>,

    /// Use this machine instead of AWS: presets endpoint, credentials, registry and connection, and looks after the emulator.
    #[arg(long, global = true)]
    pub local: bool,

    /// Send AWS calls to this address (emulators, proxies).
    #[arg(long, global = true, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub endpoint_url: Option<String>,

    /// Push and pull images here instead of at the address that ECR gives.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "DEPLOYER_REGISTRY"
    )]
    pub registry: Option<String>,

    /// Check the service by connecting here instead of where its public name points.
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "DEPLOYER_CONNECT_TO"
    )]
    pub connect_to: Option<String>,

    /// What to print: bars on a terminal and lines elsewhere, or JSON Lines.
    #[arg(long, global = true, value_enum, default_value_t = Output::Human, env = "DEPLOYER_OUTPUT")]
    pub output: Output,

    /// Longest time that one operation may take before it is left alone.
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        default_value = "30m",
        env = "DEPLOYER_TIMEOUT"
    )]
    pub timeout: String,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people: bars where the terminal can show them, lines elsewhere. Progress on stderr, results on stdout.
    #[default]
    Human,
    /// JSON Lines on stdout, nothing else there.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, push, deploy, roll over without a failed request, and check the result from outside.
    Up(Up),
    /// Delete everything that `up` made, and look whether anything is left.
    Down,
    /// Show the stack, its tasks and what the service answers.
    Status,
    /// Show what the tasks wrote to their log, all of them, by time.
    Logs(Logs),
}

/// Settings of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on showing what is being written, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,

    /// How far to look back.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub since: String,
}

/// Settings of `up`; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Default, Args)]
pub struct Up {
    /// Tasks that should run, at least 2.
    #[arg(long, value_name = "N", env = "DEPLOYER_TASKS")]
    pub tasks: Option<u32>,

    /// CPU units of a task: 256 is a quarter of a virtual CPU.
    #[arg(long, value_name = "UNITS", env = "DEPLOYER_CPU")]
    pub cpu: Option<u32>,

    /// Memory of a task in MiB.
    #[arg(long, value_name = "MIB", env = "DEPLOYER_MEMORY")]
    pub memory: Option<u32>,

    /// Processor of the tasks: X86_64 or ARM64. Default: the one of this machine.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_ARCHITECTURE")]
    pub architecture: Option<String>,

    /// How long the check from outside may take to succeed.
    #[arg(long, value_name = "DURATION", env = "DEPLOYER_VERIFY_TIMEOUT", default_value = DEFAULT_VERIFY_TIMEOUT)]
    pub verify_timeout: String,
}

impl Up {
    /// What stands in for these settings where a command has none of them.
    pub fn for_other_commands() -> Self {
        Self {
            verify_timeout: DEFAULT_VERIFY_TIMEOUT.to_owned(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
