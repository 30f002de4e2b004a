//! The 23 statuses of a stack, as of the CloudFormation API reference (`StackStatus`).

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

/// What kind of moment a status describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something is under way and will end by itself.
    Moving,
    /// At rest, and as it should be.
    Good,
    /// At rest after a rollback that succeeded.
    RolledBack,
    /// At rest after a creation that failed: all that can be done is to delete it.
    Unusable,
    /// At rest after something else failed.
    Failed,
    /// The stack is gone.
    Gone,
    /// A change set was made for a stack that does not exist yet; nothing moves by itself.
    Review,
    /// Not known: it may be any of these.
    Unknown,
}

impl StackStatus {
    /// The kind of moment this status describes.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::CreateInProgress
            | Self::RollbackInProgress
            | Self::DeleteInProgress
            | Self::UpdateInProgress
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
