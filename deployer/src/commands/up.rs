//! `deployer up`: from the source to a service that was seen to work.
//!
//! Two lanes run side by side. One compiles and packs the image; the other gets the stack ready to take it. They meet
//! at the repository: the image is pushed as soon as that is there, while the rest of the stack is still being made.

mod update;
mod verify;
mod workshop;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::TryFutureExt as _;
use tokio::sync::watch;

use crate::commands::stack::ROUNDS;
use crate::commands::{Context, REPOSITORY, new_token, public_url, read_template};
use crate::config::Config;
use crate::error::{Failure, FailureKind};
use crate::event::{Event, Phase, Sink, Summary};
use crate::image::oci::BuiltImage;
use crate::names::{Digest, StackId};
use crate::remote::{RemoteErrorKind, Wanted, World};
use crate::stack::decide::{BeforeUp, During, Operation, before_up};
use crate::stack::resource::unconditional_types;
use crate::stack::{Observed, ResourceEvent};
use crate::watch::{ServiceNames, StackWatch};
use update::update;
use verify::{observe_again, rollout, verify};
use workshop::{ThisMachine, Workshop};

/// The connection to AWS and the repository, as soon as both are there.
#[derive(Clone)]
struct Destination {
    world: Arc<dyn World>,
    repository: String,
}

/// Runs the command.
pub async fn run(config: &Config, sink: &Sink) -> Result<(), Failure> {
    let context = Context { config, sink };
    // What can be found wrong at once is, before anything is begun.
    config.fits_the_emulator()?;
    let template = read_template(config)?;
    let stage = context.read_final_stage()?;
    deploy(context, &template, &ThisMachine { stage }).await
}

/// Brings the service up with this template.
async fn deploy(
    context: Context<'_>,
    template: &str,
    workshop: &dyn Workshop,
) -> Result<(), Failure> {
    let began = Instant::now();
    let Context { config, sink } = context;
    let (announce, destination) = watch::channel(None::<Destination>);
    let creating = AtomicBool::new(false);
    let image_lane = async {
        let built = sink.phase(Phase::Image, workshop.build(context)).await?;
        let early = push_early(context, workshop, &built, destination).await;
        Ok((built, early))
    };
    let image_lane = image_lane.map_err(|failure: Failure| {
        // A stack costs money, and who reads of a program that does not compile does not expect one.
        let left = creating.load(Ordering::Relaxed).then(|| {
            format!(
                "the stack that was begun meanwhile stays: `deployer up` goes on with it, `{}` removes it",
                take_down_command(config)
            )
        });
        failure.maybe_hint(left)
    });
    let stack_lane = ready_stack(context, template, workshop, &announce, &creating);
    let ((built, early), (world, stack)) = tokio::try_join!(image_lane, stack_lane)?;
    let repository = repository_of(context, world.as_ref(), &stack).await?;
    let uri = match early {
        Pushed {
            to,
            result: Ok(uri),
        } if to == repository => uri,
        // The repository that it went to is gone with an attempt to create the stack, or did not take it at first.
        Pushed { .. } => push(context, workshop, &built, world.as_ref(), &repository).await?,
    };

    let digest = Digest::of_image(&uri)
        .ok_or_else(|| Failure::new(FailureKind::Unexpected, format!("`{uri}` has no digest")))?;
    let changed = update(context, world.as_ref(), &stack, template, &uri).await?;
    let stack = observe_again(context, world.as_ref(), &stack).await?;
    let names = ServiceNames::of_outputs(&stack.outputs).map_err(missing_output)?;
    let url = stack
        .outputs
        .get("Url")
        .ok_or("Url")
        .map_err(missing_output)?;
    let url = public_url(config, url)?;

    sink.phase(Phase::Rollout, rollout(context, world.as_ref(), &names))
        .await?;
    let check = sink
        .phase(Phase::Check, verify(context, workshop, &url, &digest))
        .await?;
    let tasks = world
        .tasks(&names.cluster, &names.service)
        .await
        .unwrap_or_default();
    sink.send(&Event::Succeeded {
        summary: Box::new(Summary {
            changed,
            url: url.shown,
            image: uri,
            version: check.version.clone(),
            tasks,
            check,
            take_down: take_down_command(config),
            timings: sink.timings(),
            seconds: began.elapsed().as_secs_f64(),
        }),
    });
    Ok(())
}

