//! Reading a stack's events: what is new, and which failure was the first.

use std::collections::HashSet;

use super::ResourceEvent;
use super::resource::describe;
use super::status::StackStatus;
use crate::names::RequestToken;

/// The events of one operation, each taken once.
#[derive(Debug, Default)]
pub struct History {
    seen: HashSet<String>,
    cause: Option<ResourceEvent>,
    /// Tokens of the requests that the operation consists of; none where it was started by others.
    tokens: Vec<RequestToken>,
    since_ms: i64,
    /// Statuses of the stack itself that the operation's events told, and those of whoever took it over.
    reached: Vec<StackStatus>,
    /// Has somebody else started something on the stack since?
    taken_over: bool,
    /// When the operation's first event about the stack itself happened.
    started_ms: Option<i64>,
}

impl History {
    /// A history of what is to come: `before` is what had happened until now, `token` that of the operation to follow,
    /// if it is ours.
    pub fn after(before: &[ResourceEvent], token: Option<RequestToken>) -> Self {
        Self {
            // Told apart by identifier: no clock has to agree with another.
            seen: before.iter().map(|event| event.id.clone()).collect(),
            since_ms: before.iter().map(|event| event.at_ms).max().unwrap_or(0),
            tokens: token.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Counts the events of another request to the operation, such as that which cancels it.
    pub fn also(&mut self, token: &RequestToken) {
        self.tokens.push(token.clone());
    }

    /// Returns whether this program began the operation.
    pub const fn is_ours(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Milliseconds since the Unix epoch: nothing of interest happened before.
    pub const fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// Takes a page of events in any order; returns those that are new and belong to the operation, oldest first.
    pub fn take(&mut self, mut events: Vec<ResourceEvent>) -> Vec<ResourceEvent> {
        // The service lists the newest first; among events of one millisecond that order tells which came first.
        events.reverse();
        events.sort_by_key(|event| event.at_ms);
        events.retain(|event| self.seen.insert(event.id.clone()));
        events.retain(|event| {
            let belongs = self.belongs(event);
            if belongs && event.is_stack() {
                self.started_ms.get_or_insert(event.at_ms);
            }
            // Whoever cancels our update, say, brings it to an end that only their events tell.
            let since = self
                .started_ms
                .is_some_and(|started| event.at_ms >= started);
            if event.is_stack() && since {
                self.taken_over = !belongs;
                self.reached.push(event.status.of_stack());
            }
            belongs
        });
        for event in &events {
            if self.cause.is_none() && is_root_cause(event) {
                self.cause = Some(event.clone());
            }
        }
        events
    }

    fn belongs(&self, event: &ResourceEvent) -> bool {
        match &event.token {
            Some(theirs) if !self.tokens.is_empty() => self.tokens.contains(theirs),
            // Not ours in particular, or an endpoint that does not pass the token on.
            Some(_) | None => true,
        }
    }

    /// Did an event of the operation tell that the stack reached this status?
    pub fn reached(&self, status: &StackStatus) -> bool {
        self.reached.contains(status)
    }

    /// Has somebody else started something on the stack since the operation was started?
    pub const fn is_taken_over(&self) -> bool {
        self.taken_over
    }

    /// Has the operation left no trace on the stack itself?
    pub const fn is_silent(&self) -> bool {
        self.reached.is_empty()
    }

    /// The first failure that is not the consequence of another, as a sentence.
    pub fn cause(&self) -> Option<String> {
        let event = self.cause.as_ref()?;
        let what = describe(&event.resource_type);
        let name = &event.logical_id;
        let reason = event.reason.as_deref().unwrap_or("no reason is given");
        Some(format!("{what} ({name}): {reason}"))
    }
}

/// Is this a failure in its own right: not the stack's own, and not a resource that was only cancelled?
pub(super) fn is_root_cause(event: &ResourceEvent) -> bool {
    let cancelled = event
        .reason
        .as_deref()
        .is_some_and(|reason| reason.to_ascii_lowercase().contains("cancelled"));
    event.status.is_failure() && !event.is_stack() && !cancelled
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
            status: status.into(),
            reason: reason.map(str::to_owned),
            at_ms,
            token: Some(RequestToken::new("ours")),
        }
    }

    fn ours() -> History {
        History::after(&[], Some(RequestToken::new("ours")))
    }

    #[test]
    fn the_first_failure_is_the_cause_and_cancelled_ones_are_not() {
        let mut history = ours();
        let taken = history.take(vec![
            event("late", 30, "CREATE_FAILED", Some("another failure")),
            event(
                "cancelled",
                10,
                "CREATE_FAILED",
                Some("Resource creation cancelled"),
            ),
            event("first", 20, "CREATE_FAILED", Some("quota exceeded")),
        ]);
        let order: Vec<_> = taken.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(order, ["cancelled", "first", "late"]);
        let cause = "service (first): quota exceeded";
        assert_eq!(history.cause().unwrap(), cause);
        assert!(history.take(taken).is_empty(), "an event was taken twice");
        assert_eq!(history.cause().unwrap(), cause);
    }

    #[test]
    fn events_of_one_millisecond_keep_the_order_of_the_service() {
        let mut history = ours();
        let taken = history.take(vec![
            event("second", 5, "CREATE_COMPLETE", None),
            event("first", 5, "CREATE_IN_PROGRESS", None),
        ]);
        assert_eq!(taken[0].id, "first");
    }

    #[test]
    fn what_was_before_and_what_others_do_is_left_out() {
        let mut old = event("old", 50, "UPDATE_FAILED", None);
        old.token = None;
        let mut history =
            History::after(std::slice::from_ref(&old), Some(RequestToken::new("ours")));
        assert_eq!(history.since_ms(), 50);
        let mut foreign = event("foreign", 200, "UPDATE_FAILED", None);
        foreign.token = Some(RequestToken::new("theirs"));
        assert!(history.take(vec![foreign, old]).is_empty());
        assert!(history.is_silent());
        let mut bare = event("bare", 150, "UPDATE_COMPLETE", None);
        bare.token = None;
        bare.resource_type = "AWS::CloudFormation::Stack".to_owned();
        assert_eq!(history.take(vec![bare]).len(), 1);
        assert!(history.reached(&StackStatus::UpdateComplete));
        assert!(!history.reached(&StackStatus::UpdateFailed));
        assert_eq!(history.cause(), None);
    }

    #[test]
    fn what_others_do_to_our_operation_ends_it() {
        let of = |token: &str, id, at_ms, status| {
            let mut event = event(id, at_ms, status, None);
            event.resource_type = "AWS::CloudFormation::Stack".to_owned();
            event.token = Some(RequestToken::new(token));
            event
        };
        let mut history = ours();
        history.take(vec![
            of("ours", "2", 20, "UPDATE_IN_PROGRESS"),
            of("theirs", "1", 10, "UPDATE_COMPLETE"),
        ]);
        assert!(
            !history.reached(&StackStatus::UpdateComplete),
            "that was before"
        );
        assert!(!history.is_taken_over());
        let taken = history.take(vec![of("theirs", "3", 30, "UPDATE_ROLLBACK_COMPLETE")]);
        assert!(taken.is_empty());
        assert!(history.is_taken_over());
        history.take(vec![of("theirs", "late", 5, "CREATE_COMPLETE")]);
        assert!(
            !history.reached(&StackStatus::CreateComplete),
            "that was before, too"
        );
        assert!(history.reached(&StackStatus::UpdateRollbackComplete));
    }

    #[test]
    fn the_stack_itself_is_never_the_cause() {
        let mut history = ours();
        let mut own = event("stack", 1, "UPDATE_FAILED", None);
        own.resource_type = "AWS::CloudFormation::Stack".to_owned();
        history.take(vec![own]);
        assert_eq!(history.cause(), None);
    }
}
