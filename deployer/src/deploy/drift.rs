//! Drift of the ECS service from its stack, and its correction.

use std::collections::BTreeMap;

use tokio::time::sleep;

use super::Deployer;
use crate::explain::command_line;
use crate::pollers::ServiceNames;
use deployment::error::{Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::DeploymentId;
use deployment::stack::Observed;
use deployment::stack::purpose::Purpose;
use deployment::stack::template_names::ParameterName;

/// Number of consecutive reads that must not find the service. ECS reads are eventually consistent.
const CONFIRMING_READS: u32 = 3;

/// Difference between the service and what the stack says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drift {
    /// Changed number of desired tasks.
    Tasks {
        /// Number that ECS has.
        set: u32,
        /// Number that the stack has.
        wanted: u32,
    },
    /// Deleted service.
    ServiceGone,
}

/// Service that matches its stack, apart from its version.
pub(super) struct Reconciled {
    /// Stack after the correction.
    pub(super) stack: Observed,
    /// Set if its tasks are being replaced already.
    pub(super) replaced: bool,
    /// Deployment that replaces them, if ECS reports it.
    pub(super) deployment: Option<DeploymentId>,
}

impl Reconciled {
    fn at(stack: Observed) -> Self {
        Self {
            stack,
            replaced: false,
            deployment: None,
        }
    }
}

/// Returns the number of tasks that the stack wants. Absent with auto scaling, or without such a
/// parameter.
fn wanted_tasks(stack: &Observed) -> Option<u32> {
    let number = |name| stack.parameter(name)?.parse::<u32>().ok();
    let is_scaled = number(ParameterName::MaxCount).is_some_and(|most| most > 0);
    number(ParameterName::DesiredCount).filter(|_| !is_scaled)
}

impl Deployer<'_> {
    /// Compares the service with its stack.
    async fn drift(&self, stack: &Observed) -> Option<Drift> {
        let names = ServiceNames::of_stack(stack).ok()?;
        // A stack without an image has no service yet.
        stack.image()?;
        for look in 0..CONFIRMING_READS {
            if look > 0 {
                sleep(self.context.config.access.pace.poll).await;
            }
            let service = self.world.service(&names.cluster, &names.service).await;
            // An error is no drift. If something is wrong, a later step reports it.
            if let Some(service) = service.ok()? {
                // With auto scaling, any number of tasks may be right.
                let (set, wanted) = (service.desired, wanted_tasks(stack)?);
                return (set != wanted).then_some(Drift::Tasks { set, wanted });
            }
        }
        Some(Drift::ServiceGone)
    }

    /// Corrects drift, or returns a failure that explains how to.
    pub(super) async fn reconcile(&self, found: &Observed) -> Result<Reconciled, Failure> {
        let context = self.context;
        match self.drift(found).await {
            None => Ok(Reconciled::at(found.clone())),
            // A rollback wants the previous version, in the number of tasks that the stack has.
            Some(Drift::Tasks { set, wanted }) if context.config.force || self.is_rollback => {
                context.sink.warn(format!(
                    "somebody set {set} tasks, the stack wants {wanted}: setting {wanted}"
                ));
                let names = ServiceNames::of_stack(found)
                    .map_err(crate::context::missing_output)?;
                let deployment = self
                    .world
                    .redeploy(&names.cluster, &names.service, Some(wanted))
                    .await
                    .map_err(|error| context.remote_failure_under_way(&error))?;
                Ok(Reconciled {
                    stack: found.clone(),
                    replaced: true,
                    deployment,
                })
            }
            Some(Drift::Tasks { set, wanted }) => Err(Failure::new(
                FailureKind::Stuck,
                format!("somebody set {set} tasks by hand, the stack wants {wanted}; nothing was changed"),
            )
            .hint(format!(
                "have {wanted} again: `{} --force`",
                command_line(context.config, "up")
            ))
            .hint("or let the stack want another number: `tasks` under `[service]`, or `--tasks`, then the same command")),
            Some(Drift::ServiceGone) => {
                context.sink.warn(
                    "somebody deleted the service by hand: the stack lets go of it, and makes it again",
                );
                let work = self.release_service(found);
                context.sink.phase(Phase::Update, work).await?;
                Ok(Reconciled::at(self.observe_again(found).await?))
            }
        }
    }

    /// Updates the stack to its state before the first version, so that CloudFormation forgets the
    /// missing service. Needs no consent, because the removed service no longer runs.
    async fn release_service(&self, stack: &Observed) -> Result<(), Failure> {
        let context = self.context;
        // Keeps the first Ctrl-C from ending the program while the service is missing.
        let _guard = context.cancellation.guard();
        let definition = self.world.definition(&stack.id).await;
        let definition = definition.map_err(|error| context.remote_failure(&error))?;
        // Without an image, the template has no service. The update of the caller creates it again.
        let no_image = BTreeMap::from([(ParameterName::ImageUri.to_string(), String::new())]);
        let wanted = context.changed_only(definition, no_image);
        let Some(proposed) = self.propose(stack, &wanted, &Purpose::Up).await? else {
            return Ok(());
        };
        let previous = self.remember(stack, &wanted, &proposed.changes).await;
        let execution = self
            .execute(stack, &proposed, &Purpose::Up, previous)
            .await?;
        self.follow_update(execution).await.map_err(|error| {
            let failure = error.into_failure();
            let config = context.config;
            failure.hint(format!(
                "or delete the stack and make it again: `{}`, then `{}`",
                command_line(config, "down"),
                command_line(config, "up")
            ))
        })
    }
}