/// The command that undoes this one.
fn take_down_command(config: &Config) -> String {
    crate::commands::explain::command_line(config, "down")
}

/// Gets a stack that can take an image: connects, then creates, repairs or awaits the stack.
/// Announces the repository as soon as it is there, and notes that it is creating.
async fn ready_stack(
    context: Context<'_>,
    template: &str,
    workshop: &dyn Workshop,
    announce: &watch::Sender<Option<Destination>>,
    creating: &AtomicBool,
) -> Result<(Arc<dyn World>, Observed), Failure> {
    let connection = workshop.connect(context).await?;
    let world = connection.announced(context.sink).world;
    let announce = |repository: &str| {
        announce.send_replace(Some(Destination {
            world: world.clone(),
            repository: repository.to_owned(),
        }));
    };
    for _ in 0..ROUNDS {
        let found = context.observe(world.as_ref()).await?;
        context.sink.send(&Event::StackFound {
            status: found.as_ref().map(|stack| stack.status.clone()),
        });
        let decision = before_up(found.as_ref().map(|stack| &stack.status));
        match (decision, found) {
            (BeforeUp::Create, _) | (_, None) => {
                creating.store(true, Ordering::Relaxed);
                let work = create(context, world.as_ref(), template, &announce);
                if let Some(stack) = context.sink.phase(Phase::Create, work).await? {
                    // Usually known since the event that told of it; the push must not wait for one that was missed.
                    announce(&repository_of(context, world.as_ref(), &stack).await?);
                    return Ok((world, stack));
                }
            }
            (BeforeUp::Update, Some(stack)) => {
                announce(&repository_of(context, world.as_ref(), &stack).await?);
                return Ok((world, stack));
            }
            (BeforeUp::Attach, Some(stack)) => {
                context.sink.note(format!(
                    "the stack is {}: waiting for that to end",
                    stack.status
                ));
                context.attach(world.as_ref(), &stack).await?;
            }
            (BeforeUp::Recreate, Some(stack)) => {
                let reason = stack.reason.as_deref().filter(|reason| !reason.is_empty());
                let why = reason
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default();
                context.sink.warn(format!(
                    "the stack is {}{why}: it can only be deleted and made anew",
                    stack.status
                ));
                let work = context.delete(world.as_ref(), &stack);
                context.sink.phase(Phase::Delete, work).await?;
            }
            (BeforeUp::ContinueRollback, Some(stack)) => {
                context.continue_rollback(world.as_ref(), &stack).await?;
            }
            (BeforeUp::Refuse { remedy }, Some(stack)) => {
                return Err(Failure::new(
                    FailureKind::Stuck,
                    format!("the stack is {}", stack.status),
                )
                .hint(remedy));
            }
        }
    }
    Err(Context::never_rests())
}

