//! Implementation of each service's calls with retries.

use async_trait::async_trait;

use super::confirm::Request;
use super::{RetryPolicy, Retrying};
use aws::remote::{
    Account, Caller, Identity, LogPage, Login, Logs, OneOff, Remote, Repositories, Roles, Rollouts,
    RunningOneOff, Secrets, Stacks, TaskState,
};
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
use deployment::template::Store;

#[async_trait]
impl<W: Stacks> Stacks for Retrying<W> {
    async fn observe(&self, stack: StackRef<'_>) -> Remote<Option<Observed>> {
        self.retry(RetryPolicy::LONG, || self.inner.observe(stack))
            .await
    }

    async fn events(&self, stack: &StackId, since_ms: i64) -> Remote<Vec<ResourceEvent>> {
        self.retry(RetryPolicy::LONG, || self.inner.events(stack, since_ms))
            .await
    }

    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>> {
        self.retry(RetryPolicy::LONG, || self.inner.newest_events(stack))
            .await
    }

    async fn validate(&self, template: &str) -> Remote<Vec<TemplateParameter>> {
        self.retry(RetryPolicy::SHORT, || self.inner.validate(template))
            .await
    }

    async fn definition(&self, stack: &StackId) -> Remote<Definition> {
        self.retry(RetryPolicy::LONG, || self.inner.definition(stack))
            .await
    }

    async fn resources(&self, stack: &StackId) -> Remote<Vec<Resource>> {
        self.retry(RetryPolicy::LONG, || self.inner.resources(stack))
            .await
    }

