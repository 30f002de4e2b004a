//! What ECS says about the running version, and what that means for a rollout. Pure.

use serde::Serialize;

/// One deployment of an ECS service: a version that is coming, there, or going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// ECS's identifier.
    pub id: String,
    /// `PRIMARY`: what should run. `ACTIVE`: what still runs.
    pub status: String,
    /// ARN of the task definition.
    pub task_definition: String,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`; absent on endpoints without a circuit breaker.
    pub rollout_state: Option<String>,
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
}

impl Deployment {
    fn is_primary(&self) -> bool {
        self.status == "PRIMARY"
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
    /// Why, as a code: `EssentialContainerExited`, `TaskFailedToStart`, …
    pub stop_code: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// What its container's program ended with.
    pub exit_code: Option<i32>,
}

impl StoppedTask {
    /// Did it end by itself, rather than because somebody asked it to?
    pub fn is_failure(&self) -> bool {
        self.stop_code.as_deref().is_some_and(|code| {
            !matches!(
                code,
                "UserInitiated" | "ServiceSchedulerInitiated" | "SpotInterruption"
            )
        })
    }
}

/// A target behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Address.
    pub id: String,
    /// `healthy`, `initial`, `unhealthy`, `draining`, …
    pub state: String,
    /// For example `Target.FailedHealthChecks`.
    pub reason: Option<String>,
}

impl Target {
    /// Does it get requests because it is well?
    pub fn is_healthy(&self) -> bool {
        self.state == "healthy"
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
    let failed = |deployment: &&Deployment| deployment.rollout_state.as_deref() == Some("FAILED");
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
            if failed(&primary) {
                return Rollout::Failed(reason(primary));
            }
            // Endpoints without rollout states are judged by what runs.
            let completed = match primary.rollout_state.as_deref() {
                Some(state) => state == "COMPLETED",
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
        Some(_) => match own.filter(failed) {
            Some(own) => Rollout::RolledBack(reason(own)),
            None => Rollout::RolledBack(
                "another version is the primary deployment of the service".to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: &str, task_definition: &str, state: &str, running: u32) -> Deployment {
        Deployment {
            id: format!("ecs-svc/{task_definition}"),
            status: status.to_owned(),
            task_definition: task_definition.to_owned(),
            rollout_state: Some(state.to_owned()),
            rollout_reason: Some(format!("{state} because")),
            desired: 2,
            running,
            pending: 0,
            failed: 0,
        }
    }

    fn service(deployments: Vec<Deployment>) -> Service {
        Service {
            desired: 2,
            running: 2,
            deployments,
        }
    }

    fn targets(states: &[&str]) -> Vec<Target> {
        let target = |state: &&str| Target {
            id: "10.0.0.1".to_owned(),
            state: (*state).to_owned(),
            reason: None,
        };
        states.iter().map(target).collect()
    }

    #[test]
    fn completed_needs_our_definition_enough_tasks_and_healthy_targets() {
        let good = service(vec![deployment("PRIMARY", "new", "COMPLETED", 2)]);
        let well = targets(&["healthy", "healthy"]);
        assert_eq!(judge(Some(&good), &well, "new"), Rollout::Completed);
        assert_eq!(
            judge(Some(&good), &targets(&["healthy", "initial"]), "new"),
            Rollout::InProgress
        );
        assert_eq!(judge(Some(&good), &[], "new"), Rollout::InProgress);
        let under_way = service(vec![
            deployment("PRIMARY", "new", "IN_PROGRESS", 1),
            deployment("ACTIVE", "old", "COMPLETED", 2),
        ]);
        assert_eq!(judge(Some(&under_way), &well, "new"), Rollout::InProgress);
        let leaving = service(vec![
            deployment("PRIMARY", "new", "COMPLETED", 2),
            deployment("ACTIVE", "old", "COMPLETED", 1),
        ]);
        assert_eq!(judge(Some(&leaving), &well, "new"), Rollout::InProgress);
        let remembered = service(vec![
            deployment("PRIMARY", "new", "COMPLETED", 2),
            deployment("ACTIVE", "old", "FAILED", 0),
        ]);
        assert_eq!(judge(Some(&remembered), &well, "new"), Rollout::Completed);
        let one_short = service(vec![deployment("PRIMARY", "new", "COMPLETED", 1)]);
        assert_eq!(judge(Some(&one_short), &well, "new"), Rollout::InProgress);
    }

    #[test]
    fn a_service_that_went_back_is_a_failure() {
        let back = service(vec![
            deployment("PRIMARY", "old", "IN_PROGRESS", 2),
            deployment("ACTIVE", "new", "FAILED", 0),
        ]);
        assert_eq!(
            judge(Some(&back), &targets(&["healthy", "healthy"]), "new"),
            Rollout::RolledBack("FAILED because".to_owned())
        );
        let forgotten = service(vec![deployment("PRIMARY", "old", "COMPLETED", 2)]);
        assert!(matches!(
            judge(Some(&forgotten), &[], "new"),
            Rollout::RolledBack(_)
        ));
        let first = service(vec![deployment("PRIMARY", "new", "FAILED", 0)]);
        assert_eq!(
            judge(Some(&first), &[], "new"),
            Rollout::Failed("FAILED because".to_owned())
        );
        assert!(matches!(judge(None, &[], "new"), Rollout::Failed(_)));
    }
}
