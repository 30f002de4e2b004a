//! Evidence for a failing rollout: stopped tasks and their last log lines, unhealthy targets, and
//! messages of the ECS service.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::pollers::ServiceNames;
use aws::remote::{Remote, World};
use deployment::event::{Event, Sink};
use deployment::names::DeploymentId;
use deployment::rollout::{
    Evidence, FailedTask, Service, StoppedTask, Target, TargetHealth, dedupe_key,
};

/// Number of log lines to keep per failed task.
const LOG_LINES: u16 = 10;
/// Number of failed tasks to report in any case. Further ones are reported only if they failed in
/// another way.
const TASKS_TOLD: usize = 2;
/// Number of further reads of an empty task log. CloudWatch may deliver lines after the task has
/// stopped.
const LOG_READS: u8 = 3;

/// Collector of evidence across polls. Errors are ignored: the next poll asks again, and they must
/// not hide the actual failure.
pub struct EvidenceCollector<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    evidence: Evidence,
    tasks: HashSet<String>,
    targets: HashSet<(String, Option<String>)>,
    messages: HashSet<String>,
    /// Remaining reads per task whose log was empty so far.
    logs_awaited: HashMap<String, u8>,
    /// Start of the rollout. Earlier service messages concern something else.
    since: Option<DateTime<Utc>>,
    /// Id of our deployment.
    deployment: Option<DeploymentId>,
    /// Number of failed tasks when the deployment record was last read.
    record_read_at: Option<u32>,
    knows_health_check: bool,
}

impl<'a> EvidenceCollector<'a> {
    /// Creates an empty collector.
    pub fn new(world: &'a dyn World, sink: &'a Sink) -> Self {
        Self {
            world,
            sink,
            evidence: Evidence::default(),
            tasks: HashSet::new(),
            targets: HashSet::new(),
            messages: HashSet::new(),
            logs_awaited: HashMap::new(),
            since: None,
            deployment: None,
            record_read_at: None,
            knows_health_check: false,
        }
    }

    /// Treats these tasks as already reported.
    #[must_use]
    pub fn knowing(self, tasks: HashSet<String>) -> Self {
        Self { tasks, ..self }
    }

    /// Returns the evidence collected so far.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Reads service and targets, then collects everything.
    pub async fn poll(&mut self, names: &ServiceNames) {
        let service = self.world.service(&names.cluster, &names.service).await;
        let service = service.ok().flatten();
        let targets = names.targets(self.world).await;
        self.count(names, service.as_ref());
        self.gather(names, service.as_ref(), &targets.unwrap_or_default())
            .await;
    }

    /// Updates the number of failed tasks.
    pub fn count(&mut self, names: &ServiceNames, service: Option<&Service>) {
        let Some(service) = service else { return };
        let Some(ours) = service.deployment_of(names.task_definition.as_str()) else {
            return;
        };
        let evidence = &mut self.evidence;
        // ECS may serve an older response, so the count must not go back.
        evidence.failed_tasks = evidence.failed_tasks.max(ours.failed);
        evidence.threshold = evidence.threshold.or(service.threshold);
        let has_tasks = ours.running + ours.pending + ours.failed > 0;
        evidence.had_tasks = Some(has_tasks || evidence.had_tasks == Some(true));
        // `createdAt` may be absent. Then only messages after the newest known one belong to the
        // rollout.
        self.deployment = Some(DeploymentId::new(&ours.id));
        let newest = || service.events.iter().map(|event| event.at).max();
        self.since = self.since.or(ours.created).or_else(newest);
    }

    /// Records problems when they first appear. ECS forgets stopped tasks and deregistered targets
    /// soon.
    pub async fn gather(
        &mut self,
        names: &ServiceNames,
        service: Option<&Service>,
        targets: &[Target],
    ) {
        self.gather_tasks(names).await;
        self.gather_targets(targets);
        self.gather_events(service);
        self.read_record(names).await;
        self.read_health_check(names).await;
    }

    async fn gather_tasks(&mut self, names: &ServiceNames) {
        let deployment = self.deployment.as_ref();
        let stopped = self
            .world
            .stopped_tasks(&names.cluster, &names.service, deployment)
            .await;
        // Awaited logs come first: tasks added below have just been read.
        self.read_awaited_logs(names).await;
        for task in stopped.unwrap_or_default() {
            let ours = task.task_definition == names.task_definition.as_str() && task.is_failure();
            if ours && self.tasks.insert(task.id.clone()) {
                self.gather_task(names, task).await;
            }
        }
    }

