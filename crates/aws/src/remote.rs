//! What the program needs from the world, in its own words. `aws/` implements these traits, tests script them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use deployment::names::{
    ChangeSetId, ClusterName, DeploymentId, Digest, LoadBalancerArn, LogGroupName, LogStreamName,
    RepositoryName, RepositoryUri, RequestToken, ServiceName, StackId, StackName, StackRef,
    TargetGroupArn, TaskDefinitionArn,
};
use deployment::rollout::gate::{HookAnswer, PausedDeployment};
use deployment::rollout::{DeploymentRecord, HealthCheck, Service, StoppedTask, Target, Task};
use deployment::stack::request::{Definition, Proposal, Resource, TemplateParameter, Wanted};
use deployment::stack::{Observed, ResourceEvent};
use deployment::template::Store;

/// What kind of failure a remote call met: decides whether looking again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteErrorKind {
    /// Nobody answered: no connection, time-out, reset, or an answer that makes no sense.
    Unreachable,
    /// The server's certificate is not trusted.
    Untrusted,
    /// Too many requests.
    Throttled,
    /// The service failed (5xx).
    Server,
    /// No credentials, or they are invalid or expired.
    Credentials,
    /// These credentials may not do that.
    Denied,
    /// What was asked for does not exist.
    NotFound,
    /// The service refuses the request as it stands.
    Refused,
}

impl RemoteErrorKind {
    /// Can the same call succeed a moment later?
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Unreachable | Self::Throttled | Self::Server => true,
            Self::Untrusted | Self::Credentials | Self::Denied | Self::NotFound | Self::Refused => {
                false
            }
        }
    }
}

/// A remote call that failed.
#[derive(Debug, Clone, Error)]
#[error("{operation}: {message}{}", self.reference())]
pub struct RemoteError {
    /// What kind of failure.
    pub kind: RemoteErrorKind,
    /// The call, as the API names it.
    pub operation: &'static str,
    /// The service's error code, if it sent one.
    pub code: Option<String>,
    /// What the service said, or what went wrong on the way there.
    pub message: String,
    /// The service's identifier of the request, for its support.
    pub request_id: Option<String>,
}

impl RemoteError {
    fn reference(&self) -> String {
        match (&self.code, &self.request_id) {
            (Some(code), Some(id)) => format!(" ({code}, request {id})"),
            (Some(code), None) => format!(" ({code})"),
            (None, Some(id)) => format!(" (request {id})"),
            (None, None) => String::new(),
        }
    }
}

/// Result of a remote call.
pub type Remote<T> = Result<T, RemoteError>;

/// Who these credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// ARN of the user or role.
    pub arn: String,
}

/// CloudFormation.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// The stack with this name or identifier; a name never finds a deleted stack.
    async fn observe(&self, stack: StackRef<'_>) -> Remote<Option<Observed>>;
    /// Events since a moment (milliseconds since the Unix epoch), in any order.
    async fn events(&self, stack: &StackId, since_ms: i64) -> Remote<Vec<ResourceEvent>>;
    /// The newest events, at least all of the latest moment; cheap, however long the stack's past is.
    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>>;
    /// What is deployed, as of now.
    async fn definition(&self, stack: &StackId) -> Remote<Definition>;
    /// Is this a template? Then these are its parameters.
    async fn validate(&self, template: &str) -> Remote<Vec<TemplateParameter>>;
    /// All resources of a stack, also of one that was deleted.
    async fn resources(&self, stack: &StackId) -> Remote<Vec<Resource>>;
    /// Begins to create a stack.
    async fn create(
        &self,
        name: &StackName,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<StackId>;
    /// Begins to compute a change set; returns its identifier.
    async fn propose(
        &self,
        stack: &StackId,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<ChangeSetId>;
    /// Where a change set stands.
    async fn proposal(&self, change_set: &ChangeSetId) -> Remote<Proposal>;
    /// Begins to execute a change set of this stack.
    async fn execute(
        &self,
        stack: &StackId,
        change_set: &ChangeSetId,
        token: &RequestToken,
    ) -> Remote<()>;
    /// Removes a change set that will not be executed.
    async fn discard(&self, change_set: &ChangeSetId) -> Remote<()>;
    /// Begins to delete a stack; what is to be retained (logical names) stays, which is possible only where a deletion failed.
    async fn delete(&self, stack: &StackId, retain: &[String], token: &RequestToken) -> Remote<()>;
    /// Cancels an update that is under way.
    async fn cancel_update(&self, stack: &StackId, token: &RequestToken) -> Remote<()>;
    /// Rolls back an update that failed and was left as it was.
    async fn roll_back(&self, stack: &StackId, token: &RequestToken) -> Remote<()>;
    /// Continues a rollback that failed, without the resources to be skipped (logical names): those stay as they are.
    async fn continue_rollback(
        &self,
        stack: &StackId,
        skip: &[String],
        token: &RequestToken,
    ) -> Remote<()>;
}

/// How to log in to the image registry.
#[derive(Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; never shown.
    pub password: String,
}

/// ECR.
#[async_trait]
pub trait Repositories: Send + Sync {
    /// The address of a repository (`HOST/NAME`), if it exists.
    async fn repository_uri(&self, name: &RepositoryName) -> Remote<Option<RepositoryUri>>;
    /// Does the repository hold the image with this digest?
    async fn image_exists(&self, repository: &RepositoryName, digest: &Digest) -> Remote<bool>;
    /// A login that is valid for some hours.
    async fn login(&self) -> Remote<Login>;
}

/// A service and the task definition that it runs.
#[derive(Debug, Clone, Copy)]
pub struct RunningService<'a> {
    /// Its cluster.
    pub cluster: &'a ClusterName,
    /// Its name.
    pub service: &'a ServiceName,
    /// What its tasks are made of.
    pub task_definition: &'a TaskDefinitionArn,
}

