//! Operations that the program needs from AWS, as traits.
//!
//! The modules of this crate implement them with the SDK, and tests script them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use deployment::names::{
    ChangeSetId, ClusterName, DeploymentId, Digest, LoadBalancerArn, LogGroupName, LogStreamName,
    RepositoryName, RepositoryUri, RequestToken, ServiceName, StackId, StackName, StackRef,
    TargetGroupArn, TaskDefinitionArn,
};
use deployment::rollout::gate::{ActiveDeployment, HookAnswer, PausedDeployment};
use deployment::rollout::traffic::ListenerRule;
use deployment::rollout::{DeploymentRecord, HealthCheck, Service, StoppedTask, Target, Task};
use deployment::stack::request::{Definition, Proposal, Resource, TemplateParameter, Wanted};
use deployment::stack::{Observed, ResourceEvent};
use deployment::template::{Store, TaskNetwork};

/// Kind of a failed remote call, which decides whether a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteErrorKind {
    /// No usable response: connection failure, timeout, reset, or a response that cannot be the
    /// service's.
    Unreachable,
    /// The server's certificate is not trusted.
    Untrusted,
    /// The service throttles requests.
    Throttled,
    /// The service failed (HTTP 5xx).
    Server,
    /// Credentials are missing, invalid or expired.
    Credentials,
    /// The credentials lack a permission.
    Denied,
    /// The requested resource does not exist.
    NotFound,
    /// The service refuses the request for another reason.
    Refused,
}

impl RemoteErrorKind {
    /// Returns whether the same call may succeed on a retry.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Unreachable | Self::Throttled | Self::Server => true,
            Self::Untrusted | Self::Credentials | Self::Denied | Self::NotFound | Self::Refused => {
                false
            }
        }
    }

    /// Returns whether the state does not allow the call. If an earlier attempt lost its response,
    /// that may have changed the state.
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Refused | Self::NotFound => true,
            Self::Unreachable
            | Self::Untrusted
            | Self::Throttled
            | Self::Server
            | Self::Credentials
            | Self::Denied => false,
        }
    }
}

/// Failed remote call.
#[derive(Debug, Clone, Error)]
#[error("{operation}: {message}{}", self.reference())]
pub struct RemoteError {
    /// Kind of the failure.
    pub kind: RemoteErrorKind,
    /// Operation, as the API names it.
    pub operation: &'static str,
    /// Error code of the service, if it sent one.
    pub code: Option<String>,
    /// Message of the service, or the transport error.
    pub message: String,
    /// Request ID, for AWS support.
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

/// Owner of the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// Account ID, twelve digits.
    pub account: String,
    /// ARN of the user or role.
    pub arn: String,
}

