//! `deployer reviewer`: grants or revokes read-only access to this deployment.
//!
//! The access is part of the stack and ends with it. A password is generated here, passed to
//! CloudFormation and printed once. It is in no event, journal or file.

mod shown;

#[cfg(test)]
mod tests;

pub use shown::{Access, Given, Reviewing};

use super::{CommandResult, Done, Execute};
use crate::cli::Continues;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

use rand::Rng as _;

use crate::config::{Config, Overrides};
use crate::context::Context;
use crate::deploy::Deployer;
use crate::explain::command_line;
use crate::host::{Host, LocalHost};
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use deployment::stack::Observed;
use deployment::stack::before::{BeforeUp, before_up};
use deployment::stack::purpose::Purpose;
use deployment::stack::reviewer::{self, Password, Principal, ReviewerAccess, Reviewers};

/// Settings of `reviewer`.
#[derive(Debug, Args)]
pub struct Reviewer {
    /// The subcommand.
    #[command(subcommand)]
    pub command: ReviewerCommand,
}

/// Subcommands of `reviewer`.
#[derive(Debug, Subcommand)]
pub enum ReviewerCommand {
    /// Grant access until `revoke` or `down`. Replaces an earlier grant.
    Grant(Grant),
    /// Revoke the access.
    Revoke,
}

/// Settings of `reviewer grant`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Grant {
    /// Create a user with a password, which is printed once and stored nowhere.
    #[arg(long)]
    pub user: bool,

    /// Create a role that this account (`…:root`), role or user may assume, for an hour at a time.
    #[arg(long, value_name = "ARN")]
    pub role: Option<Principal>,
}

impl ReviewerCommand {
    /// Returns the subcommand as typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Grant(_) => "reviewer grant",
            Self::Revoke => "reviewer revoke",
        }
    }

    /// Returns the requested access.
    pub fn access(&self) -> ReviewerAccess {
        match self {
            Self::Grant(Grant {
                role: Some(principal),
                ..
            }) => ReviewerAccess::Role(principal.clone()),
            Self::Grant(Grant { role: None, .. }) => ReviewerAccess::User,
            Self::Revoke => ReviewerAccess::Nobody,
        }
    }
}

#[async_trait(?Send)]
impl Execute for Reviewer {
    fn reported_as(&self) -> Option<&'static str> {
        Some(self.command.name())
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            // Ending somebody's access is what the user asked for.
            agreed: true,
            ..Overrides::default()
        }
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let reviewing = Box::pin(run(context, self.command.access())).await?;
        Ok(Done::with(CommandResult::Reviewing(Box::new(reviewing))))
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>, access: ReviewerAccess) -> Result<Reviewing, Failure> {
    if context.emulator_is_absent().await? {
        return Err(no_stack(context.config, "the emulator does not run"));
    }
    Box::pin(give(context, &LocalHost, access)).await
}

async fn give(
    context: Context<'_>,
    host: &dyn Host,
    access: ReviewerAccess,
) -> Result<Reviewing, Failure> {
    let connection = host.connect(context).await?.announced(context.sink);
    // Held to the end: a concurrent run would deploy outdated parameters.
    let _only_one = host.only_one(context, "reviewer", &connection).await?;
    let world = connection.world.as_ref();
    let deployer = Deployer::new(context, world, host);
    let stack = found(deployer).await?;
    let deployed = world.definition(&stack.id).await;
    let deployed = deployed.map_err(|error| context.remote_failure(&error))?;
    if access == ReviewerAccess::Nobody && !reviewer::are_there(&stack) {
        return Ok(Reviewing {
            changed: false,
            given: None,
        });
    }
    if !reviewer::is_known_to(&deployed.template) {
        return Err(
            Failure::preflight("the template that is deployed knows no reviewers")
                .because(format!(
                    "it does not declare {}",
                    reviewer::PARAMETERS
                        .map(|name| format!("`{name}`"))
                        .join(", ")
                ))
                .hint(format!(
                    "deploy one that does, as the built-in one: `{}`",
                    command_line(context.config, "up")
                )),
        );
    }
    let mut password = None;
    let reviewers = match access {
        ReviewerAccess::Nobody => Reviewers::None,
        ReviewerAccess::Role(principal) => Reviewers::Role(principal),
        ReviewerAccess::User => {
            // `rand::rng` is a cryptographically secure generator.
            let made = Password::generate(|below| rand::rng().random_range(0..below));
            password = Some(made.clone());
            Reviewers::User(made)
        }
    };
    let mut parameters = BTreeMap::new();
    reviewers.into_parameters(&mut parameters);
    let wanted = context.changed_only(deployed, parameters);
    let changed = deployer.change(&stack, &wanted, &Purpose::Reviewer).await;
    let changed = changed.map_err(|failure| {
        // After a rollback, the new password is not in effect. Otherwise it may be, but it was
        // never printed.
        let unknown = password.is_some() && failure.kind != FailureKind::RolledBack;
        failure.maybe_hint(unknown.then(|| {
            format!(
                "if a user was made all the same, nobody knows the password: `{}`",
                command_line(context.config, "reviewer revoke")
            )
        }))
    })?;
    // The outputs name the user or the role only after the update.
    let stack = deployer.observe_again(&stack).await?;
    let given = shown::given(context.config, &connection, &stack, password)?;
    Ok(Reviewing { changed, given })
}

/// Returns the stack once no operation is in progress, and reports its status.
async fn found(deployer: Deployer<'_>) -> Result<Observed, Failure> {
    let context = deployer.context;
    let found = context.observe(deployer.world).await?;
    let status = found.as_ref().map(|stack| stack.status.clone());
    context.sink.send(&Event::StackFound { status });
    match (before_up(found.as_ref().map(|stack| &stack.status)), found) {
        (BeforeUp::Update, Some(stack)) => Ok(stack),
        (BeforeUp::Attach, Some(stack)) => deployer.at_rest(&stack).await,
        (BeforeUp::Refuse { remedy }, Some(stack)) => Err(Context::refused(&stack, remedy)),
        // A continued rollback changes what runs, which is not for this command to decide.
        (BeforeUp::ContinueRollback, Some(stack)) => Err(Context::refused(
            &stack,
            "`deployer up` continues its rollback; then the same command again",
        )),
        (BeforeUp::Create | BeforeUp::Recreate, Some(stack)) => {
            let why = format!("the stack is {}", stack.status);
            Err(no_stack(context.config, &why))
        }
        (_, None) => Err(no_stack(context.config, "there is no such stack")),
    }
}

fn no_stack(config: &Config, why: &str) -> Failure {
    Failure::preflight("there is nothing to review")
        .because(why)
        .hint(format!("deploy it first: `{}`", command_line(config, "up")))
}
