//! A rollout of one task definition, with the evidence of what goes wrong.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;

use crate::event::{Event, Sink};
use crate::remote::{Remote, World};
use crate::rollout::{Rollout, Service, StoppedTask, Target, judge};

/// Log lines that are shown of a failed task.
const LOG_LINES: u16 = 10;
/// Failed tasks that are shown; more say the same again.
const TASKS_SHOWN: usize = 2;
/// Name of the container in the template, and prefix of its log streams.
const CONTAINER: &str = "app";

/// Where the service is, as the stack's outputs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNames {
    /// ECS cluster.
    pub cluster: String,
    /// ECS service.
    pub service: String,
    /// ARN of the task definition that should run.
    pub task_definition: String,
    /// ARN of the target group.
    pub target_group: String,
    /// Log group.
    pub log_group: String,
}

impl ServiceNames {
    /// Reads them from the outputs of a stack; names the first that is missing.
    pub fn of_outputs(outputs: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let output = |key: &'static str| outputs.get(key).cloned().ok_or(key);
        Ok(Self {
            cluster: output("ClusterName")?,
            service: output("ServiceName")?,
            task_definition: output("TaskDefinitionArn")?,
            target_group: output("TargetGroupArn")?,
            log_group: output("LogGroupName")?,
        })
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutEnd {
    /// Never [`Rollout::InProgress`].
    pub rollout: Rollout,
    /// Lines that show what went wrong with the tasks that failed.
    pub evidence: Vec<String>,
}

/// Follows a rollout.
pub struct RolloutWatch<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    names: &'a ServiceNames,
    last: Option<(Service, usize)>,
    known: HashSet<String>,
    evidence: Vec<String>,
}

impl<'a> RolloutWatch<'a> {
    /// Prepares to follow the rollout of what the stack's outputs name.
    pub fn new(world: &'a dyn World, sink: &'a Sink, names: &'a ServiceNames) -> Self {
        Self {
            world,
            sink,
            names,
            last: None,
            known: HashSet::new(),
            evidence: Vec::new(),
        }
    }

    fn tell(&mut self, service: Option<&Service>, targets: &[Target]) {
        let Some(service) = service else { return };
        let healthy = targets.iter().filter(|target| target.is_healthy()).count();
        let news = (service.clone(), healthy);
        if self.last.as_ref() != Some(&news) {
            self.sink.send(&Event::RolloutMoved {
                deployments: service.deployments.clone(),
                healthy_targets: healthy,
                registered_targets: targets.len(),
            });
            self.last = Some(news);
        }
    }

    /// Records tasks of ours that failed, on first sight: their traces vanish soon. Failing to fetch them changes nothing.
    async fn gather_evidence(&mut self) {
        let names = self.names;
        let Ok(stopped) = self
            .world
            .stopped_tasks(&names.cluster, &names.service)
            .await
        else {
            return;
        };
        for task in stopped {
            let ours = task.task_definition == names.task_definition && task.is_failure();
            if !ours || !self.known.insert(task.id.clone()) || self.known.len() > TASKS_SHOWN {
                continue;
            }
            let stream = format!("{CONTAINER}/{CONTAINER}/{}", task.id);
            let log = self
                .world
                .tail(&names.log_group, &stream, LOG_LINES)
                .await
                .unwrap_or_default();
            self.evidence.push(headline(&task));
            self.evidence
                .extend(log.iter().map(|line| format!("  {}", line.trim_end())));
            self.sink.send(&Event::TaskFailed { task, log });
        }
    }
}

/// One line about a task that failed.
fn headline(task: &StoppedTask) -> String {
    let short = task.id.get(..8).unwrap_or(&task.id);
    let code = task
        .exit_code
        .map(|code| format!(", exit code {code}"))
        .unwrap_or_default();
    let reason = task.reason.as_deref().unwrap_or("no reason is given");
    format!("task {short}: {reason}{code}")
}

#[async_trait]
impl crate::engine::Subject for RolloutWatch<'_> {
    type End = RolloutEnd;

    async fn look(&mut self) -> Remote<Option<RolloutEnd>> {
        let names = self.names;
        let service = self.world.service(&names.cluster, &names.service).await?;
        let targets = self.world.targets(&names.target_group).await?;
        self.tell(service.as_ref(), &targets);
        let rollout = judge(service.as_ref(), &targets, &names.task_definition);
        if rollout != Rollout::Completed {
            self.gather_evidence().await;
        }
        Ok((rollout != Rollout::InProgress).then(|| RolloutEnd {
            rollout,
            evidence: self.evidence.clone(),
        }))
    }
}
