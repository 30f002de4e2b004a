//! Status values of ECS and Elastic Load Balancing.

use crate::api_enum::api_enum;

api_enum! {
    /// Place of a deployment within its service.
    pub enum DeploymentStatus {
        // The newest deployment.
        Primary = "PRIMARY",
        // An older deployment whose tasks are being replaced.
        Active = "ACTIVE",
        Inactive = "INACTIVE",
    }
}

api_enum! {
    /// State of a deployment, where the endpoint has a circuit breaker.
    pub enum RolloutState {
        InProgress = "IN_PROGRESS",
        Completed = "COMPLETED",
        Failed = "FAILED",
    }
}

api_enum! {
    /// Health of a target behind the load balancer.
    pub enum TargetHealth {
        // The registration or the first health checks are in progress.
        Initial = "initial",
        Healthy = "healthy",
        Unhealthy = "unhealthy",
        UnhealthyDraining = "unhealthy.draining",
        Unused = "unused",
        Draining = "draining",
        // Health checks of the target group are disabled.
        Unavailable = "unavailable",
    }
}

api_enum! {
    /// Code for why a task stopped.
    pub enum StopCode {
        TaskFailedToStart = "TaskFailedToStart",
        EssentialContainerExited = "EssentialContainerExited",
        UserInitiated = "UserInitiated",
        // ECS scales in, replaces a version, or stops an unhealthy task.
        ServiceSchedulerInitiated = "ServiceSchedulerInitiated",
        SpotInterruption = "SpotInterruption",
        TerminationNotice = "TerminationNotice",
        InfrastructureHealth = "InfrastructureHealth",
    }
}

impl StopCode {
    /// Returns whether AWS took the capacity or the host back.
    pub const fn is_by_aws(&self) -> bool {
        match self {
            Self::SpotInterruption | Self::TerminationNotice | Self::InfrastructureHealth => true,
            Self::TaskFailedToStart
            | Self::EssentialContainerExited
            | Self::UserInitiated
            | Self::ServiceSchedulerInitiated
            | Self::Unknown(_) => false,
        }
    }

    /// Returns whether the task was asked to stop, for whatever reason.
    pub const fn is_by_request(&self) -> bool {
        match self {
            Self::UserInitiated | Self::ServiceSchedulerInitiated => true,
            Self::TaskFailedToStart
            | Self::EssentialContainerExited
            | Self::SpotInterruption
            | Self::TerminationNotice
            | Self::InfrastructureHealth
            | Self::Unknown(_) => false,
        }
    }
}
