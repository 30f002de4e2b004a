//! `deployer down`: deletes everything that `up` created, then verifies that nothing is left.

use super::{Done, Execute};
use crate::cli::Continues;
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::Args;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::context::{Connection, Context, connect, emulator};
use crate::host::{Host, LocalHost};
use crate::local::{Emulator, Presence, Stopped};
use crate::poll::Outcome;
use crate::pollers::LeftoverSearch;
use crate::stack_operations::{Deletion, ROUNDS};
use aws::remote::World;
use deployment::cost;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Phase};
use deployment::names::StackId;
use deployment::stack::before::{BeforeDown, before_down};
use deployment::stack::purpose::Purpose;
use deployment::stack::request::Resource;
use deployment::stack::resource_status::ResourceStatus;
use deployment::stack::template_names::OutputName;
use deployment::stack::{Observed, status};

#[cfg(test)]
mod tests;

/// Time that services may take to report a resource as deleted. Their reads are eventually
/// consistent.
const PROOF_LIMIT: Duration = Duration::from_secs(90);

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

#[async_trait(?Send)]
impl Execute for Down {
    fn reported_as(&self) -> Option<&'static str> {
        Some("down")
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            agreed: self.yes,
            retain: self.retain.clone(),
            ..Overrides::default()
        }
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        run(context).await?;
        Ok(Done::REPORTED)
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<(), Failure> {
    let Context { config, sink, .. } = context;
    let emulator = emulator(config)?;
    let Some(emulator) = emulator else {
        let connection = connect(context).await?.announced(sink);
        agree(context, &LocalHost, &connection).await?;
        return down(context, &connection).await;
    };
    match emulator.presence(sink).await? {
        Presence::Running { .. } => {
            let connection = connect(context).await?.announced(sink);
            down(context, &connection).await?;
            stop_if_idle(context, connection.world.as_ref(), &emulator).await?;
        }
        Presence::Absent => remove_leftovers(context, &emulator).await?,
    }
    // Images cost nothing there, so errors are not reported.
    emulator.remove_images(&config.stack).await;
    Ok(())
}

/// Asks for consent on a terminal. Without one, the call of `down` is the consent.
async fn agree(
    context: Context<'_>,
    host: &dyn Host,
    connection: &Connection,
) -> Result<(), Failure> {
    let config = context.config;
    let world = connection.world.as_ref();
    if config.consent.agreed {
        return Ok(());
    }
    let Some(stack) = context.observe(world).await? else {
        return Ok(());
    };
    match before_down(Some(&stack.status)) {
        BeforeDown::Nothing | BeforeDown::AttachToDeletion => return Ok(()),
        BeforeDown::Delete | BeforeDown::CancelUpdate | BeforeDown::Wait => {}
    }
    let resources = world.resources(&stack.id).await;
    let resources = resources.map_err(|error| context.remote_failure(&error))?;
    let there = resources.iter();
    let there = there.filter(|resource| resource.status != ResourceStatus::DeleteComplete);
    let url = stack.output(OutputName::Url);
    let url = url.map_or_else(String::new, |url| format!(" ({url})"));
    let question = format!(
        "This deletes the stack `{}` in account {}, region {}{url}: {} resources, with all images and logs. Go on?",
        config.stack,
        connection.caller.account,
        connection.region,
        there.count(),
    );
    let answer = async { Ok(host.agrees(context, &question).await) };
    match context.unless_cancelled(answer).await? {
        Some(true) | None => Ok(()),
        Some(false) => Err(Failure::preflight("not agreed to: nothing was deleted")
            .hint("see what there is: `deployer status`")
            .hint("agree in advance: `--yes`")),
    }
}

/// Removes containers of an emulator that ended in another way.
async fn remove_leftovers(context: Context<'_>, emulator: &Emulator) -> Result<(), Failure> {
    let removed = emulator.remove_leftover_containers(context.sink).await?;
    let left = match removed {
        0 => String::new(),
        many => format!("; removed {many} containers that an earlier one left behind"),
    };
    context.sink.send(&Event::NothingThere {
        message: format!("nothing to delete: the emulator does not run{left}"),
    });
    Ok(())
}

