//! The command line: clap types only. What they mean is decided in `config`.

mod deployment;
mod image;
mod reviewer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use deployment::{DeployOptions, OnInterrupt, Plan, Preview, Rollback, ServiceOptions, Up};
pub use image::{Builder, Image, ImageBuild, ImageCommand, ImageOptions, ImagePush, ImageSource};
pub use reviewer::{Grant, Reviewer, ReviewerCommand};

use ::deployment::names;

const EXIT_CODES: &str = "\
Exit codes:
    0  done, or nothing to do
    1  unexpected error
    2  wrong usage
    3  configuration, credentials, tools or program prevent a deployment; what runs is untouched
    4  the deployment failed; the previous version is restored
    5  the stack needs a decision by a person
    6  the check from outside failed; the previous version is restored
    7  another operation is in progress and did not end in time
    8  with `plan --exit-code`: something would change
    9  deployed and healthy, but unreachable from this machine: not proven, not rolled back
  130  interrupted";

/// Deploys a containerised Rust service to ECS Fargate, and verifies that it works.
///
/// Settings come from flags, then from the environment, then from `deployer.toml`. `--local` needs no AWS account: it runs
/// the same template and the same code on this machine, against an AWS emulator with real containers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// Settings that every command shares.
    #[command(flatten)]
    pub shared: Shared,

    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Headings of options in `--help`. What is under none of them belongs to the command itself.
mod heading {
    pub(super) const DEPLOYMENT: &str = "Deployment";
    pub(super) const SERVICE: &str = "Service";
    pub(super) const IMAGE: &str = "Image";
    pub(super) const CHECK: &str = "Check";
    pub(super) const AWS: &str = "AWS";
    pub(super) const OUTPUT: &str = "Output";
}

/// Settings that every command shares.
#[derive(Debug, Default, Args)]
pub struct Shared {
    /// Configuration file. Relative paths in it start from its folder.
    #[arg(
        long,
        help_heading = heading::DEPLOYMENT,
        global = true,
        value_name = "FILE",
        default_value = "deployer.toml",
        env = "DEPLOYER_CONFIG"
    )]
    pub config: PathBuf,

    /// Name of the CloudFormation stack.
    #[arg(long, help_heading = heading::DEPLOYMENT, global = true, value_name = "NAME", env = "DEPLOYER_STACK")]
    pub stack: Option<String>,

    /// CloudFormation template.
    #[arg(long, help_heading = heading::DEPLOYMENT, global = true, value_name = "FILE", env = "DEPLOYER_TEMPLATE")]
    pub template: Option<PathBuf>,

    /// AWS region.
    #[arg(long, help_heading = heading::AWS, global = true, value_name = "REGION", env = "AWS_REGION")]
    pub region: Option<String>,

    /// Region from `AWS_DEFAULT_REGION`, which `AWS_REGION` overrides.
    #[arg(long, hide = true, global = true, env = "AWS_DEFAULT_REGION")]
    pub default_region: Option<String>,

    /// Profile of the AWS configuration files. Overrides access keys in the environment; `AWS_PROFILE` does not.
    #[arg(long, help_heading = heading::AWS, global = true, value_name = "NAME")]
    pub profile: Option<String>,

    /// Profile from the environment.
    #[arg(long, hide = true, global = true, env = "AWS_PROFILE")]
    pub default_profile: Option<String>,

    /// Profile from `AWS_DEFAULT_PROFILE`, which `AWS_PROFILE` overrides, as in the AWS CLI.
    #[arg(long, hide = true, global = true, env = "AWS_DEFAULT_PROFILE")]
    pub older_profile: Option<String>,

    /// Access key from the environment: if there is one, `AWS_PROFILE` does not give the credentials.
    #[arg(
        long,
        hide = true,
        global = true,
        env = "AWS_ACCESS_KEY_ID",
        hide_env_values = true
    )]
    pub environment_key: Option<String>,

    /// Refuse credentials of any other AWS account.
    #[arg(long, help_heading = heading::AWS, global = true, value_name = "DIGITS", env = "DEPLOYER_ACCOUNT")]
    pub account: Option<String>,

    /// Deploy to this machine: starts the AWS emulator and presets endpoint, credentials, registry and connection.
    #[arg(long, help_heading = heading::AWS, global = true)]
    pub local: bool,

    /// Send AWS calls to this address: an emulator or a proxy.
    #[arg(long, help_heading = heading::AWS, global = true, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub endpoint_url: Option<String>,

    /// Push and pull images here instead of the address that ECR returns.
    #[arg(
        long,
        help_heading = heading::AWS,
        global = true,
        value_name = "HOST:PORT",
        env = "DEPLOYER_REGISTRY"
    )]
    pub registry: Option<String>,

    /// Connect here to check the service, instead of resolving its public name.
    #[arg(
        long,
        help_heading = heading::CHECK,
        global = true,
        value_name = "HOST:PORT",
        env = "DEPLOYER_CONNECT_TO"
    )]
    pub connect_to: Option<String>,

    /// Check the service through this HTTP proxy, which resolves its name. `HTTP_PROXY` is ignored for the check.
    #[arg(
        long,
        help_heading = heading::CHECK,
        global = true,
        value_name = "URL",
        env = "DEPLOYER_CHECK_PROXY",
        hide_env_values = true
    )]
    pub check_proxy: Option<String>,

    /// What a deployment must pass. Default: outside.
    #[arg(
        long,
        help_heading = heading::CHECK,
        global = true,
        value_enum,
        value_name = "HOW",
        env = "DEPLOYER_CHECK"
    )]
    pub check: Option<CheckFrom>,

    /// Output format.
    #[arg(long, help_heading = heading::OUTPUT, global = true, value_enum, default_value_t = Output::Human, env = "DEPLOYER_OUTPUT")]
    pub output: Output,

    /// When to use colours. `NO_COLOR` and `CLICOLOR=0` turn `auto` off.
    #[arg(long, help_heading = heading::OUTPUT, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto, env = "DEPLOYER_COLOR")]
    pub color: Color,

    /// Longest time for one operation. After that, an update is cancelled and a deletion continues on its own.
    #[arg(
        long,
        help_heading = heading::DEPLOYMENT,
        global = true,
        value_name = "DURATION",
        default_value = "30m",
        env = "DEPLOYER_TIMEOUT"
    )]
    pub timeout: String,
}

