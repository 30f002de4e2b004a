//! Attachment to an update of another run whose deployment waits at the gate.

use std::collections::BTreeMap;

use super::previous::Previous;
use super::update::Execution;
use super::{DeployRequest, Deployer};
use crate::poll::Poller as _;
use crate::pollers::UpdatePoller;
use deployment::error::Failure;
use deployment::names::{ImageUri, TaskDefinitionArn};
use deployment::stack::Observed;
use deployment::stack::purpose::Purpose;
use deployment::stack::status::StackStatus;
use deployment::stack::template_names::OutputName;

impl<'a> Deployer<'a> {
    /// Attaches to the update whose deployment waits at the gate. Fails if none waits.
    pub(super) async fn attach_at_the_gate(
        &self,
        stack: &Observed,
    ) -> Result<(Execution<'a>, DeployRequest), Failure> {
        let (context, world) = (self.context, self.world);
        let failed = |error| context.remote_failure(&error);
        let nothing = |why: String| {
            Failure::preflight("nothing waits at the gate")
                .because(why)
                .hint("see what runs: `deployer status`, `deployer history`")
        };
        let status = || format!("the stack is {}", stack.status);
        if stack.status != StackStatus::UpdateInProgress {
            return Err(nothing(status()));
        }
        let mut watch = UpdatePoller::attach(world, context.sink, stack)
            .await
            .map_err(failed)?;
        // Reads the events so far, which name the new version.
        let ended = watch.poll().await.map_err(failed)?;
        let names = watch.at_the_gate().filter(|_| ended.is_none());
        let names = names.ok_or_else(|| nothing(status()))?;
        let active = world
            .active_deployments(&names.cluster, &names.service)
            .await;
        let active = active.map_err(failed)?;
        let ours = active
            .iter()
            .find(|active| active.task_definition == names.task_definition);
        let paused = ours.and_then(|ours| ours.paused.first());
        let Some(paused) = paused else {
            return Err(nothing(match ours {
                Some(ours) => format!(
                    "the deployment in progress is {} ({})",
                    ours.status, ours.stage
                ),
                None => status(),
            }));
        };
        let image = world
            .image_of(&paused.task_definition)
            .await
            .map_err(failed)?;
        let image: ImageUri = image.unwrap_or_default().parse().map_err(|error| {
            nothing(format!("what waits names no image with a digest: {error}"))
        })?;
        let before = stack
            .output(OutputName::TaskDefinitionArn)
            .map(TaskDefinitionArn::new);
        let before = match &before {
            Some(before) => world.image_of(before).await.map_err(failed)?,
            None => None,
        };
        let definition = world.definition(&stack.id).await.map_err(failed)?;
        let wanted = context.changed_only(definition, BTreeMap::new());
        let previous = Previous::of_image(&before.unwrap_or_default(), &wanted);
        let request = DeployRequest {
            wanted,
            image,
            purpose: Purpose::Up,
        };
        let digest = request.image.digest().clone();
        Ok((
            Execution::attached(context, stack, previous, watch, digest),
            request,
        ))
    }
}