/// Returns whether the deletion skipped this resource as requested.
fn is_retained(config: &Config, resource: &Resource) -> bool {
    // Some endpoints do not report skipped resources of a deleted stack. Those keep their previous
    // status.
    let stays = [ResourceStatus::DeleteSkipped, ResourceStatus::DeleteFailed];
    stays.contains(&resource.status) && config.consent.retain.contains(&resource.logical_id)
}

/// Deletes the stack and verifies that nothing is left.
async fn down(context: Context<'_>, connection: &Connection) -> Result<(), Failure> {
    let began = Instant::now();
    let Context { config, sink, .. } = context;
    let world = connection.world.as_ref();
    let deleted = delete_everything(context, world, None, &|_| Ok(())).await?;
    if let Some(resources) = &deleted {
        let (retained, deleted): (Vec<_>, Vec<_>) = resources
            .iter()
            .cloned()
            .partition(|resource| is_retained(config, resource));
        let looked_for = sink
            .phase(Phase::Proof, prove(context, world, &deleted))
            .await?;
        if !retained.is_empty() {
            return Err(Failure::new(
                FailureKind::Stuck,
                "the stack is deleted, without what was to be retained",
            )
            .with_evidence(retained.iter().map(Resource::line))
            .hint("it may cost money: delete it by hand"));
        }
        sink.send(&Event::Deleted {
            looked_for,
            seconds: began.elapsed().as_secs_f64(),
        });
    } else {
        sink.send(&Event::NothingThere {
            message: format!(
                "nothing to delete: there is no stack `{}` in account {}, region {}",
                config.stack, connection.caller.account, connection.region
            ),
        });
    }
    Ok(())
}

/// Deletes the stack in any state. Returns its resources, or `None` if there was no stack.
///
/// Finds the stack by its name unless `known` is given. Calls `may_go` before each step.
pub(super) async fn delete_everything(
    context: Context<'_>,
    world: &dyn World,
    known: Option<StackId>,
    may_go: &(dyn Fn(&Observed) -> Result<(), Failure> + Sync),
) -> Result<Option<Vec<Resource>>, Failure> {
    let mut known = known;
    let mut resources: Vec<Resource> = Vec::new();
    for _ in 0..ROUNDS {
        // By id once it is known. A new stack of the same name is not ours to delete.
        let found = match &known {
            Some(id) => world
                .observe(id.into())
                .await
                .map_err(|error| context.remote_failure(&error))?,
            None => context.observe(world).await?,
        };
        context.sink.send(&Event::StackFound {
            status: found.as_ref().map(|stack| stack.status.clone()),
        });
        let decision = before_down(found.as_ref().map(|stack| &stack.status));
        let Some(stack) = found else {
            return finish(context, world, known, resources).await;
        };
        may_go(&stack)?;
        // Read before the deletion: some endpoints do not remember the resources of a deleted
        // stack.
        if resources.is_empty() || decision == BeforeDown::Delete {
            resources = world
                .resources(&stack.id)
                .await
                .map_err(|error| context.remote_failure(&error))?;
        }
        match decision {
            BeforeDown::Nothing => return finish(context, world, known, resources).await,
            BeforeDown::Delete => {
                note_cost(context, &stack);
                let work = context.delete(world, &stack);
                let started = context.sink.phase(Phase::Delete, work).await?;
                // CloudFormation did not accept the deletion because another operation was in
                // progress.
                if started == Deletion::NotYet && stack.status.phase() == status::Phase::Moving {
                    context.attach(world, &stack).await?;
                }
            }
            BeforeDown::AttachToDeletion => {
                let work = async {
                    let end = context.attach_to_deletion(world, &stack).await?;
                    context.deletion_succeeded(world, &stack, end).await
                };
                context.sink.phase(Phase::Delete, work).await?;
            }
            BeforeDown::CancelUpdate => {
                context
                    .sink
                    .note("an update is under way: cancelling it first");
                let token = crate::context::new_token(&Purpose::Down);
                // Cancelling first is faster than waiting for the update: CloudFormation rejects a
                // deletion meanwhile.
                context.cancel_update(world, &stack, &token).await?;
                context.attach(world, &stack).await?;
            }
            BeforeDown::Wait => {
                context.sink.note(format!(
                    "the stack is {}: waiting for that to end",
                    stack.status
                ));
                context.attach(world, &stack).await?;
            }
        }
        known = Some(stack.id);
    }
    Err(Context::never_rests())
}

