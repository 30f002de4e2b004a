//! The update that brings the image in: a change set, shown and executed.

use crate::commands::{Context, new_token};
use crate::error::{Failure, FailureKind};
use crate::event::{Event, Phase};
use crate::remote::{Change, Proposal, RemoteErrorKind, Wanted, World};
use crate::stack::Observed;
use crate::stack::decide::{During, Operation};
use crate::watch::{ChangeSet, StackWatch, UpdateEnd, UpdateWatch};

/// Updates the stack to this image by change set; false when there was nothing to change.
pub(super) async fn update(
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
            let failure = context.remote_failure(&error);
            let about_the_request = error.kind == RemoteErrorKind::Refused
                && error.code.as_deref() == Some("ValidationError");
            if about_the_request && failure.kind != FailureKind::Busy {
                refused(error.to_string())
            } else {
                failure
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
            // It would change nothing, also if it stays.
            let _ = world.discard(&id).await;
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
    let watch = StackWatch::prepare(
        world,
        context.sink,
        Operation::Update,
        Some(stack),
        Some(&token),
    )
    .await
    .map_err(failed)?;
    world
        .execute(&stack.id, change_set, &token)
        .await
        .map_err(failed)?;
    context.sink.send(&Event::OperationBegun {
        operation: "update",
        stack_id: stack.id.clone(),
        resource_types: changes
            .iter()
            .map(|change| change.resource_type.clone())
            .collect(),
    });
    let mut watch = UpdateWatch::new(world, context.sink, watch, stack);
    let UpdateEnd {
        stack: end,
        evidence,
    } = context.follow(&mut watch).await?;
    let cause = end.cause_or_none();
    match end.during {
        During::Succeeded => Ok(()),
        During::RolledBack => Err(Failure::new(
            FailureKind::RolledBack,
            "the update failed; what was there before is in place again",
        )
        .because(cause)
        .with_evidence(evidence)
        .hint("mend what it names, then run `deployer up` again")),
        During::Stuck
        | During::LeftToDelete
        | During::KeepLooking
        | During::KeepLookingAtUnknown => Err(Failure::new(
            FailureKind::Stuck,
            "the update failed, and so did its rollback",
        )
        .because(cause)
        .with_evidence(evidence)
        .hint("`deployer up` continues the rollback once what it names is mended")),
    }
}