    async fn gather_task(&mut self, names: &ServiceNames, task: StoppedTask) {
        let known = &self.evidence.tasks;
        let is_new = !known
            .iter()
            .any(|failed| failed.task.has_same_cause_as(&task));
        let worth_telling = is_new || known.len() < TASKS_TOLD;
        let mut log = Vec::new();
        if worth_telling {
            log = self.log_of(names, &task.id).await.unwrap_or_default();
            // A container that never started has no exit code and writes no log.
            if log.is_empty() && task.exit_code.is_some() {
                self.logs_awaited.insert(task.id.clone(), LOG_READS);
            }
            self.sink.send(&Event::TaskFailed {
                task: task.clone(),
                log: log.clone(),
            });
        }
        self.evidence.tasks.push(FailedTask { task, log });
    }

    async fn log_of(&self, names: &ServiceNames, task: &str) -> Remote<Vec<String>> {
        let stream = super::log_stream(task);
        self.world.tail(&names.log_group, &stream, LOG_LINES).await
    }

    /// Reads logs again that were empty.
    async fn read_awaited_logs(&mut self, names: &ServiceNames) {
        self.logs_awaited.retain(|_, looks| *looks > 0);
        let awaited: Vec<String> = self.logs_awaited.keys().cloned().collect();
        for id in awaited {
            let log = self.log_of(names, &id).await.unwrap_or_default();
            if let Some(looks) = self.logs_awaited.get_mut(&id) {
                // Any line ends the wait, even if more are still to come.
                *looks = if log.is_empty() { *looks - 1 } else { 0 };
            }
            let mut tasks = self.evidence.tasks.iter_mut();
            if let Some(failed) = tasks.find(|failed| failed.task.id == id) {
                failed.log = log;
            }
        }
    }

    fn gather_targets(&mut self, targets: &[Target]) {
        let registering = targets
            .iter()
            .filter(|one| one.state == TargetHealth::Initial);
        self.evidence.registering = registering.cloned().collect();
        for target in targets.iter().filter(|target| target.is_in_trouble()) {
            let news = (target.id.clone(), target.reason.clone());
            if self.targets.insert(news) {
                self.sink.send(&Event::TargetUnhealthy {
                    target: target.clone(),
                });
                self.evidence.targets.push(target.clone());
            }
        }
    }

    fn gather_events(&mut self, service: Option<&Service>) {
        let (Some(service), Some(since)) = (service, self.since) else {
            return;
        };
        let mut events: Vec<_> = service
            .events
            .iter()
            .filter(|event| event.at >= since && event.is_about_a_problem())
            .collect();
        events.sort_by_key(|event| event.at);
        for event in events {
            if self.messages.insert(dedupe_key(&event.message)) {
                self.sink.send(&Event::ServiceComplained {
                    at: event.at,
                    message: event.message.clone(),
                });
                self.evidence.events.push(event.clone());
            }
        }
    }

    /// Reads the deployment record of ECS again whenever another task has failed.
    async fn read_record(&mut self, names: &ServiceNames) {
        let failed = self.evidence.failed_tasks;
        if failed == 0 || self.record_read_at >= Some(failed) {
            return;
        }
        let record = self
            .world
            .deployment_record(&names.cluster, &names.service, &names.task_definition)
            .await;
        match record {
            Ok(record) => {
                self.record_read_at = Some(failed);
                let Some(record) = record else { return };
                let evidence = &mut self.evidence;
                evidence.failed_tasks = failed.max(record.failed_tasks);
                evidence.threshold = record.threshold.or(evidence.threshold);
                evidence.rollback_reason = record.rollback_reason;
            }
            Err(error) if error.kind.is_passing() => {}
            // Not every endpoint implements this API, and not every user has permission. Do not ask
            // again.
            Err(_) => self.record_read_at = Some(u32::MAX),
        }
    }

    /// Reads the health check settings once, and only if a health check failed.
    async fn read_health_check(&mut self, names: &ServiceNames) {
        let evidence = &self.evidence;
        let matters = !evidence.targets.is_empty()
            || evidence
                .tasks
                .iter()
                .any(|failed| failed.task.failed_its_health_checks())
            || evidence
                .events
                .iter()
                .any(|event| event.message.contains("unhealthy"));
        if !matters || self.knows_health_check {
            return;
        }
        match self.world.health_check(&names.target_group).await {
            Ok(check) => {
                self.evidence.health_check = check;
                self.knows_health_check = true;
            }
            // A transient error is worth another attempt; a denied permission is not.
            Err(error) => self.knows_health_check = !error.kind.is_passing(),
        }
    }
}
