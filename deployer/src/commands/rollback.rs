//! `deployer rollback`: deploys an earlier image again, with the same checks as `up`.

mod target;

#[cfg(test)]
mod tests;

use super::{Done, Execute};
use crate::cli::{Continues, DeployOptions, OnInterrupt};
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::Args;
use std::collections::BTreeMap;
use std::time::Instant;

use crate::commands::history::gather;
use crate::context::{Connection, Context, new_token};
use crate::deploy::{DeployRequest, Deployer};
use crate::host::{Host, LocalHost};
use crate::lock::Lock;
use crate::stack_operations::ROUNDS;
use aws::remote::World;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::event::Event;
use deployment::names::{Digest, ImageUri};
use deployment::stack::Observed;
use deployment::stack::before::{BeforeRollback, before_rollback};
use deployment::stack::purpose::Purpose;
use deployment::stack::status::StackStatus;
use deployment::stack::template_names::ParameterName;
use target::{RollbackTarget, choose};

/// Settings of `rollback`.
#[derive(Debug, Default, Args)]
pub struct Rollback {
    /// Image to deploy: the first digits of its digest, or a revision from `history`. Default: the last one that worked before
    /// the current one.
    #[arg(long, value_name = "DIGEST|N")]
    pub to: Option<String>,

    /// The deployment.
    #[command(flatten)]
    pub deploy: DeployOptions,
}

#[async_trait(?Send)]
impl Execute for Rollback {
    fn reported_as(&self) -> Option<&'static str> {
        Some("rollback")
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            deploy: self.deploy.clone(),
            ..Overrides::default()
        }
    }

    fn on_interrupt(&self) -> OnInterrupt {
        self.deploy.on_interrupt
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        Box::pin(run(context, self.to.as_deref())).await?;
        Ok(Done::REPORTED)
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>, to: Option<&str>) -> Result<(), Failure> {
    let target = to.map(str::parse::<RollbackTarget>).transpose()?;
    if context.emulator_is_absent().await? {
        return Err(nothing_to_go_back_to("the emulator does not run"));
    }
    Box::pin(roll_back(context, &LocalHost, target.as_ref())).await
}

async fn roll_back(
    context: Context<'_>,
    host: &dyn Host,
    target: Option<&RollbackTarget>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let connection = host.connect(context).await?.announced(context.sink);
    let world = connection.world.as_ref();
    let deployer = Deployer {
        is_rollback: true,
        ..Deployer::new(context, world, host)
    };
    let (stack, cancelled, _only_one) = at_rest(&deployer, &connection, target).await?;
    let image: ImageUri = match stack.image() {
        // Cancelling the update was the rollback. Check the version that it restored.
        Some(image) if cancelled => image
            .parse()
            .map_err(|error| Failure::new(FailureKind::Unexpected, format!("{error}")))?,
        None if cancelled => {
            return Err(
                Failure::new(FailureKind::RolledBack, "the first version was removed")
                    .leaving(Aftermath::RemovedVersion, ": nothing ran before it"),
            );
        }
        Some(_) | None => {
            let way = context.expect_a_way(world, host, &stack, "rollback");
            way.await?;
            target_image(context, world, &stack, target).await?
        }
    };
    let deployed = world.definition(&stack.id).await;
    let deployed = deployed.map_err(|error| context.remote_failure(&error))?;
    // Only the image changes. The earlier version runs with the currently deployed template and
    // parameters.
    let changed = BTreeMap::from([(ParameterName::ImageUri.to_string(), image.to_string())]);
    let request = DeployRequest {
        wanted: context.changed_only(deployed, changed),
        image,
        purpose: Purpose::Rollback,
    };
    let mut deployed = Box::pin(deployer.deploy(&stack, &request)).await?;
    // After a cancelled update there may be nothing left to change, but the cancellation was a
    // change.
    deployed.changed |= cancelled;
    Box::pin(deployer.tell(deployed, &stack, &request, began)).await;
    Ok(())
}