/// Operations of CloudFormation.
#[async_trait]
pub trait Stacks: Send + Sync {
    /// Returns the stack with this name or ARN; a name never finds a deleted stack.
    async fn observe(&self, stack: StackRef<'_>) -> Remote<Option<Observed>>;
    /// Returns the events since a time (milliseconds since the Unix epoch), in any order.
    async fn events(&self, stack: &StackId, since_ms: i64) -> Remote<Vec<ResourceEvent>>;
    /// Returns the newest events, at least all of the last millisecond.
    ///
    /// Cheap, whatever the length of the stack's history.
    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>>;
    /// Returns the deployed template, parameters and tags.
    async fn definition(&self, stack: &StackId) -> Remote<Definition>;
    /// Validates a template and returns its parameters.
    async fn validate(&self, template: &str) -> Remote<Vec<TemplateParameter>>;
    /// Returns all resources of a stack, even of a deleted one.
    async fn resources(&self, stack: &StackId) -> Remote<Vec<Resource>>;
    /// Starts to create a stack.
    async fn create(
        &self,
        name: &StackName,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<StackId>;
    /// Starts to create a change set; returns its identifier.
    async fn propose(
        &self,
        stack: &StackId,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<ChangeSetId>;
    /// Returns the state of a change set.
    async fn proposal(&self, change_set: &ChangeSetId) -> Remote<Proposal>;
    /// Starts to execute a change set of this stack.
    async fn execute(
        &self,
        stack: &StackId,
        change_set: &ChangeSetId,
        token: &RequestToken,
    ) -> Remote<()>;
    /// Returns the metadata of a resource as JSON, with its references resolved.
    async fn metadata(&self, stack: &StackId, logical_id: &str) -> Remote<Option<String>>;
    /// Answers a wait condition: its creation succeeds or fails.
    async fn signal(&self, stack: &StackId, logical_id: &str, succeeded: bool) -> Remote<()>;
    /// Deletes a change set that will not be executed.
    async fn discard(&self, change_set: &ChangeSetId) -> Remote<()>;
    /// Starts to delete a stack, except for the resources in `retain` (logical IDs).
    ///
    /// CloudFormation allows `retain` only for a stack in `DELETE_FAILED`.
    async fn delete(&self, stack: &StackId, retain: &[String], token: &RequestToken) -> Remote<()>;
    /// Cancels an update in progress.
    async fn cancel_update(&self, stack: &StackId, token: &RequestToken) -> Remote<()>;
    /// Rolls back an update that failed without a rollback.
    async fn roll_back(&self, stack: &StackId, token: &RequestToken) -> Remote<()>;
    /// Continues a failed rollback. The resources in `skip` (logical IDs) stay as they are.
    async fn continue_rollback(
        &self,
        stack: &StackId,
        skip: &[String],
        token: &RequestToken,
    ) -> Remote<()>;
}

/// Login for the image registry.
#[derive(Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; never shown.
    pub password: String,
}

/// Operations of ECR.
#[async_trait]
pub trait Repositories: Send + Sync {
    /// Returns the address of a repository (`HOST/NAME`), if it exists.
    async fn repository_uri(&self, name: &RepositoryName) -> Remote<Option<RepositoryUri>>;
    /// Returns whether the repository has the image with this digest.
    async fn image_exists(&self, repository: &RepositoryName, digest: &Digest) -> Remote<bool>;
    /// Returns a login that is valid for some hours, for all registries of a region: that of the
    /// stack, or another one.
    async fn login(&self, region: Option<&str>) -> Remote<Login>;
}

/// Task that runs one command.
#[derive(Debug, Clone, Copy)]
pub struct OneOff<'a> {
    /// Cluster of the task.
    pub cluster: &'a ClusterName,
    /// Task definition of the task.
    pub task_definition: &'a TaskDefinitionArn,
    /// Subnets and security groups of the task.
    pub network: OneOffNetwork<'a>,
    /// Command that replaces the image's `CMD`.
    pub command: &'a [String],
    /// Text by which the task is found again; it starts with [`ONE_OFF`].
    pub started_by: &'a str,
}

/// Start of the `startedBy` of all one-off tasks.
pub const ONE_OFF: &str = "deployer-";

/// Subnets and security groups of a one-off task.
#[derive(Debug, Clone, Copy)]
pub enum OneOffNetwork<'a> {
    /// Those of this service.
    OfService(&'a ServiceName),
    /// These.
    These(&'a TaskNetwork),
}

/// One-off task that has not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningOneOff {
    /// ID of the task.
    pub id: String,
    /// Text with which it was started.
    pub started_by: String,
}

/// State of a single task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// The task starts, runs or stops; its status, for example `PENDING`.
    Active(String),
    /// The task stopped.
    Stopped(StoppedTask),
}

