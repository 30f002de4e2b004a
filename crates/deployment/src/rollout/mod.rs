//! State of the running version as ECS reports it, and its meaning for a rollout. Pure.
//!
//! - [`judge`] decides how far a rollout has come;
//! - [`Evidence`] holds the observations of a failing rollout, [`diagnose`] names the cause;
//! - [`Explanation`] presents both to people.

mod diagnosis;
mod evidence;
mod explanation;
pub mod gate;
mod recognition;
mod status;
mod stopped;
pub mod traffic;
mod wording;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use diagnosis::{Context, Diagnosis, Ended, diagnose, missing_secret};
pub use evidence::{Evidence, FailedTask};
pub use explanation::Explanation;
pub use status::{DeploymentStatus, RolloutState, StopCode, TargetHealth};
pub use stopped::{StoppedLately, stopped_lately};
pub use wording::{dedupe_key, without_service};

/// One deployment of an ECS service: a version that is starting, serving or being replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Deployment {
    /// Identifier that ECS assigned.
    pub id: String,
    /// `PRIMARY` for the version that should run, `ACTIVE` for one that still has tasks.
    pub status: DeploymentStatus,
    /// ARN of the task definition.
    pub task_definition: String,
    /// State of the rollout; absent on endpoints without a circuit breaker.
    pub rollout_state: Option<RolloutState>,
    /// Reason for the state, as ECS gives it.
    pub rollout_reason: Option<String>,
    /// Number of tasks that should run.
    pub desired: u32,
    /// Number of tasks that run.
    pub running: u32,
    /// Number of tasks that are starting.
    pub pending: u32,
    /// Number of tasks that failed to start or did not stay healthy.
    pub failed: u32,
    /// Time of its creation.
    #[serde(skip)]
    pub created: Option<DateTime<Utc>>,
}

impl Deployment {
    /// Returns whether this deployment, of all of these, rolls out `ours`.
    ///
    /// When ECS merely replaces tasks (a forced deployment, for example), several deployments have
    /// the same task definition.
    pub fn is_new(&self, all: &[Self], ours: &str) -> bool {
        let is_primary = |one: &Self| one.task_definition == ours && one.is_primary();
        self.task_definition == ours && (is_primary(self) || !all.iter().any(is_primary))
    }

    /// Returns whether this deployment matters to the rollout of `ours`.
    ///
    /// Some endpoints list failed earlier deployments as long as the service exists.
    pub fn is_part_of(&self, ours: &str) -> bool {
        self.task_definition == ours || self.desired + self.running + self.pending > 0
    }

    /// Returns whether this is the deployment that should run.
    pub fn is_primary(&self) -> bool {
        self.status == DeploymentStatus::Primary
    }

    fn has_failed(&self) -> bool {
        self.rollout_state == Some(RolloutState::Failed)
    }
}

/// Snapshot of an ECS service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct Service {
    /// Number of tasks that should run.
    pub desired: u32,
    /// Number of tasks that run.
    pub running: u32,
    /// Deployments that ECS still lists.
    pub deployments: Vec<Deployment>,
    /// Number of failed tasks at which the circuit breaker gives up, if it is configured as a plain
    /// number.
    pub threshold: Option<u32>,
    /// Event messages of the service, in any order.
    pub events: Vec<ServiceEvent>,
}

impl Service {
    /// Returns the first deployment of this task definition.
    pub fn deployment_of(&self, task_definition: &str) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.task_definition == task_definition)
    }
}

impl Service {
    /// Returns the desired count of the primary deployment, if it is of this task definition.
    pub fn tasks_of(&self, task_definition: &str) -> Option<u32> {
        let mut deployments = self.deployments.iter();
        let ours =
            deployments.find(|one| one.is_primary() && one.task_definition == task_definition);
        ours.map(|one| one.desired)
    }
}

/// Event message of an ECS service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ServiceEvent {
    /// Time of the event.
    pub at: DateTime<Utc>,
    /// Message, as ECS wrote it.
    pub message: String,
}

impl ServiceEvent {
    /// Returns whether the message reports a problem.
    pub fn is_about_a_problem(&self) -> bool {
        // ECS gives its events neither a level nor a code.
        let message = self.message.to_lowercase();
        ["unhealthy", "unable", "failed"]
            .iter()
            .any(|word| message.contains(word))
    }
}

/// Details of a service deployment (`DescribeServiceDeployments`). Not every endpoint has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentRecord {
    /// Number of failed tasks, as the circuit breaker counts them.
    pub failed_tasks: u32,
    /// Number of failed tasks at which the circuit breaker gives up.
    pub threshold: Option<u32>,
    /// Reason for a rollback.
    pub rollback_reason: Option<String>,
}

/// Task that runs or is starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Task {
    /// Identifier of the task: the last part of its ARN.
    pub id: String,
    /// Last status, for example `RUNNING`.
    pub status: String,
    /// Availability zone, for example `eu-central-1a`.
    pub zone: Option<String>,
    /// ARN of the task definition.
    pub task_definition: String,
    /// Image of its container.
    pub image: Option<String>,
}

/// Task that stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StoppedTask {
    /// Identifier of the task: the last part of its ARN.
    pub id: String,
    /// ARN of the task definition.
    pub task_definition: String,
    /// Code for the reason.
    pub stop_code: Option<StopCode>,
    /// Reason in words.
    pub reason: Option<String>,
    /// Reason why its container stopped, which is more specific if present.
    pub container_reason: Option<String>,
    /// Exit code of the container.
    pub exit_code: Option<i32>,
    /// Time at which it stopped.
    #[serde(skip)]
    pub stopped_at: Option<DateTime<Utc>>,
}

