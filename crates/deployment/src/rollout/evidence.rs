//! Evidence of a failing rollout, collected while it happens: ECS soon forgets stopped tasks.

use serde::Serialize;

use super::{HealthCheck, ServiceEvent, StoppedTask, Target};

/// Failed task with the end of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FailedTask {
    /// Stopped task, as ECS describes it.
    #[serde(flatten)]
    pub task: StoppedTask,
    /// Last log lines; empty if there are none or they could not be read.
    pub log: Vec<String>,
}

/// Everything that was observed about a failing rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct Evidence {
    /// Failed tasks of the new version, in the order of discovery.
    pub tasks: Vec<FailedTask>,
    /// Targets that are unhealthy or unused, each in its first observed state.
    pub targets: Vec<Target>,
    /// Targets whose first health checks were pending at the last poll.
    pub registering: Vec<Target>,
    /// Problems from the service's events since the deployment started, without duplicates, oldest
    /// first.
    pub events: Vec<ServiceEvent>,
    /// Health check settings of the target group; read once a target is in trouble.
    pub health_check: Option<HealthCheck>,
    /// Failed tasks of the new version, as ECS counts them.
    pub failed_tasks: u32,
    /// Number of failed tasks at which ECS gives up, if known.
    pub threshold: Option<u32>,
    /// Reason that ECS gives for a rollback.
    pub rollback_reason: Option<String>,
    /// Set if the new version ever had a task; `None` if its deployment was never observed.
    pub had_tasks: Option<bool>,
}

impl Evidence {
    /// Groups the failed tasks by cause: the first task of each group and the number of further
    /// ones.
    pub fn groups(&self) -> Vec<(&FailedTask, usize)> {
        let mut groups: Vec<(&FailedTask, usize)> = Vec::new();
        for failed in &self.tasks {
            match groups
                .iter_mut()
                .find(|(first, _)| first.task.has_same_cause_as(&failed.task))
            {
                Some((_, more)) => *more += 1,
                None => groups.push((failed, 0)),
            }
        }
        groups
    }
}

impl StoppedTask {
    /// Returns whether both tasks failed in the same way.
    pub fn has_same_cause_as(&self, other: &Self) -> bool {
        // Task IDs and times in the reason differ between tasks with the same cause.
        let words = |task: &Self| super::dedupe_key(task.words().unwrap_or_default());
        self.stop_code == other.stop_code
            && self.exit_code == other.exit_code
            && words(self) == words(other)
    }
}
