//! Options that commands share: clap types only. What they mean is decided in `config`.

mod deployment;
mod image;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) use deployment::Continues;
pub use deployment::{DeployOptions, OnInterrupt, ServiceOptions, StrategyName, StrategyOption};
pub use image::{Builder, Image, ImageBuild, ImageCommand, ImageOptions, ImagePush, ImageSource};

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
#[derive(Debug, Clone, Default, Args)]
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

    /// Environment: settings under `[environments.NAME]` in the configuration file override the others.
    #[arg(long = "env", help_heading = heading::DEPLOYMENT, global = true, value_name = "NAME", env = "DEPLOYER_ENV")]
    pub environment: Option<String>,

    /// Name of the CloudFormation stack.
    #[arg(long, help_heading = heading::DEPLOYMENT, global = true, value_name = "NAME", env = "DEPLOYER_STACK")]
    pub stack: Option<String>,

    /// CloudFormation template.
    #[arg(long, help_heading = heading::DEPLOYMENT, global = true, value_name = "FILE", env = "DEPLOYER_TEMPLATE")]
    pub template: Option<PathBuf>,

    /// AWS region.
    #[arg(long, help_heading = heading::AWS, global = true, value_name = "REGION", env = "AWS_REGION")]
    pub region: Option<String>,

    // Hidden flags read the variables of the AWS CLI: clap reads the environment for arguments
    // only.
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

    // Only whether it is set counts: see `config::access`.
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
        value_name = "HOST[:PORT]",
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
    // Parsed in `config`, which reports a wrong duration in the same way as one of the file.
    pub timeout: String,
}

impl Shared {
    /// Returns the environment, if one is named: an empty variable names none.
    pub fn environment(&self) -> Option<&str> {
        let name = self.environment.as_deref();
        name.filter(|name| !name.is_empty())
    }
}

/// What a deployment must pass.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, serde::Deserialize, schemars::JsonSchema,
)]
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
