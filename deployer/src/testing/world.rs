//! The world itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::Transcript;
use super::answer::{change, resource, rolled_out, targets};
use super::moment::{Moment, There, image, of_others};
use super::script::Script;
use crate::pollers::ServiceNames;
use aws::remote::{LogPage, Remote, RemoteError, RunningOneOff, TaskState};
use deployment::names::{
    ClusterName, LogGroupName, RequestToken, ServiceName, StackId, TargetGroupArn,
    TaskDefinitionArn,
};
use deployment::rollout::gate::{ActiveDeployment, PausedDeployment, ServiceDeploymentStatus};
use deployment::rollout::traffic::ListenerRule;
use deployment::rollout::{DeploymentRecord, Service, StoppedTask, Target, Task};
use deployment::stack::request::{Proposal, Resource, TemplateParameter};
use deployment::stack::status::StackStatus;
use deployment::stack::template_names::ParameterName;
use deployment::stack::{Observed, ResourceEvent};

/// Something is found as often as somebody looks.
pub(crate) const FOR_EVER: usize = usize::MAX;

/// Where the service is.
pub(crate) fn service_names() -> ServiceNames {
    ServiceNames {
        cluster: ClusterName::new("clock-cluster"),
        service: ServiceName::new("clock-service"),
        task_definition: TaskDefinitionArn::new("arn:task-definition/clock:2"),
        target_group: TargetGroupArn::new("clock-targets"),
        other_target_group: None,
        log_group: LogGroupName::new("clock-loggroup"),
    }
}

/// Answers from a script. Unless scripted otherwise the account holds the usual resources, a change set changes the task
/// definition, the rollout is over at once, and the services other than CloudFormation know none of the resources.
pub(crate) struct FakeWorld {
    transcript: Transcript,
    pub(super) state: Mutex<State>,
    pub(super) moments: Script<Moment>,
    pub(super) proposals: Script<Proposal>,
    pub(super) resources: Script<Vec<Resource>>,
    pub(super) services: Script<Option<Service>>,
    pub(super) targets: Script<Vec<Target>>,
    pub(super) running: Vec<Task>,
    pub(super) stopped: Script<Vec<StoppedTask>>,
    /// Where the task of a single command stands, look by look.
    pub(super) tasks: Script<Option<TaskState>>,
    /// Metadata of the wait condition.
    pub(super) metadata: Option<String>,
    /// Tasks of single commands that run.
    pub(super) one_off: Vec<RunningOneOff>,
    pub(super) log: Vec<String>,
    /// Task definition → image.
    pub(super) images: HashMap<String, String>,
    pub(super) record: Option<DeploymentRecord>,
    pub(super) active: Script<Vec<ActiveDeployment>>,
    /// Listener rules of the load balancer.
    pub(super) rules: Vec<ListenerRule>,
    /// Target group without targets.
    pub(super) idle: Option<&'static str>,
    pub(super) lines: Script<LogPage>,
    /// Text of the template that is deployed.
    pub(super) template: &'static str,
    /// Parameters of the template.
    pub(super) declared: Vec<TemplateParameter>,
    pub(super) has_service_linked_roles: bool,
    /// The image that somebody else has deployed since the stack was looked at.
    pub(super) deployed_meanwhile: Option<String>,
}

/// What calls leave behind.
#[derive(Default)]
pub(super) struct State {
    /// Which of the stacks of that name it is: each creation makes another.
    pub(super) generation: u32,
    /// Of the last request that changed something.
    token: Option<RequestToken>,
    pub(super) events: Vec<ResourceEvent>,
    failures: Vec<(&'static str, RemoteError)>,
    /// Parameters of the stack as it was seen last.
    pub(super) parameters: BTreeMap<String, String>,
    there: HashMap<&'static str, usize>,
    /// Tags of the stack.
    pub(super) tags: BTreeMap<String, String>,
    /// The registry has lost what is deployed.
    pub(super) lost_image: bool,
    /// Operations that were called.
    called: HashSet<&'static str>,
}

impl FakeWorld {
    /// A world in which the stack goes through these moments, one a look; the last stays, without happening again.
    pub(crate) fn new(moments: impl IntoIterator<Item = Moment>) -> Self {
        let mut moments: Vec<Moment> = moments.into_iter().collect();
        moments.extend(moments.last().cloned().map(Moment::without_events));
        let all = [
            "Cluster",
            "LoadBalancer",
            "Repository",
            "LogGroup",
            "Service",
        ];
        let all = all.map(|logical_id| resource(logical_id, "CREATE_COMPLETE"));
        let change = change("Modify", "TaskDefinition");
        Self {
            transcript: Transcript::default(),
            state: Mutex::new(State {
                generation: 1,
                ..State::default()
            }),
            moments: Script::new("DescribeStacks", moments),
            proposals: Script::new("DescribeChangeSet", [Proposal::Ready(vec![change])]),
            resources: Script::new("ListStackResources", [all.to_vec()]),
            services: Script::new("DescribeServices", [rolled_out()]),
            targets: Script::new("DescribeTargetHealth", [targets(&["healthy", "healthy"])]),
            running: Vec::new(),
            stopped: Script::new("DescribeTasks", [Vec::new()]),
            tasks: Script::new("DescribeTasks", [None]),
            metadata: None,
            one_off: Vec::new(),
            log: Vec::new(),
            images: HashMap::new(),
            record: None,
            active: Script::new("ListServiceDeployments", [Vec::new()]),
            rules: Vec::new(),
            idle: None,
            lines: Script::new("FilterLogEvents", [LogPage::default()]),
            template: "the template of before",
            declared: Vec::new(),
            has_service_linked_roles: true,
            deployed_meanwhile: None,
        }
    }

