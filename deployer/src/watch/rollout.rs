//! A rollout of one task definition, with the evidence of what goes wrong.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::event::{Event, Sink};
use crate::remote::{Remote, World};
use crate::rollout::{Rollout, Service, Target, judge};
use crate::watch::Evidence;

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
    evidence: Evidence<'a>,
}

impl<'a> RolloutWatch<'a> {
    /// Prepares to follow the rollout of what the stack's outputs name.
    pub fn new(world: &'a dyn World, sink: &'a Sink, names: &'a ServiceNames) -> Self {
        Self {
            world,
            sink,
            names,
            last: None,
            evidence: Evidence::new(world, sink),
        }
    }

    /// What was found so far of tasks that failed, as lines for people.
    pub fn evidence(&self) -> &[String] {
        self.evidence.lines()
    }

    fn tell(&mut self, service: Option<&Service>, targets: &[Target]) {
        let Some(service) = service else { return };
        let healthy = targets.iter().filter(|target| target.is_healthy()).count();
        let news = (service.clone(), healthy);
        if self.last.as_ref() != Some(&news) {
            self.sink.send(&Event::RolloutMoved {
                task_definition: self.names.task_definition.clone(),
                deployments: service.deployments.clone(),
                healthy_targets: healthy,
                registered_targets: targets.len(),
            });
            self.last = Some(news);
        }
    }
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
            self.evidence.gather(names).await;
        }
        Ok((rollout != Rollout::InProgress).then(|| RolloutEnd {
            rollout,
            evidence: self.evidence.lines().to_vec(),
        }))
    }
}