    async fn create(
        &self,
        name: &StackName,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<StackId> {
        let create = || self.inner.create(name, wanted, token);
        let attempted = self.attempt(RetryPolicy::LONG, create).await;
        self.confirm_creation(attempted, name, token).await
    }

    async fn propose(
        &self,
        stack: &StackId,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<ChangeSetId> {
        // A repetition finds the same change set: the implementation derives its name from the
        // token.
        self.retry(RetryPolicy::LONG, || {
            self.inner.propose(stack, wanted, token)
        })
        .await
    }

    async fn proposal(&self, change_set: &ChangeSetId) -> Remote<Proposal> {
        self.retry(RetryPolicy::LONG, || self.inner.proposal(change_set))
            .await
    }

    async fn execute(
        &self,
        stack: &StackId,
        change_set: &ChangeSetId,
        token: &RequestToken,
    ) -> Remote<()> {
        let execute = || self.inner.execute(stack, change_set, token);
        let attempted = self.attempt(RetryPolicy::LONG, execute).await;
        self.confirm(Request::Execute, attempted, stack, token)
            .await
    }

    async fn metadata(&self, stack: &StackId, logical_id: &str) -> Remote<Option<String>> {
        self.retry(RetryPolicy::LONG, || self.inner.metadata(stack, logical_id))
            .await
    }

    async fn signal(&self, stack: &StackId, logical_id: &str, succeeded: bool) -> Remote<()> {
        // A repetition is ignored or refused, and the caller reads the state again.
        self.retry(RetryPolicy::LONG, || {
            self.inner.signal(stack, logical_id, succeeded)
        })
        .await
    }

    // A change set that stays behind does no harm, so that a short policy is enough.
    async fn discard(&self, change_set: &ChangeSetId) -> Remote<()> {
        self.retry(RetryPolicy::SHORT, || self.inner.discard(change_set))
            .await
    }

    async fn delete(&self, stack: &StackId, retain: &[String], token: &RequestToken) -> Remote<()> {
        let delete = || self.inner.delete(stack, retain, token);
        let attempted = self.attempt(RetryPolicy::LONG, delete).await;
        self.confirm(Request::Delete, attempted, stack, token).await
    }

    async fn cancel_update(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        let cancel = || self.inner.cancel_update(stack, token);
        let attempted = self.attempt(RetryPolicy::LONG, cancel).await;
        self.confirm(Request::CancelUpdate, attempted, stack, token)
            .await
    }

    async fn roll_back(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        let roll_back = || self.inner.roll_back(stack, token);
        let attempted = self.attempt(RetryPolicy::LONG, roll_back).await;
        self.confirm(Request::ContinueRollback, attempted, stack, token)
            .await
    }

    async fn continue_rollback(
        &self,
        stack: &StackId,
        skip: &[String],
        token: &RequestToken,
    ) -> Remote<()> {
        let proceed = || self.inner.continue_rollback(stack, skip, token);
        let attempted = self.attempt(RetryPolicy::LONG, proceed).await;
        self.confirm(Request::ContinueRollback, attempted, stack, token)
            .await
    }
}

#[async_trait]
impl<W: Repositories> Repositories for Retrying<W> {
    async fn repository_uri(&self, name: &RepositoryName) -> Remote<Option<RepositoryUri>> {
        self.retry(RetryPolicy::LONG, || self.inner.repository_uri(name))
            .await
    }

    async fn image_exists(&self, repository: &RepositoryName, digest: &Digest) -> Remote<bool> {
        self.retry(RetryPolicy::LONG, || {
            self.inner.image_exists(repository, digest)
        })
        .await
    }

    async fn login(&self, region: Option<&str>) -> Remote<Login> {
        self.retry(RetryPolicy::LONG, || self.inner.login(region))
            .await
    }
}

#[async_trait]
impl<W: Rollouts> Rollouts for Retrying<W> {
    async fn service(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Option<Service>> {
        self.retry(RetryPolicy::LONG, || self.inner.service(cluster, service))
            .await
    }

    async fn redeploy(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        tasks: Option<u32>,
    ) -> Remote<Option<DeploymentId>> {
        // If the response was lost, the repetition replaces the tasks once more at worst.
        self.retry(RetryPolicy::LONG, || {
            self.inner.redeploy(cluster, service, tasks)
        })
        .await
    }

    async fn tasks(&self, cluster: &ClusterName, service: &ServiceName) -> Remote<Vec<Task>> {
        self.retry(RetryPolicy::LONG, || self.inner.tasks(cluster, service))
            .await
    }

    async fn stopped_tasks(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        deployment: Option<&DeploymentId>,
    ) -> Remote<Vec<StoppedTask>> {
        // Stopped tasks only explain a failure: the report can do without them.
        self.retry(RetryPolicy::SHORT, || {
            self.inner.stopped_tasks(cluster, service, deployment)
        })
        .await
    }

    async fn deployment_record(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>> {
        self.retry(RetryPolicy::SHORT, || {
            self.inner
                .deployment_record(cluster, service, task_definition)
        })
        .await
    }

    async fn active_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<ActiveDeployment>> {
        self.retry(RetryPolicy::LONG, || {
            self.inner.active_deployments(cluster, service)
        })
        .await
    }

    async fn stop_deployment(&self, arn: &str) -> Remote<()> {
        // As with `answer_hook`: the caller reads the state again.
        self.retry(RetryPolicy::LONG, || self.inner.stop_deployment(arn))
            .await
    }

    async fn answer_hook(&self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        // If the response was lost, the repetition is refused at worst, and the caller reads the
        // state again.
        self.retry(RetryPolicy::LONG, || self.inner.answer_hook(paused, answer))
            .await
    }

    async fn listener_rule(&self, arn: &str) -> Remote<Option<ListenerRule>> {
        self.retry(RetryPolicy::LONG, || self.inner.listener_rule(arn))
            .await
    }

    async fn health_check(&self, target_group: &TargetGroupArn) -> Remote<Option<HealthCheck>> {
        self.retry(RetryPolicy::SHORT, || self.inner.health_check(target_group))
            .await
    }

    async fn image_of(&self, task_definition: &TaskDefinitionArn) -> Remote<Option<String>> {
        self.retry(RetryPolicy::LONG, || self.inner.image_of(task_definition))
            .await
    }

    async fn targets(&self, target_group: &TargetGroupArn) -> Remote<Vec<Target>> {
        self.retry(RetryPolicy::LONG, || self.inner.targets(target_group))
            .await
    }

    async fn cluster_exists(&self, cluster: &ClusterName) -> Remote<bool> {
        self.retry(RetryPolicy::LONG, || self.inner.cluster_exists(cluster))
            .await
    }

    async fn load_balancer_exists(&self, arn: &LoadBalancerArn) -> Remote<bool> {
        self.retry(RetryPolicy::LONG, || self.inner.load_balancer_exists(arn))
            .await
    }

    async fn run_task(&self, task: &OneOff<'_>, token: &RequestToken) -> Remote<String> {
        // ECS starts only one task per client token.
        self.retry(RetryPolicy::LONG, || self.inner.run_task(task, token))
            .await
    }

    async fn one_off_tasks(&self, cluster: &ClusterName) -> Remote<Vec<RunningOneOff>> {
        self.retry(RetryPolicy::LONG, || self.inner.one_off_tasks(cluster))
            .await
    }

    async fn task(&self, cluster: &ClusterName, id: &str) -> Remote<Option<TaskState>> {
        self.retry(RetryPolicy::LONG, || self.inner.task(cluster, id))
            .await
    }

    async fn stop_task(&self, cluster: &ClusterName, id: &str) -> Remote<()> {
        self.retry(RetryPolicy::LONG, || self.inner.stop_task(cluster, id))
            .await
    }

    async fn delete_task_definitions(&self, family: &str) -> Remote<usize> {
        self.retry(RetryPolicy::LONG, || {
            self.inner.delete_task_definitions(family)
        })
        .await
    }
}

#[async_trait]
impl<W: Logs> Logs for Retrying<W> {
    async fn tail(
        &self,
        group: &LogGroupName,
        stream: &LogStreamName,
        lines: u16,
    ) -> Remote<Vec<String>> {
        self.retry(RetryPolicy::SHORT, || self.inner.tail(group, stream, lines))
            .await
    }

    async fn lines(
        &self,
        group: &LogGroupName,
        stream: Option<&LogStreamName>,
        since_ms: i64,
        next: Option<&str>,
    ) -> Remote<LogPage> {
        self.retry(RetryPolicy::SHORT, || {
            self.inner.lines(group, stream, since_ms, next)
        })
        .await
    }

    async fn group_exists(&self, group: &LogGroupName) -> Remote<bool> {
        self.retry(RetryPolicy::LONG, || self.inner.group_exists(group))
            .await
    }
}

#[async_trait]
impl<W: Identity> Identity for Retrying<W> {
    async fn caller(&self) -> Remote<Caller> {
        // The first call of every connection: see `RetryPolicy::FIRST`.
        self.retry(RetryPolicy::FIRST, || self.inner.caller()).await
    }
}

#[async_trait]
impl<W: Account> Account for Retrying<W> {
    async fn account_resources(&self) -> Remote<Vec<String>> {
        self.retry(RetryPolicy::LONG, || self.inner.account_resources())
            .await
    }
}

#[async_trait]
impl<W: Roles> Roles for Retrying<W> {
    async fn role_exists(&self, name: &str) -> Remote<bool> {
        // AWS creates missing service-linked roles on first use, so that a failure here is
        // tolerable.
        self.retry(RetryPolicy::SHORT, || self.inner.role_exists(name))
            .await
    }

    async fn make_service_linked_role(&self, service: &str) -> Remote<bool> {
        self.retry(RetryPolicy::SHORT, || {
            self.inner.make_service_linked_role(service)
        })
        .await
    }
}

#[async_trait]
impl<W: Secrets> Secrets for Retrying<W> {
    async fn secret_exists(&self, store: Store, names: &[String]) -> Remote<bool> {
        self.retry(RetryPolicy::SHORT, || {
            self.inner.secret_exists(store, names)
        })
        .await
    }

    async fn put_secret(&self, store: Store, name: &str, value: &str) -> Remote<()> {
        self.retry(RetryPolicy::LONG, || {
            self.inner.put_secret(store, name, value)
        })
        .await
    }
}
