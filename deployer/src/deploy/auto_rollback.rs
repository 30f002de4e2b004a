//! Automatic rollback: restores the previous deployment, and checks it too.

use super::previous::Previous;
use super::{DeployError, Deployer};
use crate::cli::CheckFrom;
use crate::stack_operations::ROUNDS;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::ImageUri;
use deployment::stack::Observed;
use deployment::stack::change::Change;
use deployment::stack::purpose::Purpose;
use deployment::stack::request::Wanted;
use deployment::stack::status::Phase as Moment;
use deployment::stack::template_names::OutputName;

/// Effect of restoring the previous deployment.
enum Restored {
    /// Restored with an update.
    Changed,
    /// Nothing to update: CloudFormation finds no difference.
    Unchanged,
}

/// Identity of our own deployment, to tell it from those of others.
pub(super) struct OwnVersion {
    /// URI of the image.
    pub(super) image: ImageUri,
    /// ARN of the task definition, once known.
    pub(super) task_definition: Option<String>,
}

impl OwnVersion {
    /// Returns whether something else is deployed by now.
    pub(super) fn is_replaced_in(&self, stack: &Observed) -> bool {
        let task_definition = stack.output(OutputName::TaskDefinitionArn);
        let another =
            self.task_definition.is_some() && self.task_definition.as_deref() != task_definition;
        another
            || stack
                .image()
                .is_some_and(|image| image != self.image.to_string())
    }
}

