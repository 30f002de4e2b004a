//! The 23 status values of a stack, from the CloudFormation API reference (`StackStatus`).

use crate::api_enum::api_enum;

api_enum! {
    /// Status of a stack.
    pub enum StackStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateFailed = "CREATE_FAILED",
        CreateComplete = "CREATE_COMPLETE",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackFailed = "ROLLBACK_FAILED",
        RollbackComplete = "ROLLBACK_COMPLETE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteFailed = "DELETE_FAILED",
        DeleteComplete = "DELETE_COMPLETE",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        UpdateCompleteCleanupInProgress = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateComplete = "UPDATE_COMPLETE",
        UpdateFailed = "UPDATE_FAILED",
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        UpdateRollbackFailed = "UPDATE_ROLLBACK_FAILED",
        UpdateRollbackCompleteCleanupInProgress = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateRollbackComplete = "UPDATE_ROLLBACK_COMPLETE",
        ReviewInProgress = "REVIEW_IN_PROGRESS",
        ImportInProgress = "IMPORT_IN_PROGRESS",
        ImportComplete = "IMPORT_COMPLETE",
        ImportRollbackInProgress = "IMPORT_ROLLBACK_IN_PROGRESS",
        ImportRollbackFailed = "IMPORT_ROLLBACK_FAILED",
        ImportRollbackComplete = "IMPORT_ROLLBACK_COMPLETE",
    }
}

/// Class of a stack's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// An operation is in progress and will end on its own.
    Moving,
    /// The last operation succeeded.
    Good,
    /// The last operation failed, and its rollback succeeded.
    RolledBack,
    /// The creation failed: the stack can only be deleted.
    Unusable,
    /// Another operation or a rollback failed.
    Failed,
    /// The stack is deleted.
    Gone,
    /// A change set exists for a stack that does not exist yet; nothing happens on its own.
    Review,
    /// The status is unknown to this program.
    Unknown,
}

impl StackStatus {
    /// Returns the class of this status.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::CreateInProgress
            | Self::RollbackInProgress
            | Self::DeleteInProgress
            | Self::UpdateInProgress
            // CloudFormation refuses another update until the old resources are deleted.
            | Self::UpdateCompleteCleanupInProgress
            | Self::UpdateRollbackInProgress
            | Self::UpdateRollbackCompleteCleanupInProgress
            | Self::ImportInProgress
            | Self::ImportRollbackInProgress => Phase::Moving,
            Self::CreateComplete | Self::UpdateComplete | Self::ImportComplete => Phase::Good,
            Self::UpdateRollbackComplete | Self::ImportRollbackComplete => Phase::RolledBack,
            Self::CreateFailed | Self::RollbackComplete | Self::RollbackFailed => Phase::Unusable,
            Self::DeleteFailed
            | Self::UpdateFailed
            | Self::UpdateRollbackFailed
            | Self::ImportRollbackFailed => Phase::Failed,
            Self::DeleteComplete => Phase::Gone,
            Self::ReviewInProgress => Phase::Review,
            Self::Unknown(_) => Phase::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_statuses_survive_the_way_through_text() {
        assert_eq!(StackStatus::KNOWN.len(), 23);
        for status in StackStatus::KNOWN {
            assert_eq!(&StackStatus::from(status.as_str()), status);
            assert_ne!(status.phase(), Phase::Unknown);
        }
        let new = StackStatus::from("TELEPORT_IN_PROGRESS");
        assert_eq!(new.as_str(), "TELEPORT_IN_PROGRESS");
        assert_eq!(new.phase(), Phase::Unknown);
    }
}
