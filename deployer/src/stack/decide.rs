//! What to do about a stack in each status: before an operation ([`before_up`], [`before_down`]) and during it ([`during`]).
//!
//! The tables are closed over every status, so that a new one fails to compile until it is decided.

use super::status::{Phase, StackStatus};

/// What `up` does about the stack it finds.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeforeUp {
    /// There is none: create it.
    Create,
    /// Update it by change set.
    Update,
    /// Something is under way: follow it, then look again.
    Attach,
    /// It can only be deleted: say why, delete it, create it anew.
    Recreate,
    /// A rollback got stuck: continue it, then look again.
    ContinueRollback,
    /// A person has to act first.
    Refuse {
        /// What to tell that person.
        remedy: &'static str,
    },
}

/// What `up` does about a stack in this status; `None` when there is no stack.
pub const fn before_up(status: Option<&StackStatus>) -> BeforeUp {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeUp::Create;
    };
    match status {
        S::DeleteComplete => BeforeUp::Create,
        S::CreateComplete
        | S::UpdateComplete
        | S::ImportComplete
        | S::UpdateRollbackComplete
        | S::ImportRollbackComplete
        | S::UpdateFailed => BeforeUp::Update,
        S::ReviewInProgress | S::CreateFailed | S::RollbackComplete | S::RollbackFailed => BeforeUp::Recreate,
        S::CreateInProgress
        | S::RollbackInProgress
        | S::DeleteInProgress
        | S::UpdateInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateRollbackInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::ImportInProgress
        | S::ImportRollbackInProgress
        // It may be moving: look on, until it turns into something known or the deadline passes.
        | S::Unknown(_) => BeforeUp::Attach,
        S::UpdateRollbackFailed => BeforeUp::ContinueRollback,
        S::DeleteFailed => BeforeUp::Refuse {
            remedy: "an earlier deletion did not finish: run `deployer down`, which says what holds it",
        },
        S::ImportRollbackFailed => BeforeUp::Refuse {
            remedy: "a resource import could not be undone: open the stack in the CloudFormation console",
        },
    }
}

/// What `down` does about the stack it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDown {
    /// There is nothing to take down.
    Nothing,
    /// Delete it.
    Delete,
    /// It is being deleted: follow that.
    AttachToDeletion,
    /// The service refuses a deletion now: cancel the update, follow, then look again.
    CancelUpdate,
    /// The service refuses a deletion now and nothing can be cancelled: follow, then look again.
    Wait,
}

/// What `down` does about a stack in this status; `None` when there is no stack.
pub const fn before_down(status: Option<&StackStatus>) -> BeforeDown {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeDown::Nothing;
    };
    match status {
        S::DeleteComplete => BeforeDown::Nothing,
        S::DeleteInProgress => BeforeDown::AttachToDeletion,
        S::UpdateInProgress => BeforeDown::CancelUpdate,
        S::RollbackInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateRollbackInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::ImportInProgress
        | S::ImportRollbackInProgress
        | S::Unknown(_) => BeforeDown::Wait,
        S::ReviewInProgress
        | S::CreateInProgress
        | S::CreateFailed
        | S::CreateComplete
        | S::RollbackFailed
        | S::RollbackComplete
        | S::DeleteFailed
        | S::UpdateComplete
        | S::UpdateFailed
        | S::UpdateRollbackFailed
        | S::UpdateRollbackComplete
        | S::ImportComplete
        | S::ImportRollbackFailed
        | S::ImportRollbackComplete => BeforeDown::Delete,
    }
}

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
pub struct Seen<'a> {
    /// The stack's status; `None` when there is no such stack.
    pub status: Option<&'a StackStatus>,
    /// Does the status belong to our own operation? Until it does, a status at rest is that of before.
    pub begun: bool,
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
    /// It failed, and what is there now can only be deleted.
    LeftToDelete,
    /// It failed half-way: somebody has to look.
    Stuck,
}

/// What follows, for this operation, from what was seen.
pub const fn during(operation: Operation, seen: Seen<'_>) -> During {
    use StackStatus as S;
    let Some(status) = seen.status else {
        return match operation {
            Operation::Delete | Operation::Attached => During::Succeeded,
            // Not visible yet, or deleted by somebody else.
            Operation::Create | Operation::Update if !seen.begun => During::KeepLooking,
            Operation::Create | Operation::Update => During::LeftToDelete,
        };
    };
    match status.phase() {
        Phase::Unknown => return During::KeepLookingAtUnknown,
        Phase::Moving => {
            return match (operation, status) {
                // The new version is live as soon as only the clean-up remains.
                (Operation::Update, S::UpdateCompleteCleanupInProgress) if seen.begun => {
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
    if !seen.begun {
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
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn rows() -> Vec<(String, Option<StackStatus>)> {
        let mut rows = vec![("(no stack)".to_owned(), None)];
        for status in StackStatus::KNOWN {
            rows.push((status.to_string(), Some(status.clone())));
        }
        let unknown = StackStatus::from("SOMETHING_NEW");
        rows.push((unknown.to_string(), Some(unknown)));
        rows
    }

    #[test]
    fn before_an_operation() {
        let mut table = String::new();
        for (name, status) in rows() {
            let up = match before_up(status.as_ref()) {
                BeforeUp::Refuse { .. } => "Refuse".to_owned(),
                other @ (BeforeUp::Create
                | BeforeUp::Update
                | BeforeUp::Attach
                | BeforeUp::Recreate
                | BeforeUp::ContinueRollback) => format!("{other:?}"),
            };
            let down = before_down(status.as_ref());
            writeln!(table, "{name:<46}{up:<18}{down:?}").unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn during_an_operation() {
        let mut table = String::new();
        for begun in [false, true] {
            let title = if begun { "BEGUN" } else { "NOT BEGUN YET" };
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
                        Seen {
                            status: status.as_ref(),
                            begun,
                        },
                    );
                    write!(table, "{:<22}", format!("{next:?}")).unwrap();
                }
                let next = during(
                    Operation::Attached,
                    Seen {
                        status: status.as_ref(),
                        begun,
                    },
                );
                writeln!(table, "{next:?}").unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
