//! Poller for an operation on a stack, from its start to its end.

use std::cmp::Reverse;

use async_trait::async_trait;

use aws::remote::{Remote, Stacks, World};
use deployment::event::{Event, Sink};
use deployment::names::{RequestToken, StackId};
use deployment::stack::decide::{During, Observation, Operation, during};
use deployment::stack::history::History;
use deployment::stack::status::{Phase, StackStatus};
use deployment::stack::template_names::ResourceName;
use deployment::stack::{Observed, ResourceEvent};

/// Approximate number of events on one page of `DescribeStackEvents`. A shorter page is the last
/// one.
const WHOLE_PAGE: usize = 90;

/// Poller for one operation on one stack.
pub struct StackPoller<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    id: StackId,
    operation: Operation,
    history: History,
    /// Set if this program started the operation.
    ours: bool,
    warned: bool,
    /// Logical and physical ids, in the order of the events.
    named: Vec<(String, String)>,
    on_event: Box<dyn FnMut(&ResourceEvent) + Send + 'a>,
}

/// Result of a stack operation.
#[derive(Debug, Clone)]
pub struct StackEnd {
    /// Outcome, never one of the two that keep polling.
    pub during: During,
    /// Stack at that moment, if it exists.
    pub stack: Option<Observed>,
    /// First failure, if there was one.
    pub cause: Option<String>,
    /// Set if a request of another user or run led to this end.
    pub taken_over: bool,
}

impl StackEnd {
    /// Returns the first failure, or a text that says that there is none.
    pub fn cause_or_none(&self) -> &str {
        self.cause
            .as_deref()
            .unwrap_or("CloudFormation gives no reason")
    }
}

impl StackEnd {
    /// Returns whether the stack no longer exists.
    pub fn is_gone(&self) -> bool {
        let gone = |stack: &Observed| stack.status.phase() == Phase::Gone;
        self.stack.as_ref().is_none_or(gone)
    }

    /// Returns whether a deletion of the stack failed.
    pub fn failed_to_go(&self) -> bool {
        let failed = |stack: &Observed| stack.status == StackStatus::DeleteFailed;
        self.stack.as_ref().is_some_and(failed)
    }
}

impl<'a> StackPoller<'a> {
    /// Creates a poller for an operation that is about to start with this token, or for one already
    /// running (no token). `before` is the stack as last observed.
    pub async fn prepare(
        world: &'a dyn World,
        sink: &'a Sink,
        operation: Operation,
        before: &Observed,
        token: Option<&RequestToken>,
    ) -> Remote<Self> {
        let mut past = world.newest_events(&before.id).await?;
        if operation == Operation::Attached && token.is_none() {
            // Report past events of the running operation too: its first failure matters most.
            past = before_the_newest_operation(past);
        }
        let id = before.id.clone();
        let history = History::after(&past, token.cloned());
        Ok(Self::new(world, sink, operation, id, history))
    }

    /// Creates a poller for the update in progress, with its past events, as if this run had started
    /// it.
    pub async fn adopt(world: &'a dyn World, sink: &'a Sink, stack: &Observed) -> Remote<Self> {
        let events = world.newest_events(&stack.id).await?;
        let newest = events.iter().min_by_key(|event| Reverse(event.at_ms));
        let token = newest.and_then(|event| event.token.clone());
        let history = History::after(&before_the_newest_operation(events), token);
        Ok(Self::new(
            world,
            sink,
            Operation::Update,
            stack.id.clone(),
            history,
        ))
    }

    /// Creates a poller for the creation of a stack that a request with this token has started.
    pub fn creation(
        world: &'a dyn World,
        sink: &'a Sink,
        id: StackId,
        token: &RequestToken,
    ) -> Self {
        let history = History::after(&[], Some(token.to_owned()));
        Self::new(world, sink, Operation::Create, id, history)
    }

    fn new(
        world: &'a dyn World,
        sink: &'a Sink,
        operation: Operation,
        id: StackId,
        history: History,
    ) -> Self {
        Self {
            world,
            sink,
            id,
            operation,
            ours: history.is_ours(),
            history,
            warned: false,
            named: Vec::new(),
            on_event: Box::new(|_| ()),
        }
    }

    /// Treats the events of another request as part of the operation, such as the one that cancels
    /// it.
    pub fn also(&mut self, token: &RequestToken) {
        self.history.also(token);
    }

    /// Calls `call` for each event of the operation.
    #[must_use]
    pub fn on_event(mut self, call: impl FnMut(&ResourceEvent) + Send + 'a) -> Self {
        self.on_event = Box::new(call);
        self
    }

    /// Returns the physical ids of a template resource, as far as events have named them, oldest
    /// first.
    pub fn physical_ids(&self, resource: ResourceName) -> impl Iterator<Item = &str> {
        self.named
            .iter()
            .filter(move |(name, _)| name == resource.as_str())
            .map(|(_, physical_id)| physical_id.as_str())
    }

    /// Returns whether the observed state belongs to this operation, not to an earlier one.
    ///
    /// An operation of somebody else was seen in progress. Our own may not be visible yet, since
    /// reads are eventually consistent. A status counts once an event of this operation has
    /// reported it.
    fn started(&self, stack: Option<&Observed>) -> bool {
        let Some(stack) = stack else {
            return !self.ours || !self.history.is_silent();
        };
        !self.ours || self.history.reached(&stack.status)
    }
}

/// Returns those of the events (newest first) that happened before the running operation started.
fn before_the_newest_operation(mut events: Vec<ResourceEvent>) -> Vec<ResourceEvent> {
    let rested = |event: &ResourceEvent| {
        let status = event.stack_status();
        status.is_some_and(|status| status.phase() != Phase::Moving)
    };
    match events.iter().position(rested) {
        Some(end_of_before) => events.split_off(end_of_before),
        // A short page holds all events of the running operation. On a full page its start is out
        // of reach, so only new events are reported.
        None if events.len() < WHOLE_PAGE => Vec::new(),
        None => events,
    }
}

#[async_trait]
impl crate::poll::Poller for StackPoller<'_> {
    type End = StackEnd;

    async fn poll(&mut self) -> Remote<Option<StackEnd>> {
        // Read the status first: events read after it include all that led to it.
        let stack = Stacks::observe(self.world, (&self.id).into()).await?;
        if stack.is_some() {
            let events = self.world.events(&self.id, self.history.since_ms()).await?;
            for event in self.history.take(events) {
                (self.on_event)(&event);
                if let Some(physical_id) = event.physical_id {
                    self.named.push((event.logical_id.clone(), physical_id));
                }
                self.sink.send(&Event::ResourceChanged {
                    logical_id: event.logical_id,
                    resource_type: event.resource_type,
                    status: event.status,
                    reason: event.reason,
                });
            }
        }
        let status = stack.as_ref().map(|stack| &stack.status);
        let started = self.started(stack.as_ref());
        let next = during(self.operation, Observation { status, started });
        match next {
            During::KeepLooking => Ok(None),
            During::KeepLookingAtUnknown => {
                // Warn once, not on every poll.
                if !std::mem::replace(&mut self.warned, true)
                    && let Some(status) = status
                {
                    self.sink.warn(format!(
                        "the stack has the status {status}, which is new to this program"
                    ));
                }
                Ok(None)
            }
            During::Succeeded | During::RolledBack | During::LeftToDelete | During::Stuck => {
                self.sink.send(&Event::OperationEnded {
                    status: status.cloned(),
                });
                Ok(Some(StackEnd {
                    during: next,
                    cause: self.history.cause(),
                    taken_over: self.history.is_taken_over(),
                    stack,
                }))
            }
        }
    }
}