impl Deployer<'_> {
    /// Records what is deployed, so that it can be restored. `wanted` replaces it with these
    /// changes.
    pub(super) async fn remember(
        &self,
        stack: &Observed,
        wanted: &Wanted,
        changes: &[Change],
    ) -> Previous {
        // Read it again: the stack may have been observed a while ago. A deployment of somebody
        // else from now on invalidates the change set.
        let previous = match self.world.definition(&stack.id).await {
            Ok(deployed) => Previous::of(deployed, wanted, changes),
            // Restoring the image alone is still worthwhile.
            Err(_) => Previous::of_image(stack.image().unwrap_or_default(), wanted),
        };
        if !previous.losses.is_empty() && !self.stack_is_new {
            self.context.sink.warn(format!(
                "if this deployment fails, this cannot be restored: {}",
                previous.lost()
            ));
        }
        self.warn_without_image(stack, &previous).await;
        previous
    }

    /// Warns if the running image is gone from the registry. Running tasks need no pull, but
    /// restored ones do.
    async fn warn_without_image(&self, stack: &Observed, previous: &Previous) {
        let Some(digest) = previous.digest() else {
            return;
        };
        let Ok(repository) = self.context.repository_of(self.world, stack).await else {
            return;
        };
        // An error here is no reason to refuse the deployment.
        if let Ok(false) = self.world.image_exists(&repository, &digest).await {
            self.context.sink.warn(format!(
                "the image that runs, {}, is no longer in the registry: if this deployment fails, it cannot be restored",
                digest.short()
            ));
        }
    }

    /// Restores the previous deployment after this failure, and returns the resulting failure.
    /// `ours` is the deployment that failed. Deployments of others are left alone.
    pub(super) async fn roll_back_automatically(
        &self,
        failure: Failure,
        stack: &Observed,
        previous: &Previous,
        ours: &OwnVersion,
    ) -> Failure {
        if self.stack_is_new && failure.kind == FailureKind::Interrupted {
            // The guard of the new stack deletes all of it.
            return failure;
        }
        // One cancellation is enough: the rollback runs to its end.
        let uncancellable = Deployer {
            context: self.context.uncancellable(),
            ..*self
        };
        let before = match uncancellable.observe_again(stack).await {
            Ok(before) => before,
            Err(gone) if gone.kind == FailureKind::Busy => {
                return superseded(&failure, &gone.message);
            }
            Err(second) => return not_taken_back(failure, second),
        };
        if ours.is_replaced_in(&before) || is_of_others(&before) {
            return superseded(
                &failure,
                "somebody else has deployed meanwhile, which is left alone",
            );
        }
        // The new version must go, however its failure was first classified.
        let failure = match failure.kind {
            FailureKind::Preflight | FailureKind::Unexpected => Failure {
                kind: FailureKind::RolledBack,
                ..failure
            },
            FailureKind::Usage
            | FailureKind::Unproven
            | FailureKind::RolledBack
            | FailureKind::Stuck
            | FailureKind::CheckFailed
            | FailureKind::Busy
            | FailureKind::Held
            | FailureKind::Interrupted => failure,
        };
        let what = previous.shown().map_or_else(
            || "taking the new version away again: nothing ran before it".to_owned(),
            |version| format!("putting {version} back, which ran before"),
        );
        self.context
            .sink
            .warn(format!("{}; {what}", failure.message));
        // A previous value exists only for parameters of the deployed template, and the update may
        // have removed some.
        let previous = &previous.in_place_of(&before);
        let work = uncancellable.put_back(&before, previous);
        let check = self.context.config.check_from;
        let ended = match self.context.sink.phase(Phase::Back, work).await {
            Ok(Restored::Unchanged) => nothing_put_back(failure, previous),
            Ok(Restored::Changed) if !previous.losses.is_empty() => {
                partly_taken_back(failure, previous, works(check))
            }
            Ok(Restored::Changed) => return taken_back(failure, previous, works(check)),
            Err(DeployError::Final(second)) if second.kind == FailureKind::Unproven => {
                let failure = if previous.losses.is_empty() {
                    taken_back(failure, previous, OUT_OF_REACH)
                } else {
                    partly_taken_back(failure, previous, OUT_OF_REACH)
                };
                let why = second.cause.map(|cause| format!("afterwards: {cause}"));
                failure.with_evidence(why.into_iter().chain(second.evidence))
            }
            Err(DeployError::Final(second)) if second.kind == FailureKind::Busy => superseded(
                &failure,
                "somebody else is at work on the stack, which is left alone",
            ),
            Err(DeployError::NeedsRollback(second)) if second.kind == FailureKind::CheckFailed => {
                neither_answers(failure, second, previous)
            }
            Err(DeployError::Final(second) | DeployError::NeedsRollback(second)) => {
                not_taken_back(failure, second)
            }
        };
        if ended.kind == FailureKind::Busy {
            return ended;
        }
        let config = self.context.config;
        let remedies = previous.losses.iter().map(|loss| loss.remedy(config));
        remedies.fold(ended, Failure::hint)
    }

    async fn put_back(
        &self,
        stack: &Observed,
        previous: &Previous,
    ) -> Result<Restored, DeployError> {
        let stack = &self.cleaned_up(stack).await.map_err(DeployError::Final)?;
        // The user has consented to the previous deployment before, so nothing is asked.
        let wanted = &previous.wanted;
        let proposed = self
            .propose(stack, wanted, &Purpose::AutomaticRollback)
            .await;
        let Some(proposed) = proposed.map_err(DeployError::Final)? else {
            return Ok(Restored::Unchanged);
        };
        let execution = self
            .execute(
                stack,
                &proposed,
                &Purpose::AutomaticRollback,
                previous.clone(),
            )
            .await
            .map_err(DeployError::Final)?;
        self.follow_update(execution).await?;
        if let Some(digest) = previous.digest() {
            let stack = self
                .observe_again(stack)
                .await
                .map_err(DeployError::Final)?;
            self.prove(&stack, &digest, None).await?;
        }
        Ok(Restored::Changed)
    }

    /// Waits until the cleanup of the update has ended. CloudFormation accepts no other update
    /// before that.
    async fn cleaned_up(&self, stack: &Observed) -> Result<Observed, Failure> {
        let mut stack = stack.clone();
        for _ in 0..ROUNDS {
            if stack.status.phase() != Moment::Moving {
                break;
            }
            self.context.attach(self.world, &stack).await?;
            stack = self.observe_again(&stack).await?;
        }
        Ok(stack)
    }
}

/// Returns whether an operation that this run did not start is in progress on the stack.
fn is_of_others(stack: &Observed) -> bool {
    use deployment::stack::status::StackStatus as S;
    // Our own update ends with a cleanup phase, so that status is not a sign of others.
    stack.status.phase() == Moment::Moving && stack.status != S::UpdateCompleteCleanupInProgress
}

