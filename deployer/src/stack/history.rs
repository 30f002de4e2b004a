//! Reading a stack's events: what is new, and which failure was the first.

use std::collections::HashSet;

use super::ResourceEvent;

/// The events of one operation, each taken once.
#[derive(Debug, Default)]
pub struct History {
    seen: HashSet<String>,
    cause: Option<ResourceEvent>,
    token: Option<String>,
    since_ms: i64,
    begun: bool,
}

impl History {
    /// A history of the operation that was begun with this token, or of all that happens after `since_ms`
    /// (milliseconds since the Unix epoch) when it is not ours.
    pub fn new(token: Option<String>, since_ms: i64) -> Self {
        Self {
            token,
            since_ms,
            ..Self::default()
        }
    }

    /// Takes a page of events in any order; returns those that are new and belong to the operation, oldest first.
    pub fn take(&mut self, mut events: Vec<ResourceEvent>) -> Vec<ResourceEvent> {
        events.sort_by_key(|event| event.at_ms);
        events.retain(|event| self.belongs(event) && self.seen.insert(event.id.clone()));
        for event in &events {
            self.begun = true;
            if self.cause.is_none() && is_root_cause(event) {
                self.cause = Some(event.clone());
            }
        }
        events
    }

    fn belongs(&self, event: &ResourceEvent) -> bool {
        match (&self.token, &event.token) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Not every endpoint passes the token on.
            _ => event.at_ms >= self.since_ms,
        }
    }

    /// Has the operation left a trace?
    pub const fn begun(&self) -> bool {
        self.begun
    }

    /// The first failure that is not the consequence of another.
    pub const fn cause(&self) -> Option<&ResourceEvent> {
        self.cause.as_ref()
    }
}

/// Is this a failure in its own right: not the stack's own, and not a resource that was only cancelled?
fn is_root_cause(event: &ResourceEvent) -> bool {
    let cancelled = event
        .reason
        .as_deref()
        .is_some_and(|reason| reason.to_ascii_lowercase().contains("cancelled"));
    event.is_failure() && !event.is_stack() && !cancelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, at_ms: i64, status: &str, reason: Option<&str>) -> ResourceEvent {
        ResourceEvent {
            id: id.to_owned(),
            logical_id: id.to_owned(),
            physical_id: None,
            resource_type: "AWS::ECS::Service".to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            at_ms,
            token: Some("ours".to_owned()),
        }
    }

    #[test]
    fn the_first_failure_is_the_cause_and_cancelled_ones_are_not() {
        let mut history = History::new(Some("ours".to_owned()), 0);
        let taken = history.take(vec![
            event("late", 30, "CREATE_FAILED", Some("another failure")),
            event("cancelled", 10, "CREATE_FAILED", Some("Resource creation cancelled")),
            event("first", 20, "CREATE_FAILED", Some("quota exceeded")),
        ]);
        let order: Vec<_> = taken.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(order, ["cancelled", "first", "late"]);
        assert_eq!(history.cause().unwrap().id, "first");
        assert!(history.take(taken).is_empty(), "an event was taken twice");
        assert_eq!(history.cause().unwrap().id, "first");
    }

    #[test]
    fn events_of_other_operations_are_left_out() {
        let mut history = History::new(Some("ours".to_owned()), 100);
        let mut foreign = event("foreign", 200, "UPDATE_FAILED", None);
        foreign.token = Some("theirs".to_owned());
        let mut old = event("old", 50, "UPDATE_FAILED", None);
        old.token = None;
        let mut bare = event("bare", 150, "UPDATE_COMPLETE", None);
        bare.token = None;
        let taken = history.take(vec![foreign, old, bare]);
        assert_eq!(taken.len(), 1);
        assert!(history.begun());
        assert_eq!(history.cause(), None);
    }

    #[test]
    fn the_stack_itself_is_never_the_cause() {
        let mut history = History::new(None, 0);
        let mut own = event("stack", 1, "UPDATE_FAILED", None);
        own.resource_type = "AWS::CloudFormation::Stack".to_owned();
        history.take(vec![own]);
        assert_eq!(history.cause(), None);
    }
}