/// Where a single task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It starts, runs or stops: `PENDING`, for example.
    Active(String),
    /// It stopped.
    Stopped(StoppedTask),
}

/// ECS and the load balancer in front of it.
#[async_trait]
pub trait Rollouts: Send + Sync {
    /// The service, if it exists and is not deleted.
    async fn service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Option<Service>>;
    /// Has the service replace its tasks, with the task definition that it has, and run so many of them if a number is given;
    /// returns the deployment, where it is told.
    async fn redeploy(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        tasks: Option<u32>,
    ) -> Remote<Option<DeploymentId>>;
    /// Tasks of the service that run or are about to.
    async fn tasks(&self, cluster: &ClusterName, service: &ServiceName) -> Remote<Vec<Task>>;
    /// Tasks of the service that stopped, as far as they are still remembered: or else those of the cluster that this
    /// deployment (its identifier) had started.
    async fn stopped_tasks(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        deployment: Option<&DeploymentId>,
    ) -> Remote<Vec<StoppedTask>>;
    /// What is kept about the service's newest deployment of a task definition (an ARN), where the endpoint keeps it.
    async fn deployment_record(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>>;
    /// Deployments of the service that a lifecycle hook has paused, and that wait for an answer.
    async fn paused_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<PausedDeployment>>;
    /// Answers the hook of a paused deployment.
    async fn answer_hook(&self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()>;
    /// Health of the targets behind the load balancer.
    async fn targets(&self, target_group: &TargetGroupArn) -> Remote<Vec<Target>>;
    /// How those targets are checked.
    async fn health_check(&self, target_group: &TargetGroupArn) -> Remote<Option<HealthCheck>>;
    /// Does the cluster exist (and is not deleted)?
    async fn cluster_exists(&self, cluster: &ClusterName) -> Remote<bool>;
    /// Does the load balancer exist?
    async fn load_balancer_exists(&self, arn: &LoadBalancerArn) -> Remote<bool>;
    /// The image that a task definition runs; `None` when it does not exist any more.
    async fn image_of(&self, task_definition: &TaskDefinitionArn) -> Remote<Option<String>>;
    /// Starts a task that runs a command in place of the image's, in the network of the service; returns its id. Repeated
    /// with the same token, it starts no second one.
    async fn run_task(
        &self,
        service: &RunningService<'_>,
        command: &[String],
        token: &RequestToken,
    ) -> Remote<String>;
    /// The state of a task (its id); `None` when it is not remembered.
    async fn task(&self, cluster: &ClusterName, id: &str) -> Remote<Option<TaskState>>;
    /// Asks a task (its id) to stop.
    async fn stop_task(&self, cluster: &ClusterName, id: &str) -> Remote<()>;
    /// Deletes the task definitions that are left over of a family (deleted stacks leave them inactive); returns how many.
    async fn delete_task_definitions(&self, family: &str) -> Remote<usize>;
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Identifier, the same each time that the line is read.
    pub id: String,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The log stream: `PREFIX/CONTAINER/TASK`.
    pub stream: String,
    /// As it was written, line break at its end included.
    pub message: String,
}

/// Lines of all streams of a group, by time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// Some of them, perhaps none.
    pub lines: Vec<LogLine>,
    /// Where to go on, if there is more.
    pub next: Option<String>,
}

/// CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The last lines of one log stream; empty when it does not exist.
    async fn tail(
        &self,
        group: &LogGroupName,
        stream: &LogStreamName,
        lines: u16,
    ) -> Remote<Vec<String>>;
    /// A page of what one stream of a group, or all of them, were written since a moment (milliseconds since the Unix epoch).
    async fn lines(
        &self,
        group: &LogGroupName,
        stream: Option<&LogStreamName>,
        since_ms: i64,
        next: Option<&str>,
    ) -> Remote<LogPage>;
    /// Does the log group exist?
    async fn group_exists(&self, group: &LogGroupName) -> Remote<bool>;
}

/// STS.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Whose credentials these are.
    async fn caller(&self) -> Remote<Caller>;
}

/// The account as a whole.
#[async_trait]
pub trait Account: Send + Sync {
    /// What lives in the account and region: stacks, clusters and repositories, each with what it is.
    async fn account_resources(&self) -> Remote<Vec<String>>;
}

/// IAM.
#[async_trait]
pub trait Roles: Send + Sync {
    /// Does the role with this name exist?
    async fn role_exists(&self, name: &str) -> Remote<bool>;
    /// Makes the service-linked role of a service (`ecs.amazonaws.com`); false when it was there already.
    async fn make_service_linked_role(&self, service: &str) -> Remote<bool>;
}

/// Secrets Manager and Parameter Store. Values are never read.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Returns whether a secret, by its ARN or name, or a parameter, by one of these names, exists and is not about to be deleted.
    async fn secret_exists(&self, store: Store, names: &[String]) -> Remote<bool>;
    /// Gives an emulator a secret. On AWS, that is left to whoever has the value.
    async fn put_secret(&self, store: Store, name: &str, value: &str) -> Remote<()>;
}

/// All of it: what commands are given.
pub trait World:
    Stacks + Repositories + Rollouts + Logs + Identity + Account + Roles + Secrets
{
}

impl<T: Stacks + Repositories + Rollouts + Logs + Identity + Account + Roles + Secrets> World
    for T
{
}
