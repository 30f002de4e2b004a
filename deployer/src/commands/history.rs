//! `deployer history`: lists deployments and how they ended. Reads them from AWS, so that every
//! host shows the same.

use super::{CommandResult, Done, Execute};
use crate::pollers::LogReader;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use deployment::event::{Silent, Sink};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::context::{Context, connect};
use aws::remote::World;
use deployment::error::Failure;
use deployment::names::{Digest, StackName, TaskDefinitionArn};
use deployment::stack::Observed;
use deployment::stack::past::{End, operations};
use deployment::stack::purpose::Purpose;

#[cfg(test)]
mod tests;

/// Maximum number of deployments to list, newest first.
const LISTED: usize = 50;
/// Maximum number of concurrent calls.
const AT_A_TIME: usize = 5;

/// Settings of `history`: none of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[async_trait(?Send)]
impl Execute for Args {
    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        // The list is the only output, for scripts.
        let quiet = Sink::new(Box::new(Silent));
        let context = Context {
            sink: &quiet,
            ..context
        };
        Ok(Done::with(CommandResult::History(run(context).await?)))
    }
}

/// Deployments of a stack.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct History {
    /// Name of the stack.
    pub stack: StackName,
    /// Deployments, newest first.
    pub deployments: Vec<Deployment>,
}

/// Past deployment.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Deployment {
    /// Revision of its task definition, for `rollback --to`. Absent if it created none.
    pub revision: Option<u64>,
    /// URI of the image with its digest, if still known.
    pub image: Option<String>,
    /// Start time (RFC 3339, UTC).
    pub at: String,
    /// Purpose: `up`, `rollback`, `back` (automatic rollback), …. Absent if another program started
    /// it.
    pub purpose: Option<Purpose>,
    /// Result of the deployment.
    #[serde(flatten)]
    pub end: End,
}

impl Deployment {
    /// Returns the digest of its image.
    pub fn digest(&self) -> Option<Digest> {
        Digest::of_image(self.image.as_deref()?)
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<History, Failure> {
    let nothing = History {
        stack: context.config.stack.clone(),
        deployments: Vec::new(),
    };
    if context.emulator_is_absent().await? {
        return Ok(nothing);
    }
    let world = connect(context).await?.world;
    match context.observe(world.as_ref()).await? {
        Some(stack) => Ok(History {
            deployments: gather(context, world.as_ref(), &stack).await?,
            ..nothing
        }),
        None => Ok(nothing),
    }
}

/// Returns the deployments in the stack's events, newest first.
pub(super) async fn gather(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
) -> Result<Vec<Deployment>, Failure> {
    let failed = |error| context.remote_failure(&error);
    // Time 0: all events that CloudFormation still returns.
    let events = world.events(&stack.id, 0).await.map_err(failed)?;
    let operations = operations(events).into_iter().rev().take(LISTED);
    let listed = futures_util::stream::iter(operations).map(|operation| async move {
        let image = match &operation.task_definition {
            // The image is only in the task definition, not in the stack's events.
            Some(arn) => world.image_of(&TaskDefinitionArn::new(arn)).await?,
            None => None,
        };
        let at = DateTime::<Utc>::from_timestamp_millis(operation.started_ms).unwrap_or_default();
        Ok(Deployment {
            revision: operation.task_definition.as_deref().and_then(revision_of),
            image,
            at: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            purpose: operation.purpose,
            end: operation.end,
        })
    });
    listed
        // `buffered` keeps the order of the deployments.
        .buffered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(failed)
}

/// Returns the revision at the end of a task definition's ARN.
fn revision_of(arn: &str) -> Option<u64> {
    arn.rsplit_once(':')?.1.parse().ok()
}
