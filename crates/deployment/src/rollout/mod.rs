//! What ECS says about the running version, and what that means for a rollout. Pure.
//!
//! - [`judge`] tells how a rollout stands;
//! - [`Evidence`] is what was found out while it went wrong, [`diagnose`] names the cause;
//! - [`Explanation`] is both for people.

mod diagnosis;
mod evidence;
mod explanation;
pub mod gate;
mod recognition;
mod status;
mod stopped;
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

/// One deployment of an ECS service: a version that is coming, there, or going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// ECS's identifier.
    pub id: String,
    /// Primary: what should run. Active: what still runs.
    pub status: DeploymentStatus,
    /// ARN of the task definition.
    pub task_definition: String,
    /// Absent on endpoints without a circuit breaker.
    pub rollout_state: Option<RolloutState>,
    /// Why, in ECS's words.
    pub rollout_reason: Option<String>,
    /// Tasks that should run.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// Tasks on their way.
    pub pending: u32,
    /// Tasks that failed to start or to stay.
    pub failed: u32,
    /// When ECS made it.
    #[serde(skip)]
    pub created: Option<DateTime<Utc>>,
}

impl Deployment {
    /// Is it, of all of these, the one that brings our task definition? Where its tasks are merely replaced, others have it as well.
    pub fn is_new(&self, all: &[Self], ours: &str) -> bool {
        let is_primary = |one: &Self| one.task_definition == ours && one.is_primary();
        self.task_definition == ours && (is_primary(self) || !all.iter().any(is_primary))
    }

    /// Does it matter to the rollout of this task definition? Those of before that failed are remembered by some endpoints for as
    /// long as the service lives.
    pub fn is_part_of(&self, ours: &str) -> bool {
        self.task_definition == ours || self.desired + self.running + self.pending > 0
    }

    /// Returns whether this is what should run.
    pub fn is_primary(&self) -> bool {
        self.status == DeploymentStatus::Primary
    }

    fn has_failed(&self) -> bool {
        self.rollout_state == Some(RolloutState::Failed)
    }
}

/// An ECS service at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Service {
    /// Tasks that should run.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// All deployments that it still knows.
    pub deployments: Vec<Deployment>,
    /// Failed tasks at which its circuit breaker gives up, where it is a plain number.
    pub threshold: Option<u32>,
    /// What it tells about itself, in any order.
    pub events: Vec<ServiceEvent>,
}

impl Service {
    /// The deployment of this task definition.
    pub fn deployment_of(&self, task_definition: &str) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.task_definition == task_definition)
    }
}

impl Service {
    /// Tasks that the primary deployment should run, if it is of this task definition.
    pub fn tasks_of(&self, task_definition: &str) -> Option<u32> {
        let mut deployments = self.deployments.iter();
        let ours =
            deployments.find(|one| one.is_primary() && one.task_definition == task_definition);
        ours.map(|one| one.desired)
    }
}

/// Something that an ECS service tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceEvent {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What, in ECS's words.
    pub message: String,
}

impl ServiceEvent {
    /// Does it tell of something that goes wrong?
    pub fn is_about_a_problem(&self) -> bool {
        let message = self.message.to_lowercase();
        ["unhealthy", "unable", "failed"]
            .iter()
            .any(|word| message.contains(word))
    }
}

/// What ECS keeps about one deployment beside the service itself. Not every endpoint has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeploymentRecord {
    /// Tasks that failed, as the circuit breaker counts them.
    pub failed_tasks: u32,
    /// Failed tasks at which it gives up.
    pub threshold: Option<u32>,
    /// Why it went back.
    pub rollback_reason: Option<String>,
}

/// A task that runs or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// The task's identifier: last part of its ARN.
    pub id: String,
    /// For example `RUNNING`.
    pub status: String,
    /// For example `eu-central-1a`.
    pub zone: Option<String>,
    /// ARN of the task definition.
    pub task_definition: String,
    /// The image of its container.
    pub image: Option<String>,
}

