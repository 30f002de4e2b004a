//! The command line: clap types only. What they mean is decided in `config`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::commands::reviewer::Wish;
use crate::stack::reviewer::Principal;

const EXIT_CODES: &str = "\
Exit codes:
    0  done, or nothing to do
    1  unexpected error
    2  wrong usage
    3  configuration, credentials, tools or program are not fit to be deployed; what runs is untouched
    4  the deployment failed; what was there before is in place again
    5  the stack needs a person
    6  the check from outside failed; what was there before is in place again
    7  another operation is under way and did not end in time
  130  interrupted
With `plan --exit-code`: 2 means that something would change.";

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

    /// What the environment says about the region apart from `AWS_REGION`.
    #[arg(long, hide = true, global = true, env = "AWS_DEFAULT_REGION")]
    pub default_region: Option<String>,

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

    /// Colours: where the terminal can show them, whatever is there, or none. `NO_COLOR` and `CLICOLOR=0` turn `auto` off.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto, env = "DEPLOYER_COLOR")]
    pub color: Color,

    /// Longest time that one operation may take; then an update is cancelled, and a deletion left to itself.
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

/// Whether there are colours in what is for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, push, deploy, roll over without a failed request, and check the result from outside.
    Up(Up),
    /// Show what `up` would change, without changing anything.
    Plan(Plan),
    /// Go back to an image that was deployed before, and check the result from outside.
    Rollback(Rollback),
    /// List what was deployed when, and how it ended.
    History,
    /// Delete everything that `up` made, and look whether anything is left.
    Down(Down),
    /// Show the stack, its tasks and what the service answers.
    Status(Status),
    /// Look whether everything that `up` needs is there, and say what to do about the rest.
    Doctor(Doctor),
    /// Show what the tasks wrote to their log, all of them, by time.
    Logs(Logs),
    /// Make the image alone: into a file, into Docker, into a registry; or look at it.
    Image(Image),
    /// Let somebody look at this deployment, and at nothing else; or end that.
    Reviewer(Reviewer),
    /// Print the IAM policy that this program needs: the least that deploys this one stack. Asks nobody.
    Policy(Policy),
    /// Show what the service costs, part by part, in several regions. Asks nobody.
    Cost(Cost),
}

/// Settings of `policy`.
#[derive(Debug, Args)]
pub struct Policy {
    /// Account that the stack is in. Default: whichever the policy is put into.
    #[arg(long, value_name = "DIGITS", value_parser = account)]
    pub account: Option<String>,

    /// Permissions boundary that roles and users of the stack have to have (the template's parameter `PermissionsBoundary`).
    #[arg(long, value_name = "ARN")]
    pub boundary: Option<String>,
}

/// Twelve digits.
fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account has twelve digits".to_owned())
    }
}

/// Settings of `cost`.
#[derive(Debug, Default, Args)]
pub struct Cost {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,
}

/// Settings of `reviewer`.
#[derive(Debug, Args)]
pub struct Reviewer {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewerCommand,
}

/// What to do about reviewers.
#[derive(Debug, Subcommand)]
pub enum ReviewerCommand {
    /// Let somebody look, until `revoke` or `down`. What was granted before is replaced.
    Grant(Grant),
    /// End what was granted.
    Revoke,
}

/// Settings of `reviewer grant`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Grant {
    /// Make a user with a password, which is printed once and kept nowhere.
    #[arg(long)]
    pub user: bool,

    /// Make a role that this account (`…:root`), role or user may take, for an hour at a time.
    #[arg(long, value_name = "ARN")]
    pub role: Option<Principal>,
}

impl ReviewerCommand {
    /// As it is typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Grant(_) => "reviewer grant",
            Self::Revoke => "reviewer revoke",
        }
    }

    /// What it wishes.
    pub fn wish(&self) -> Wish {
        match self {
            Self::Grant(Grant {
                role: Some(principal),
                ..
            }) => Wish::Role(principal.clone()),
            Self::Grant(Grant { role: None, .. }) => Wish::User,
            Self::Revoke => Wish::Nobody,
        }
    }
}

/// Settings of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with the image. Each makes it first, as `up` does; what is unchanged is not compiled or compressed again.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make the image, and put it into a file or into Docker if told to.
    Build(ImageBuild),
    /// Make the image, and send it to a registry: as far as it is not there.
    Push(ImagePush),
    /// Make the image, and show what it is: settings, layers, files.
    Inspect(ImageSource),
}

