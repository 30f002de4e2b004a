//! Commands: one file each, with its arguments and its implementation.

pub mod completions;
pub mod cost;
pub mod doctor;
pub mod down;
pub mod history;
pub mod image;
pub mod init;
pub mod logs;
pub mod plan;
pub mod policy;
pub mod proceed;
pub mod promote;
pub mod reviewer;
pub mod rollback;
pub mod run;
pub mod schema;
pub mod status;
pub mod template;
pub mod up;
pub mod url;

use async_trait::async_trait;
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::cli::{Continues, OnInterrupt, Shared};
use crate::config::{self, Config, Overrides};
use crate::context::Context;
use crate::pollers::LogReader;
use deployment::error::Failure;
pub(crate) use image::verify::Verification;
use image_builder::inspect::Inspection;

// Kept in step with `FailureKind::exit_code`.
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
   10  with `up --hold`: the new version waits at the gate for `deployer continue` or `deployer rollback`
   11  with `image verify`: the image is not what its commit yields
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

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write `deployer.toml`, and a Dockerfile if there is none, for the cargo project in this folder.
    Init(init::Init),
    /// Build, push and deploy the service, then check it from outside.
    Up(up::Up),
    /// Show what `up` would change.
    Plan(plan::Args),
    /// Take back the deployment in progress, or deploy an earlier image again; then check it from outside.
    Rollback(rollback::Rollback),
    /// Let a version pass that `up --hold` has left at the gate, and follow it as `up` does.
    Continue(proceed::Continue),
    /// Deploy the image that an environment runs and has proven to another environment.
    Promote(promote::Promote),
    /// List earlier deployments and how they ended.
    History(history::Args),
    /// Delete everything `up` created, then verify that nothing is left.
    Down(down::Down),
    /// Show the stack, its tasks and the service's response.
    Status(status::Args),
    /// Print the address of the service, for scripts: `checker "$(deployer url)"`.
    Url(url::Args),
    /// Check that everything `up` needs is in place, and suggest a fix for anything that is not.
    Doctor(doctor::Doctor),
    /// Show the log of all tasks, by time.
    Logs(logs::Logs),
    /// Run a command once in the deployed image: with the network, role and secrets of the service.
    Run(run::Run),
    /// Build the image without deploying: into a file, Docker or a registry; or inspect it.
    Image(crate::cli::Image),
    /// Grant or revoke read-only access to this deployment.
    Reviewer(reviewer::Reviewer),
    /// Print the IAM policy for deploying this stack. Works offline, without credentials.
    Policy(policy::Policy),
    /// Print the template as it is deployed, with the settings of the service in it. Works offline.
    Template(template::Template),
    /// Show what the service costs, by part and region. Works offline.
    Cost(cost::Cost),
    /// Print a JSON Schema: of `deployer.toml`, or of output.
    Schema(schema::Schema),
    /// Print the completion script for a shell: `source <(deployer completions bash)`.
    Completions(completions::Completions),
    /// Write the man pages.
    #[command(hide = true)]
    ManPages(completions::ManPages),
    /// Print names for a completion script.
    #[command(hide = true)]
    Complete(completions::Complete),
}

impl Command {
    /// Returns the command behind its arguments.
    pub(crate) fn get(&self) -> &dyn Execute {
        match self {
            Self::Init(command) => command,
            Self::Up(command) => command,
            Self::Plan(command) => command,
            Self::Rollback(command) => command,
            Self::Continue(command) => command,
            Self::Promote(command) => command,
            Self::History(command) => command,
            Self::Down(command) => command,
            Self::Status(command) => command,
            Self::Url(command) => command,
            Self::Doctor(command) => command,
            Self::Logs(command) => command,
            Self::Run(command) => command,
            Self::Image(command) => command,
            Self::Reviewer(command) => command,
            Self::Policy(command) => command,
            Self::Template(command) => command,
            Self::Cost(command) => command,
            Self::Schema(command) => command,
            Self::Completions(command) => command,
            Self::ManPages(command) => command,
            Self::Complete(command) => command,
        }
    }
}