/// Returns the stack, ready to be updated, whether an update was undone, and the lock against other
/// runs. An update that is undone is a rollback in itself.
async fn at_rest(
    deployer: &Deployer<'_>,
    connection: &Connection,
    target: Option<&RollbackTarget>,
) -> Result<(Observed, bool, Option<Lock>), Failure> {
    let Deployer {
        context,
        world,
        host,
        ..
    } = *deployer;
    let mut cancelled = false;
    let mut turned_back = false;
    let mut was_updating = false;
    let mut lock = None;
    for _ in 0..ROUNDS {
        let found = context.observe(world).await?;
        context.sink.send(&Event::StackFound {
            status: found.as_ref().map(|stack| stack.status.clone()),
        });
        let decision = before_rollback(found.as_ref().map(|stack| &stack.status));
        let Some(stack) = found else {
            return Err(nothing_to_go_back_to("there is no such stack"));
        };
        // Before the lock: the run that follows the deployment holds it, and ends when ECS rolls
        // back.
        let is_fast = decision == BeforeRollback::CancelUpdate && target.is_none();
        was_updating |= is_fast;
        if is_fast && !turned_back {
            turned_back = deployer.turn_back(&stack).await?;
            cancelled = turned_back;
        }
        if lock.is_none() {
            let began = Instant::now();
            lock = Some(host.only_one(context, "rollback", connection).await?);
            // The other run has changed the stack meanwhile.
            if began.elapsed() > context.config.access.pace.poll {
                continue;
            }
        }
        match decision {
            BeforeRollback::NothingToGoBackTo => {
                return Err(nothing_to_go_back_to(&format!(
                    "the stack is {}: no version ever ran in it",
                    stack.status
                )));
            }
            BeforeRollback::Update => {
                // It may be undone although the response to our request was lost, and may have
                // completed although the response arrived.
                let is_back = stack.status == StackStatus::UpdateRollbackComplete;
                let undone = was_updating && is_back || cancelled && !turned_back;
                return Ok((stack, undone, lock.flatten()));
            }
            BeforeRollback::CancelUpdate | BeforeRollback::Attach if turned_back => {
                context.attach(world, &stack).await?;
            }
            // Without a target, the version before the running update is the one requested.
            BeforeRollback::CancelUpdate if target.is_none() => {
                context
                    .sink
                    .note("an update is under way: cancelling it is the way back");
                let token = new_token(&Purpose::Cancel);
                cancelled = context.cancel_update(world, &stack, &token).await?;
                context.attach(world, &stack).await?;
            }
            BeforeRollback::CancelUpdate | BeforeRollback::Attach => {
                deployer.wait_for_others(&stack).await?;
            }
            BeforeRollback::ContinueRollback => {
                context.continue_rollback(world, &stack).await?;
                cancelled = target.is_none();
            }
            BeforeRollback::Refuse { remedy } => return Err(Context::refused(&stack, remedy)),
        }
    }
    Err(Context::never_rests())
}

/// Returns the URI of the image to roll back to, after checking that it is in the repository.
async fn target_image(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
    target: Option<&RollbackTarget>,
) -> Result<ImageUri, Failure> {
    let deployments = gather(context, world, stack).await?;
    let running = stack.image().and_then(Digest::of_image);
    let digest = choose(&deployments, running.as_ref(), target)?;
    let repository = context.repository_of(world, stack).await?;
    let there = world
        .image_exists(&repository, &digest)
        .await
        .map_err(|error| context.remote_failure(&error))?;
    if !there {
        return Err(
            Failure::preflight(format!("the image {digest} is not in the repository"))
                .because(format!("`{repository}` does not hold it (any more)"))
                .hint("see what was deployed: `deployer history`")
                .hint("or build it again from its source: `deployer up`"),
        );
    }
    // With the current registry address: it may differ from the one at the time of the deployment.
    let address = context.address_of(world, &repository).await?;
    Ok(address.image(digest))
}

fn nothing_to_go_back_to(why: &str) -> Failure {
    Failure::preflight("there is nothing to go back to").because(why)
}
