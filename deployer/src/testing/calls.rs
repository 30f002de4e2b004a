//! How the world answers each call.

use async_trait::async_trait;

use super::FakeWorld;
use super::moment::Moment;
use aws::remote::{
    Account, Caller, Identity, LogPage, Login, Logs, OneOff, Remote, RemoteError, Repositories,
    Roles, Rollouts, RunningOneOff, Secrets, Stacks, TaskState,
};
use deployment::names::{
    ChangeSetId, ClusterName, DeploymentId, Digest, LoadBalancerArn, LogGroupName, LogStreamName,
    RepositoryName, RepositoryUri, RequestToken, ServiceName, StackId, StackName, StackRef,
    TargetGroupArn, TaskDefinitionArn,
};
use deployment::rollout::gate::{ActiveDeployment, HookAnswer, PausedDeployment};
use deployment::rollout::traffic::ListenerRule;
use deployment::rollout::{DeploymentRecord, HealthCheck, Service, StoppedTask, Target, Task};
use deployment::stack::request::{
    Definition, HIDDEN, Proposal, Resource, Template, TemplateParameter, Wanted,
};
use deployment::stack::status::StackStatus;
use deployment::stack::template_names::ParameterName;
use deployment::stack::{Observed, ResourceEvent};
use deployment::template::Store;

/// A stack's identifier as a transcript shows it.
fn shown(stack: &StackId) -> &str {
    stack.as_str().trim_start_matches("arn:stack/")
}

/// What reviewers get, where that is said. Of a password, only whether it is a new one.
fn reviewers(wanted: &Wanted) -> String {
    let of = |name: &str| wanted.parameters.get(name).map_or("", String::as_str);
    let password = match of("ReviewerPassword") {
        "" => "no password".to_owned(),
        "****" => "the password of before".to_owned(),
        new => format!("a new password of {} signs", new.len()),
    };
    match of("ReviewerKind") {
        "" => String::new(),
        kind => format!(
            ", reviewers: {kind} {:?} with {password}",
            of("ReviewerPrincipal")
        ),
    }
}

fn image(wanted: &Wanted) -> &str {
    wanted
        .parameters
        .get("ImageUri")
        .map_or("no image", String::as_str)
}

/// A stack without some of its resources.
fn without(stack: &StackId, resources: &[String]) -> String {
    match resources {
        [] => shown(stack).to_owned(),
        some => format!("{} without {}", shown(stack), some.join(", ")),
    }
}

#[async_trait]
impl Stacks for FakeWorld {
    async fn observe(&self, stack: StackRef<'_>) -> Remote<Option<Observed>> {
        self.fails("DescribeStacks")?;
        let by_name = matches!(stack, StackRef::Name(_));
        let there = match self.moments.next() {
            Moment::Absent => return Ok(None),
            Moment::Failed(error) => {
                return Err(RemoteError {
                    operation: "DescribeStacks",
                    ..error
                });
            }
            Moment::There(there) => there,
        };
        let mut state = self.state.lock().unwrap();
        let seen = state.see(there);
        assert!(
            by_name || stack.as_str() == seen.id.as_str(),
            "`{stack:?}` was looked up, but the script is about `{}`",
            seen.id.as_str()
        );
        // A name never finds a deleted stack.
        let hidden = by_name && seen.status == StackStatus::DeleteComplete;
        Ok(Some(seen).filter(|_| !hidden))
    }

    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>> {
        self.events(stack, 0).await
    }

    async fn events(&self, _: &StackId, since_ms: i64) -> Remote<Vec<ResourceEvent>> {
        self.fails("DescribeStackEvents")?;
        let state = self.state.lock().unwrap();
        let since = state.events.iter().filter(|event| event.at_ms >= since_ms);
        // The service lists the newest first.
        Ok(since.rev().cloned().collect())
    }

    async fn definition(&self, _: &StackId) -> Remote<Definition> {
        self.fails("GetTemplate")?;
        let template = self.template.to_owned();
        let mut parameters = self.state.lock().unwrap().parameters.clone();
        if let Some(image) = &self.deployed_meanwhile {
            parameters.insert(ParameterName::ImageUri.as_str().to_owned(), image.clone());
        }
        Ok(Definition {
            tags: self.state.lock().unwrap().tags.clone(),
            template,
            parameters,
        })
    }

    async fn validate(&self, _: &str) -> Remote<Vec<TemplateParameter>> {
        self.fails("ValidateTemplate")?;
        Ok(self.declared.clone())
    }

    async fn resources(&self, _: &StackId) -> Remote<Vec<Resource>> {
        self.fails("ListStackResources")?;
        Ok(self.resources.next())
    }

