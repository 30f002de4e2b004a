//! Preparation of the stack: creates, repairs or awaits it until it can take an image.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Destination, Run};
use crate::context::{Context, REPOSITORY, new_token};
use crate::deploy::Deployer;
use crate::explain::quota_hint;
use crate::poll::Outcome;
use crate::pollers::StackPoller;
use crate::stack_operations::{Deletion, ROUNDS};
use aws::remote::{RemoteErrorKind, World};
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Phase};
use deployment::names::{RepositoryName, RequestToken, StackId};
use deployment::stack::before::{BeforeUp, before_up};
use deployment::stack::decide::During;
use deployment::stack::purpose::Purpose;
use deployment::stack::resource::unconditional_types;
use deployment::stack::resource_status::ResourceStatus;
use deployment::stack::status::StackStatus;
use deployment::stack::zones;
use deployment::stack::{Observed, ResourceEvent};

/// Steps that are retried once.
#[derive(Default)]
struct SecondTries {
    /// Stack that consists of a change set only.
    reviewed: bool,
    /// Creation that failed because the account is new.
    introduced: bool,
}

impl Run<'_> {
    /// Returns a stack that can take an image: connects, then creates, repairs or awaits the stack.
    /// Announces the repository as soon as it exists.
    pub(super) async fn ready_stack(
        &self,
        announce: &watch::Sender<Option<Destination>>,
    ) -> Result<(Arc<dyn World>, Observed), Failure> {
        let context = self.context;
        let connection = self.host.connect(context).await?;
        let connection = connection.announced(context.sink);
        let lock = self.host.only_one(context, "up", &connection).await?;
        // Kept in the run, so that the lock outlives this function.
        self.only_one.get_or_init(|| lock);
        let world = connection.world;
        // Before anything is created: a task with a missing secret never starts.
        context.require_secrets(world.as_ref()).await?;
        let announce = |repository: &RepositoryName| {
            announce.send_replace(Some(Destination {
                world: world.clone(),
                repository: repository.clone(),
            }));
        };
        let mut second_tries = SecondTries::default();
        for _ in 0..ROUNDS {
            // Each round may start an operation, so check before it does.
            if context.cancellation.is_cancelled() {
                return Err(Failure::interrupted());
            }
            let found = context.observe(world.as_ref()).await?;
            context.sink.send(&Event::StackFound {
                status: found.as_ref().map(|stack| stack.status.clone()),
            });
            let decision = before_up(found.as_ref().map(|stack| &stack.status));
            match (decision, found) {
                (BeforeUp::Create, _) | (_, None) => {
                    context.make_sure_of_roles(world.as_ref()).await?;
                    let work = self.create(&world, &announce, &mut second_tries);
                    if let Some(stack) = context.sink.phase(Phase::Create, work).await? {
                        // An event usually has announced it already. The push must not wait for an
                        // event that was missed.
                        announce(&context.repository_of(world.as_ref(), &stack).await?);
                        return Ok((world, stack));
                    }
                }
                (BeforeUp::Update, Some(stack)) => {
                    announce(&context.repository_of(world.as_ref(), &stack).await?);
                    let way = context.expect_a_way(world.as_ref(), self.host, &stack, "up");
                    way.await?;
                    return Ok((world, stack));
                }
                (BeforeUp::Attach, Some(stack)) => {
                    let deployer = Deployer::new(context, world.as_ref(), self.host);
                    deployer.wait_for_others(&stack).await?;
                }
                // Right after a change set was executed, this may be a stale read. Confirm it once.
                (BeforeUp::Recreate, Some(stack))
                    if stack.status == StackStatus::ReviewInProgress
                        && !std::mem::replace(&mut second_tries.reviewed, true) =>
                {
                    tokio::time::sleep(context.config.access.pace.poll).await;
                }
                (BeforeUp::Recreate, Some(stack)) => {
                    let reason = stack.reason.as_deref().filter(|reason| !reason.is_empty());
                    let why = reason
                        .map(|reason| format!(" ({reason})"))
                        .unwrap_or_default();
                    context.sink.warn(format!(
                        "the stack is {}{why}: it can only be deleted and created again",
                        stack.status
                    ));
                    let work = context.delete(world.as_ref(), &stack);
                    let started = context.sink.phase(Phase::Delete, work).await?;
                    if started == Deletion::NotYet {
                        context.wait_for(world.as_ref(), &stack).await?;
                    }
                }
                (BeforeUp::ContinueRollback, Some(stack)) => {
                    context.continue_rollback(world.as_ref(), &stack).await?;
                }
                (BeforeUp::Refuse { remedy }, Some(stack)) => {
                    return Err(Context::refused(&stack, remedy));
                }
            }
        }
        Err(Context::never_rests())
    }

    /// Creates the stack without an image. Returns `None` if it has to be observed again: somebody
    /// else was faster, or the cause of the failure is gone by the next attempt.
    async fn create(
        &self,
        world: &Arc<dyn World>,
        announce: &(dyn Fn(&RepositoryName) + Sync),
        second_tries: &mut SecondTries,
    ) -> Result<Option<Observed>, Failure> {
        let context = self.context;
        // A stack may exist from here on, which a cancellation has to delete.
        let _guard = context.cancellation.guard();
        let token = new_token(&Purpose::Up);
        let Some(id) = self.ask_for_creation(world.as_ref(), &token).await? else {
            return Ok(None);
        };
        self.created.started(context, world, &id);
        context.sink.send(&Event::OperationStarted {
            operation: "create",
            stack_id: id.clone(),
            resource_types: unconditional_types(self.template),
        });
        let repository_made = |event: &ResourceEvent| {
            if let (REPOSITORY, ResourceStatus::CreateComplete, Some(name)) =
                (event.logical_id.as_str(), &event.status, &event.physical_id)
            {
                announce(&RepositoryName::new(name));
            }
        };
        let watch = StackPoller::creation(world.as_ref(), context.sink, id, &token);
        let mut watch = watch.on_event(repository_made);
        let limit = context.config.timeout;
        let end = match context.poll_for(&mut watch, limit).await? {
            Outcome::Completed(end) => end,
            Outcome::TimedOut => return Err(context.overdue("the creation of the stack")),
            Outcome::Cancelled => return Err(Failure::interrupted()),
        };
        match (end.during, end.stack) {
            (During::Succeeded, Some(stack)) => {
                self.created.completed();
                Ok(Some(stack))
            }
            (During::LeftToDelete, _)
                if end.cause.as_deref().is_some_and(is_of_a_new_account)
                    && !std::mem::replace(&mut second_tries.introduced, true) =>
            {
                // The next round deletes the failed stack, so the guard must not.
                self.created.keep();
                context.sink.warn(
                    "the account had no service-linked role; AWS makes it at the first attempt, so here is the second",
                );
                Ok(None)
            }
            (_, stack) => {
                self.created.keep();
                let status =
                    stack.map_or_else(|| "gone".to_owned(), |stack| stack.status.to_string());
                let cause = end.cause.unwrap_or_else(|| format!("it is {status}"));
                let quota = quota_hint(&cause);
                Err(Failure::new(FailureKind::RolledBack, "the stack could not be created")
                    .because(cause)
                    .maybe_hint(quota)
                    .hint("fix what it names, then run `deployer up` again: it deletes the remains and starts again"))
            }
        }
    }

    /// Requests the creation of the stack. Returns `None` if it exists by now.
    async fn ask_for_creation(
        &self,
        world: &dyn World,
        token: &RequestToken,
    ) -> Result<Option<StackId>, Failure> {
        let context = self.context;
        let name = &context.config.stack;
        match world.create(name, &self.wanted(None), token).await {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.is_already_exists() => Ok(None),
            // `remote_failure` has a better hint for missing capabilities.
            Err(error) if error.kind == RemoteErrorKind::Refused && !error.lacks_capabilities() => {
                let usual = || format!("check it: `{}`", context.config.template.lint());
                let hint = zones::hint(&error.message).map_or_else(usual, str::to_owned);
                Err(Failure::preflight("CloudFormation refuses the template")
                    .because(error)
                    .hint(hint))
            }
            Err(error) => Err(context.remote_failure(&error)),
        }
    }
}

/// Returns whether only the first use of a service in an account fails like this.
fn is_of_a_new_account(cause: &str) -> bool {
    let cause = cause.to_ascii_lowercase();
    cause.contains("unable to assume the service linked role")
        || cause.contains("unable to assume the service-linked role")
}