/// Reports the cost that ends with the stack.
fn note_cost(context: Context<'_>, stack: &Observed) {
    let cost = cost::of_stack(&stack.id, &stack.parameters).and_then(|cost| cost.per_hour());
    if let Some(cost) = cost.filter(|_| !context.config.access.local) {
        let cost = cost::in_short(cost);
        context
            .sink
            .note(format!("with it ends what it costs: {cost}"));
    }
}

/// Returns the resources of the deleted stack. Deletes the task definitions that CloudFormation
/// leaves inactive.
async fn finish(
    context: Context<'_>,
    world: &dyn World,
    known: Option<StackId>,
    resources: Vec<Resource>,
) -> Result<Option<Vec<Resource>>, Failure> {
    let Some(stack) = known else { return Ok(None) };
    let mut resources = resources;
    // Resources that were created between the first read and the deletion. Errors are ignored,
    // because some endpoints do not remember a deleted stack.
    for late in world.resources(&stack).await.unwrap_or_default() {
        let mut known = resources.iter_mut();
        match known.find(|known| known.logical_id == late.logical_id) {
            Some(known) => known.status = late.status,
            None => resources.push(late),
        }
    }
    if let Err(error) = world
        .delete_task_definitions(context.config.stack.as_str())
        .await
    {
        // Inactive task definitions cost nothing.
        context
            .sink
            .warn(format!("inactive task definitions are left: {error}"));
    }
    Ok(Some(resources))
}

/// Verifies that nothing is left. Returns what was looked up.
async fn prove(
    context: Context<'_>,
    world: &dyn World,
    resources: &[Resource],
) -> Result<Vec<String>, Failure> {
    let mut search = LeftoverSearch::new(world, resources);
    let looked_for = search.looked_for();
    match context.poll_for(&mut search, PROOF_LIMIT).await? {
        Outcome::Completed(()) => Ok(looked_for),
        Outcome::Cancelled => Err(Failure::interrupted()),
        Outcome::TimedOut => Err(Failure::new(
            FailureKind::Stuck,
            "the stack is deleted, but something of it is left",
        )
        .with_evidence(search.left().to_vec())
        .hint("it may cost money: delete it by hand")),
    }
}

/// Stops the emulator unless it hosts other resources.
async fn stop_if_idle(
    context: Context<'_>,
    world: &dyn World,
    emulator: &Emulator,
) -> Result<(), Failure> {
    let account_resources = world
        .account_resources()
        .await
        .map_err(|error| context.remote_failure(&error))?;
    if !account_resources.is_empty() {
        context.sink.send(&Event::EmulatorKept {
            reason: format!(
                "something else lives there: {}",
                account_resources.join(", ")
            ),
        });
        return Ok(());
    }
    let event = match emulator.stop(context.sink).await? {
        Stopped::Yes => Event::EmulatorStopped {
            endpoint: emulator.endpoint().to_owned(),
        },
        Stopped::NotOurs => Event::EmulatorKept {
            reason: "it was not started by this program".to_owned(),
        },
        Stopped::WasNotRunning => return Ok(()),
    };
    context.sink.send(&event);
    Ok(())
}
