//! `deployer status`: shows the stack, its tasks and the service's response.

use super::{CommandResult, Done, Execute};
use crate::pollers::LogReader;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deployment::event::{Silent, Sink};
use serde::Serialize;

use crate::checks::public_url;
use crate::context::{Connection, Context, connect};
use crate::deploy::Rules;
use crate::poll::Outcome;
use crate::pollers::{
    ExternalCheck, NetworkCheck, RolloutPoller, ServiceNames, check_once, checked,
};
use crate::stack_operations::ROUNDS;
use aws::remote::{Remote, World};
use deployment::cost::{self, Estimate};
use deployment::error::Failure;
use deployment::event::{Checked, Event};
use deployment::names::{StackName, TargetGroupArn, TaskDefinitionArn};
use deployment::rollout::gate::LifecycleStage;
use deployment::rollout::{Service, StoppedLately, Target, Task, stopped_lately};
use deployment::stack::Observed;
use deployment::stack::before::{StatusSummary, status_summary};
use deployment::stack::template_names::OutputName;

#[cfg(test)]
mod tests;

/// Status of a stack that does not exist.
pub const ABSENT: &str = "ABSENT";

/// Settings of `status`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Wait for the operation in progress first.
    #[arg(long)]
    pub watch: bool,
}

#[async_trait(?Send)]
impl Execute for Args {
    fn reported_as(&self) -> Option<&'static str> {
        // Without `--watch`, the status itself is the only output.
        self.watch.then_some("status")
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        if self.watch {
            watch(context).await?;
        }
        // The status is the only output, for scripts.
        let quiet = Sink::new(Box::new(Silent));
        let context = Context {
            sink: &quiet,
            ..context
        };
        let status = Box::new(run(context).await?);
        Ok(Done::with(CommandResult::Status(status)))
    }
}

/// State of a deployment, as one object in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Status {
    /// Name of the stack.
    pub stack: StackName,
    /// Status of the stack, or `ABSENT`.
    pub status: String,
    /// Remark about a status that needs attention.
    pub remark: Option<&'static str>,
    /// Account that was asked. Absent if the emulator is not running.
    pub account: Option<String>,
    /// Region that was asked.
    pub region: Option<String>,
    /// URL of the service.
    pub url: Option<String>,
    /// URI of the image with its digest.
    pub image: Option<String>,
    /// Version in the responses, if all instances agree.
    pub version: Option<String>,
    /// ARN of the task definition that should run.
    pub task_definition: Option<String>,
    /// Desired number of tasks.
    pub desired_tasks: u32,
    /// State of the ECS service.
    pub service: Option<Service>,
    /// Tasks that are running or starting.
    pub tasks: Vec<Task>,
    /// Targets behind the load balancer.
    pub targets: Vec<Target>,
    /// Target groups of a gated service, and which one serves. Empty with the strategy `rolling`.
    pub target_groups: Vec<TargetGroup>,
    /// Deployment that waits at the gate.
    pub gate: Option<AtTheGate>,
    /// Tasks that stopped unexpectedly within the last hour, grouped by cause.
    pub stopped_lately: Vec<StoppedLately>,
    /// Result of the external check.
    pub check: Option<Checked>,
    /// Access besides the owners: name of a user or ARN of a role.
    pub reviewer: Option<String>,
    /// Cost in US dollars per hour without traffic. Absent with an emulator, and if prices or sizes
    /// are not known.
    #[serde(rename = "cost_per_hour")]
    pub cost: Option<Estimate>,
}

/// Target group of a gated service.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TargetGroup {
    /// ARN of the target group.
    pub arn: TargetGroupArn,
    /// Weight in the listener rule for all requests; absent if the rule does not name the group.
    pub weight: Option<u32>,
    /// Number of healthy targets.
    pub healthy: usize,
    /// Number of targets.
    pub registered: usize,
}