    /// Deployments that wait at the gate, one list a look.
    pub(crate) fn paused(self, answers: impl IntoIterator<Item = Vec<PausedDeployment>>) -> Self {
        let active = |paused: PausedDeployment| ActiveDeployment {
            arn: paused.arn.clone(),
            status: ServiceDeploymentStatus::InProgress,
            stage: paused.stage.clone(),
            task_definition: paused.task_definition.clone(),
            has_previous: true,
            share: 0.0,
            paused: vec![paused],
        };
        let answers = answers.into_iter();
        self.deploying(answers.map(|paused| paused.into_iter().map(active).collect()))
    }

    /// Deployments that move traffic, one list a look.
    pub(crate) fn deploying(
        self,
        answers: impl IntoIterator<Item = Vec<ActiveDeployment>>,
    ) -> Self {
        let active = Script::new("ListServiceDeployments", answers);
        Self { active, ..self }
    }

    /// The load balancer has these listener rules, and no targets in this group.
    pub(crate) fn rules(self, rules: Vec<ListenerRule>, idle: &'static str) -> Self {
        let idle = Some(idle);
        Self {
            rules,
            idle,
            ..self
        }
    }

    /// Somebody else has deployed the image whose digest consists of this digit since the stack was looked at.
    pub(crate) fn deployed_meanwhile(self, digit: char) -> Self {
        let deployed_meanwhile = Some(image(digit));
        Self {
            deployed_meanwhile,
            ..self
        }
    }

    /// What is deployed was made of this template.
    pub(crate) fn made_of(self, template: &'static str) -> Self {
        Self { template, ..self }
    }

    /// These events happened before anybody looked; they belong to operations of others.
    pub(crate) fn past(self, events: impl IntoIterator<Item = ResourceEvent>) -> Self {
        let events = events.into_iter().map(of_others).collect();
        self.state.lock().unwrap().happen(events);
        self
    }

    /// The next call of this operation fails; several failures of one operation come one after the other.
    pub(crate) fn failing(self, operation: &'static str, error: RemoteError) -> Self {
        self.state.lock().unwrap().failures.push((operation, error));
        self
    }

    /// What looks at the change set find.
    pub(crate) fn proposals(self, answers: impl IntoIterator<Item = Proposal>) -> Self {
        let proposals = Script::new("DescribeChangeSet", answers);
        Self { proposals, ..self }
    }

    /// What the stack consists of, look by look.
    pub(crate) fn resources(self, answers: impl IntoIterator<Item = Vec<Resource>>) -> Self {
        let resources = Script::new("ListStackResources", answers);
        Self { resources, ..self }
    }

    /// What ECS says about the service, look by look.
    pub(crate) fn services(self, answers: impl IntoIterator<Item = Option<Service>>) -> Self {
        let services = Script::new("DescribeServices", answers);
        Self { services, ..self }
    }

    /// What the load balancer says about its targets, look by look.
    pub(crate) fn targets(self, answers: impl IntoIterator<Item = Vec<Target>>) -> Self {
        let targets = Script::new("DescribeTargetHealth", answers);
        Self { targets, ..self }
    }

    /// Tasks that run.
    pub(crate) fn running(self, running: Vec<Task>) -> Self {
        Self { running, ..self }
    }

    /// Tasks that stopped, look by look, and what each of them had logged.
    pub(crate) fn stopped(
        self,
        answers: impl IntoIterator<Item = Vec<StoppedTask>>,
        log: &[&str],
    ) -> Self {
        Self {
            stopped: Script::new("DescribeTasks", answers),
            log: log.iter().map(|line| (*line).to_owned()).collect(),
            ..self
        }
    }

    /// Where the task of a single command stands, look by look.
    pub(crate) fn task(self, answers: impl IntoIterator<Item = Option<TaskState>>) -> Self {
        let tasks = Script::new("DescribeTasks", answers);
        Self { tasks, ..self }
    }

    /// The update waits for a release command with this metadata, and its task logs these lines.
    pub(crate) fn releasing(self, metadata: &str, log: &[&str]) -> Self {
        Self {
            metadata: Some(metadata.to_owned()),
            log: log.iter().map(|line| (*line).to_owned()).collect(),
            ..self
        }
    }

    /// Tasks of single commands that run: their ids, and by whom they were started.
    pub(crate) fn one_off<const N: usize>(self, tasks: [(&str, &str); N]) -> Self {
        let one_off = tasks.map(|(id, started_by)| RunningOneOff {
            id: id.to_owned(),
            started_by: started_by.to_owned(),
        });
        Self {
            one_off: one_off.into(),
            ..self
        }
    }

