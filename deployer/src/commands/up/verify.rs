//! What makes a deployment a success: our version runs, and answers from outside as it should.

use crate::commands::explain::Ended;
use crate::commands::{Context, PublicUrl};
use crate::error::{Failure, FailureKind};
use crate::event::Checked;
use crate::names::Digest;
use crate::remote::World;
use crate::rollout::Rollout;
use crate::stack::Observed;
use crate::watch::{Outside, RolloutWatch, ServiceNames, Verification};

/// The stack after the update.
pub(super) async fn observe_again(
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

/// Follows the rollout of our task definition: a stack that is complete does not mean that it runs.
pub(super) async fn rollout(
    context: Context<'_>,
    world: &dyn World,
    names: &ServiceNames,
) -> Result<(), Failure> {
    let mut watch = RolloutWatch::new(world, context.sink, names);
    let limit = context.config.timeout;
    let Some(end) = context.follow_for(&mut watch, limit).await? else {
        let failure = Failure::new(
            FailureKind::CheckFailed,
            format!(
                "deployed, but not all tasks run and are healthy after {} s",
                limit.as_secs()
            ),
        );
        return Err(context
            .explained(failure, watch.evidence(), Ended::GoesOn)
            .hint("ECS goes on trying: `deployer status` shows what runs")
            .hint("allow more time: `--timeout 1h`"));
    };
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
    Err(context
        .explained(failure, &end.evidence, Ended::ForGood)
        .hint("mend the program or its settings, then run `deployer up` again"))
}

/// Looks from outside until all tasks answer from the new image.
pub(super) async fn verify(
    context: Context<'_>,
    outside: &dyn Outside,
    url: &PublicUrl,
    digest: &Digest,
) -> Result<Checked, Failure> {
    let config = context.config;
    let settings = context.check_settings(config.tasks);
    let mut subject = Verification::new(context.sink, outside, &url.target, settings, digest);
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
    let seen = match last.map(|last| last.verdict) {
        Some(checker::Verdict::Ok) => "still answers from another version",
        Some(verdict) => &format!("is {}", verdict.name()),
        None => "is unknown",
    };
    Err(Failure::new(
        FailureKind::CheckFailed,
        format!(
            "deployed, but {} {seen} after {} s",
            url.official,
            config.verify_timeout.as_secs()
        ),
    )
    .because(cause)
    .hint(format!("look yourself: `curl -i {}`", url.shown))
    .hint("allow more time: `--verify-timeout 5m`"))
}
