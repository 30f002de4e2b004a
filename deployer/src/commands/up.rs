//! `deployer up`: from the source to a service that was seen to work.
//!
//! Two lanes run side by side. One compiles and packs the image; the other gets the stack ready to take it. They meet
//! at the repository: the image is pushed as soon as that is there, while the rest of the stack is still being made.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::commands::{
    Context, PublicUrl, connect, emulator, new_token, public_url, read_template,
};
use crate::config::Config;
use crate::error::{Failure, FailureKind};
use crate::event::{Checked, Event, Phase, Sink, Summary};
use crate::image::oci::BuiltImage;
use crate::names::{Digest, StackId};
use crate::remote::{Change, Proposal, RemoteErrorKind, Wanted, World};
use crate::rollout::Rollout;
use crate::stack::decide::{BeforeUp, During, Operation, before_up};
use crate::stack::resource::unconditional_types;
use crate::stack::{Observed, ResourceEvent};
use crate::watch::{ChangeSet, RolloutWatch, ServiceNames, StackWatch, Verification};

/// Logical name of the image repository in the template.
const REPOSITORY: &str = "Repository";
/// Most times that the stack is looked at anew before giving up: each round mends one thing.
const ROUNDS: usize = 8;

/// The connection to AWS and the repository, as soon as both are there.
#[derive(Clone)]
struct Destination {
    world: Arc<dyn World>,
    repository: String,
}

/// Runs the command.
pub async fn run(config: &Config, sink: &Sink) -> Result<(), Failure> {
    let began = Instant::now();
    let context = Context { config, sink };
    // What can be found wrong at once is, before anything is begun.
    let template = read_template(config)?;
    let stage = context.read_final_stage()?;

    let (announce, destination) = watch::channel(None::<Destination>);
    let image_lane = async {
        let built = sink
            .phase(Phase::Image, context.build_image(&stage))
            .await?;
        push(context, &built, destination).await
    };
    let stack_lane = ready_stack(context, &template, &announce);
    let (uri, (world, stack)) = tokio::try_join!(image_lane, stack_lane)?;

    let digest = Digest::of_image(&uri)
        .ok_or_else(|| Failure::new(FailureKind::Unexpected, format!("`{uri}` has no digest")))?;
    let changed = update(context, world.as_ref(), &stack, &template, &uri).await?;
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
        .phase(Phase::Check, verify(context, &url, &digest))
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
    let local = if config.access.local { " --local" } else { "" };
    format!("deployer down --stack {}{local}", config.stack)
}

/// Gets a stack that can take an image: starts the emulator if that is meant, then creates, repairs or awaits the stack.
/// Announces the repository as soon as it is there.
async fn ready_stack(
    context: Context<'_>,
    template: &str,
    announce: &watch::Sender<Option<Destination>>,
) -> Result<(Arc<dyn World>, Observed), Failure> {
    if let Some(emulator) = emulator(context.config)? {
        context
            .sink
            .phase(Phase::Emulator, emulator.ensure(context.sink))
            .await?;
    }
    let world = connect(context).await?.announced(context.sink).world;
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
    Err(
        Failure::new(FailureKind::Busy, "the stack does not come to rest")
            .hint("is somebody else working on it? Look with `deployer status`, then try again"),
    )
}

/// Creates the stack without an image; `None` when somebody else was faster.
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
        (_, stack) => {
            let status = stack.map_or_else(|| "gone".to_owned(), |stack| stack.status.to_string());
            Err(Failure::new(FailureKind::RolledBack, "the stack could not be created")
                .because(end.cause.unwrap_or_else(|| format!("it is {status}")))
                .hint("mend what it names, then run `deployer up` again: it deletes the remains and starts anew"))
        }
    }
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

/// Pushes the image as soon as there is a repository; returns the address under which the service finds it.
async fn push(
    context: Context<'_>,
    built: &BuiltImage,
    mut destination: watch::Receiver<Option<Destination>>,
) -> Result<String, Failure> {
    let Destination { world, repository } = match destination
        .wait_for(Option::is_some)
        .await
        .map(|found| found.clone())
    {
        Ok(Some(destination)) => destination,
        // The other lane failed, and says why.
        Ok(None) | Err(_) => std::future::pending().await,
    };
    context
        .sink
        .phase(Phase::Push, async {
            let failed = |error| context.remote_failure(&error);
            let address = if let Some(registry) = &context.config.access.registry {
                format!("{registry}/{repository}")
            } else {
                let uri = world.repository_uri(&repository).await.map_err(failed)?;
                uri.ok_or_else(|| {
                    Failure::new(FailureKind::Stuck, format!("the repository `{repository}` is gone"))
                        .hint("somebody deleted it: take the stack down with `deployer down`, then bring it up again")
                })?
            };
            let login = match &context.config.access.registry {
                Some(_) => None,
                None => Some(world.login().await.map_err(failed)?),
            };
            let digest = context.push_image(&address, login, built).await?;
            Ok(format!("{address}@{digest}"))
        })
        .await
}

/// Updates the stack to this image by change set; false when there was nothing to change.
async fn update(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
    template: &str,
    image_uri: &str,
) -> Result<bool, Failure> {
    let mut parameters = context.config.parameters.clone();
    parameters.insert("ImageUri".to_owned(), image_uri.to_owned());
    let wanted = Wanted {
        template: template.to_owned(),
        parameters,
    };
    let planned = context
        .sink
        .phase(Phase::Plan, propose(context, world, stack, &wanted))
        .await?;
    let Some((change_set, changes)) = planned else {
        return Ok(false);
    };
    let work = execute(context, world, stack, &change_set, &changes);
    context.sink.phase(Phase::Update, work).await?;
    Ok(true)
}

