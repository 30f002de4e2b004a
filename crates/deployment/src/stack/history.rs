//! Event history of a stack: new events of an operation, and its first failure.

use std::collections::HashSet;

use super::ResourceEvent;
use super::resource::describe;
use super::status::StackStatus;
use crate::names::RequestToken;

/// Events of one operation, each of which is handled once.
#[derive(Debug, Default)]
pub struct History {
    seen: HashSet<String>,
    cause: Option<ResourceEvent>,
    /// Tokens of the requests that form the operation; empty if somebody else started it.
    tokens: Vec<RequestToken>,
    since_ms: i64,
    /// Statuses of the stack itself since the operation started, including those of an operation
    /// that took over.
    reached: Vec<StackStatus>,
    /// Set if somebody else has started an operation on the stack since.
    taken_over: bool,
    /// Time of the operation's first event about the stack itself, milliseconds since the Unix
    /// epoch.
    started_ms: Option<i64>,
}

impl History {
    /// Creates the history of an operation that starts now.
    ///
    /// `before` are the events so far. `token` is that of the operation to follow, if it is ours.
    pub fn after(before: &[ResourceEvent], token: Option<RequestToken>) -> Self {
        Self {
            // Compared by ID and not by time: clocks need not agree.
            seen: before.iter().map(|event| event.id.clone()).collect(),
            since_ms: before.iter().map(|event| event.at_ms).max().unwrap_or(0),
            tokens: token.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds another request to the operation, such as the one that cancels it.
    pub fn also(&mut self, token: &RequestToken) {
        self.tokens.push(token.clone());
    }

    /// Returns whether this program started the operation.
    pub const fn is_ours(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Returns the time of the last event before the operation, milliseconds since the Unix epoch.
    pub const fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// Adds a page of events in any order, and returns the new ones of the operation, oldest first.
    pub fn take(&mut self, mut events: Vec<ResourceEvent>) -> Vec<ResourceEvent> {
        // CloudFormation lists the newest first. Reversing keeps the right order among events of
        // one millisecond, because the sort is stable.
        events.reverse();
        events.sort_by_key(|event| event.at_ms);
        events.retain(|event| self.seen.insert(event.id.clone()));
        events.retain(|event| {
            let belongs = self.belongs(event);
            if belongs && event.is_stack() {
                self.started_ms.get_or_insert(event.at_ms);
            }
            // If somebody else cancels our update, its end is reported under their token.
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
            // The operation is not ours, or the endpoint does not pass the token on.
            Some(_) | None => true,
        }
    }

    /// Returns whether an event of the operation reported this status of the stack.
    pub fn reached(&self, status: &StackStatus) -> bool {
        self.reached.contains(status)
    }

    /// Returns whether somebody else has started an operation on the stack since.
    pub const fn is_taken_over(&self) -> bool {
        self.taken_over
    }

    /// Returns whether no event about the stack itself has been reported yet.
    pub const fn is_silent(&self) -> bool {
        self.reached.is_empty()
    }

    /// Describes the first failure that is not the consequence of another.
    pub fn cause(&self) -> Option<String> {
        let event = self.cause.as_ref()?;
        let what = describe(&event.resource_type);
        let name = &event.logical_id;
        let reason = event.reason.as_deref().unwrap_or("no reason is given");
        Some(format!("{what} ({name}): {reason}"))
    }
}

/// Returns whether this failure is a cause: not the stack's own, nor a resource that was only
/// cancelled.
pub(super) fn is_root_cause(event: &ResourceEvent) -> bool {
    // After the first failure, CloudFormation fails resources in progress with "Resource creation
    // cancelled".
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