/// Deployment that waits at the gate.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AtTheGate {
    /// Stage at which it is paused.
    pub stage: LifecycleStage,
    /// ARN of the task definition that is being deployed.
    pub task_definition: TaskDefinitionArn,
    /// Time at which ECS rolls it back unless somebody decides.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Status {
    fn absent(stack: StackName) -> Self {
        Self {
            stack,
            status: ABSENT.to_owned(),
            remark: None,
            account: None,
            region: None,
            url: None,
            image: None,
            version: None,
            task_definition: None,
            desired_tasks: 0,
            service: None,
            tasks: Vec::new(),
            targets: Vec::new(),
            target_groups: Vec::new(),
            gate: None,
            stopped_lately: Vec::new(),
            check: None,
            reviewer: None,
            cost: None,
        }
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<Status, Failure> {
    if context.emulator_is_absent().await? {
        return Ok(Status::absent(context.config.stack.clone()));
    }
    look(context, connect(context).await?, &NetworkCheck).await
}

/// Follows the operation in progress, and the rollout that it leads to, to their end.
pub async fn watch(context: Context<'_>) -> Result<(), Failure> {
    if context.emulator_is_absent().await? {
        return Ok(());
    }
    follow(
        context,
        connect(context)
            .await?
            .announced(context.sink)
            .world
            .as_ref(),
    )
    .await
}

async fn follow(context: Context<'_>, world: &dyn World) -> Result<(), Failure> {
    let mut found = context.observe(world).await?;
    for _ in 0..ROUNDS {
        context.sink.send(&Event::StackFound {
            status: found.as_ref().map(|stack| stack.status.clone()),
        });
        let Some(stack) = &found else { return Ok(()) };
        match status_summary(Some(&stack.status)) {
            StatusSummary::InProgress(_) => {
                context.wait_for(world, stack).await?;
                found = context.observe(world).await?;
            }
            StatusSummary::Absent | StatusSummary::AtRest | StatusSummary::Notable(_) => break,
        }
    }
    // A stack without an operation in progress does not mean that the rollout has ended.
    let names = found.and_then(|stack| ServiceNames::of_stack(&stack).ok());
    if let Some(names) = names {
        let mut rollout = RolloutPoller::new(world, context.sink, &names);
        let limit = context.config.timeout;
        match context.poll_for(&mut rollout, limit).await? {
            // Any end will do: `status` shows the state afterwards.
            Outcome::Completed(_) | Outcome::TimedOut => {}
            Outcome::Cancelled => return Err(Failure::interrupted()),
        }
    }
    Ok(())
}

/// Reads the state from the account.
async fn look(
    context: Context<'_>,
    connection: Connection,
    outside: &dyn ExternalCheck,
) -> Result<Status, Failure> {
    let mut status = Status::absent(context.config.stack.clone());
    status.account = Some(connection.caller.account);
    status.region = Some(connection.region);
    fill(context, connection.world.as_ref(), outside, &mut status).await?;
    Ok(status)
}

/// Reads the target groups of a gated service.
async fn target_groups(
    world: &dyn World,
    stack: &Observed,
    groups: [&TargetGroupArn; 2],
) -> Remote<Vec<TargetGroup>> {
    let production = Rules::of(world, stack).await?;
    let production = production.and_then(|rules| rules.production.1);
    let weights = production.map(|rule| rule.groups).unwrap_or_default();
    let mut found = Vec::new();
    for arn in groups {
        let targets = world.targets(arn).await?;
        let weight = weights.iter().find(|(group, _)| group == arn);
        found.push(TargetGroup {
            arn: arn.clone(),
            weight: weight.map(|(_, weight)| *weight),
            healthy: targets.iter().filter(|target| target.is_healthy()).count(),
            registered: targets.len(),
        });
    }
    Ok(found)
}

async fn fill(
    context: Context<'_>,
    world: &dyn World,
    outside: &dyn ExternalCheck,
    status: &mut Status,
) -> Result<(), Failure> {
    let failed = |error| context.remote_failure(&error);
    let Some(stack) = context.observe(world).await? else {
        return Ok(());
    };
    status.status = stack.status.to_string();
    status.remark = match status_summary(Some(&stack.status)) {
        StatusSummary::Notable(remark) | StatusSummary::InProgress(remark) => Some(remark),
        StatusSummary::Absent | StatusSummary::AtRest => None,
    };
    // The emulator costs nothing.
    if !context.config.access.local
        && let Some(region) = &status.region
    {
        status.cost = cost::of_parameters(region, &stack.parameters);
    }
    status.image = stack.image().map(ToOwned::to_owned);
    let reviewer = stack.output(OutputName::ReviewerUserName);
    let reviewer = reviewer.or_else(|| stack.output(OutputName::ReviewerRoleArn));
    status.reviewer = reviewer.map(str::to_owned);
    // A new stack is created without a service at first.
    let Ok(names) = ServiceNames::of_stack(&stack) else {
        return Ok(());
    };
    let service = world
        .service(&names.cluster, &names.service)
        .await
        .map_err(failed)?;
    status.desired_tasks = service.as_ref().map_or(0, |service| service.desired);
    status.service = service;
    let stopped = world.stopped_tasks(&names.cluster, &names.service, None);
    let stopped = stopped.await.map_err(failed)?;
    status.stopped_lately = stopped_lately(&stopped, names.task_definition.as_str(), Utc::now());
    status.task_definition = Some(names.task_definition.to_string());
    status.tasks = world
        .tasks(&names.cluster, &names.service)
        .await
        .map_err(failed)?;
    status.targets = names.targets(world).await.map_err(failed)?;
    if let Some(other) = &names.other_target_group {
        let groups = [&names.target_group, other];
        status.target_groups = target_groups(world, &stack, groups).await.map_err(failed)?;
        let active = world
            .active_deployments(&names.cluster, &names.service)
            .await;
        let mut paused = active
            .map_err(failed)?
            .into_iter()
            .flat_map(|active| active.paused);
        status.gate = paused.next().map(|paused| AtTheGate {
            stage: paused.stage,
            task_definition: paused.task_definition,
            expires_at: paused.expires_at,
        });
    }
    if let Some(url) = stack.output(OutputName::Url) {
        let url = public_url(context.config, url)?;
        let checks = context.checks(world, &names, &url).await;
        if let Some((_, report)) = check_once(outside, &checks, status.desired_tasks).await {
            let found = checked(&report);
            status.version.clone_from(&found.version);
            status.check = Some(found);
        }
        status.url = Some(url.shown);
    }
    Ok(())
}
