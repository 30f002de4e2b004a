//! Services, tasks and task definitions.

use async_trait::async_trait;
use aws_sdk_ecs::primitives::DateTime as SdkTime;
use aws_sdk_ecs::types::{
    self, DeploymentLifecycleHookAction, DesiredStatus, StopServiceDeploymentStopType,
    TaskDefinitionStatus, ThresholdType,
};
use chrono::{DateTime, Utc};

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{
    ONE_OFF, OneOff, OneOffNetwork, Remote, RemoteError, RemoteErrorKind, Rollouts, RunningOneOff,
    TaskState,
};
use deployment::names::{
    CONTAINER, ClusterName, DeploymentId, LoadBalancerArn, RequestToken, ServiceName,
    TargetGroupArn, TaskDefinitionArn,
};
use deployment::rollout::gate::{ActiveDeployment, HookAnswer, PausedDeployment};
use deployment::rollout::traffic::ListenerRule;
use deployment::rollout::{
    Deployment, DeploymentRecord, HealthCheck, Service, ServiceEvent, StoppedTask, Target, Task,
};
use deployment::template::TaskNetwork;

/// Maximum number of task definitions in one `DeleteTaskDefinitions` call.
const DELETE_AT_ONCE: usize = 10;

/// Maximum number of tasks in one `DescribeTasks` call.
const TASKS_AT_ONCE: usize = 100;
/// Maximum number of tasks to list: enough for the rollout of a large service and its stopped
/// tasks.
const MOST_TASKS: usize = 1000;

#[async_trait]
impl Rollouts for Aws {
    async fn service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Option<Service>> {
        let answer = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .services(service)
            .send()
            .await
            .map_err(error::of("DescribeServices"));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind == RemoteErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // ECS reports a missing service as a failure entry.
        if answer.services().is_empty() && answer.failures().is_empty() {
            return Err(incomplete("DescribeServices", "the service"));
        }
        Ok(answer
            .services()
            .iter()
            // Deleted services stay visible as `INACTIVE` for a while.
            .find(|found| found.status() != Some("INACTIVE"))
            .map(described))
    }

    async fn redeploy(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        tasks: Option<u32>,
    ) -> Remote<Option<DeploymentId>> {
        let tasks = tasks.and_then(|tasks| i32::try_from(tasks).ok());
        let answer = self
            .ecs
            .update_service()
            .cluster(cluster)
            .service(service)
            .force_new_deployment(true)
            .set_desired_count(tasks)
            .send()
            .await
            .map_err(error::of("UpdateService"))?;
        let deployments = answer
            .service()
            .into_iter()
            .flat_map(types::Service::deployments);
        // ECS makes a new deployment the primary one at once.
        let primary = deployments.map(deployment).find(Deployment::is_primary);
        Ok(primary.map(|one| DeploymentId::new(one.id)))
    }

    async fn tasks(&self, cluster: &ClusterName, service: &ServiceName) -> Remote<Vec<Task>> {
        let tasks = self
            .describe_tasks(cluster, Some(service), DesiredStatus::Running)
            .await?;
        Ok(tasks.iter().map(running_task).collect())
    }

    async fn stopped_tasks(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        deployment: Option<&DeploymentId>,
    ) -> Remote<Vec<StoppedTask>> {
        let mut tasks = self
            .describe_tasks(cluster, Some(service), DesiredStatus::Stopped)
            .await?;
        if let (true, Some(deployment)) = (tasks.is_empty(), deployment) {
            // Filtered here, because the `startedBy` filter of `ListTasks` allows no other filter.
            tasks = self
                .describe_tasks(cluster, None, DesiredStatus::Stopped)
                .await?;
            tasks.retain(|task| task.started_by() == Some(deployment.as_str()));
        }
        Ok(tasks.iter().map(stopped_task).collect())
    }