/// Creates the stack without an image; `None` when it has to be looked at anew: somebody else was faster, or it failed for
/// a reason that will not be there the next time.
async fn create(
    context: Context<'_>,
    world: &dyn World,
    template: &str,
    announce: &(dyn Fn(&str) + Sync),
) -> Result<Option<Observed>, Failure> {
    let failed = |error| context.remote_failure(&error);
    let token = new_token();
    let watch = StackWatch::prepare(world, context.sink, Operation::Create, None, Some(&token))
        .await
        .map_err(failed)?;
    let wanted = Wanted {
        template: template.to_owned(),
        parameters: context.config.parameters.clone(),
    };
    let id: StackId = match world.create(&context.config.stack, &wanted, &token).await {
        Ok(id) => id,
        Err(error) if error.code.as_deref() == Some("AlreadyExistsException") => return Ok(None),
        Err(error) if error.kind == RemoteErrorKind::Refused => {
            return Err(Failure::preflight("CloudFormation refuses the template")
                .because(error)
                .hint(format!(
                    "check it: `cfn-lint {}`",
                    context.config.template.display()
                )));
        }
        Err(error) => return Err(failed(error)),
    };
    context.sink.send(&Event::OperationBegun {
        operation: "create",
        stack_id: id.clone(),
        resource_types: unconditional_types(template),
    });
    let repository_made = |event: &ResourceEvent| {
        if let (REPOSITORY, "CREATE_COMPLETE", Some(name)) = (
            event.logical_id.as_str(),
            event.status.as_str(),
            &event.physical_id,
        ) {
            announce(name);
        }
    };
    let mut watch = watch.of_new_stack(id).on_event(repository_made);
    let end = context.follow(&mut watch).await?;
    match (end.during, end.stack) {
        (During::Succeeded, Some(stack)) => Ok(Some(stack)),
        (During::LeftToDelete, _) if end.cause.as_deref().is_some_and(is_of_a_new_account) => {
            context.sink.warn(
                "the account had no service-linked role; AWS makes it at the first attempt, so here is the second",
            );
            Ok(None)
        }
        (_, stack) => {
            let status = stack.map_or_else(|| "gone".to_owned(), |stack| stack.status.to_string());
            Err(Failure::new(FailureKind::RolledBack, "the stack could not be created")
                .because(end.cause.unwrap_or_else(|| format!("it is {status}")))
                .hint("mend what it names, then run `deployer up` again: it deletes the remains and starts anew"))
        }
    }
}

/// Is this the failure that only the first use of a service in an account meets?
fn is_of_a_new_account(cause: &str) -> bool {
    let cause = cause.to_ascii_lowercase();
    cause.contains("unable to assume the service linked role")
        || cause.contains("unable to assume the service-linked role")
}

async fn repository_of(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
) -> Result<String, Failure> {
    if let Some(name) = stack.outputs.get("RepositoryName") {
        return Ok(name.clone());
    }
    let resources = world
        .resources(&stack.id)
        .await
        .map_err(|error| context.remote_failure(&error))?;
    resources
        .into_iter()
        .find(|resource| resource.logical_id == REPOSITORY)
        .and_then(|resource| resource.physical_id)
        .ok_or_else(|| missing_output("RepositoryName"))
}

fn missing_output(key: &'static str) -> Failure {
    Failure::preflight(format!("the stack has no output `{key}`"))
        .hint("the template has to name what it makes: `docs/template.md` lists the outputs that are needed")
}

/// A push that was made as soon as there was a repository.
struct Pushed {
    /// Name of the repository.
    to: String,
    /// The image's address, or why there is none. The stack may still fail, and its failure is then the cause of this one.
    result: Result<String, Failure>,
}

/// Pushes the image as soon as there is a repository, while the rest of the stack is still being made.
async fn push_early(
    context: Context<'_>,
    workshop: &dyn Workshop,
    built: &BuiltImage,
    mut destination: watch::Receiver<Option<Destination>>,
) -> Pushed {
    let Destination { world, repository } = match destination
        .wait_for(Option::is_some)
        .await
        .map(|found| found.clone())
    {
        Ok(Some(destination)) => destination,
        // The other lane failed, and says why.
        Ok(None) | Err(_) => std::future::pending().await,
    };
    let result = push(context, workshop, built, world.as_ref(), &repository).await;
    Pushed {
        to: repository,
        result,
    }
}

/// Pushes the image; returns the address under which the service finds it.
async fn push(
    context: Context<'_>,
    workshop: &dyn Workshop,
    built: &BuiltImage,
    world: &dyn World,
    repository: &str,
) -> Result<String, Failure> {
    context
        .sink
        .phase(Phase::Push, async {
            let failed = |error| context.remote_failure(&error);
            let address = if let Some(registry) = &context.config.access.registry {
                format!("{registry}/{repository}")
            } else {
                let uri = world.repository_uri(repository).await.map_err(failed)?;
                uri.ok_or_else(|| {
                    Failure::new(FailureKind::Stuck, format!("the repository `{repository}` is gone"))
                        .hint("somebody deleted it: take the stack down with `deployer down`, then bring it up again")
                })?
            };
            let login = match &context.config.access.registry {
                Some(_) => None,
                None => Some(world.login().await.map_err(failed)?),
            };
            let digest = workshop.push(context, &address, login, built).await?;
            Ok(format!("{address}@{digest}"))
        })
        .await
}
