//! Check of a version at the gate, through a header that routes to its tasks only.

use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;
use clock::{Header, Kind};

use super::{Deployer, verify};
use crate::checks::public_url;
use crate::cli::CheckFrom;
use crate::pollers::{
    Checking, Gate, Objection, Probe, PublicUrl, Rejection, ServiceNames, StackEnd, UnderWay,
    Verification,
};
use aws::remote::Remote;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::event::Probed;
use deployment::names::{Digest, ImageUri};
use deployment::rollout::gate::{HookAnswer, Intent};
use deployment::stack::Observed;
use deployment::stack::template_names::OutputName;
use deployment::template;

/// Version that waits at the gate.
pub(super) struct VersionAtGate<'a> {
    deployer: &'a Deployer<'a>,
    url: PublicUrl,
    digest: Digest,
    /// Value of the header, known only to those who can read the stack's id.
    key: String,
    /// Time limit of the check.
    limit: Option<Duration>,
}

impl<'a> VersionAtGate<'a> {
    /// Creates a check for the version with this image. Returns `None` if the stack has no URL
    /// output yet.
    pub(super) fn new(
        deployer: &'a Deployer<'a>,
        stack: &Observed,
        digest: &Digest,
    ) -> Result<Option<Self>, Failure> {
        let Some(url) = stack.output(OutputName::Url) else {
            return Ok(None);
        };
        Ok(Some(Self {
            deployer,
            url: public_url(deployer.context.config, url)?,
            digest: digest.clone(),
            key: stack.id.unique().to_owned(),
            limit: Some(deployer.context.config.verify_timeout),
        }))
    }

    /// Returns the failure for a version that did not pass and was rolled back.
    pub(super) fn not_passed(&self, rejection: Rejection) -> Failure {
        let url = &self.url;
        let failure = match rejection.objection {
            Objection::ProvenWrong(last) => verify::wrong_clock(&url.shown, last),
            Objection::Refused(refusal) => verify::refused(None, url, refusal),
            Objection::TimedOut(last) => {
                let seconds = self.deployer.context.config.verify_timeout.as_secs();
                verify::not_verified(&url.shown, last.as_ref(), seconds)
            }
            Objection::Public(probe) => Failure::new(
                FailureKind::CheckFailed,
                format!(
                    "public requests fail since it gets some of them: {} of {}",
                    probe.failed, probe.requests
                ),
            )
            .because(
                probe
                    .first_failure
                    .as_deref()
                    .unwrap_or("no reason is given"),
            ),
        };
        let message = &failure.message;
        Failure {
            message: format!("the new version did not pass the gate: {message}"),
            ..failure
        }
        .leaving(
            Aftermath::RestoredPrevious,
            if rejection.had_traffic {
                "; the previous state is restored, and it gets no public request any more"
            } else {
                "; no public request has reached it, and the previous state is restored"
            },
        )
    }
}

#[async_trait]
impl Checking for VersionAtGate<'_> {
    async fn at_the_gate(&self, names: &ServiceNames) -> Option<Verification<'_>> {
        let Deployer {
            context,
            world,
            host,
            was_a_clock,
            ..
        } = *self.deployer;
        if context.config.check_from == CheckFrom::TargetHealth {
            return None;
        }
        let mut checks = context.checks(world, names, &self.url).await;
        // The gate must demand no less than the check after the rollout: the previous version was a
        // clock.
        if was_a_clock {
            checks.retain(|check| check.kind() == Kind::Clock);
        }
        // Without the header, the load balancer would route the check to the previous version.
        for check in &mut checks {
            check.settings.headers.push(Header {
                name: template::GATE_HEADER.to_owned(),
                value: self.key.clone(),
            });
        }
        let service = world.service(&names.cluster, &names.service).await;
        let tasks = service.ok().flatten();
        let tasks = tasks.and_then(|service| service.tasks_of(names.task_definition.as_str()));
        let tasks = tasks.unwrap_or(context.config.service.tasks);
        Some(Verification::new(
            context.sink,
            host,
            checks,
            &self.digest,
            (world, names, tasks),
        ))
    }

    fn limit(&self) -> Option<Duration> {
        self.limit
    }

    fn public(&self) -> Option<Probed> {
        self.deployer.probe.map(Probe::seen)
    }
}

impl Deployer<'_> {
    /// Waits for an operation of somebody else on the stack, such as a run of this program that was
    /// killed. Meanwhile, checks a version at the gate on its behalf. Without an answer, ECS rolls
    /// back when the hook times out.
    pub(crate) async fn wait_for_others(&self, stack: &Observed) -> Result<StackEnd, Failure> {
        let waiting = self.context.wait_for(self.world, stack);
        tokio::select! {
            // An operation that has ended decides, even if the gate fails in the same moment.
            biased;
            end = waiting => end,
            never = Box::pin(self.keep_the_gate(stack)) => match never {},
        }
    }

    /// Answers for versions at the gate while it is polled.
    pub(super) async fn keep_the_gate(&self, stack: &Observed) -> Infallible {
        let mut deployments = UnderWay::new(self.world, stack);
        loop {
            if let Err(error) = self.answer_for_others(stack, &mut deployments).await
                && !error.kind.is_passing()
            {
                // The other operation continues without us, so it is still worth waiting for.
                deployments.warn(self.context.sink, &error);
                return std::future::pending().await;
            }
            tokio::time::sleep(self.context.config.access.pace.poll).await;
        }
    }

    /// Polls once for a version at the gate, and answers for it until it waits no more. A version
    /// that is only unproven is left to its own run, and one that cannot be checked to the timeout.
    async fn answer_for_others(
        &self,
        stack: &Observed,
        deployments: &mut UnderWay<'_>,
    ) -> Remote<()> {
        let world = self.world;
        let Some(first) = deployments.paused().await?.into_iter().next() else {
            return Ok(());
        };
        let intent = if deployments.restores(&first) {
            Intent::Restore
        } else {
            Intent::Prove
        };
        let image = world.image_of(&first.task_definition).await?;
        let image = image.and_then(|image| image.parse::<ImageUri>().ok());
        let version = image.map(|image| VersionAtGate::new(self, stack, image.digest()));
        let version = version.and_then(Result::ok).flatten();
        let Some((version, names)) = version.zip(deployments.names(&first)) else {
            return match intent {
                Intent::Restore => world.answer_hook(&first, HookAnswer::Continue).await,
                Intent::Prove | Intent::Undo => Ok(()),
            };
        };
        let version = VersionAtGate {
            limit: None,
            ..version
        };
        let mut gate = Gate::new(world, self.context.sink, intent, &version);
        loop {
            gate.poll(&names).await?;
            // The hook may be answered meanwhile by the other run, or time out.
            let waiting = deployments.paused().await?;
            if waiting.iter().all(|one| one.arn != first.arn) {
                return Ok(());
            }
            tokio::time::sleep(self.context.config.access.pace.poll).await;
        }
    }
}
