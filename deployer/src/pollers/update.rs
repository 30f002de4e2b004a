//! Poller for a stack update, with evidence from the service if it fails.
//!
//! CloudFormation waits until the service is stable, so a version that does not start fails here.
//! The stack events only say that ECS gave up, and the rollback removes the tasks that show why.

use async_trait::async_trait;

use crate::pollers::{EvidenceCollector, ServiceNames, StackEnd, StackPoller};
use aws::remote::{Remote, World};
use deployment::event::Sink;
use deployment::names::RequestToken;
use deployment::rollout::Evidence;
use deployment::stack::Observed;
use deployment::stack::decide::During;
use deployment::stack::template_names::{OutputName, ResourceName};

/// Poller for a stack update.
pub struct UpdatePoller<'a> {
    stack: StackPoller<'a>,
    before: Observed,
    collector: EvidenceCollector<'a>,
}

/// Result of an update.
#[derive(Debug, Clone)]
pub struct UpdateEnd {
    /// Result of the stack operation.
    pub stack: StackEnd,
    /// Evidence of what went wrong in the service.
    pub evidence: Evidence,
}

impl<'a> UpdatePoller<'a> {
    /// Extends a stack poller with evidence. `before` is the stack before the update.
    pub fn new(
        world: &'a dyn World,
        sink: &'a Sink,
        stack: StackPoller<'a>,
        before: &Observed,
    ) -> Self {
        Self {
            stack,
            before: before.clone(),
            collector: EvidenceCollector::new(world, sink),
        }
    }

    /// Follows an update in progress as if this run had started it.
    pub async fn attach(world: &'a dyn World, sink: &'a Sink, stack: &Observed) -> Remote<Self> {
        let poller = StackPoller::adopt(world, sink, stack).await?;
        Ok(Self::new(world, sink, poller, stack))
    }

    /// Treats the events of the request that cancels the update as part of it.
    pub fn also(&mut self, token: &RequestToken) {
        self.stack.also(token);
    }

    /// Returns the names of the new version once stack events have reported them. Outputs change
    /// only at the end, and not at all if the update fails.
    fn names(&self) -> Option<ServiceNames> {
        let task_definition = self.new_task_definition()?;
        let service = self.stack.physical_ids(ResourceName::Service).next()?;
        ServiceNames::with(&self.before, service, task_definition).ok()
    }

    /// Returns the names of the service whose deployment may wait at a gate. The task definition
    /// may be the previous one.
    pub fn at_the_gate(&self) -> Option<ServiceNames> {
        let output = |name| self.before.output(name);
        let task_definition = self.new_task_definition();
        let task_definition = task_definition.or(output(OutputName::TaskDefinitionArn))?;
        let service = self.stack.physical_ids(ResourceName::Service).next();
        ServiceNames::with(
            &self.before,
            // The service has no event before the update reaches it.
            service.or(output(OutputName::ServiceName))?,
            task_definition,
        )
        .ok()
    }

    fn new_task_definition(&self) -> Option<&str> {
        let before = self.before.output(OutputName::TaskDefinitionArn);
        let mut ids = self.stack.physical_ids(ResourceName::TaskDefinition);
        // The first event of a replacement still carries the old ARN.
        ids.find(|id| Some(*id) != before)
    }
}

#[async_trait]
impl crate::poll::Poller for UpdatePoller<'_> {
    type End = UpdateEnd;

    async fn poll(&mut self) -> Remote<Option<UpdateEnd>> {
        let end = self.stack.poll().await?;
        let well = end
            .as_ref()
            .is_some_and(|end| end.during == During::Succeeded);
        // A successful update needs no evidence, so its last poll saves the requests.
        if !well && let Some(names) = self.names() {
            self.collector.poll(&names).await;
        }
        Ok(end.map(|stack| UpdateEnd {
            stack,
            evidence: self.collector.evidence().clone(),
        }))
    }
}