/// Operations of ECS and Elastic Load Balancing.
#[async_trait]
pub trait Rollouts: Send + Sync {
    /// Returns the service, if it exists and is not deleted.
    async fn service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Option<Service>>;
    /// Forces a new deployment of the same task definition, with this number of tasks if one is
    /// given.
    ///
    /// Returns the deployment, if the endpoint reports it.
    async fn redeploy(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        tasks: Option<u32>,
    ) -> Remote<Option<DeploymentId>>;
    /// Returns the tasks of the service that run or are starting.
    async fn tasks(&self, cluster: &ClusterName, service: &ServiceName) -> Remote<Vec<Task>>;
    /// Returns the stopped tasks of the service that ECS still remembers.
    ///
    /// If it lists none, returns those of the cluster that `deployment` had started.
    async fn stopped_tasks(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        deployment: Option<&DeploymentId>,
    ) -> Remote<Vec<StoppedTask>>;
    /// Returns the record of the service's newest deployment of a task definition, if the endpoint
    /// keeps one.
    async fn deployment_record(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>>;
    /// Returns the service's deployments that have not ended and move traffic between two target
    /// groups.
    async fn active_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<ActiveDeployment>>;
    /// Stops a service deployment by its ARN: ECS rolls it back.
    async fn stop_deployment(&self, arn: &str) -> Remote<()>;
    /// Answers the lifecycle hook of a paused deployment.
    async fn answer_hook(&self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()>;
    /// Returns a listener rule by its ARN; `None` if it does not exist.
    async fn listener_rule(&self, arn: &str) -> Remote<Option<ListenerRule>>;
    /// Returns the health of the targets in a target group.
    async fn targets(&self, target_group: &TargetGroupArn) -> Remote<Vec<Target>>;
    /// Returns the health check settings of a target group.
    async fn health_check(&self, target_group: &TargetGroupArn) -> Remote<Option<HealthCheck>>;
    /// Returns whether the cluster exists and is not deleted.
    async fn cluster_exists(&self, cluster: &ClusterName) -> Remote<bool>;
    /// Returns whether the load balancer exists.
    async fn load_balancer_exists(&self, arn: &LoadBalancerArn) -> Remote<bool>;
    /// Returns the image of a task definition; `None` if that does not exist.
    async fn image_of(&self, task_definition: &TaskDefinitionArn) -> Remote<Option<String>>;
    /// Starts a one-off task; returns its id.
    ///
    /// Repeated with the same token, it starts no second task.
    async fn run_task(&self, task: &OneOff<'_>, token: &RequestToken) -> Remote<String>;
    /// Returns the one-off tasks of the cluster that have not stopped.
    async fn one_off_tasks(&self, cluster: &ClusterName) -> Remote<Vec<RunningOneOff>>;
    /// Returns the state of a task by its id; `None` if ECS has forgotten it.
    async fn task(&self, cluster: &ClusterName, id: &str) -> Remote<Option<TaskState>>;
    /// Stops a task by its id.
    async fn stop_task(&self, cluster: &ClusterName, id: &str) -> Remote<()>;
    /// Deletes the inactive task definitions of a family, which deleted stacks leave behind;
    /// returns their number.
    async fn delete_task_definitions(&self, family: &str) -> Remote<usize>;
}

/// Line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Identifier, the same each time the line is read.
    pub id: String,
    /// Time at which it was written.
    pub at: DateTime<Utc>,
    /// Log stream: `PREFIX/CONTAINER/TASK`.
    pub stream: String,
    /// Text with its line break.
    pub message: String,
}

/// Page of log lines from one or all streams of a group, by time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// Lines of this page; may be empty even if there are more.
    pub lines: Vec<LogLine>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

/// Operations of CloudWatch Logs.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Returns the last lines of one log stream; empty if it does not exist.
    async fn tail(
        &self,
        group: &LogGroupName,
        stream: &LogStreamName,
        lines: u16,
    ) -> Remote<Vec<String>>;
    /// Returns a page of lines of one stream, or of all streams of a group, since a time.
    ///
    /// `since_ms` is in milliseconds since the Unix epoch.
    async fn lines(
        &self,
        group: &LogGroupName,
        stream: Option<&LogStreamName>,
        since_ms: i64,
        next: Option<&str>,
    ) -> Remote<LogPage>;
    /// Returns whether the log group exists.
    async fn group_exists(&self, group: &LogGroupName) -> Remote<bool>;
}

/// Operations of STS.
#[async_trait]
pub trait Identity: Send + Sync {
    /// Returns the owner of the credentials.
    async fn caller(&self) -> Remote<Caller>;
}

/// Operations on the account as a whole.
#[async_trait]
pub trait Account: Send + Sync {
    /// Lists the stacks, clusters and repositories in the account and region, each with its type.
    async fn account_resources(&self) -> Remote<Vec<String>>;
}

/// Operations of IAM.
#[async_trait]
pub trait Roles: Send + Sync {
    /// Returns whether the role with this name exists.
    async fn role_exists(&self, name: &str) -> Remote<bool>;
    /// Creates the service-linked role of a service (`ecs.amazonaws.com`); returns `false` if it
    /// already existed.
    async fn make_service_linked_role(&self, service: &str) -> Remote<bool>;
}

/// Operations of Secrets Manager and Parameter Store. Values are never read.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Returns whether a secret or parameter with one of these names exists and is not scheduled
    /// for deletion.
    ///
    /// A secret may also be given by its ARN.
    async fn secret_exists(&self, store: Store, names: &[String]) -> Remote<bool>;
    /// Creates or updates a secret in an emulator. On AWS, that is left to the owner of the value.
    async fn put_secret(&self, store: Store, name: &str, value: &str) -> Remote<()>;
}

/// All operations together, as commands use them.
pub trait World:
    Stacks + Repositories + Rollouts + Logs + Identity + Account + Roles + Secrets
{
}

impl<T: Stacks + Repositories + Rollouts + Logs + Identity + Account + Roles + Secrets> World
    for T
{
}