/// Where the image comes from.
#[derive(Debug, Default, Args)]
pub struct ImageSource {
    /// How it is made.
    #[command(flatten)]
    pub making: Making,

    /// Take this program instead of compiling it: a static one for the right processor.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}

/// Settings of `image build`.
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Write it to this file, which `docker load`, `podman load` and skopeo take (`oci-archive:`, `docker-archive:`).
    #[arg(long, value_name = "FILE", conflicts_with = "load")]
    pub archive: Option<PathBuf>,

    /// Put it into Docker or podman on this machine.
    #[arg(long)]
    pub load: bool,
}

/// Settings of `image push`.
#[derive(Debug, Args)]
pub struct ImagePush {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Repository in the registry (`--registry`, otherwise ECR). Default: that of the stack.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REPOSITORY")]
    pub repository: Option<String>,

    /// Tag. Default: `sha256-` and the first 12 digits of the digest, so that one tag is never two images.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,

    /// User of the registry that `--registry` names; the password is taken from `DEPLOYER_REGISTRY_PASSWORD`.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REGISTRY_USER")]
    pub user: Option<String>,
}

impl ImageCommand {
    /// Where the image comes from.
    pub const fn source(&self) -> &ImageSource {
        match self {
            Self::Build(build) => &build.source,
            Self::Push(push) => &push.source,
            Self::Inspect(source) => source,
        }
    }

    /// As it is typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Build(_) => "image build",
            Self::Push(_) => "image push",
            Self::Inspect(_) => "image inspect",
        }
    }
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

/// How the image is made; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Clone, Default, Args)]
pub struct Making {
    /// Processor of the tasks: X86_64 or ARM64. Default: the one of this machine.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_ARCHITECTURE")]
    pub architecture: Option<String>,

    /// Who makes the image: the deployer itself from the Dockerfile's final stage, or Docker (or podman) from all of it.
    #[arg(long, value_enum, value_name = "WHO", env = "DEPLOYER_BUILDER")]
    pub builder: Option<Builder>,
}

/// Who makes the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// The deployer: cargo compiles, the Dockerfile's final stage says the rest. Needs neither Docker nor root.
    #[default]
    Native,
    /// Docker or podman, whichever is there: all stages of the Dockerfile, whatever they do.
    Docker,
}

/// How a deployment goes about it.
#[derive(Debug, Args)]
pub struct Manner {
    /// How long the check from outside may take to succeed; then the version before is put back.
    #[arg(long, value_name = "DURATION", env = "DEPLOYER_VERIFY_TIMEOUT", default_value = DEFAULT_VERIFY_TIMEOUT)]
    pub verify_timeout: String,

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
}

/// Looking instead of acting.
#[derive(Debug, Default, Args)]
pub struct Preview {
    /// Show what would change, as `plan` does, and change nothing.
    #[arg(long, conflicts_with = "force")]
    pub dry_run: bool,

    /// With `--dry-run`: exit code 2 if something would change.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
}

/// Settings of `plan`.
#[derive(Debug, Default, Args)]
pub struct Plan {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,

    /// Exit code 2 if something would change.
    #[arg(long)]
    pub exit_code: bool,

    /// Do not wait for what somebody else has begun: end with exit code 7.
    #[arg(long)]
    pub no_wait: bool,
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

/// Settings of `down`.
#[derive(Debug, Default, Args)]
pub struct Down {
    /// Where a deletion failed: delete the stack without this resource (its name in the template), which stays and may cost
    /// money. May be given several times.
    #[arg(long = "retain-resource", value_name = "NAME")]
    pub retain: Vec<String>,
}

/// Settings of `status`.
#[derive(Debug, Default, Args)]
pub struct Status {
    /// Follow what is under way to its end first.
    #[arg(long)]
    pub watch: bool,
}

/// Settings of `doctor`.
#[derive(Debug, Default, Args)]
pub struct Doctor {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,
}

impl Command {
    /// What the first Ctrl-C or SIGTERM does.
    pub fn on_interrupt(&self) -> OnInterrupt {
        match self {
            Self::Up(up) => up.manner.on_interrupt,
            Self::Rollback(rollback) => rollback.manner.on_interrupt,
            Self::Plan(_)
            | Self::History
            | Self::Down(_)
            | Self::Status(_)
            | Self::Doctor(_)
            | Self::Logs(_)
            | Self::Image(_)
            | Self::Reviewer(_)
            | Self::Policy(_)
            | Self::Cost(_) => OnInterrupt::Cancel,
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