/// Computes a change set; `None` when it would change nothing.
async fn propose(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
    wanted: &Wanted,
) -> Result<Option<(String, Vec<Change>)>, Failure> {
    let failed = |error| context.remote_failure(&error);
    let refused = |cause: String| {
        Failure::preflight("CloudFormation refuses the change")
            .because(cause)
            .hint(format!(
                "check the template: `cfn-lint {}`",
                context.config.template.display()
            ))
    };
    let id = world
        .propose(&stack.id, wanted, &new_token())
        .await
        .map_err(|error| {
            let about_the_request = error.kind == RemoteErrorKind::Refused
                && error.code.as_deref() == Some("ValidationError");
            if about_the_request {
                refused(error.to_string())
            } else {
                context.remote_failure(&error)
            }
        })?;
    let mut subject = ChangeSet { world, id: &id };
    match context.follow(&mut subject).await? {
        Proposal::Ready(changes) => {
            context.sink.send(&Event::Proposed {
                changes: changes.clone(),
            });
            Ok(Some((id, changes)))
        }
        Proposal::Empty => {
            world.discard(&id).await.map_err(failed)?;
            context.sink.send(&Event::Unchanged);
            Ok(None)
        }
        Proposal::Failed(reason) => {
            let _ = world.discard(&id).await;
            Err(refused(reason))
        }
        Proposal::Pending => Err(Failure::new(
            FailureKind::Unexpected,
            "the change set is not ready",
        )),
    }
}

async fn execute(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
    change_set: &str,
    changes: &[Change],
) -> Result<(), Failure> {
    let failed = |error| context.remote_failure(&error);
    let token = new_token();
    let mut watch = StackWatch::prepare(
        world,
        context.sink,
        Operation::Update,
        Some(stack),
        Some(&token),
    )
    .await
    .map_err(failed)?;
    world.execute(change_set, &token).await.map_err(failed)?;
    context.sink.send(&Event::OperationBegun {
        operation: "update",
        stack_id: stack.id.clone(),
        resource_types: changes
            .iter()
            .map(|change| change.resource_type.clone())
            .collect(),
    });
    let end = context.follow(&mut watch).await?;
    let cause = end
        .cause
        .unwrap_or_else(|| "CloudFormation gives no reason".to_owned());
    match end.during {
        During::Succeeded => Ok(()),
        During::RolledBack => Err(Failure::new(
            FailureKind::RolledBack,
            "the update failed; what was there before is in place again",
        )
        .because(cause)
        .hint("mend what it names, then run `deployer up` again")),
        During::Stuck
        | During::LeftToDelete
        | During::KeepLooking
        | During::KeepLookingAtUnknown => Err(Failure::new(
            FailureKind::Stuck,
            "the update failed, and so did its rollback",
        )
        .because(cause)
        .hint("`deployer up` continues the rollback once what it names is mended")),
    }
}

async fn observe_again(
    context: Context<'_>,
    world: &dyn World,
    stack: &Observed,
) -> Result<Observed, Failure> {
    world
        .observe(stack.id.as_str())
        .await
        .map_err(|error| context.remote_failure(&error))?
        .ok_or_else(|| {
            Failure::new(
                FailureKind::Busy,
                "somebody deleted the stack in the meantime",
            )
        })
}

async fn rollout(
    context: Context<'_>,
    world: &dyn World,
    names: &ServiceNames,
) -> Result<(), Failure> {
    let mut watch = RolloutWatch::new(world, context.sink, names);
    let end = context.follow(&mut watch).await?;
    let failure = match end.rollout {
        Rollout::Completed => return Ok(()),
        Rollout::RolledBack(reason) => Failure::new(
            FailureKind::RolledBack,
            "the new version did not start; the version before it serves again",
        )
        .because(reason),
        Rollout::Failed(reason) => {
            Failure::new(FailureKind::RolledBack, "the service did not start").because(reason)
        }
        Rollout::InProgress => Failure::new(FailureKind::Unexpected, "the rollout did not end"),
    };
    Err(failure
        .with_evidence(end.evidence)
        .hint("mend the program or its settings, then run `deployer up` again"))
}

async fn verify(
    context: Context<'_>,
    url: &PublicUrl,
    digest: &Digest,
) -> Result<Checked, Failure> {
    let config = context.config;
    let settings = checker::Settings {
        max_skew: config.max_skew,
        expect_instances: Some(config.tasks),
        ..checker::Settings::default()
    };
    let mut subject = Verification::new(context.sink, &url.target, settings, digest);
    if let Some(checked) = context
        .follow_for(&mut subject, config.verify_timeout)
        .await?
    {
        return Ok(checked);
    }
    let last = subject.last();
    let cause = last
        .and_then(|last| last.cause.clone())
        .unwrap_or_else(|| "no check was made".to_owned());
    let verdict = last.map_or("unknown", |last| last.verdict.name());
    Err(Failure::new(
        FailureKind::CheckFailed,
        format!(
            "deployed, but {} is {verdict} after {} s",
            url.official,
            config.verify_timeout.as_secs()
        ),
    )
    .because(cause)
    .hint(format!("look yourself: `curl -i {}`", url.shown))
    .hint("allow more time: `--verify-timeout 5m`"))
}
