//! Status values of a stack's resources, from the CloudFormation API reference (`ResourceStatus`).

use super::status::StackStatus;
use crate::api_enum::api_enum;

api_enum! {
    /// Status of a resource, or of the stack itself in one of its events.
    pub enum ResourceStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateFailed = "CREATE_FAILED",
        CreateComplete = "CREATE_COMPLETE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteFailed = "DELETE_FAILED",
        DeleteComplete = "DELETE_COMPLETE",
        DeleteSkipped = "DELETE_SKIPPED",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        UpdateFailed = "UPDATE_FAILED",
        UpdateComplete = "UPDATE_COMPLETE",
        UpdateCompleteCleanupInProgress = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        UpdateRollbackFailed = "UPDATE_ROLLBACK_FAILED",
        UpdateRollbackComplete = "UPDATE_ROLLBACK_COMPLETE",
        UpdateRollbackCompleteCleanupInProgress = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackFailed = "ROLLBACK_FAILED",
        RollbackComplete = "ROLLBACK_COMPLETE",
        ReviewInProgress = "REVIEW_IN_PROGRESS",
        ImportInProgress = "IMPORT_IN_PROGRESS",
        ImportFailed = "IMPORT_FAILED",
        ImportComplete = "IMPORT_COMPLETE",
        ImportRollbackInProgress = "IMPORT_ROLLBACK_IN_PROGRESS",
        ImportRollbackFailed = "IMPORT_ROLLBACK_FAILED",
        ImportRollbackComplete = "IMPORT_ROLLBACK_COMPLETE",
        ExportInProgress = "EXPORT_IN_PROGRESS",
        ExportFailed = "EXPORT_FAILED",
        ExportComplete = "EXPORT_COMPLETE",
        ExportRollbackInProgress = "EXPORT_ROLLBACK_IN_PROGRESS",
        ExportRollbackFailed = "EXPORT_ROLLBACK_FAILED",
        ExportRollbackComplete = "EXPORT_ROLLBACK_COMPLETE",
    }
}

/// Progress of an operation on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceProgress {
    /// The operation is in progress.
    InProgress,
    /// The operation succeeded.
    Complete,
    /// The operation failed.
    Failed,
    /// The resource was skipped, or the status is unknown to this program.
    Unknown,
}

impl ResourceStatus {
    /// Returns the progress of the operation on the resource.
    pub fn progress(&self) -> ResourceProgress {
        // The suffix decides, so that the status of a new operation is understood as well.
        let word = self.as_str();
        if word.ends_with("_IN_PROGRESS") {
            ResourceProgress::InProgress
        } else if word.ends_with("_COMPLETE") {
            ResourceProgress::Complete
        } else if word.ends_with("_FAILED") {
            ResourceProgress::Failed
        } else {
            ResourceProgress::Unknown
        }
    }

    /// Returns whether the operation failed.
    pub fn is_failure(&self) -> bool {
        self.progress() == ResourceProgress::Failed
    }

    /// Returns whether the status is part of a rollback.
    pub fn is_of_rollback(&self) -> bool {
        self.as_str().contains("ROLLBACK_")
    }

    /// Returns the status as one of the stack, for events about the stack itself.
    pub fn of_stack(&self) -> StackStatus {
        // Stacks and resources share the texts of their statuses.
        StackStatus::from(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_each_status_means() {
        let mut table = String::new();
        let new = ResourceStatus::from("TELEPORT_FAILED");
        for status in ResourceStatus::KNOWN.iter().chain([&new]) {
            let rollback = if status.is_of_rollback() {
                " of a rollback"
            } else {
                ""
            };
            writeln!(
                table,
                "{:<45}{:?}{rollback}",
                status.as_str(),
                status.progress()
            )
            .unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn events_of_a_stack_tell_every_status_of_a_stack() {
        for status in StackStatus::KNOWN {
            let told = ResourceStatus::from(status.as_str());
            assert!(ResourceStatus::KNOWN.contains(&told), "{status}");
            assert_eq!(&told.of_stack(), status);
        }
    }
}
