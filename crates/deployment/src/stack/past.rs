//! Past operations on a stack and the versions they deployed, reconstructed from its events.

use serde::Serialize;

use super::ResourceEvent;
use super::history::{History, is_root_cause};
use super::purpose::Purpose;
use super::status::Phase;
use super::template_names::ResourceName;

/// One past operation on a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastOperation {
    /// Start, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Purpose, if this program started the operation.
    pub purpose: Option<Purpose>,
    /// ARN of the task definition that the operation deployed, if it deployed one.
    pub task_definition: Option<String>,
    /// Outcome of the operation.
    pub end: End,
}

/// Outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// The operation is in progress.
    UnderWay,
    /// The operation succeeded, and the version that it deployed is current.
    InPlace,
    /// The operation succeeded; a later one deployed another version.
    Replaced,
    /// The operation succeeded, but its version did not work and was rolled back.
    TakenBack,
    /// The operation was cancelled.
    Cancelled,
    /// The operation failed and was rolled back.
    Failed {
        /// First failure.
        cause: Option<String>,
    },
}

impl End {
    /// Describes the outcome for people.
    pub fn line(&self) -> String {
        match self {
            Self::UnderWay => "under way".to_owned(),
            Self::InPlace => "in place".to_owned(),
            Self::Replaced => "replaced".to_owned(),
            Self::TakenBack => "rolled back: it did not work".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Failed { cause: Some(cause) } => format!("failed: {cause}"),
            Self::Failed { cause: None } => "failed".to_owned(),
        }
    }
}

/// Reconstructs the operations from these events (in any order), oldest first.
pub fn operations(mut events: Vec<ResourceEvent>) -> Vec<PastOperation> {
    // CloudFormation lists the newest first. Reversing keeps the right order among events of one
    // millisecond, because the sort is stable.
    events.reverse();
    events.sort_by_key(|event| event.at_ms);
    let mut operations: Vec<PastOperation> = Vec::new();
    let mut in_place: Option<String> = None;
    let mut rest = events.as_slice();
    while let Some((chunk, after)) = next_operation(rest) {
        rest = after;
        let operation = operation(chunk, in_place.as_deref());
        if operation.end == End::InPlace {
            let taken_back = operation.purpose == Some(Purpose::AutomaticRollback);
            // An operation without a new version, such as a change of an alarm, replaces none.
            if operation.task_definition.is_some() || taken_back {
                let earlier = operations.iter_mut().rev().find(|earlier| {
                    earlier.end == End::InPlace && earlier.task_definition.is_some()
                });
                if let Some(earlier) = earlier {
                    earlier.end = if taken_back {
                        End::TakenBack
                    } else {
                        End::Replaced
                    };
                }
            }
            in_place = operation.task_definition.clone().or(in_place);
        }
        operations.push(operation);
    }
    operations
}

/// Splits the events after the next final status of the stack, which ends an operation.
fn next_operation(events: &[ResourceEvent]) -> Option<(&[ResourceEvent], &[ResourceEvent])> {
    if events.is_empty() {
        return None;
    }
    let rests = |event: &ResourceEvent| {
        let status = event.stack_status();
        status.is_some_and(|status| status.phase() != Phase::Moving)
    };
    let end = events
        .iter()
        .position(rests)
        .map_or(events.len(), |position| position + 1);
    Some(events.split_at(end))
}

fn operation(events: &[ResourceEvent], in_place: Option<&str>) -> PastOperation {
    let tokens = events.iter().filter_map(|event| event.token.as_ref());
    let purposes: Vec<Purpose> = tokens.filter_map(Purpose::parse).collect();
    let cancelled = purposes.contains(&Purpose::Cancel);
    // Until a resource is replaced, its events have the old physical ID.
    let task_definition = events
        .iter()
        .filter(|event| event.logical_id == ResourceName::TaskDefinition.as_str())
        .filter_map(|event| event.physical_id.as_deref())
        .find(|id| id.contains(":task-definition/") && Some(*id) != in_place);
    let last = events.last().and_then(ResourceEvent::stack_status);
    let end = match last.map(|status| status.phase()) {
        Some(Phase::Good) => End::InPlace,
        Some(Phase::Moving | Phase::Unknown) | None => End::UnderWay,
        Some(Phase::RolledBack) if cancelled => End::Cancelled,
        Some(Phase::RolledBack | Phase::Unusable | Phase::Failed | Phase::Gone | Phase::Review) => {
            End::Failed {
                cause: first_failure(events),
            }
        }
    };
    PastOperation {
        started_ms: events.first().map_or(0, |event| event.at_ms),
        // The first request started the operation; a later one may have cancelled it.
        purpose: purposes.into_iter().next(),
        task_definition: task_definition.map(str::to_owned),
        end,
    }
}