    async fn create(
        &self,
        name: &StackName,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<StackId> {
        let what = format!("{name} with {}", image(wanted));
        self.change("CreateStack", &what, Some(token))?;
        let mut state = self.state.lock().unwrap();
        // Events are those of one stack.
        state.events.clear();
        state.generation += 1;
        Ok(state.id())
    }

    async fn propose(
        &self,
        stack: &StackId,
        wanted: &Wanted,
        _: &RequestToken,
    ) -> Remote<ChangeSetId> {
        let express = if wanted.express { ", express" } else { "" };
        let template = match wanted.template {
            Template::Text(_) => "",
            Template::Deployed(_) => ", the same template",
        };
        let sent = wanted.parameters.iter();
        let sent = sent.filter(|(name, value)| {
            let by_commands =
                name.starts_with("Reviewer") || *name == ParameterName::ImageUri.as_str();
            let is_shown = !template.is_empty() && !by_commands;
            is_shown && !wanted.kept.contains(*name) && *value != HIDDEN
        });
        let sent: Vec<String> = sent
            .map(|(name, value)| format!(", {name}={value}"))
            .collect();
        let parameters = sent.concat();
        let what = format!(
            "{} with {}{express}{template}{parameters}{}",
            shown(stack),
            image(wanted),
            reviewers(wanted)
        );
        self.change("CreateChangeSet", &what, None)?;
        Ok(ChangeSetId::new("change-set"))
    }

    async fn proposal(&self, _: &ChangeSetId) -> Remote<Proposal> {
        self.fails("DescribeChangeSet")?;
        Ok(self.proposals.next())
    }

    async fn execute(&self, _: &StackId, _: &ChangeSetId, token: &RequestToken) -> Remote<()> {
        self.change("ExecuteChangeSet", "", Some(token))
    }

    async fn metadata(&self, _: &StackId, _: &str) -> Remote<Option<String>> {
        self.fails("DescribeStackResource")?;
        Ok(self.metadata.clone())
    }

    async fn signal(&self, _: &StackId, logical_id: &str, succeeded: bool) -> Remote<()> {
        let answer = if succeeded { "success" } else { "failure" };
        self.change("SignalResource", &format!("{logical_id} ({answer})"), None)
    }

    async fn discard(&self, _: &ChangeSetId) -> Remote<()> {
        self.change("DeleteChangeSet", "", None)
    }

    async fn delete(&self, stack: &StackId, retain: &[String], token: &RequestToken) -> Remote<()> {
        let what = without(stack, retain);
        self.change("DeleteStack", &what, Some(token))
    }

    async fn cancel_update(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        self.change("CancelUpdateStack", shown(stack), Some(token))
    }

    async fn roll_back(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        self.change("RollbackStack", shown(stack), Some(token))
    }

    async fn continue_rollback(
        &self,
        stack: &StackId,
        skip: &[String],
        token: &RequestToken,
    ) -> Remote<()> {
        let what = without(stack, skip);
        self.change("ContinueUpdateRollback", &what, Some(token))
    }
}

#[async_trait]
impl Repositories for FakeWorld {
    async fn repository_uri(&self, name: &RepositoryName) -> Remote<Option<RepositoryUri>> {
        self.fails("DescribeRepositories")?;
        Ok(self
            .is_there(name.as_str())
            .then(|| RepositoryUri::new("registry.example", name.clone())))
    }

    async fn image_exists(&self, _: &RepositoryName, digest: &Digest) -> Remote<bool> {
        self.fails("BatchGetImage")?;
        let state = self.state.lock().unwrap();
        let deployed = state.parameters.get(ParameterName::ImageUri.as_str());
        let is_deployed = deployed.is_some_and(|image| image.ends_with(digest.as_str()));
        let is_kept = is_deployed && !state.lost_image;
        drop(state);
        Ok(is_kept || self.is_there_at_all(digest.as_str()))
    }

    async fn login(&self, _: Option<&str>) -> Remote<Login> {
        self.fails("GetAuthorizationToken")?;
        Ok(Login {
            user: "AWS".to_owned(),
            password: "secret".to_owned(),
        })
    }
}

#[async_trait]
impl Rollouts for FakeWorld {
    async fn service(&self, _: &ClusterName, _: &ServiceName) -> Remote<Option<Service>> {
        self.fails("DescribeServices")?;
        // The first look is the one before anything changes: it finds what the next one does.
        if self.is_first("DescribeServices") {
            return Ok(self.services.peek());
        }
        Ok(self.services.next())
    }

    async fn redeploy(
        &self,
        _: &ClusterName,
        service: &ServiceName,
        tasks: Option<u32>,
    ) -> Remote<Option<DeploymentId>> {
        let number = tasks.map_or_else(String::new, |tasks| format!("{tasks} "));
        let what = format!("{service} ({number}new tasks)");
        self.change("UpdateService", &what, None)?;
        Ok(None)
    }

    async fn tasks(&self, _: &ClusterName, _: &ServiceName) -> Remote<Vec<Task>> {
        self.fails("ListTasks")?;
        Ok(self.running.clone())
    }

    async fn stopped_tasks(
        &self,
        _: &ClusterName,
        _: &ServiceName,
        _: Option<&DeploymentId>,
    ) -> Remote<Vec<StoppedTask>> {
        self.fails("DescribeTasks")?;
        Ok(self.stopped.next())
    }

