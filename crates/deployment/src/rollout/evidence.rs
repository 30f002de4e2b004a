//! What was found out about a rollout while it could still be seen: stopped tasks and their logs vanish soon.

use serde::Serialize;

use super::{HealthCheck, ServiceEvent, StoppedTask, Target};

/// A task that failed, with the end of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedTask {
    /// How it stopped.
    #[serde(flatten)]
    pub task: StoppedTask,
    /// Its last log lines; empty where there were none, or none could be had.
    pub log: Vec<String>,
}

/// All that speaks for a cause.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// Tasks of the new version that failed, in the order in which they were found.
    pub tasks: Vec<FailedTask>,
    /// Targets that are unhealthy or not used, as each was first found.
    pub targets: Vec<Target>,
    /// Targets that are not checked yet, at the last look.
    pub registering: Vec<Target>,
    /// Problems that the service told since the deployment began, each once, the oldest first.
    pub events: Vec<ServiceEvent>,
    /// How targets are checked; looked up once one is in trouble.
    pub health_check: Option<HealthCheck>,
    /// Tasks of the new version that failed, as ECS counts them.
    pub failed_tasks: u32,
    /// Failed tasks at which ECS gives up, where known.
    pub threshold: Option<u32>,
    /// Why ECS went back to the version before.
    pub rollback_reason: Option<String>,
    /// Was there ever a task of the new version? Unknown where nothing was seen of its deployment.
    pub had_tasks: Option<bool>,
}

impl Evidence {
    /// The failed tasks, those that failed alike together: the first of each group, and how many more there are.
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
    /// Did both fail in the same way?
    pub fn has_same_cause_as(&self, other: &Self) -> bool {
        let words = |task: &Self| super::dedupe_key(task.words().unwrap_or_default());
        self.stop_code == other.stop_code
            && self.exit_code == other.exit_code
            && words(self) == words(other)
    }
}