    async fn deployment_record(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>> {
        self.find_deployment_record(cluster, service, task_definition)
            .await
    }

    async fn active_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<ActiveDeployment>> {
        self.find_active_deployments(cluster, service).await
    }

    async fn stop_deployment(&self, arn: &str) -> Remote<()> {
        self.ecs
            .stop_service_deployment()
            .service_deployment_arn(arn)
            .stop_type(StopServiceDeploymentStopType::Rollback)
            .send()
            .await
            .map_err(error::of("StopServiceDeployment"))?;
        Ok(())
    }

    async fn answer_hook(&self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        let action = match answer {
            HookAnswer::Continue => DeploymentLifecycleHookAction::Continue,
            HookAnswer::RollBack => DeploymentLifecycleHookAction::Rollback,
        };
        self.ecs
            .continue_service_deployment()
            .service_deployment_arn(&paused.arn)
            .hook_id(&paused.hook)
            .action(action)
            .send()
            .await
            .map_err(error::of("ContinueServiceDeployment"))?;
        Ok(())
    }

    async fn listener_rule(&self, arn: &str) -> Remote<Option<ListenerRule>> {
        self.find_listener_rule(arn).await
    }

    async fn health_check(&self, target_group: &TargetGroupArn) -> Remote<Option<HealthCheck>> {
        self.find_health_check(target_group).await
    }

    async fn targets(&self, target_group: &TargetGroupArn) -> Remote<Vec<Target>> {
        self.describe_targets(target_group).await
    }

    async fn cluster_exists(&self, cluster: &ClusterName) -> Remote<bool> {
        let answer = self
            .ecs
            .describe_clusters()
            .clusters(cluster)
            .send()
            .await
            .map_err(error::of("DescribeClusters"));
        match answer {
            Ok(answer) if answer.clusters().is_empty() && answer.failures().is_empty() => {
                Err(incomplete("DescribeClusters", "the cluster"))
            }
            Ok(answer) => Ok(answer
                .clusters()
                .iter()
                // Deleted clusters stay visible as `INACTIVE` for a while.
                .any(|found| found.status() != Some("INACTIVE"))),
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn load_balancer_exists(&self, arn: &LoadBalancerArn) -> Remote<bool> {
        self.find_load_balancer(arn).await
    }

    async fn image_of(&self, task_definition: &TaskDefinitionArn) -> Remote<Option<String>> {
        let answer = self
            .ecs
            .describe_task_definition()
            .task_definition(task_definition)
            .send()
            .await
            .map_err(error::of("DescribeTaskDefinition"));
        match answer {
            Ok(answer) => {
                let found = answer.task_definition.ok_or_else(|| {
                    error::incomplete("DescribeTaskDefinition", "the task definition")
                })?;
                let containers = found.container_definitions();
                let named = |one: &&types::ContainerDefinition| one.name() == Some(CONTAINER);
                let container = containers.iter().find(named).or(containers.first());
                Ok(container.and_then(|container| container.image.clone()))
            }
            // ECS reports a missing task definition with this general code.
            Err(error) if error.code.as_deref() == Some("ClientException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn run_task(&self, task: &OneOff<'_>, token: &RequestToken) -> Remote<String> {
        let network = match task.network {
            OneOffNetwork::OfService(service) => {
                let answer = self
                    .ecs
                    .describe_services()
                    .cluster(task.cluster)
                    .services(service)
                    .send()
                    .await
                    .map_err(error::of("DescribeServices"))?;
                let service = answer.services.into_iter().flatten().next();
                service.and_then(|service| service.network_configuration)
            }
            OneOffNetwork::These(network) => Some(configuration(network)),
        };
        let container = types::ContainerOverride::builder()
            .name(CONTAINER)
            .set_command(Some(task.command.to_vec()));
        let overrides = types::TaskOverride::builder().container_overrides(container.build());
        let answer = self
            .ecs
            .run_task()
            .cluster(task.cluster)
            .task_definition(task.task_definition)
            // On demand, whatever the Spot share of the service: AWS may interrupt a Spot task.
            .launch_type(types::LaunchType::Fargate)
            .set_network_configuration(network)
            .overrides(overrides.build())
            .started_by(task.started_by)
            .client_token(token.as_str())
            .send()
            .await
            .map_err(error::of("RunTask"))?;
        match (answer.tasks(), answer.failures()) {
            ([task, ..], _) => Ok(task_id(task)),
            // `RunTask` succeeds with a failure entry if ECS cannot start the task.
            ([], [failure, ..]) => Err(RemoteError {
                kind: RemoteErrorKind::Refused,
                operation: "RunTask",
                code: None,
                message: [failure.reason(), failure.detail()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(": "),
                request_id: None,
            }),
            ([], []) => Err(incomplete("RunTask", "the task")),
        }
    }

    async fn one_off_tasks(&self, cluster: &ClusterName) -> Remote<Vec<RunningOneOff>> {
        // A task that has not stopped has this desired status, unless it is being stopped.
        let tasks = self
            .describe_tasks(cluster, None, DesiredStatus::Running)
            .await?;
        let one_off = tasks.iter().filter_map(|task| {
            let started_by = task.started_by().filter(|it| it.starts_with(ONE_OFF))?;
            Some(RunningOneOff {
                id: task_id(task),
                started_by: started_by.to_owned(),
            })
        });
        Ok(one_off.collect())
    }

    async fn task(&self, cluster: &ClusterName, id: &str) -> Remote<Option<TaskState>> {
        let answer = self
            .ecs
            .describe_tasks()
            .cluster(cluster)
            .tasks(id)
            .send()
            .await
            .map_err(error::of("DescribeTasks"))?;
        // A task that ECS has forgotten is reported as a failure entry.
        if answer.tasks().is_empty() && answer.failures().is_empty() {
            return Err(incomplete("DescribeTasks", "the task"));
        }
        let state = |task: &types::Task| match task.last_status() {
            Some("STOPPED") => TaskState::Stopped(stopped_task(task)),
            status => TaskState::Active(status.unwrap_or_default().to_owned()),
        };
        Ok(answer.tasks().first().map(state))
    }

    async fn stop_task(&self, cluster: &ClusterName, id: &str) -> Remote<()> {
        self.ecs
            .stop_task()
            .cluster(cluster)
            .task(id)
            .reason("stopped by the deployer")
            .send()
            .await
            .map_err(error::of("StopTask"))
            .map(drop)
    }

    async fn delete_task_definitions(&self, family: &str) -> Remote<usize> {
        let mut left = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .ecs
                .list_task_definitions()
                .family_prefix(family)
                // `DeleteTaskDefinitions` accepts only deregistered task definitions.
                .status(TaskDefinitionStatus::Inactive)
                .set_next_token(token)
                .send()
                .await
                .map_err(error::of("ListTaskDefinitions"))?;
            // Some endpoints treat the family as a prefix: families that only start with it are not
            // ours.
            let ours = |arn: &&String| family_of(arn) == Some(family);
            let page = answer
                .task_definition_arns
                .ok_or_else(|| incomplete("ListTaskDefinitions", "task definitions"))?;
            left.extend(page.iter().filter(ours).cloned());
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        for batch in left.chunks(DELETE_AT_ONCE) {
            self.ecs
                .delete_task_definitions()
                .set_task_definitions(Some(batch.to_vec()))
                .send()
                .await
                .map_err(error::of("DeleteTaskDefinitions"))?;
        }
        Ok(left.len())
    }
}

impl Aws {
    async fn describe_tasks(
        &self,
        cluster: &ClusterName,
        service: Option<&ServiceName>,
        desired: DesiredStatus,
    ) -> Remote<Vec<types::Task>> {
        // `ListTasks` needs the name, and the stack's output may be the ARN.
        let name = service.and_then(|service| service.as_str().rsplit('/').next());
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let listed = self
                .ecs
                .list_tasks()
                .cluster(cluster)
                .set_service_name(name.map(str::to_owned))
                .desired_status(desired.clone())
                .set_next_token(token)
                .send()
                .await
                .map_err(error::of("ListTasks"));
            let answer = match listed {
                Ok(answer) => answer,
                // The cluster or the service does not exist: it has no tasks.
                Err(error) if error.kind == RemoteErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let page = answer.task_arns;
            arns.extend(page.ok_or_else(|| incomplete("ListTasks", "tasks"))?);
            // Some endpoints end a list with an empty token.
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() || arns.len() >= MOST_TASKS {
                break;
            }
        }
        let mut tasks = Vec::new();
        for some in arns.chunks(TASKS_AT_ONCE) {
            let answer = self
                .ecs
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(some.to_vec()))
                .send()
                .await
                .map_err(error::of("DescribeTasks"))?;
            let page = answer.tasks;
            tasks.extend(page.ok_or_else(|| incomplete("DescribeTasks", "tasks"))?);
        }
        Ok(tasks)
    }
}

fn configuration(network: &TaskNetwork) -> types::NetworkConfiguration {
    let configuration = types::AwsVpcConfiguration::builder()
        .set_subnets(Some(network.subnets.clone()))
        .set_security_groups(Some(network.security_groups.clone()))
        .assign_public_ip(network.assign_public_ip.as_str().into())
        .build();
    types::NetworkConfiguration::builder()
        .set_awsvpc_configuration(configuration.ok())
        .build()
}

/// Returns the family in a task definition's ARN (`…:task-definition/FAMILY:REVISION`).
fn family_of(arn: &str) -> Option<&str> {
    let (family, _revision) = arn.rsplit_once('/')?.1.rsplit_once(':')?;
    Some(family)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(super) fn time(at: Option<&SdkTime>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at?.to_millis().ok()?)
}

fn described(found: &types::Service) -> Service {
    let events = found.events().iter();
    let events = events.filter_map(|event| {
        Some(ServiceEvent {
            at: time(event.created_at())?,
            message: event.message.clone()?,
        })
    });
    Service {
        desired: count(found.desired_count()),
        running: count(found.running_count()),
        deployments: found.deployments().iter().map(deployment).collect(),
        threshold: threshold(found),
        events: events.collect(),
    }
}

/// Returns the number of failed tasks at which the circuit breaker gives up, if it is configured as
/// a count.
fn threshold(found: &types::Service) -> Option<u32> {
    let breaker = found
        .deployment_configuration()?
        .deployment_circuit_breaker()?;
    let threshold = breaker.threshold_configuration()?;
    (breaker.enable() && *threshold.r#type() == ThresholdType::Count)
        .then(|| count(threshold.value()))
}

fn deployment(found: &types::Deployment) -> Deployment {
    Deployment {
        id: found.id.clone().unwrap_or_default(),
        status: found.status().unwrap_or_default().into(),
        task_definition: found.task_definition.clone().unwrap_or_default(),
        rollout_state: found.rollout_state().map(|state| state.as_str().into()),
        rollout_reason: found.rollout_state_reason.clone(),
        desired: count(found.desired_count()),
        running: count(found.running_count()),
        pending: count(found.pending_count()),
        failed: count(found.failed_tasks()),
        created: time(found.created_at()),
    }
}

fn task_id(task: &types::Task) -> String {
    let arn = task.task_arn().unwrap_or_default();
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}

fn running_task(task: &types::Task) -> Task {
    Task {
        id: task_id(task),
        status: task.last_status.clone().unwrap_or_default(),
        zone: task.availability_zone.clone(),
        task_definition: task.task_definition_arn.clone().unwrap_or_default(),
        image: program_of(task).and_then(|container| container.image.clone()),
    }
}

/// Returns the container of the service's program.
///
/// AWS or the template may add other containers: GuardDuty's agent, for example, in every task of
/// an organization.
fn program_of(task: &types::Task) -> Option<&types::Container> {
    let containers = task.containers();
    let named = |container: &&types::Container| container.name() == Some(CONTAINER);
    containers.iter().find(named).or(containers.first())
}

fn stopped_task(task: &types::Task) -> StoppedTask {
    let program = program_of(task);
    let reason_of = |container: &types::Container| {
        let reason = container.reason.clone();
        reason.filter(|reason| !reason.is_empty())
    };
    // A failed start may be caused by any container. A task that ran stops because of its program.
    let never_started = task.stop_code() == Some(&types::TaskStopCode::TaskFailedToStart);
    let others = || task.containers().iter().find_map(reason_of);
    let said_by_container = program
        .and_then(reason_of)
        .or_else(|| others().filter(|_| never_started));
    StoppedTask {
        id: task_id(task),
        task_definition: task.task_definition_arn.clone().unwrap_or_default(),
        stop_code: task.stop_code().map(|code| code.as_str().into()),
        reason: task
            .stopped_reason
            .clone()
            .filter(|reason| !reason.is_empty()),
        container_reason: said_by_container,
        exit_code: program.and_then(types::Container::exit_code),
        stopped_at: time(task.stopped_at()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_apart() {
        let arn = "arn:aws:ecs:us-east-1:000000000000:task-definition/clock-two:7";
        assert_eq!(family_of(arn), Some("clock-two"));
        assert_eq!(family_of("nonsense"), None);
    }

    fn container(name: &str) -> types::builders::ContainerBuilder {
        types::Container::builder()
            .name(name)
            .image(format!("{name}@sha256:0"))
    }

    /// A task beside whose program runs what AWS adds: listed first, and not to be pulled.
    fn with_an_agent(program: types::builders::ContainerBuilder) -> types::builders::TaskBuilder {
        let agent = container("aws-guardduty-agent-0123456789")
            .exit_code(1)
            .reason("CannotPullContainerError: 403 Forbidden");
        types::Task::builder()
            .containers(agent.build())
            .containers(program.build())
    }

    #[test]
    fn what_a_second_container_does_is_not_the_programs_doing() {
        let running = running_task(&with_an_agent(container(CONTAINER)).build());
        assert_eq!(running.image.as_deref(), Some("app@sha256:0"));

        let ended = with_an_agent(container(CONTAINER).exit_code(7))
            .stop_code(types::TaskStopCode::EssentialContainerExited)
            .build();
        let ended = stopped_task(&ended);
        assert_eq!((ended.exit_code, ended.container_reason), (Some(7), None));

        let killed = container(CONTAINER)
            .exit_code(137)
            .reason("OutOfMemoryError");
        let killed = stopped_task(&with_an_agent(killed).build());
        assert_eq!(killed.exit_code, Some(137));
        assert_eq!(killed.container_reason.as_deref(), Some("OutOfMemoryError"));
    }

    #[test]
    fn a_task_may_fail_to_start_because_of_any_container() {
        let task = with_an_agent(container(CONTAINER))
            .stop_code(types::TaskStopCode::TaskFailedToStart)
            .build();
        let words = stopped_task(&task).container_reason.unwrap();
        assert!(words.starts_with("CannotPull"), "{words}");
    }

    #[test]
    fn a_container_of_another_name_is_the_program_where_it_is_the_first() {
        let only = container("clock").exit_code(3);
        let task = types::Task::builder().containers(only.build()).build();
        assert_eq!(stopped_task(&task).exit_code, Some(3));
        assert_eq!(running_task(&task).image.as_deref(), Some("clock@sha256:0"));
    }
}