    async fn deployment_record(
        &self,
        _: &ClusterName,
        _: &ServiceName,
        _: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>> {
        self.fails("ListServiceDeployments")?;
        Ok(self.record.clone())
    }

    async fn active_deployments(
        &self,
        _: &ClusterName,
        _: &ServiceName,
    ) -> Remote<Vec<ActiveDeployment>> {
        self.fails("ListServiceDeployments")?;
        Ok(self.active.next())
    }

    async fn stop_deployment(&self, arn: &str) -> Remote<()> {
        self.change("StopServiceDeployment", arn, None)
    }

    async fn answer_hook(&self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        let answer = match answer {
            HookAnswer::Continue => "continue",
            HookAnswer::RollBack => "roll back",
        };
        let what = format!("{} ({answer})", paused.hook);
        self.change("ContinueServiceDeployment", &what, None)
    }

    async fn listener_rule(&self, arn: &str) -> Remote<Option<ListenerRule>> {
        self.fails("DescribeRules")?;
        Ok(self.rules.iter().find(|rule| rule.arn == arn).cloned())
    }

    async fn health_check(&self, _: &TargetGroupArn) -> Remote<Option<HealthCheck>> {
        self.fails("DescribeTargetGroups")?;
        Ok(Some(super::answer::health_check()))
    }

    async fn targets(&self, group: &TargetGroupArn) -> Remote<Vec<Target>> {
        self.fails("DescribeTargetHealth")?;
        if self.idle == Some(group.as_str()) {
            return Ok(Vec::new());
        }
        if self.is_first("DescribeTargetHealth") {
            return Ok(self.targets.peek());
        }
        Ok(self.targets.next())
    }

    async fn cluster_exists(&self, cluster: &ClusterName) -> Remote<bool> {
        self.fails("DescribeClusters")?;
        Ok(self.is_there(cluster.as_str()))
    }

    async fn load_balancer_exists(&self, arn: &LoadBalancerArn) -> Remote<bool> {
        self.fails("DescribeLoadBalancers")?;
        Ok(self.is_there(arn.as_str()))
    }

    async fn image_of(&self, task_definition: &TaskDefinitionArn) -> Remote<Option<String>> {
        self.fails("DescribeTaskDefinition")?;
        Ok(self.images.get(task_definition.as_str()).cloned())
    }

    async fn run_task(&self, task: &OneOff<'_>, _: &RequestToken) -> Remote<String> {
        let what = format!("{} {:?}", task.task_definition, task.command);
        self.change("RunTask", &what, None)?;
        Ok("0123456789abcdef".to_owned())
    }

    async fn one_off_tasks(&self, _: &ClusterName) -> Remote<Vec<RunningOneOff>> {
        self.fails("ListTasks")?;
        Ok(self.one_off.clone())
    }

    async fn task(&self, _: &ClusterName, _: &str) -> Remote<Option<TaskState>> {
        self.fails("DescribeTasks")?;
        Ok(self.tasks.next())
    }

    async fn stop_task(&self, _: &ClusterName, id: &str) -> Remote<()> {
        self.change("StopTask", id, None)
    }

    async fn delete_task_definitions(&self, family: &str) -> Remote<usize> {
        self.change("DeleteTaskDefinitions", family, None)?;
        Ok(1)
    }
}

#[async_trait]
impl Logs for FakeWorld {
    async fn tail(&self, _: &LogGroupName, _: &LogStreamName, _: u16) -> Remote<Vec<String>> {
        self.fails("GetLogEvents")?;
        Ok(self.log.clone())
    }

    async fn lines(
        &self,
        _: &LogGroupName,
        stream: Option<&LogStreamName>,
        since_ms: i64,
        next: Option<&str>,
    ) -> Remote<LogPage> {
        if stream.is_none() {
            self.asked_for_lines(since_ms, next);
        }
        self.fails("FilterLogEvents")?;
        Ok(self.lines.next())
    }

    async fn group_exists(&self, group: &LogGroupName) -> Remote<bool> {
        self.fails("DescribeLogGroups")?;
        Ok(self.is_there(group.as_str()))
    }
}

#[async_trait]
impl Identity for FakeWorld {
    async fn caller(&self) -> Remote<Caller> {
        self.fails("GetCallerIdentity")?;
        Ok(crate::testing::caller())
    }
}

#[async_trait]
impl Account for FakeWorld {
    async fn account_resources(&self) -> Remote<Vec<String>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Roles for FakeWorld {
    async fn role_exists(&self, _: &str) -> Remote<bool> {
        self.fails("GetRole")?;
        Ok(self.has_service_linked_roles)
    }

    async fn make_service_linked_role(&self, service: &str) -> Remote<bool> {
        self.change("CreateServiceLinkedRole", service, None)?;
        Ok(!self.has_service_linked_roles)
    }
}

#[async_trait]
impl Secrets for FakeWorld {
    async fn secret_exists(&self, _: Store, names: &[String]) -> Remote<bool> {
        self.fails("DescribeSecret")?;
        Ok(names.iter().any(|name| self.is_there_at_all(name)))
    }

    async fn put_secret(&self, store: Store, name: &str, value: &str) -> Remote<()> {
        let length = value.len();
        self.change(
            "PutSecret",
            &format!("{store:?} {name} of {length} bytes"),
            None,
        )
    }
}
