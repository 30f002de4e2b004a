//! What follows from what is seen of a stack during an operation on it.
//!
//! The table is closed over every status, so that a new one fails to compile until it is decided. What to do before an
//! operation is in [`super::before`].

use super::status::{Phase, StackStatus};

/// An operation on a stack that is being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `CreateStack`.
    Create,
    /// A change set that is being executed.
    Update,
    /// `DeleteStack`.
    Delete,
    /// `ContinueUpdateRollback`, or an operation that somebody else began.
    Attached,
}

/// What was heard of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation<'a> {
    /// The stack's status; `None` when there is no such stack.
    pub status: Option<&'a StackStatus>,
    /// Does the status belong to our own operation? Until it does, a status at rest is that of before.
    pub started: bool,
}

/// What follows from it.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    /// Nothing yet: look again.
    KeepLooking,
    /// A status that this program does not know: warn, look again.
    KeepLookingAtUnknown,
    /// It ended well.
    Succeeded,
    /// It failed, and what was there before is there again.
    RolledBack,
    /// It failed, and what is left can only be deleted.
    LeftToDelete,
    /// It failed half-way: somebody has to look.
    Stuck,
}

/// What follows, for this operation, from what was seen.
pub const fn during(operation: Operation, observation: Observation<'_>) -> During {
    use StackStatus as S;
    let Some(status) = observation.status else {
        return match operation {
            Operation::Delete | Operation::Attached => During::Succeeded,
            // Not visible yet, or deleted by somebody else.
            Operation::Create | Operation::Update if !observation.started => During::KeepLooking,
            Operation::Create | Operation::Update => During::LeftToDelete,
        };
    };
    match status.phase() {
        Phase::Unknown => return During::KeepLookingAtUnknown,
        Phase::Moving => {
            return match (operation, status) {
                // The new version is live as soon as only the clean-up remains.
                (Operation::Update, S::UpdateCompleteCleanupInProgress) if observation.started => {
                    During::Succeeded
                }
                (
                    Operation::Create | Operation::Update | Operation::Delete | Operation::Attached,
                    _,
                ) => During::KeepLooking,
            };
        }
        // Looked up by its identifier, a stack that is gone is gone for good.
        Phase::Gone => {
            return match operation {
                Operation::Delete | Operation::Attached => During::Succeeded,
                Operation::Create | Operation::Update => During::LeftToDelete,
            };
        }
        Phase::Good | Phase::RolledBack | Phase::Unusable | Phase::Failed | Phase::Review => {}
    }
    if !observation.started {
        return During::KeepLooking;
    }
    match (operation, status.phase()) {
        // Whatever it came to, the caller looks at it with fresh eyes.
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
