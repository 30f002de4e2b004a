//! The command line: clap types only. What they mean is decided in `config`.

mod deployment;
mod image;
mod reviewer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use deployment::{Manner, OnInterrupt, Plan, Preview, Rollback, Sizes, Up};
pub use image::{Builder, Image, ImageBuild, ImageCommand, ImagePush, ImageSource, Making};
pub use reviewer::{Grant, Reviewer, ReviewerCommand};

use ::deployment::names;

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
    8  with `plan --exit-code`: something would change
    9  deployed and healthy, but not to be reached from here: not proven, and not taken back
  130  interrupted";

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

    /// Profile of the AWS configuration files. Comes before access keys in the environment; `AWS_PROFILE` comes after them.
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,

    /// What the environment says about the profile.
    #[arg(long, hide = true, global = true, env = "AWS_PROFILE")]
    pub default_profile: Option<String>,

    /// The access key that the environment holds, if any: it decides whether `AWS_PROFILE` gives the credentials.
    #[arg(
        long,
        hide = true,
        global = true,
        env = "AWS_ACCESS_KEY_ID",
        hide_env_values = true
    )]
    pub environment_key: Option<String>,

    /// Account that the credentials have to be of: with others, nothing is done.
    #[arg(long, global = true, value_name = "DIGITS", env = "DEPLOYER_ACCOUNT")]
    pub account: Option<String>,

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

    /// Check the service through this HTTP proxy, which then resolves its name. `HTTP_PROXY` alone is not used for that.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DEPLOYER_CHECK_PROXY",
        hide_env_values = true
    )]
    pub check_proxy: Option<String>,

    /// What a deployment has to pass: a check of every task's version and clock from here, or the load balancer's health checks
    /// alone. Default: outside.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "HOW",
        env = "DEPLOYER_CHECK"
    )]
    pub check: Option<CheckFrom>,

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

/// What a deployment has to pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckFrom {
    /// Every task answers this machine, from the new image and with the right time.
    #[default]
    Outside,
    /// The load balancer calls every task healthy; nothing is asked from here.
    TargetHealth,
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
    /// Print the IAM policy that deploys this one stack. Works offline, without credentials.
    Policy(Policy),
    /// Show what the service costs, part by part, in several regions. Asks nobody.
    Cost(Cost),
}

/// Settings of `policy`.
#[derive(Debug, Args)]
pub struct Policy {
    /// Permissions boundary that roles and users of the stack have to have: the value of the template's parameter
    /// `PermissionsBoundary`. Default: the template's own, AWS's policy for pulling images and writing logs.
    #[arg(long, value_name = "ARN", value_parser = boundary)]
    pub boundary: Option<String>,

    /// Print what `deployer reviewer` needs in addition instead: rights to make one user or role within the boundary.
    #[arg(long, requires = "boundary")]
    pub reviewers: bool,
}

/// The ARN of a policy, as the template takes it.
fn boundary(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", owner, policy]
            if partition.starts_with("aws")
                && (*owner == "aws" || names::is_account(owner))
                && policy
                    .strip_prefix("policy/")
                    .is_some_and(|name| !name.is_empty() && !name.contains(['*', '?', '$'])) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(
            "it is the ARN of a policy, like `arn:aws:iam::123456789012:policy/bounds`".to_owned(),
        ),
    }
}

/// Settings of `cost`.
#[derive(Debug, Default, Args)]
pub struct Cost {
    /// The service.
    #[command(flatten)]
    pub sizes: Sizes,
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

/// Settings of `down`.
#[derive(Debug, Default, Args)]
pub struct Down {
    /// Agree to the deletion; without it, `down` asks where somebody is there to be asked.
    #[arg(long)]
    pub yes: bool,

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
