//! What each command does about the stack it finds, status by status.
//!
//! The tables are closed over every status, so that a new one fails to compile until it is decided. What follows from what is
//! seen later is in [`super::decide`].

use super::status::StackStatus;

/// What `up` does about the stack it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeUp {
    /// There is none: create it.
    Create,
    /// Update it by change set.
    Update,
    /// Something is under way: follow it, then look again.
    Attach,
    /// It can only be deleted: say why, delete it, create it again.
    Recreate,
    /// A rollback got stuck, or was never started: see to it, then look again.
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
        | S::ImportRollbackComplete => BeforeUp::Update,
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
        // Paused half-way, it takes no change set before it is rolled back.
        S::UpdateFailed | S::UpdateRollbackFailed => BeforeUp::ContinueRollback,
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
    /// There is nothing to delete.
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

/// What `plan` does about the stack it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforePlan {
    /// There is none: everything in the template would be made.
    Everything,
    /// It can only be deleted: it would be, and then everything be made.
    Recreate,
    /// Have a change set computed, and removed again.
    Propose,
    /// Something is under way: follow it, then look again.
    Attach,
    /// Change sets are refused until a rollback is continued, which `up` would do.
    AfterRollback,
    /// A person has to act first.
    Refuse {
        /// What to tell that person.
        remedy: &'static str,
    },
}

/// What `plan` does about a stack in this status; `None` when there is no stack. It shows what [`before_up`] leads to.
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

/// What `rollback` does about the stack it finds.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeRollback {
    /// There is no stack, or none that ever ran a version.
    NothingToGoBackTo,
    /// Update it to the version before.
    Update,
    /// An update is under way: cancelling it is the way back.
    CancelUpdate,
    /// Something is under way that cannot be cancelled: follow it, then look again.
    Attach,
    /// A rollback got stuck: continue it, then look again.
    ContinueRollback,
    /// A person has to act first.
    Refuse {
        /// What to tell that person.
        remedy: &'static str,
    },
}

/// What `rollback` does about a stack in this status; `None` when there is no stack.
pub const fn before_rollback(status: Option<&StackStatus>) -> BeforeRollback {
    use StackStatus as S;
    let Some(status) = status else {
        return BeforeRollback::NothingToGoBackTo;
    };
    match status {
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

/// What a status means to whoever reads it.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusSummary {
    /// There is nothing.
    Absent,
    /// At rest, and as it should be.
    AtRest,
    /// At rest, but something has to be said about it.
    Notable(&'static str),
    /// Something is under way, and can be followed to its end.
    InProgress(&'static str),
}

/// What `status` says about a stack in this status, and whether `status --watch` has something to follow; `None` when there
/// is no stack.
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
