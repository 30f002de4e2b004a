//! Bake time: keeps polling a version that passed its check. Some versions crash only after their
//! first requests.

use std::collections::HashSet;

use async_trait::async_trait;
use clock::Verdict;

use crate::pollers::{Check, EvidenceCollector, ExternalCheck, ServiceNames, checked};
use aws::remote::{Remote, World};
use deployment::event::{Checked, Event, Sink};
use deployment::rollout::{Deployment, Evidence, StoppedTask};

/// Number of consecutive failed checks that count as a regression. A single one may be a lost
/// packet.
const FAILURES_THAT_COUNT: u32 = 2;

/// Regression found during the bake time.
#[derive(Debug, Clone)]
pub enum Regression {
    /// One of its tasks stopped on its own.
    TaskEnded(Box<Evidence>),
    /// The service no longer responds, or reports a wrong time.
    Failing(Checked),
    /// Another task definition is the primary deployment of the service.
    Replaced,
}

/// External check to repeat during the bake time.
pub struct Asked<'a> {
    /// Implementation that sends the requests.
    pub outside: &'a dyn ExternalCheck,
    /// Check that the version passed.
    pub check: &'a Check,
}

/// Poller for a version during its bake time. Ends only on a regression.
pub struct Bake<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    names: &'a ServiceNames,
    /// Absent if only the load balancer's health checks count.
    asked: Option<Asked<'a>>,
    /// Ids of the tasks that had stopped at the first poll; absent before it.
    ended_before: Option<HashSet<String>>,
    failures: u32,
}

impl<'a> Bake<'a> {
    /// Creates a poller for the service that the stack's outputs name.
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

    /// Returns whether a task of this version has failed since the first poll.
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
            // The first poll only records a baseline: tasks of the rollout itself may have stopped
            // before.
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
        // A request that never arrived says more about the path from here than about the version.
        // Failed health checks still stop tasks, which `ended` notices.
        let fails = match found.verdict {
            Verdict::Down => !found.unreachable,
            Verdict::Skewed => true,
            Verdict::Ok | Verdict::Indeterminate { .. } => false,
        };
        self.failures = if fails { self.failures + 1 } else { 0 };
        // Report the first failure immediately. It counts only if the next check fails too.
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
            // The baseline goes along so that only newly stopped tasks become evidence.
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
