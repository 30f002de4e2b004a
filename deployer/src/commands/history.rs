//! `deployer history`: what was deployed when, and how it ended. Read from AWS, so that it is the same from every machine.

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

/// Deployments that are listed, the newest.
const LISTED: usize = 50;
/// Calls at the same time.
const AT_A_TIME: usize = 5;

/// Settings of `history`: none of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[async_trait(?Send)]
impl Execute for Args {
    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let quiet = Sink::new(Box::new(Silent));
        let context = Context {
            sink: &quiet,
            ..context
        };
        Ok(Done::with(CommandResult::History(run(context).await?)))
    }
}

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// Name of the stack.
    pub stack: StackName,
    /// The newest first.
    pub deployments: Vec<Deployment>,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployment {
    /// Number of the task definition that it brought: what `rollback --to` takes. Absent where it brought none.
    pub revision: Option<u64>,
    /// Address of the image, with digest, where that is still known.
    pub image: Option<String>,
    /// When it began.
    pub at: String,
    /// What for: `up`, `rollback`, `back` (restored automatically), …; absent where another program began it.
    pub purpose: Option<Purpose>,
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
}

impl Deployment {
    /// The digest of its image.
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

/// The deployments that the stack remembers, the newest first.
pub(super) async fn gather(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
) -> Result<Vec<Deployment>, Failure> {
    let failed = |error| context.remote_failure(&error);
    let events = world.events(&stack.id, 0).await.map_err(failed)?;
    let operations = operations(events).into_iter().rev().take(LISTED);
    let listed = futures_util::stream::iter(operations).map(|operation| async move {
        let image = match &operation.task_definition {
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
        .buffered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(failed)
}

/// The revision that a task definition's ARN ends with.
fn revision_of(arn: &str) -> Option<u64> {
    arn.rsplit_once(':')?.1.parse().ok()
}
