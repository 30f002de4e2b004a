//! Operations on the stack that several commands share.

use crate::context::{Context, REPOSITORY, missing_output, new_token};
use crate::explain::command_line_with;
use crate::poll::Outcome;
use crate::pollers::{StackEnd, StackPoller, WayBack};
use aws::remote::{RemoteError, RemoteErrorKind, World};
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use deployment::names::{RepositoryName, RequestToken};
use deployment::stack::Observed;
use deployment::stack::before::{StatusSummary, status_summary};
use deployment::stack::decide::{During, Operation};
use deployment::stack::purpose::Purpose;
use deployment::stack::request::Resource;
use deployment::stack::resource_status::ResourceStatus;
use deployment::stack::status::{Phase, StackStatus};
use deployment::stack::template_names::{OutputName, ParameterName};

/// Maximum number of rounds before a command gives up. Each round fixes one problem or waits for
/// one operation.
pub(crate) const ROUNDS: usize = 8;

/// Result of a deletion request.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The stack was deleted.
    Done,
    /// The deletion was refused because another operation is in progress.
    NotYet,
}

impl Context<'_> {
    /// Reads the current state of the stack by its name.
    pub(crate) async fn observe(&self, world: &dyn World) -> Result<Option<Observed>, Failure> {
        world
            .observe((&self.config.stack).into())
            .await
            .map_err(|error| self.remote_failure(&error))
    }

    /// Waits for an operation that another caller has started, and reports what it is and why it
    /// failed.
    ///
    /// Fails without waiting if `--no-wait` is set.
    pub(crate) async fn wait_for(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<StackEnd, Failure> {
        let what = match status_summary(Some(&stack.status)) {
            StatusSummary::InProgress(what) | StatusSummary::Notable(what) => what,
            StatusSummary::Absent | StatusSummary::AtRest => "at rest",
        };
        if !self.config.wait {
            return Err(Failure::new(
                FailureKind::Busy,
                "another operation is under way on the stack",
            )
            .because(format!("it is {}: {what}", stack.status))
            .hint("wait for it: leave out `--no-wait`, or `deployer status --watch`"));
        }
        self.sink.note(format!(
            "the stack is {} ({what}): waiting for that to end",
            stack.status
        ));
        let mut watch = self.watch_of_others(world, stack).await?;
        self.sink.send(&attached(stack));
        let end = self.poll_to_end(&mut watch).await?;
        if let Some(cause) = &end.cause {
            self.sink
                .warn(format!("what was under way failed: {cause}"));
        }
        Ok(end)
    }

    /// Polls the operation in progress until the stack comes to rest with its previous version, or
    /// with none.
    pub(crate) async fn attach(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<StackEnd, Failure> {
        let watch = self.watch_of_others(world, stack).await?;
        self.follow_back(world, watch, stack).await
    }

    /// Polls a deletion in progress.
    pub(crate) async fn attach_to_deletion(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<StackEnd, Failure> {
        let mut watch = self.watch_of_others(world, stack).await?;
        self.sink.send(&attached(stack));
        self.follow_deletion(&mut watch).await
    }

    /// Prepares a poller for an operation of another caller.
    async fn watch_of_others<'w>(
        &'w self,
        world: &'w dyn World,
        stack: &Observed,
    ) -> Result<StackPoller<'w>, Failure> {
        StackPoller::prepare(world, self.sink, Operation::Attached, stack, None)
            .await
            .map_err(|error| self.remote_failure(&error))
    }

    /// Polls an operation that leads back, and whose resources are not known in advance.
    async fn follow_back(
        &self,
        world: &dyn World,
        watch: StackPoller<'_>,
        stack: &Observed,
    ) -> Result<StackEnd, Failure> {
        self.sink.send(&attached(stack));
        let mut watch = WayBack::new(world, self.sink, watch, stack);
        self.poll_to_end(&mut watch).await
    }

    /// Returns the failure of a command that never found the stack at rest in [`ROUNDS`] rounds.
    pub(crate) fn never_rests() -> Failure {
        Failure::new(FailureKind::Busy, "the stack does not come to rest")
            .hint("is somebody else working on it? Look with `deployer status`, then try again")
    }

    /// Returns the failure of a command that cannot proceed from the stack's status.
    pub(crate) fn refused(stack: &Observed, remedy: &str) -> Failure {
        Failure::new(FailureKind::Stuck, format!("the stack is {}", stack.status)).hint(remedy)
    }

    /// Returns the name of the stack's image repository.
    pub(crate) async fn repository_of(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<RepositoryName, Failure> {
        // Outputs are missing until the creation is complete. The resource has its name earlier.
        if let Some(name) = stack.output(OutputName::RepositoryName) {
            return Ok(RepositoryName::new(name));
        }
        let resources = world
            .resources(&stack.id)
            .await
            .map_err(|error| self.remote_failure(&error))?;
        resources
            .into_iter()
            .find(|resource| resource.logical_id == REPOSITORY)
            .and_then(|resource| resource.physical_id)
            .map(RepositoryName::new)
            .ok_or_else(|| missing_output(OutputName::RepositoryName))
    }

    /// Continues a failed rollback, or rolls back a failed update, and polls until it ends.
    pub(crate) async fn continue_rollback(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<(), Failure> {
        // `UPDATE_FAILED` is the end of updates that CloudFormation was told not to roll back.
        let paused = stack.status == StackStatus::UpdateFailed;
        self.sink.warn(if paused {
            "an earlier update failed and was left as it was: rolling it back"
        } else {
            "an earlier rollback did not finish: continuing it"
        });
        let failed = |error| self.remote_failure(&error);
        let token = new_token(&Purpose::ContinueRollback);
        let operation = Operation::Attached;
        // Prepared before the request, so that no event between the two is missed.
        let watch = StackPoller::prepare(world, self.sink, operation, stack, Some(&token))
            .await
            .map_err(failed)?;
        let answer = if paused {
            world.roll_back(&stack.id, &token).await
        } else {
            let skip = &self.config.consent.skip;
            world.continue_rollback(&stack.id, skip, &token).await
        };
        match answer {
            Ok(()) => {}
            // Another caller has continued it meanwhile.
            Err(error) if error.is_conflict() => {
                self.sink.note(format!("not again: {error}"));
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
        let end = self.follow_back(world, watch, stack).await?;
        match end.stack.as_ref().map(|stack| &stack.status) {
            Some(StackStatus::UpdateRollbackFailed) => {
                let failed = self.resources_that_failed(world, stack).await;
                let skip = options("--skip-resource", &failed);
                let failure = Failure::new(FailureKind::Stuck, "the rollback cannot be finished")
                    .because(end.cause_or_none())
                    .with_evidence(failed.iter().map(Resource::line))
                    .hint("fix what it names, then run the same command again");
                Err(failure.maybe_hint((!skip.is_empty()).then(|| {
                    format!(
                        "or leave it as it is, which the stack will not notice: `{}`",
                        command_line_with(self.config, "up", skip.trim_start())
                    )
                })))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns the resources that keep the rollback from completing, as far as they can be read.
    async fn resources_that_failed(&self, world: &dyn World, stack: &Observed) -> Vec<Resource> {
        // They only explain the failure, so an error must not replace it.
        let mut resources = world.resources(&stack.id).await.unwrap_or_default();
        resources.retain(|resource| resource.status == ResourceStatus::UpdateFailed);
        resources
    }

    /// Deletes the stack and polls until the deletion ends. If another operation is in progress,
    /// returns [`Deletion::NotYet`] and leaves the retry to the caller.
    pub(crate) async fn delete(
        &self,
        world: &dyn World,
        stack: &Observed,
    ) -> Result<Deletion, Failure> {
        let failed = |error| self.remote_failure(&error);
        let token = new_token(&Purpose::Down);
        let mut watch =
            StackPoller::prepare(world, self.sink, Operation::Delete, stack, Some(&token))
                .await
                .map_err(failed)?;
        // Read before the deletion, because they decide whether the stack may be deleted.
        let resources = world.resources(&stack.id).await.map_err(failed)?;
        self.refuse_what_is_not_ours(stack, &resources)?;
        // CloudFormation accepts resources to retain only after a failed deletion.
        let retain = if stack.status == StackStatus::DeleteFailed {
            self.config.consent.retain.as_slice()
        } else {
            &[]
        };
        self.stop_one_off_tasks(world, stack).await;
        match world.delete(&stack.id, retain, &token).await {
            Ok(()) => {}
            Err(error) if error.is_conflict() => {
                self.sink.note(format!("not yet: {error}"));
                return Ok(Deletion::NotYet);
            }
            Err(error) if error.is_termination_protection() => {
                return Err(self.is_protected(&error));
            }
            Err(error) => return Err(failed(error)),
        }
        self.sink.send(&Event::OperationStarted {
            operation: "delete",
            stack_id: stack.id.clone(),
            resource_types: resources
                .into_iter()
                // An earlier deletion may have failed halfway.
                .filter(|resource| resource.status != ResourceStatus::DeleteComplete)
                .map(|resource| resource.resource_type)
                .collect(),
        });
        let end = self.follow_deletion(&mut watch).await?;
        self.deletion_succeeded(world, stack, end).await?;
        Ok(Deletion::Done)
    }

    /// Returns the failure for a stack with termination protection. No flag of this program
    /// disables it.
    fn is_protected(&self, error: &RemoteError) -> Failure {
        Failure::preflight("the stack is protected against deletion")
            .because(error)
            .hint(format!(
                "if it is to go all the same: `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name {}`, then the same command again",
                self.config.stack
            ))
    }

    /// Cancels the update in progress. Returns `false` if it was too late or the result is unknown:
    /// the stack's next status tells.
    pub(crate) async fn cancel_update(
        &self,
        world: &dyn World,
        stack: &Observed,
        token: &RequestToken,
    ) -> Result<bool, Failure> {
        let cancelled = world.cancel_update(&stack.id, token).await;
        self.reject_release(world, stack).await;
        let Err(error) = cancelled else {
            return Ok(true);
        };
        match error.kind {
            // The update ended a moment ago; the caller reads the result from the stack.
            RemoteErrorKind::Refused | RemoteErrorKind::NotFound => Ok(false),
            RemoteErrorKind::Unreachable | RemoteErrorKind::Throttled | RemoteErrorKind::Server => {
                self.sink
                    .warn(format!("the update may not be cancelled: {error}"));
                Ok(false)
            }
            RemoteErrorKind::Untrusted | RemoteErrorKind::Credentials | RemoteErrorKind::Denied => {
                Err(self.remote_failure_under_way(&error))
            }
        }
    }

    /// Polls a deletion. A deletion cannot be undone, so the first cancellation only warns.
    pub(crate) async fn follow_deletion(
        &self,
        watch: &mut StackPoller<'_>,
    ) -> Result<StackEnd, Failure> {
        // Keeps the first Ctrl-C from ending the program: see `cancellation`.
        let _guard = self.cancellation.guard();
        match self.poll_for(watch, self.config.timeout).await? {
            Outcome::Completed(end) => Ok(end),
            Outcome::TimedOut => Err(self.timed_out()),
            Outcome::Cancelled => {
                self.sink.warn(
                    "a deletion cannot be undone: waiting for its end; press Ctrl-C again to exit at once",
                );
                self.uncancellable().poll_to_end(watch).await
            }
        }
    }

    /// Fails if the stack has the configured name but was not created by this program.
    ///
    /// Such a stack has resources, but neither a parameter for the image nor a repository for it.
    fn refuse_what_is_not_ours(
        &self,
        stack: &Observed,
        resources: &[Resource],
    ) -> Result<(), Failure> {
        let is_ours = |resource: &Resource| {
            resource.logical_id == REPOSITORY && resource.resource_type == "AWS::ECR::Repository"
        };
        let holds_something = resources
            .iter()
            .any(|resource| resource.physical_id.is_some());
        let takes_an_image = stack.parameter(ParameterName::ImageUri).is_some();
        if takes_an_image || resources.iter().any(is_ours) || !holds_something {
            return Ok(());
        }
        Err(Failure::preflight(format!(
            "the stack `{}` does not look like one that this program made",
            self.config.stack
        ))
        .because(format!("it takes no image, and has no `{REPOSITORY}`"))
        .hint("is this the right account, region and `--stack`?")
        .hint("if it is: delete it in the CloudFormation console"))
    }

    /// Checks the result of a deletion.
    pub(crate) async fn deletion_succeeded(
        &self,
        world: &dyn World,
        stack: &Observed,
        end: StackEnd,
    ) -> Result<(), Failure> {
        let gone = end
            .stack
            .as_ref()
            .is_none_or(|stack| stack.status.phase() == Phase::Gone);
        if end.during == During::Succeeded && gone {
            return Ok(());
        }
        // They only explain the failure, so an error must not replace it.
        let mut left = world.resources(&stack.id).await.unwrap_or_default();
        left.retain(|resource| resource.status != ResourceStatus::DeleteComplete);
        let failed = left.iter();
        let failed = failed.filter(|resource| resource.status == ResourceStatus::DeleteFailed);
        let retain = options("--retain-resource", failed);
        let retain = (!retain.is_empty()).then(|| {
            let down = command_line_with(self.config, "down", retain.trim_start());
            format!("or delete the stack without it: `{down}`")
        });
        Err(Failure::new(FailureKind::Stuck, "the stack could not be deleted")
            .because(end.cause_or_none())
            .with_evidence(left.iter().map(Resource::line))
            .hint("what is listed is still there and may cost money: fix what it names, then run `deployer down` again")
            .maybe_hint(of_guard_duty(&left))
            .maybe_hint(retain))
    }
}

/// Returns a hint if foreign resources in the VPC block the deletion.
///
/// The usual cause is GuardDuty Runtime Monitoring. It adds an endpoint and a security group to the
/// VPC, which CloudFormation does not know.
fn of_guard_duty(left: &[Resource]) -> Option<String> {
    let is_kept = |resource: &Resource| {
        resource.status == ResourceStatus::DeleteFailed
            && matches!(
                resource.resource_type.as_str(),
                "AWS::EC2::VPC" | "AWS::EC2::Subnet" | "AWS::EC2::SecurityGroup"
            )
    };
    if !left.iter().any(is_kept) {
        return None;
    }
    let mut vpc = left
        .iter()
        .filter(|one| one.resource_type == "AWS::EC2::VPC");
    let vpc = vpc
        .find_map(|one| one.physical_id.as_deref())
        .unwrap_or("VPC-ID");
    Some(format!(
        "if GuardDuty Runtime Monitoring is on, it has put an endpoint and a security group into the VPC: find them with \
         `aws ec2 describe-vpc-endpoints --filters Name=vpc-id,Values={vpc}` and \
         `aws ec2 describe-security-groups --filters Name=vpc-id,Values={vpc}`, delete the endpoint whose service ends in \
         `guardduty-data`, then the group `GuardDutyManagedSecurityGroup-{vpc}`"
    ))
}

/// Returns this option once for each resource, to be appended to a command.
fn options<'a>(name: &str, resources: impl IntoIterator<Item = &'a Resource>) -> String {
    let mut options = String::new();
    for resource in resources {
        options.extend([" ", name, " ", &resource.logical_id]);
    }
    options
}

fn attached(stack: &Observed) -> Event {
    Event::OperationStarted {
        operation: "attach",
        stack_id: stack.id.clone(),
        resource_types: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_network_is_told() {
        let failed = |kind: &str, id: &str| Resource {
            logical_id: "Name".to_owned(),
            physical_id: Some(id.to_owned()),
            resource_type: kind.to_owned(),
            status: ResourceStatus::DeleteFailed,
        };
        let left = [
            failed("AWS::EC2::Subnet", "subnet-1"),
            failed("AWS::EC2::VPC", "vpc-1"),
        ];
        let hint = of_guard_duty(&left).unwrap();
        for part in [
            "Name=vpc-id,Values=vpc-1`",
            "GuardDutyManagedSecurityGroup-vpc-1`",
        ] {
            assert!(hint.contains(part), "{hint}");
        }
        let other = [failed("AWS::ECR::Repository", "clock-repository-1")];
        assert_eq!(of_guard_duty(&other), None);
    }
}
