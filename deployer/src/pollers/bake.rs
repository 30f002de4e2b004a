//! A version that passed the check, watched for a while longer: some crash only after their first requests.

use std::collections::HashSet;

use async_trait::async_trait;
use clock::Verdict;

use crate::pollers::{Check, EvidenceCollector, ExternalCheck, ServiceNames, checked};
use aws::remote::{Remote, World};
use deployment::event::{Checked, Event, Sink};
use deployment::rollout::{Deployment, Evidence, StoppedTask};

/// Checks in a row that have to fail: one may have met a lost packet.
const FAILURES_THAT_COUNT: u32 = 2;

/// What came up while a version was watched.
#[derive(Debug, Clone)]
pub enum Regression {
    /// A task of it ended that should not have.
    TaskEnded(Box<Evidence>),
    /// It does not answer any more, or with the wrong time.
    Failing(Checked),
    /// Another version is the primary deployment of the service.
    Replaced,
}

/// Who asks the version from outside, and how.
pub struct Asked<'a> {
    /// Who asks.
    pub outside: &'a dyn ExternalCheck,
    /// The check that it passed.
    pub check: &'a Check,
}

/// Watches a version; ends only when something is wrong with it.
pub struct Bake<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    names: &'a ServiceNames,
    /// Absent where only the load balancer's health checks count.
    asked: Option<Asked<'a>>,
    /// Tasks that had ended before; absent until they are known.
    ended_before: Option<HashSet<String>>,
    failures: u32,
}

impl<'a> Bake<'a> {
    /// Prepares to watch what the stack's outputs name.
    pub fn new(
        world: &'a dyn World,
        sink: &'a Sink,
        names: &'a ServiceNames,
        asked: Option<Asked<'a>>,
    ) -> Self {
        Self {
            world,
            sink,
            names,
            asked,
            ended_before: None,
            failures: 0,
        }
    }

    /// The failed tasks of this version that ended since the first look.
    async fn ended(&mut self) -> Remote<bool> {
        let names = self.names;
        let stopped = self
            .world
            .stopped_tasks(&names.cluster, &names.service, None);
        let stopped = stopped.await?;
        let is_ours = |task: &&StoppedTask| {
            task.task_definition == names.task_definition.as_str() && task.is_the_programs_doing()
        };
        let ours = stopped.iter().filter(is_ours);
        let Some(before) = &self.ended_before else {
            self.ended_before = Some(stopped.iter().map(|task| task.id.clone()).collect());
            return Ok(false);
        };
        Ok(ours.into_iter().any(|task| !before.contains(&task.id)))
    }

    async fn is_replaced(&self) -> Remote<bool> {
        let names = self.names;
        let service = self.world.service(&names.cluster, &names.service).await?;
        let mut deployments = service.into_iter().flat_map(|service| service.deployments);
        let primary = deployments.find(Deployment::is_primary);
        Ok(primary.is_some_and(|one| one.task_definition != names.task_definition.as_str()))
    }

    async fn ask(&mut self) -> Option<Checked> {
        let asked = self.asked.as_ref()?;
        let check = asked.check;
        let report = asked
            .outside
            .check(&check.url.target, &check.settings)
            .await;
        let found = checked(&report);
        let fails = match found.verdict {
            Verdict::Down => !found.unreachable,
            Verdict::Skewed => true,
            Verdict::Ok | Verdict::Indeterminate { .. } => false,
        };
        self.failures = if fails { self.failures + 1 } else { 0 };
        if fails && self.failures == 1 {
            let check = found.clone();
            self.sink.send(&Event::Checked { check });
        }
        (self.failures >= FAILURES_THAT_COUNT).then_some(found)
    }
}

#[async_trait]
impl crate::poll::Poller for Bake<'_> {
    type End = Regression;

    async fn poll(&mut self) -> Remote<Option<Regression>> {
        if self.ended().await? {
            let known = self.ended_before.clone().unwrap_or_default();
            let mut collector = EvidenceCollector::new(self.world, self.sink).knowing(known);
            collector.poll(self.names).await;
            let evidence = Box::new(collector.evidence().clone());
            return Ok(Some(Regression::TaskEnded(evidence)));
        }
        if self.is_replaced().await? {
            return Ok(Some(Regression::Replaced));
        }
        Ok(self.ask().await.map(Regression::Failing))
    }
}
