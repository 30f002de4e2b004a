//! A rollout of one task definition, with the evidence of what goes wrong.

use async_trait::async_trait;

use crate::pollers::EvidenceCollector;
use aws::remote::{Remote, World};
use deployment::event::{Event, Sink};
use deployment::names::{
    ClusterName, DeploymentId, LogGroupName, ServiceName, TargetGroupArn, TaskDefinitionArn,
};
use deployment::rollout::{Deployment, Evidence, Rollout, Service, Target, judge};
use deployment::stack::Observed;
use deployment::stack::template_names::OutputName;

/// Where the service is, as the stack's outputs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNames {
    /// ECS cluster.
    pub cluster: ClusterName,
    /// ECS service.
    pub service: ServiceName,
    /// ARN of the task definition that should run.
    pub task_definition: TaskDefinitionArn,
    /// ARN of the target group.
    pub target_group: TargetGroupArn,
    /// ARN of the second one, where new versions pass a gate: they serve in turns.
    pub other_target_group: Option<TargetGroupArn>,
    /// Log group.
    pub log_group: LogGroupName,
}

impl ServiceNames {
    /// Reads them from the outputs of a stack; names the first that is missing.
    pub fn of_stack(stack: &Observed) -> Result<Self, OutputName> {
        let output = |name| stack.output(name).ok_or(name);
        Ok(Self {
            cluster: ClusterName::new(output(OutputName::ClusterName)?),
            service: ServiceName::new(output(OutputName::ServiceName)?),
            task_definition: TaskDefinitionArn::new(output(OutputName::TaskDefinitionArn)?),
            target_group: TargetGroupArn::new(output(OutputName::TargetGroupArn)?),
            other_target_group: stack
                .output(OutputName::OtherTargetGroupArn)
                .map(TargetGroupArn::new),
            log_group: LogGroupName::new(output(OutputName::LogGroupName)?),
        })
    }

    /// Returns the targets behind the load balancer, of both groups where there are two.
    pub async fn targets(&self, world: &dyn World) -> Remote<Vec<Target>> {
        let mut targets = world.targets(&self.target_group).await?;
        if let Some(other) = &self.other_target_group {
            targets.extend(world.targets(other).await?);
        }
        Ok(targets)
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutEnd {
    /// Never [`Rollout::InProgress`].
    pub rollout: Rollout,
    /// What shows what went wrong.
    pub evidence: Evidence,
    /// Tasks that the service runs of it: what is asked for by now, also where the load decides.
    pub desired: u32,
}

/// What is worth telling when it changes.
#[derive(PartialEq, Eq)]
struct News {
    desired: u32,
    running: u32,
    deployments: Vec<Deployment>,
    healthy: usize,
    failed: u32,
    threshold: Option<u32>,
}

/// Follows a rollout.
pub struct RolloutPoller<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    names: &'a ServiceNames,
    last: Option<News>,
    /// The deployment that has to be completed, by ECS's identifier; absent: any of the task definition.
    deployment: Option<DeploymentId>,
    /// Looks in a row that found something which an old answer of ECS may have told.
    unconfirmed: u32,
    collector: EvidenceCollector<'a>,
}

/// So many looks in a row have to find that the service is gone, or has gone back: ECS may answer as it was a moment ago.
const CONFIRMING_READS: u32 = 3;

impl<'a> RolloutPoller<'a> {
    /// Prepares to follow the rollout of what the stack's outputs name.
    pub fn new(world: &'a dyn World, sink: &'a Sink, names: &'a ServiceNames) -> Self {
        Self {
            world,
            sink,
            names,
            last: None,
            deployment: None,
            unconfirmed: 0,
            collector: EvidenceCollector::new(world, sink),
        }
    }

    /// Only this deployment counts: another one of the same task definition may still be told of.
    #[must_use]
    pub fn of(self, deployment: Option<DeploymentId>) -> Self {
        Self { deployment, ..self }
    }

    /// What a look comes to: what may be an old answer has to be told several times.
    fn confirm(&mut self, service: Option<&Service>, rollout: Rollout) -> Rollout {
        let ours = self.names.task_definition.as_str();
        let known = |id: &DeploymentId| {
            let mut deployments = service.into_iter().flat_map(|service| &service.deployments);
            deployments.any(|one| one.id == id.as_str() && one.is_primary())
        };
        let is_certain = match &rollout {
            Rollout::InProgress => {
                self.unconfirmed = 0;
                return rollout;
            }
            Rollout::Completed => {
                let another = self.deployment.as_ref().is_some_and(|id| !known(id));
                return if another {
                    Rollout::InProgress
                } else {
                    rollout
                };
            }
            Rollout::RolledBack(_) | Rollout::Failed(_) | Rollout::Superseded => {
                service.is_some_and(|service| service.has_failed(ours))
            }
        };
        if is_certain {
            return rollout;
        }
        self.unconfirmed += 1;
        if self.unconfirmed < CONFIRMING_READS {
            return Rollout::InProgress;
        }
        rollout
    }

    /// What was found so far of what goes wrong.
    pub fn evidence(&self) -> &Evidence {
        self.collector.evidence()
    }

    fn tell(&mut self, service: Option<&Service>, targets: &[Target]) {
        let Some(service) = service else { return };
        let healthy = targets.iter().filter(|target| target.is_healthy()).count();
        let Evidence {
            failed_tasks,
            threshold,
            ..
        } = *self.collector.evidence();
        let news = News {
            desired: service.desired,
            running: service.running,
            deployments: service.deployments.clone(),
            healthy,
            failed: failed_tasks,
            threshold,
        };
        if self.last.as_ref() != Some(&news) {
            self.sink.send(&Event::RolloutMoved {
                task_definition: self.names.task_definition.to_string(),
                deployments: service.deployments.clone(),
                healthy_targets: healthy,
                registered_targets: targets.len(),
                failed_tasks,
                threshold,
            });
            self.last = Some(news);
        }
    }
}

#[async_trait]
impl crate::poll::Poller for RolloutPoller<'_> {
    type End = RolloutEnd;

    async fn poll(&mut self) -> Remote<Option<RolloutEnd>> {
        let names = self.names;
        let service = self.world.service(&names.cluster, &names.service).await?;
        let targets = names.targets(self.world).await?;
        self.collector.count(names, service.as_ref());
        self.tell(service.as_ref(), &targets);
        let rollout = judge(service.as_ref(), &targets, names.task_definition.as_str());
        let rollout = self.confirm(service.as_ref(), rollout);
        if rollout != Rollout::Completed {
            let service = service.as_ref();
            self.collector.gather(names, service, &targets).await;
        }
        Ok((rollout != Rollout::InProgress).then(|| RolloutEnd {
            rollout,
            evidence: self.collector.evidence().clone(),
            desired: service
                .and_then(|service| service.tasks_of(names.task_definition.as_str()))
                .unwrap_or_default(),
        }))
    }
}
