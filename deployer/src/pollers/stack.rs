//! An operation on a stack, from its beginning to its end.

use async_trait::async_trait;

use aws::remote::{Remote, Stacks, World};
use deployment::event::{Event, Sink};
use deployment::names::{RequestToken, StackId};
use deployment::stack::decide::{During, Observation, Operation, during};
use deployment::stack::history::History;
use deployment::stack::status::{Phase, StackStatus};
use deployment::stack::template_names::ResourceName;
use deployment::stack::{Observed, ResourceEvent};

/// Events on one page of `DescribeStackEvents`, about: fewer are all there are.
const WHOLE_PAGE: usize = 90;

/// Follows one operation on one stack.
pub struct StackPoller<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    id: StackId,
    operation: Operation,
    history: History,
    /// Did this program begin the operation?
    ours: bool,
    warned: bool,
    /// Logical and physical names in the order in which events told them.
    named: Vec<(String, String)>,
    on_event: Box<dyn FnMut(&ResourceEvent) + Send + 'a>,
}

/// How the operation ended.
#[derive(Debug, Clone)]
pub struct StackEnd {
    /// What it came to; never one of the two that keep looking.
    pub during: During,
    /// The stack at that moment, if it is there.
    pub stack: Option<Observed>,
    /// The first failure, if there was one.
    pub cause: Option<String>,
    /// Did somebody else bring it to this end, by a request of their own?
    pub taken_over: bool,
}

impl StackEnd {
    /// The first failure, or that none was told.
    pub fn cause_or_none(&self) -> &str {
        self.cause
            .as_deref()
            .unwrap_or("CloudFormation gives no reason")
    }
}

impl StackEnd {
    /// Is there no stack any more?
    pub fn is_gone(&self) -> bool {
        let gone = |stack: &Observed| stack.status.phase() == Phase::Gone;
        self.stack.as_ref().is_none_or(gone)
    }

    /// Was it to be deleted, and could not?
    pub fn failed_to_go(&self) -> bool {
        let failed = |stack: &Observed| stack.status == StackStatus::DeleteFailed;
        self.stack.as_ref().is_some_and(failed)
    }
}

impl<'a> StackPoller<'a> {
    /// Prepares to follow an operation that is about to begin with this token, or one that is under way (no token).
    /// `before` is the stack as it was seen last.
    pub async fn prepare(
        world: &'a dyn World,
        sink: &'a Sink,
        operation: Operation,
        before: &Observed,
        token: Option<&RequestToken>,
    ) -> Remote<Self> {
        let mut past = world.newest_events(&before.id).await?;
        if operation == Operation::Attached && token.is_none() {
            // What it has come to so far is told, too: its first failure above all.
            past = before_the_newest_operation(past);
        }
        let id = before.id.clone();
        let history = History::after(&past, token.cloned());
        Ok(Self::new(world, sink, operation, id, history))
    }

    /// Prepares to follow the creation of a stack that a request with this token has started.
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

    /// Counts the events of another request to the operation, such as that which cancels it.
    pub fn also(&mut self, token: &RequestToken) {
        self.history.also(token);
    }

    /// Calls this for each event of the operation.
    #[must_use]
    pub fn on_event(mut self, call: impl FnMut(&ResourceEvent) + Send + 'a) -> Self {
        self.on_event = Box::new(call);
        self
    }

    /// The names that a resource of the template was given in the account, as far as the operation's events told, the first first.
    pub fn physical_ids(&self, resource: ResourceName) -> impl Iterator<Item = &str> {
        self.named
            .iter()
            .filter(move |(name, _)| name == resource.as_str())
            .map(|(_, physical_id)| physical_id.as_str())
    }

    /// Does what was seen of the stack belong to the operation, and not to what was before?
    ///
    /// What others began was seen under way. What was started here may not be visible yet, and a read may be older than
    /// the one before: a status counts once an event of this very operation told it.
    fn started(&self, stack: Option<&Observed>) -> bool {
        let Some(stack) = stack else {
            return !self.ours || !self.history.is_silent();
        };
        !self.ours || self.history.reached(&stack.status)
    }
}

/// Of these events, the newest first, those that happened before the operation began that is under way.
fn before_the_newest_operation(mut events: Vec<ResourceEvent>) -> Vec<ResourceEvent> {
    let rested = |event: &ResourceEvent| {
        let status = event.stack_status();
        status.is_some_and(|status| status.phase() != Phase::Moving)
    };
    match events.iter().position(rested) {
        Some(end_of_before) => events.split_off(end_of_before),
        // All of them, or the operation is longer than the page: then it is followed from here on.
        None if events.len() < WHOLE_PAGE => Vec::new(),
        None => events,
    }
}

#[async_trait]
impl crate::poll::Poller for StackPoller<'_> {
    type End = StackEnd;

    async fn poll(&mut self) -> Remote<Option<StackEnd>> {
        // The status first: events that are read after it leave nothing out that led to it.
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
