//! Poller for the rollout of one task definition, with evidence if it fails.

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

/// Names of the service and its resources, from the stack's outputs.
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
    /// ARN of the second target group of a gated service. The two groups take turns.
    pub other_target_group: Option<TargetGroupArn>,
    /// Log group.
    pub log_group: LogGroupName,
}

impl ServiceNames {
    /// Reads the names from the outputs of a stack. Returns the first one that is missing.
    pub fn of_stack(stack: &Observed) -> Result<Self, OutputName> {
        let output = |name| stack.output(name).ok_or(name);
        let service = output(OutputName::ServiceName)?;
        Self::with(stack, service, output(OutputName::TaskDefinitionArn)?)
    }

    /// Reads the names from the outputs of a stack whose service or task definition is another than
    /// they say.
    pub fn with(
        stack: &Observed,
        service: &str,
        task_definition: &str,
    ) -> Result<Self, OutputName> {
        let output = |name| stack.output(name).ok_or(name);
        let other = stack.output(OutputName::OtherTargetGroupArn);
        Ok(Self {
            cluster: ClusterName::new(output(OutputName::ClusterName)?),
            service: ServiceName::new(service),
            task_definition: TaskDefinitionArn::new(task_definition),
            target_group: TargetGroupArn::new(output(OutputName::TargetGroupArn)?),
            other_target_group: other.map(TargetGroupArn::new),
            log_group: LogGroupName::new(output(OutputName::LogGroupName)?),
        })
    }

    /// Returns the targets behind the load balancer, of both groups if there are two.
    pub async fn targets(&self, world: &dyn World) -> Remote<Vec<Target>> {
        let mut targets = world.targets(&self.target_group).await?;
        if let Some(other) = &self.other_target_group {
            targets.extend(world.targets(other).await?);
        }
        Ok(targets)
    }
}

/// Result of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutEnd {
    /// State at the end, never [`Rollout::InProgress`].
    pub rollout: Rollout,
    /// Evidence of what went wrong.
    pub evidence: Evidence,
    /// Desired number of tasks of this task definition. Auto scaling may have changed it.
    pub desired: u32,
}

/// Values that are reported when one of them changes.
#[derive(PartialEq, Eq)]
struct News {
    desired: u32,
    running: u32,
    deployments: Vec<Deployment>,
    healthy: usize,
    failed: u32,
    threshold: Option<u32>,
}

/// Poller for a rollout.
pub struct RolloutPoller<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    names: &'a ServiceNames,
    last: Option<News>,
    /// Deployment that has to complete, by its ECS id. If absent, any deployment of the task
    /// definition counts.
    deployment: Option<DeploymentId>,
    /// Number of consecutive polls with a result that may stem from a stale response.
    unconfirmed: u32,
    collector: EvidenceCollector<'a>,
}

/// Number of consecutive polls that have to report a missing or rolled back service. ECS responses
/// are eventually consistent and may be stale.
const CONFIRMING_READS: u32 = 3;

impl<'a> RolloutPoller<'a> {
    /// Creates a poller for the rollout of the service that the stack's outputs name.
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

    /// Restricts the poller to this deployment. An earlier one of the same task definition may
    /// still be listed.
    #[must_use]
    pub fn of(self, deployment: Option<DeploymentId>) -> Self {
        Self { deployment, ..self }
    }

    /// Returns the state of the rollout. A state that may stem from a stale response has to repeat.
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
                // A forced deployment keeps the task definition. A stale response may still show
                // the old deployment as completed.
                let another = self.deployment.as_ref().is_some_and(|id| !known(id));
                return if another {
                    Rollout::InProgress
                } else {
                    rollout
                };
            }
            Rollout::RolledBack(_) | Rollout::Failed(_) | Rollout::Superseded => {
                // A stale response cannot show a failure in advance, so one such report is enough.
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

    /// Returns the evidence collected so far.
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
        // Count first: the report below includes the number of failed tasks.
        self.collector.count(names, service.as_ref());
        self.tell(service.as_ref(), &targets);
        let rollout = judge(service.as_ref(), &targets, names.task_definition.as_str());
        let rollout = self.confirm(service.as_ref(), rollout);
        // Collect on failure too: there is no later poll.
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