/// What a deployment must pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckFrom {
    /// Every task answers this machine, from the new image, with the right time.
    #[default]
    Outside,
    /// The load balancer reports every task as healthy; nothing is sent from this machine.
    TargetHealth,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Progress bars on a terminal, lines elsewhere. Progress on stderr, results on stdout.
    #[default]
    Human,
    /// JSON Lines on stdout.
    Json,
}

/// When to use colours in human output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment turns it off.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, push and deploy the service, then check it from outside.
    Up(Up),
    /// Show what `up` would change.
    Plan(Plan),
    /// Deploy an earlier image again, then check it from outside.
    Rollback(Rollback),
    /// List earlier deployments and how they ended.
    History,
    /// Delete everything `up` created, then verify that nothing is left.
    Down(Down),
    /// Show the stack, its tasks and the service's response.
    Status(Status),
    /// Check that everything `up` needs is in place, and suggest a fix for anything that is not.
    Doctor(Doctor),
    /// Show the log of all tasks, by time.
    Logs(Logs),
    /// Build the image without deploying: into a file, Docker or a registry; or inspect it.
    Image(Image),
    /// Grant or revoke read-only access to this deployment.
    Reviewer(Reviewer),
    /// Print the IAM policy for deploying this stack. Works offline, without credentials.
    Policy(Policy),
    /// Show what the service costs, by part and region. Works offline.
    Cost(Cost),
}

/// Settings of `policy`.
#[derive(Debug, Args)]
pub struct Policy {
    /// Permissions boundary that the stack's roles and users must have, as in the template's parameter `PermissionsBoundary`.
    /// Default: AWS's policy for pulling images and writing logs.
    #[arg(long, value_name = "ARN", value_parser = boundary)]
    pub boundary: Option<String>,

    /// Print the additional policy for `deployer reviewer` instead: the right to create one user or role within the boundary.
    #[arg(long, requires = "boundary")]
    pub reviewers: bool,
}

/// Parses the ARN of a policy, as the template takes it.
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
            "expected the ARN of a policy, such as `arn:aws:iam::123456789012:policy/bounds`"
                .to_owned(),
        ),
    }
}

/// Settings of `cost`.
#[derive(Debug, Default, Args)]
pub struct Cost {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,
}

/// Settings of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Follow the log until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,

    /// Show entries since this long ago.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub since: String,
}

/// Settings of `down`.
#[derive(Debug, Default, Args)]
pub struct Down {
    /// Delete without asking. By default, `down` asks on a terminal.
    #[arg(long)]
    pub yes: bool,

    /// After a failed deletion: keep this resource (its name in the template), which may cost money. Repeatable.
    #[arg(long = "retain-resource", value_name = "NAME")]
    pub retain: Vec<String>,
}

/// Settings of `status`.
#[derive(Debug, Default, Args)]
pub struct Status {
    /// Wait for the operation in progress first.
    #[arg(long)]
    pub watch: bool,
}

/// Settings of `doctor`.
#[derive(Debug, Default, Args)]
pub struct Doctor {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,
}

impl Command {
    /// Returns what the first Ctrl-C or SIGTERM does.
    pub fn on_interrupt(&self) -> OnInterrupt {
        match self {
            Self::Up(up) => up.deploy.on_interrupt,
            Self::Rollback(rollback) => rollback.deploy.on_interrupt,
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

    #[test]
    fn options_without_a_heading_are_the_commands_own() {
        let mut command = super::Cli::command();
        command.build();
        for command in command.get_subcommands() {
            let shared = command
                .get_arguments()
                .filter(|option| option.is_global_set() && !option.is_hide_set())
                .filter(|option| !matches!(option.get_id().as_str(), "help" | "version"));
            for option in shared {
                assert!(
                    option.get_help_heading().is_some(),
                    "{} {option}",
                    command.get_name()
                );
            }
        }
    }
}