/// A task that stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoppedTask {
    /// The task's identifier: last part of its ARN.
    pub id: String,
    /// ARN of the task definition.
    pub task_definition: String,
    /// Why, as a code.
    pub stop_code: Option<StopCode>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Why its container ended, where that says more.
    pub container_reason: Option<String>,
    /// What its container's program ended with.
    pub exit_code: Option<i32>,
    /// When it stopped.
    #[serde(skip)]
    pub stopped_at: Option<DateTime<Utc>>,
}

impl StoppedTask {
    /// Did it end against everybody's will, rather than because somebody asked it to?
    pub fn is_failure(&self) -> bool {
        match &self.stop_code {
            Some(code) if !code.is_by_request() => true,
            // The scheduler stops what is too much as well as what fails its checks: only the words differ.
            Some(_) | None => self.failed_its_health_checks(),
        }
    }

    /// Whether the program, or how it was deployed, is to blame: not AWS, which takes capacity and hosts back.
    pub fn is_the_programs_doing(&self) -> bool {
        self.is_failure() && !self.stop_code.as_ref().is_some_and(StopCode::is_by_aws)
    }

    /// Was it stopped because a health check found it unhealthy?
    pub fn failed_its_health_checks(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        reason.starts_with("Task failed") && reason.contains("health check")
    }

    /// Why it ended, in the most telling words that there are.
    pub fn words(&self) -> Option<&str> {
        self.container_reason.as_deref().or(self.reason.as_deref())
    }
}

/// A target behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Address.
    pub id: String,
    /// Its health, as the load balancer has it.
    pub state: TargetHealth,
    /// For example `Target.FailedHealthChecks`.
    pub reason: Option<String>,
    /// The same in words, with details.
    pub description: Option<String>,
}

impl Target {
    /// Does it get requests because it is well?
    pub fn is_healthy(&self) -> bool {
        self.state == TargetHealth::Healthy
    }

    /// Was it found to be unwell, or is it of no use?
    pub fn is_in_trouble(&self) -> bool {
        match &self.state {
            TargetHealth::Unhealthy | TargetHealth::UnhealthyDraining => true,
            TargetHealth::Unused => self.reason.as_deref() == Some("Target.NotInUse"),
            TargetHealth::Initial
            | TargetHealth::Healthy
            | TargetHealth::Draining
            | TargetHealth::Unavailable
            | TargetHealth::Unknown(_) => false,
        }
    }
}

/// How the load balancer finds out whether a target is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// For example `/health`.
    pub path: String,
    /// HTTP statuses that count as well, for example `200`.
    pub codes: String,
    /// How long the answer may take, seconds.
    pub timeout_seconds: u32,
}

impl Service {
    /// Does ECS say itself that a deployment of this task definition failed?
    pub fn has_failed(&self, task_definition: &str) -> bool {
        let mut deployments = self.deployments.iter();
        deployments.any(|one| one.task_definition == task_definition && one.has_failed())
    }
}

/// What a look at service and targets means for the rollout of one task definition.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Not there yet.
    InProgress,
    /// Ours is the primary deployment, completed, enough targets are healthy, and no task of another version is left.
    Completed,
    /// Ours failed, and something else is (or becomes) the primary deployment again.
    RolledBack(String),
    /// Another version is the primary deployment, and nothing says that ours failed.
    Superseded,
    /// Ours failed, and there was nothing to go back to.
    Failed(String),
}

/// Judges a rollout of the task definition `ours` (an ARN).
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
            // Endpoints without rollout states are judged by what runs.
            let completed = match &primary.rollout_state {
                Some(state) => *state == RolloutState::Completed,
                None => service.deployments.len() == 1,
            };
            let healthy = targets.iter().filter(|target| target.is_healthy()).count();
            let enough = u32::try_from(healthy).unwrap_or(u32::MAX) >= primary.desired;
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

/// What the load balancer says about its targets, where it calls all of them healthy that are not on their way out.
pub fn all_healthy(targets: &[Target]) -> Option<String> {
    let is_counted = |target: &&Target| target.state != TargetHealth::Draining;
    let counted = targets.iter().filter(is_counted).count();
    let healthy = targets.iter().filter(|target| target.is_healthy()).count();
    (counted > 0 && healthy == counted)
        .then(|| format!("the load balancer calls {healthy} of {counted} targets healthy"))
}
