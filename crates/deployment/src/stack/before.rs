//! Decides what each command does about the stack it finds, by status.
//!
//! The tables match on every status without a wildcard, so that a new status fails to compile until
//! it is decided. Decisions during an operation are in [`super::decide`].

use super::status::StackStatus;

/// Action of `up` on the stack that it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeUp {
    /// No stack exists: create it.
    Create,
    /// Update the stack with a change set.
    Update,
    /// An operation is in progress: wait for its end, then decide again.
    Attach,
    /// The stack can only be deleted: say why, delete it and create it again.
    Recreate,
    /// A rollback failed or was never started: continue or start it, then decide again.
    ContinueRollback,
    /// A person has to act first.
    Refuse {
        /// Advice for that person.
        remedy: &'static str,
    },
}

/// Decides what `up` does about a stack in this status; `None` if no stack exists.
pub const fn before_up(status: Option<&StackStatus>) -> BeforeUp {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeUp::Create;
    };
    match status {
        // CloudFormation reports a deleted stack only by its ARN; some endpoints also by name.
        S::DeleteComplete => BeforeUp::Create,
        S::CreateComplete
        | S::UpdateComplete
        | S::ImportComplete
        | S::UpdateRollbackComplete
        | S::ImportRollbackComplete => BeforeUp::Update,
        // The creation of these stacks never succeeded: CloudFormation updates none of them.
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
        // An unknown status may be one in progress: wait until it becomes a known one or the
        // deadline passes.
        | S::Unknown(_) => BeforeUp::Attach,
        // CloudFormation refuses change sets until the update is rolled back.
        S::UpdateFailed | S::UpdateRollbackFailed => BeforeUp::ContinueRollback,
        S::DeleteFailed => BeforeUp::Refuse {
            remedy: "an earlier deletion did not finish: run `deployer down`, which says what holds it",
        },
        S::ImportRollbackFailed => BeforeUp::Refuse {
            remedy: "a resource import could not be undone: open the stack in the CloudFormation console",
        },
    }
}

/// Action of `down` on the stack that it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDown {
    /// No stack exists.
    Nothing,
    /// Delete the stack.
    Delete,
    /// A deletion is in progress: wait for its end.
    AttachToDeletion,
    /// CloudFormation refuses a deletion: cancel the update, wait for the rollback, then decide
    /// again.
    CancelUpdate,
    /// CloudFormation refuses a deletion, and nothing can be cancelled: wait, then decide again.
    Wait,
}

/// Decides what `down` does about a stack in this status; `None` if no stack exists.
pub const fn before_down(status: Option<&StackStatus>) -> BeforeDown {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeDown::Nothing;
    };
    match status {
        S::DeleteComplete => BeforeDown::Nothing,
        S::DeleteInProgress => BeforeDown::AttachToDeletion,
        // CloudFormation cancels an update only in this status.
        S::UpdateInProgress => BeforeDown::CancelUpdate,
        S::RollbackInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateRollbackInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::ImportInProgress
        | S::ImportRollbackInProgress
        // May be the status of an operation in progress.
        | S::Unknown(_) => BeforeDown::Wait,
        S::ReviewInProgress
        // CloudFormation accepts a deletion during a creation, unlike during an update.
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

/// Action of `plan` on the stack that it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforePlan {
    /// No stack exists: everything in the template would be created.
    Everything,
    /// The stack can only be deleted: it would be, and everything created again.
    Recreate,
    /// Create a change set, show it and delete it.
    Propose,
    /// An operation is in progress: wait for its end, then decide again.
    Attach,
    /// CloudFormation refuses change sets until a rollback is continued, which `up` would do.
    AfterRollback,
    /// A person has to act first.
    Refuse {
        /// Advice for that person.
        remedy: &'static str,
    },
}

/// Decides what `plan` does about a stack in this status; `None` if no stack exists.
///
/// It shows what [`before_up`] leads to.
pub const fn before_plan(status: Option<&StackStatus>) -> BeforePlan {
    match before_up(status) {
        BeforeUp::Create => BeforePlan::Everything,
        BeforeUp::Recreate => BeforePlan::Recreate,
        BeforeUp::Update => BeforePlan::Propose,
        BeforeUp::Attach => BeforePlan::Attach,
        BeforeUp::ContinueRollback => BeforePlan::AfterRollback,
        BeforeUp::Refuse { remedy } => BeforePlan::Refuse { remedy },
    }
}

/// Action of `rollback` on the stack that it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeRollback {
    /// No stack exists, or it never ran a version.
    NothingToGoBackTo,
    /// Update the stack to the previous version.
    Update,
    /// An update is in progress: cancelling it restores the previous version.
    CancelUpdate,
    /// An operation is in progress that cannot be cancelled: wait for its end, then decide again.
    Attach,
    /// A rollback failed: continue it, then decide again.
    ContinueRollback,
    /// A person has to act first.
    Refuse {
        /// Advice for that person.
        remedy: &'static str,
    },
}