/// Implementation of a command.
#[async_trait(?Send)]
pub(crate) trait Execute {
    /// Returns the name under which the command's start is reported; `None` for commands that
    /// report nothing but their result.
    fn reported_as(&self) -> Option<&'static str> {
        None
    }

    /// Returns the arguments that override the configuration file.
    fn overrides(&self) -> Overrides {
        Overrides::default()
    }

    /// Resolves the settings.
    fn settings(&self, shared: &Shared) -> Result<Config, Failure> {
        config::load(shared, self.overrides())
    }

    /// Returns what the first Ctrl-C or SIGTERM does.
    fn on_interrupt(&self) -> OnInterrupt {
        OnInterrupt::Cancel
    }

    /// Returns what an interrupt may leave running.
    fn continues(&self) -> Continues {
        Continues::Nothing
    }

    /// Returns whether the command is a stream of log lines, which Ctrl-C ends as intended.
    fn is_log_stream(&self) -> bool {
        false
    }

    /// Returns the environment that the command is about.
    fn environment<'a>(&'a self, shared: &'a Shared) -> Option<&'a str> {
        shared.environment()
    }

    /// Returns whether log lines are the output of one program, without times and tasks.
    fn shows_output(&self) -> bool {
        false
    }

    /// Executes the command. Log lines go to `lines`.
    async fn execute(
        &self,
        context: Context<'_>,
        lines: &mut dyn LogReader,
    ) -> Result<Done, Failure>;

    /// Returns the end of the command if the settings cannot be resolved.
    fn without_settings(&self, failure: Failure) -> Result<Done, Failure> {
        Err(failure)
    }
}

/// End of a command that did not fail.
pub(crate) struct Done {
    /// Result to print.
    pub(crate) result: Option<CommandResult>,
    /// Exit code of the process.
    pub(crate) exit_code: u8,
}

impl Done {
    /// End of a command that has reported everything in events.
    pub(crate) const REPORTED: Self = Self {
        result: None,
        exit_code: 0,
    };

    /// Returns the end of a command whose result is to be printed.
    pub(crate) const fn with(result: CommandResult) -> Self {
        Self {
            result: Some(result),
            exit_code: 0,
        }
    }
}

/// Result of a command, as one object in JSON.
#[derive(Debug, Serialize, schemars::JsonSchema)]
// Each command has its own format, so that a tag would add nothing.
#[serde(untagged)]
pub(crate) enum CommandResult {
    /// Result of `init`.
    Initialized(Box<init::Initialized>),
    /// Result of `plan`.
    Plan(Box<plan::Plan>),
    /// Result of `history`.
    History(history::History),
    /// Result of `status`.
    Status(Box<status::Status>),
    /// Result of `url`.
    Address(url::Address),
    /// Result of `image inspect`.
    Inspection(Box<Inspection>),
    /// Result of `image verify`.
    Verification(Box<Verification>),
    /// Result of `reviewer`.
    Reviewing(Box<reviewer::Reviewing>),
    /// JSON document in both forms of output, of `policy` and `schema`.
    #[schemars(skip)]
    Document(serde_json::Value),
    /// Result of `template`.
    Template {
        /// Text of the template.
        template: String,
    },
    /// Schema of the program's output, which only reporters know.
    #[serde(skip)]
    #[schemars(skip)]
    Schema(schema::Of),
    /// Text in both forms of output.
    #[schemars(skip)]
    Text(String),
    /// Result of `cost`.
    Cost(deployment::cost::Table),
    /// Result of `doctor`.
    Diagnosis(doctor::Diagnosis),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::Continues;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn an_interrupt_leaves_nothing_that_the_command_does_not_start() {
        for (expected, commands) in [
            (
                Continues::Operation,
                &[
                    "up",
                    "rollback",
                    "continue",
                    "promote a b",
                    "down",
                    "reviewer grant --user",
                    "reviewer revoke",
                ][..],
            ),
            (Continues::ChangeSet, &["plan"]),
            (Continues::Task, &["run true"]),
            (
                Continues::Nothing,
                &[
                    "init",
                    "image build",
                    "image push",
                    "image inspect",
                    "image verify",
                    "status --watch",
                    "logs --follow",
                    "history",
                    "url",
                    "doctor",
                    "policy",
                    "template",
                    "cost",
                ],
            ),
        ] {
            for line in commands {
                let words = ["deployer"].into_iter().chain(line.split(' '));
                let cli = super::Cli::try_parse_from(words).unwrap();
                assert_eq!(cli.command.get().continues(), expected, "{line}");
            }
        }
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