fn first_failure(events: &[ResourceEvent]) -> Option<String> {
    let first = events.iter().find(|event| is_root_cause(event))?;
    let mut history = History::default();
    history.take(vec![first.clone()]);
    history.cause()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::RequestToken;

    fn event(logical_id: &str, status: &str, token: &str) -> ResourceEvent {
        ResourceEvent {
            id: String::new(),
            logical_id: logical_id.to_owned(),
            physical_id: None,
            resource_type: if logical_id == "clock" {
                "AWS::CloudFormation::Stack".to_owned()
            } else {
                "AWS::ECS::Service".to_owned()
            },
            status: status.into(),
            reason: None,
            at_ms: 0,
            token: Some(RequestToken::new(token)),
        }
    }

    fn revision(number: u32, token: &str) -> ResourceEvent {
        ResourceEvent {
            physical_id: Some(format!(
                "arn:aws:ecs:eu-central-1:123456789012:task-definition/clock:{number}"
            )),
            ..event("TaskDefinition", "UPDATE_COMPLETE", token)
        }
    }

    /// In the order in which the service lists them, one a second.
    fn listed(events: impl IntoIterator<Item = ResourceEvent>) -> Vec<ResourceEvent> {
        let mut events: Vec<ResourceEvent> = events.into_iter().collect();
        for (second, event) in (1..).zip(&mut events) {
            event.at_ms = second * 1000;
            event.id = format!("{second}");
        }
        events.reverse();
        events
    }

    fn table(events: Vec<ResourceEvent>) -> String {
        let rows = operations(events).into_iter().map(|operation| {
            let arn = operation.task_definition.unwrap_or_default();
            format!(
                "{:>3} s {:<9} {:<8} {}\n",
                operation.started_ms / 1000,
                operation.purpose.as_ref().map_or("?", Purpose::as_str),
                arn.rsplit('/').next().unwrap_or_default(),
                operation.end.line()
            )
        });
        rows.collect()
    }

    #[test]
    fn a_long_past() {
        let update = |token, inner: Vec<ResourceEvent>, end| {
            let begin = event("clock", "UPDATE_IN_PROGRESS", token);
            let end = event("clock", end, token);
            std::iter::once(begin).chain(inner).chain([end])
        };
        let failure = ResourceEvent {
            reason: Some("circuit breaker".to_owned()),
            ..event("Service", "UPDATE_FAILED", "deployer-up-3")
        };
        let events = [
            event("clock", "CREATE_IN_PROGRESS", "deployer-up-1"),
            event("clock", "CREATE_COMPLETE", "deployer-up-1"),
        ]
        .into_iter()
        .chain(update(
            "deployer-up-2",
            vec![revision(1, "deployer-up-2")],
            "UPDATE_COMPLETE",
        ))
        .chain(update(
            "deployer-up-3",
            vec![
                revision(1, "deployer-up-3"),
                revision(2, "deployer-up-3"),
                failure,
            ],
            "UPDATE_ROLLBACK_COMPLETE",
        ))
        .chain(update(
            "deployer-up-4",
            vec![revision(3, "deployer-up-4")],
            "UPDATE_COMPLETE",
        ))
        .chain(update(
            "deployer-back-5",
            vec![revision(4, "deployer-back-5")],
            "UPDATE_COMPLETE",
        ))
        .chain(update(
            "deployer-up-6",
            vec![
                revision(5, "deployer-up-6"),
                event("clock", "UPDATE_ROLLBACK_IN_PROGRESS", "deployer-cancel-7"),
            ],
            "UPDATE_ROLLBACK_COMPLETE",
        ))
        .chain(update("somebody", vec![], "UPDATE_COMPLETE"))
        .chain(update(
            "deployer-up-8",
            vec![revision(6, "deployer-up-8")],
            "UPDATE_COMPLETE",
        ))
        .chain([event("clock", "UPDATE_IN_PROGRESS", "deployer-rollback-9")]);
        insta::assert_snapshot!(table(listed(events)), @"
         1 s up                 in place
         3 s up        clock:1  replaced
         6 s up        clock:2  failed: service (Service): circuit breaker
        11 s up        clock:3  rolled back: it did not work
        14 s back      clock:4  replaced
        17 s up        clock:5  cancelled
        21 s ?                  in place
        23 s up        clock:6  in place
        26 s rollback           under way
        ");
    }
}