    /// What ECS keeps about our deployment.
    pub(crate) fn record(self, record: DeploymentRecord) -> Self {
        Self {
            record: Some(record),
            ..self
        }
    }

    /// The pages of the log, one a question.
    pub(crate) fn lines(self, pages: impl IntoIterator<Item = LogPage>) -> Self {
        let lines = Script::new("FilterLogEvents", pages);
        Self { lines, ..self }
    }

    /// Writes down from where lines were asked for.
    pub(super) fn asked_for_lines(&self, since_ms: i64, next: Option<&str>) {
        let next = next.map(|next| format!(", {next}")).unwrap_or_default();
        self.transcript
            .line(&format!("? lines since {since_ms}{next}"));
    }

    /// This many looks find the resource with this name at its own service.
    pub(crate) fn there(self, physical_id: &'static str, looks: usize) -> Self {
        self.state.lock().unwrap().there.insert(physical_id, looks);
        self
    }

    /// What task definitions run, by ARN.
    pub(crate) fn images<const N: usize>(self, images: [(&str, &str); N]) -> Self {
        let images = images.map(|(arn, image)| (arn.to_owned(), image.to_owned()));
        Self {
            images: images.into(),
            ..self
        }
    }

    /// What the template declares: names, with a default value or without.
    pub(crate) fn declaring<const N: usize>(self, declared: [(&str, Option<&str>); N]) -> Self {
        let declared = declared.map(|(name, default)| TemplateParameter {
            name: name.to_owned(),
            default: default.map(str::to_owned),
        });
        Self {
            declared: declared.into(),
            ..self
        }
    }

    /// The registry has lost the image that is deployed.
    pub(crate) fn without_the_image(self) -> Self {
        self.state.lock().unwrap().lost_image = true;
        self
    }

    /// The account has never used ECS, nor a load balancer.
    pub(crate) fn without_service_linked_roles(self) -> Self {
        Self {
            has_service_linked_roles: false,
            ..self
        }
    }

    /// The transcript that this world writes to.
    pub(crate) fn transcript(&self) -> Transcript {
        self.transcript.clone()
    }

    /// For commands.
    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Fails unless all moments of the stack were looked at.
    pub(crate) fn assert_played(&self) {
        let left = self.moments.left();
        assert_eq!(left, 0, "{left} moments of the script were not looked at");
    }

    /// The failure that is scripted for this call, if there is one.
    pub(super) fn fails(&self, operation: &'static str) -> Remote<()> {
        let failures = &mut self.state.lock().unwrap().failures;
        match failures.iter().position(|(name, _)| *name == operation) {
            Some(at) => Err(RemoteError {
                operation,
                ..failures.remove(at).1
            }),
            None => Ok(()),
        }
    }

    /// Writes down a call that changes something.
    pub(super) fn change(
        &self,
        operation: &'static str,
        what: &str,
        token: Option<&RequestToken>,
    ) -> Remote<()> {
        let result = self.fails(operation);
        let refused = if result.is_err() { " (refused)" } else { "" };
        self.transcript
            .changed(&format!("{operation} {what}{refused}"));
        if let (Ok(()), Some(token)) = (&result, token) {
            self.state.lock().unwrap().token = Some(token.clone());
        }
        result
    }

    /// Is this the first call of the operation, about a stack that runs a version already?
    pub(crate) fn is_first(&self, operation: &'static str) -> bool {
        let mut state = self.state.lock().unwrap();
        state.called.insert(operation)
            && state
                .parameters
                .contains_key(ParameterName::ImageUri.as_str())
    }

    /// Is it there, however often somebody looks?
    pub(super) fn is_there_at_all(&self, name: &str) -> bool {
        self.state.lock().unwrap().there.contains_key(name)
    }

    pub(super) fn is_there(&self, physical_id: &str) -> bool {
        let mut state = self.state.lock().unwrap();
        match state.there.get_mut(physical_id) {
            Some(0) | None => false,
            Some(looks) => {
                *looks -= 1;
                true
            }
        }
    }
}

impl State {
    /// Adds these to what happened, newest last.
    fn happen(&mut self, events: Vec<ResourceEvent>) {
        for event in events {
            let number = self.events.len() + 1;
            self.events.push(ResourceEvent {
                id: format!("event-{number}"),
                at_ms: i64::try_from(number).unwrap() * 1000,
                token: event.token.clone().or_else(|| self.token.clone()),
                ..event
            });
        }
    }

    pub(super) fn id(&self) -> StackId {
        format!("arn:stack/clock/{}", self.generation)
            .parse()
            .unwrap()
    }

    pub(super) fn see(&mut self, there: There) -> Observed {
        self.happen(there.events);
        self.parameters.clone_from(&there.parameters);
        Observed {
            id: self.id(),
            status: StackStatus::from(there.status),
            reason: there.reason,
            outputs: there.outputs,
            parameters: there.parameters,
            tags: self.tags.clone(),
        }
    }
}
