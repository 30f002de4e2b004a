//! Decides what an observation of a stack means during an operation on it.
//!
//! The table matches on every status without a wildcard, so that a new status fails to compile
//! until it is decided. Decisions before an operation are in [`super::before`].

use super::status::{Phase, StackStatus};

/// Operation on a stack that is being polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `CreateStack`.
    Create,
    /// Execution of a change set.
    Update,
    /// `DeleteStack`.
    Delete,
    /// `ContinueUpdateRollback`, or an operation that somebody else started.
    Attached,
}

/// State of an operation at one poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'a> {
    /// Status of the stack; `None` if no such stack exists.
    pub status: Option<&'a StackStatus>,
    /// Set if the status belongs to our own operation.
    ///
    /// Until then, a final status is that of the previous operation.
    pub started: bool,
}

/// Decision after an observation.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    /// Not decided yet: poll again.
    KeepLooking,
    /// The status is unknown to this program: warn and poll again.
    KeepLookingAtUnknown,
    /// The operation succeeded.
    Succeeded,
    /// The operation failed, and the previous state is restored.
    RolledBack,
    /// The operation failed, and the stack can only be deleted.
    LeftToDelete,
    /// The operation failed and left the stack in between: a person has to look.
    Stuck,
}

/// Decides what an observation means for this operation.
pub const fn during(operation: Operation, observation: Observation<'_>) -> During {
    use StackStatus as S;
    let Some(status) = observation.status else {
        return match operation {
            Operation::Delete | Operation::Attached => During::Succeeded,
            // `DescribeStacks` is eventually consistent, and may not list a new stack yet. Or
            // somebody else deleted it.
            Operation::Create | Operation::Update if !observation.started => During::KeepLooking,
            Operation::Create | Operation::Update => During::LeftToDelete,
        };
    };
    match status.phase() {
        Phase::Unknown => return During::KeepLookingAtUnknown,
        Phase::Moving => {
            return match (operation, status) {
                // The new version is live once only the cleanup of replaced resources remains.
                (Operation::Update, S::UpdateCompleteCleanupInProgress) if observation.started => {
                    During::Succeeded
                }
                (
                    Operation::Create | Operation::Update | Operation::Delete | Operation::Attached,
                    _,
                ) => During::KeepLooking,
            };
        }
        // Lookups are by ARN, which a new stack of the same name does not have.
        Phase::Gone => {
            return match operation {
                Operation::Delete | Operation::Attached => During::Succeeded,
                Operation::Create | Operation::Update => During::LeftToDelete,
            };
        }
        Phase::Good | Phase::RolledBack | Phase::Unusable | Phase::Failed | Phase::Review => {}
    }
    // A final status may still be that of the previous operation.
    if !observation.started {
        return During::KeepLooking;
    }
    match (operation, status.phase()) {
        // Whatever the result is, the caller decides again with the new status.
        (Operation::Attached, _) | (Operation::Create | Operation::Update, Phase::Good) => {
            During::Succeeded
        }
        (Operation::Create | Operation::Update, Phase::RolledBack) => During::RolledBack,
        (Operation::Create | Operation::Update, Phase::Unusable) => During::LeftToDelete,
        (Operation::Create | Operation::Update, Phase::Failed)
        | (
            Operation::Delete,
            Phase::Good | Phase::RolledBack | Phase::Unusable | Phase::Failed | Phase::Review,
        ) => During::Stuck,
        (Operation::Create | Operation::Update, Phase::Review)
        | (
            Operation::Create | Operation::Update | Operation::Delete,
            Phase::Moving | Phase::Gone | Phase::Unknown,
        ) => During::KeepLooking,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Every status, with its name, and that there is no stack.
    pub(crate) fn rows() -> Vec<(String, Option<StackStatus>)> {
        let mut rows = vec![("(no stack)".to_owned(), None)];
        for status in StackStatus::KNOWN {
            rows.push((status.to_string(), Some(status.clone())));
        }
        let unknown = StackStatus::from("SOMETHING_NEW");
        rows.push((unknown.to_string(), Some(unknown)));
        rows
    }

    #[test]
    fn during_an_operation() {
        let mut table = String::new();
        for started in [false, true] {
            let title = if started {
                "STARTED"
            } else {
                "NOT STARTED YET"
            };
            writeln!(
                table,
                "{title:<46}{:<22}{:<22}{:<22}Attached",
                "Create", "Update", "Delete"
            )
            .unwrap();
            for (name, status) in rows() {
                write!(table, "{name:<46}").unwrap();
                for operation in [Operation::Create, Operation::Update, Operation::Delete] {
                    let next = during(
                        operation,
                        Observation {
                            status: status.as_ref(),
                            started,
                        },
                    );
                    write!(table, "{:<22}", format!("{next:?}")).unwrap();
                }
                let next = during(
                    Operation::Attached,
                    Observation {
                        status: status.as_ref(),
                        started,
                    },
                );
                writeln!(table, "{next:?}").unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