/// Decides what `rollback` does about a stack in this status; `None` if no stack exists.
pub const fn before_rollback(status: Option<&StackStatus>) -> BeforeRollback {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeRollback::NothingToGoBackTo;
    };
    match status {
        // A stack whose first creation has not succeeded has no previous version.
        S::DeleteComplete
        | S::ReviewInProgress
        | S::CreateInProgress
        | S::CreateFailed
        | S::RollbackInProgress
        | S::RollbackComplete
        | S::RollbackFailed => BeforeRollback::NothingToGoBackTo,
        S::CreateComplete
        | S::UpdateComplete
        | S::UpdateRollbackComplete
        | S::ImportComplete
        | S::ImportRollbackComplete => BeforeRollback::Update,
        // Faster than another update, which would have to wait for this one.
        S::UpdateInProgress => BeforeRollback::CancelUpdate,
        S::DeleteInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateRollbackInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::ImportInProgress
        | S::ImportRollbackInProgress
        | S::Unknown(_) => BeforeRollback::Attach,
        S::UpdateFailed | S::UpdateRollbackFailed => BeforeRollback::ContinueRollback,
        S::DeleteFailed => BeforeRollback::Refuse {
            remedy: "an earlier deletion did not finish: run `deployer down`, which says what holds it",
        },
        S::ImportRollbackFailed => BeforeRollback::Refuse {
            remedy: "a resource import could not be undone: open the stack in the CloudFormation console",
        },
    }
}

/// Meaning of a status for people.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusSummary {
    /// No stack exists.
    Absent,
    /// No operation is in progress, and the last one succeeded.
    AtRest,
    /// No operation is in progress, but the status needs an explanation.
    Notable(&'static str),
    /// An operation is in progress that `status --watch` can follow.
    InProgress(&'static str),
}

/// Returns what `status` says about a stack in this status; `None` if no stack exists.
///
/// It also decides whether `status --watch` has something to follow.
pub const fn status_summary(status: Option<&StackStatus>) -> StatusSummary {
    use StackStatus as S;
    let Some(status) = status else {
        return StatusSummary::Absent;
    };
    match status {
        S::DeleteComplete => StatusSummary::Absent,
        S::CreateComplete | S::UpdateComplete | S::ImportComplete => StatusSummary::AtRest,
        S::UpdateRollbackComplete => {
            StatusSummary::Notable("the last update failed; what was there before it is in place")
        }
        S::ImportRollbackComplete => {
            StatusSummary::Notable("the last import failed; what was there before it is in place")
        }
        S::ReviewInProgress => StatusSummary::Notable(
            "a change set was made for a stack that does not exist yet: `deployer up` deletes it and makes the stack",
        ),
        S::CreateFailed | S::RollbackComplete | S::RollbackFailed => StatusSummary::Notable(
            "the creation failed: `deployer up` deletes what it left and creates the stack again",
        ),
        S::UpdateFailed => StatusSummary::Notable(
            "an update failed and was not rolled back: `deployer up` or `deployer rollback` does that first",
        ),
        S::UpdateRollbackFailed => StatusSummary::Notable(
            "an update failed, and so did its rollback: `deployer up` or `deployer rollback` continues it",
        ),
        S::DeleteFailed => StatusSummary::Notable(
            "the deletion failed; what is left may cost money: `deployer down` says what holds it, and tries again",
        ),
        S::ImportRollbackFailed => StatusSummary::Notable(
            "an import could not be undone: open the stack in the CloudFormation console",
        ),
        S::CreateInProgress => StatusSummary::InProgress("being created"),
        S::RollbackInProgress => {
            StatusSummary::InProgress("the creation failed; what was made is being removed")
        }
        S::DeleteInProgress => StatusSummary::InProgress("being deleted"),
        S::UpdateInProgress => StatusSummary::InProgress("being updated"),
        S::UpdateCompleteCleanupInProgress => {
            StatusSummary::InProgress("updated; what the old version needed is being removed")
        }
        S::UpdateRollbackInProgress => {
            StatusSummary::InProgress("an update failed or was cancelled, and is being rolled back")
        }
        S::UpdateRollbackCompleteCleanupInProgress => {
            StatusSummary::InProgress("rolled back; what the failed update made is being removed")
        }
        S::ImportInProgress => StatusSummary::InProgress("resources are being imported"),
        S::ImportRollbackInProgress => {
            StatusSummary::InProgress("an import failed, and is being rolled back")
        }
        S::Unknown(_) => StatusSummary::InProgress("a status that is new to this program"),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::stack::decide::tests::rows;

    /// The name of a decision without what it carries.
    fn name(decision: &impl std::fmt::Debug) -> String {
        let text = format!("{decision:?}");
        text.split([' ', '(']).next().unwrap().to_owned()
    }

    #[test]
    fn every_command_knows_what_to_do_about_every_status() {
        let mut table = String::new();
        let mut row = |cells: [&str; 5]| {
            let [status, up, down, plan, rollback] = cells;
            writeln!(table, "{status:<46}{up:<18}{down:<18}{plan:<16}{rollback}").unwrap();
        };
        row(["STATUS", "up", "down", "plan", "rollback"]);
        for (status, found) in rows() {
            let found = found.as_ref();
            row([
                &status,
                &name(&before_up(found)),
                &name(&before_down(found)),
                &name(&before_plan(found)),
                &name(&before_rollback(found)),
            ]);
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn every_status_is_explained() {
        let mut table = String::new();
        for (status, found) in rows() {
            writeln!(table, "{status:<46}{:?}", status_summary(found.as_ref())).unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn every_status_is_documented() {
        let documented = include_str!("../../../../docs/deployments.md");
        for status in StackStatus::KNOWN {
            assert!(documented.contains(&format!("`{status}`")), "{status}");
        }
    }

    #[test]
    fn what_plan_follows_is_what_up_follows_and_status_watches() {
        for (status, found) in rows() {
            let moving = matches!(status_summary(found.as_ref()), StatusSummary::InProgress(_));
            assert_eq!(
                before_up(found.as_ref()) == BeforeUp::Attach,
                moving,
                "{status}"
            );
            assert_eq!(
                before_plan(found.as_ref()) == BeforePlan::Attach,
                moving,
                "{status}"
            );
        }
    }
}