impl StoppedTask {
    /// Returns whether the task stopped unexpectedly rather than on request.
    pub fn is_failure(&self) -> bool {
        match &self.stop_code {
            Some(code) if !code.is_by_request() => true,
            // The service scheduler uses one code for scaling in and for failed health checks. Only
            // the reason tells them apart.
            Some(_) | None => self.failed_its_health_checks(),
        }
    }

    /// Returns whether the program or its configuration failed, rather than AWS reclaiming capacity
    /// or a host.
    pub fn is_the_programs_doing(&self) -> bool {
        self.is_failure() && !self.stop_code.as_ref().is_some_and(StopCode::is_by_aws)
    }

    /// Returns whether it was stopped because of a failed health check.
    pub fn failed_its_health_checks(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        // ECS writes `Task failed ELB health checks in …` or `Task failed container health checks`.
        reason.starts_with("Task failed") && reason.contains("health check")
    }

    /// Returns the most specific reason available.
    pub fn words(&self) -> Option<&str> {
        self.container_reason.as_deref().or(self.reason.as_deref())
    }
}

/// Target of the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Target {
    /// IP address of the task.
    pub id: String,
    /// Health, as the load balancer reports it.
    pub state: TargetHealth,
    /// Reason code, for example `Target.FailedHealthChecks`.
    pub reason: Option<String>,
    /// Reason in words, with details.
    pub description: Option<String>,
}

impl Target {
    /// Returns whether the target passes its health checks.
    pub fn is_healthy(&self) -> bool {
        self.state == TargetHealth::Healthy
    }

    /// Returns whether the target failed its health checks or gets no traffic at all.
    pub fn is_in_trouble(&self) -> bool {
        match &self.state {
            TargetHealth::Unhealthy | TargetHealth::UnhealthyDraining => true,
            // Other reasons, such as `Target.NotRegistered`, occur while targets come and go.
            TargetHealth::Unused => self.reason.as_deref() == Some("Target.NotInUse"),
            TargetHealth::Initial
            | TargetHealth::Healthy
            | TargetHealth::Draining
            | TargetHealth::Unavailable
            | TargetHealth::Unknown(_) => false,
        }
    }
}

/// Health check settings of a target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct HealthCheck {
    /// Path, for example `/health`.
    pub path: String,
    /// HTTP status codes that count as healthy, for example `200`.
    pub codes: String,
    /// Timeout of a response, seconds.
    pub timeout_seconds: u32,
}

impl Service {
    /// Returns whether ECS reports a deployment of this task definition as failed.
    pub fn has_failed(&self, task_definition: &str) -> bool {
        let mut deployments = self.deployments.iter();
        deployments.any(|one| one.task_definition == task_definition && one.has_failed())
    }
}

/// State of the rollout of one task definition, judged from its service and targets.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Not completed yet.
    InProgress,
    /// Our deployment is primary and completed, enough targets are healthy, and no other version
    /// has tasks.
    Completed,
    /// Our deployment failed, and another one is (or becomes) primary again.
    RolledBack(String),
    /// Another version is primary, and nothing says that ours failed.
    Superseded,
    /// Our deployment failed, and there was no version to roll back to.
    Failed(String),
}

/// Judges the rollout of the task definition `ours` (an ARN).
pub fn judge(service: Option<&Service>, targets: &[Target], ours: &str) -> Rollout {
    let Some(service) = service else {
        return Rollout::Failed("the service does not exist".to_owned());
    };
    let reason = |deployment: &Deployment| {
        deployment
            .rollout_reason
            .clone()
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| "ECS gives no reason".to_owned())
    };
    let own = service
        .deployments
        .iter()
        .find(|deployment| deployment.task_definition == ours);
    match service
        .deployments
        .iter()
        .find(|deployment| deployment.is_primary())
    {
        None => Rollout::InProgress,
        Some(primary) if primary.task_definition == ours => {
            if primary.has_failed() {
                return Rollout::Failed(reason(primary));
            }
            // Endpoints without rollout states are judged by the remaining deployments.
            let completed = match &primary.rollout_state {
                Some(state) => *state == RolloutState::Completed,
                None => service.deployments.len() == 1,
            };
            // ECS reports completion by its own count; the load balancer may lag behind.
            let healthy = targets.iter().filter(|target| target.is_healthy()).count();
            let enough = u32::try_from(healthy).unwrap_or(u32::MAX) >= primary.desired;
            // Tasks of the previous version may still serve requests.
            let alone = service
                .deployments
                .iter()
                .all(|other| other.is_primary() || other.running + other.pending == 0);
            if completed && primary.running >= primary.desired && enough && alone {
                Rollout::Completed
            } else {
                Rollout::InProgress
            }
        }
        Some(_) => match own.filter(|own| own.has_failed()) {
            Some(own) => Rollout::RolledBack(reason(own)),
            None => Rollout::Superseded,
        },
    }
}

/// Describes the targets if all of them are healthy, except for draining ones.
pub fn all_healthy(targets: &[Target]) -> Option<String> {
    let is_counted = |target: &&Target| target.state != TargetHealth::Draining;
    let counted = targets.iter().filter(is_counted).count();
    let healthy = targets.iter().filter(|target| target.is_healthy()).count();
    (counted > 0 && healthy == counted)
        .then(|| format!("the load balancer calls {healthy} of {counted} targets healthy"))
}