fn superseded(failure: &Failure, why: &str) -> Failure {
    Failure::new(FailureKind::Busy, &failure.message)
        .leaving(Aftermath::LeftToOthers, &format!("; {why}"))
        .because(failure.cause.as_deref().unwrap_or("no reason is given"))
        .with_evidence(failure.evidence.clone())
        .hint("`deployer status` shows what runs")
}

/// Text for a version that is healthy but could not be checked.
const OUT_OF_REACH: &str = "is healthy, but cannot be reached from here to check it";

/// Returns a text for what is known of a version that passed.
const fn works(check: CheckFrom) -> &'static str {
    match check {
        CheckFrom::Outside => "answers",
        CheckFrom::TargetHealth => "is healthy, as the load balancer has it",
    }
}

fn taken_back(failure: Failure, previous: &Previous, works: &str) -> Failure {
    let Some(version) = previous.shown() else {
        let outcome = "; it was removed: nothing ran before it";
        return failure.leaving(Aftermath::RemovedVersion, outcome);
    };
    let mut outcome = format!("; the previous version, {version}, is restored");
    // Without a digest, responses cannot show which version it is.
    if previous.digest().is_some() {
        outcome = format!("{outcome} and {works}");
    }
    failure.leaving(Aftermath::RestoredPrevious, &outcome)
}

/// Returns the failure if the previous version runs again, but parts of it could not be restored.
fn partly_taken_back(failure: Failure, previous: &Previous, works: &str) -> Failure {
    let what = match (previous.shown(), previous.digest()) {
        (Some(version), Some(_)) => {
            format!("the image of before, {version}, runs again and {works}")
        }
        (Some(version), None) => format!("the image of before, {version}, runs again"),
        (None, _) => "it was removed".to_owned(),
    };
    let lost = previous.lost();
    let outcome = format!("; {what}, but this could not be restored exactly: {lost}");
    failure
        .of_kind(FailureKind::Stuck)
        .leaving(Aftermath::PartlyRestored, &outcome)
}

/// Returns the failure if restoring would change nothing, so that the new version is still
/// deployed.
fn nothing_put_back(failure: Failure, previous: &Previous) -> Failure {
    let why = if previous.losses.is_empty() {
        "CloudFormation finds no difference to what was deployed before".to_owned()
    } else {
        format!("it differs only in {}", previous.lost())
    };
    let outcome = format!("; nothing could be restored, and it is still in place: {why}");
    failure
        .of_kind(FailureKind::Stuck)
        .leaving(Aftermath::LeftAsIs, &outcome)
}

/// Returns the failure if the restored version does not pass the check either. The service may not
/// be the cause.
fn neither_answers(failure: Failure, second: Failure, previous: &Previous) -> Failure {
    let before = previous
        .shown()
        .map_or_else(String::new, |version| format!(", {version},"));
    let mut evidence = failure.evidence;
    if let Some(cause) = failure.cause {
        evidence.insert(0, format!("the new version: {cause}"));
    }
    let (aftermath, how) = if previous.losses.is_empty() {
        let how = "is restored, and does not pass the check either".to_owned();
        (Aftermath::RestoredPrevious, how)
    } else {
        let how = format!(
            "does not pass the check either; this of it could not be restored exactly: {}",
            previous.lost()
        );
        (Aftermath::PartlyRestored, how)
    };
    Failure::new(FailureKind::Stuck, failure.message)
        .leaving(aftermath, &format!("; the previous version{before} {how}"))
        .because(second.cause.unwrap_or(second.message))
        .with_evidence(evidence)
        .hint("is it this machine: its network, its clock? Look from elsewhere, too")
        .hint("see what runs: `deployer status`")
}

fn not_taken_back(failure: Failure, second: Failure) -> Failure {
    let why = match second.cause {
        Some(cause) => format!("{}: {cause}", second.message),
        None => second.message,
    };
    let mut evidence = failure.evidence;
    if let Some(cause) = failure.cause {
        evidence.insert(0, format!("before that: {cause}"));
    }
    evidence.extend(second.evidence);
    Failure::new(FailureKind::Stuck, failure.message)
        .leaving(
            Aftermath::NotRestored,
            ", and the previous state could not be restored",
        )
        .because(why)
        .with_evidence(evidence)
        .hint("see what runs: `deployer status`, `deployer history`")
        .hint("go back by hand: `deployer rollback`")
}
