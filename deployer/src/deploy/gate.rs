//! Check of a version at the gate, through a header that routes to its tasks only.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use clock::{Header, Kind};

use super::{DeployError, Deployer, Rules, verify};
use crate::checks::public_url;
use crate::cli::CheckFrom;
use crate::explain::command_line;
use crate::pollers::{
    Checking, Gate, Objection, Probe, PublicUrl, Rejection, ServiceNames, StackEnd, UnderWay,
    Verification,
};
use aws::remote::Remote;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::event::Probed;
use deployment::names::{Digest, ImageUri};
use deployment::rollout::gate::{HookAnswer, Intent, LifecycleStage, PausedDeployment, expiry};
use deployment::rollout::traffic::ListenerRule;
use deployment::stack::Observed;
use deployment::stack::purpose::Purpose;
use deployment::stack::status::StackStatus;
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
    /// Set if another version ran before.
    has_previous: bool,
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
            has_previous: stack.output(OutputName::TaskDefinitionArn).is_some(),
        }))
    }

    /// Returns the failure for a version that did not pass and was rolled back.
    pub(super) fn not_passed(&self, rejection: Rejection) -> Failure {
        let url = &self.url;
        let failure = match rejection.objection {
            Objection::Declined | Objection::Undecided => {
                let message = if matches!(rejection.objection, Objection::Declined) {
                    "the new version was declined at the gate"
                } else {
                    "the new version waited at the gate, and was rolled back before anybody decided here"
                };
                let failure = Failure::new(FailureKind::RolledBack, message);
                return self.leaving(failure, false);
            }
            Objection::Unreliable(sampled) => Failure::new(
                FailureKind::CheckFailed,
                format!(
                    "it passes the check, but {} of {} requests to it fail",
                    sampled.failed, sampled.requests
                ),
            ),
            Objection::ProvenWrong(last) => verify::wrong_clock(&url.shown, last),
            Objection::Refused(refusal) => verify::refused(None, url, refusal),
            Objection::TimedOut(last) => {
                let seconds = self.deployer.context.config.verify_timeout.as_secs();
                verify::not_verified(&url.shown, last.as_ref(), seconds)
            }
            Objection::Public(counts, first) => Failure::new(
                FailureKind::CheckFailed,
                format!(
                    "public requests fail since it gets some of them: {} of {}",
                    counts.failed, counts.requests
                ),
            )
            .because(first.as_deref().unwrap_or("no reason is given")),
        };
        let message = &failure.message;
        let failure = Failure {
            message: format!("the new version did not pass the gate: {message}"),
            ..failure
        };
        self.leaving(failure, rejection.had_traffic)
    }

    /// Adds the outcome for a version that was rolled back.
    fn leaving(&self, failure: Failure, had_traffic: bool) -> Failure {
        if !self.has_previous {
            let words = "; it was removed: nothing ran before it";
            return failure.leaving(Aftermath::RemovedVersion, words);
        }
        let words = if had_traffic {
            "; the previous state is restored, and it gets no public request any more"
        } else {
            "; no public request has reached it, and the previous state is restored"
        };
        failure.leaving(Aftermath::RestoredPrevious, words)
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
        let probe = self.deployer.probe.map(Probe::seen);
        self.has_previous.then(|| probe.unwrap_or_default())
    }

    async fn decision(&self, paused: PausedDeployment) -> Option<HookAnswer> {
        let until = paused.expires_at.map(|at| format!(" until {}", expiry(at)));
        let until = until.unwrap_or_default();
        let question = if self.has_previous {
            format!(
                "The new version passed the check, and waits at the gate{until}. Let it take requests?"
            )
        } else {
            format!("The first version passed the check, and waits at the gate{until}. Keep it?")
        };
        self.deployer
            .host
            .decides(self.deployer.context, &question)
            .await
    }
}

impl Deployer<'_> {
    /// Moves the service to its first target group, before an update that leaves only that one.
    /// Public requests would go on to the second group while the update empties it.
    pub(super) async fn leave_the_second_group(&self, stack: &Observed) -> Result<(), Failure> {
        let Ok(names) = ServiceNames::of_stack(stack) else {
            return Ok(());
        };
        let failed = |error| self.context.remote_failure_under_way(&error);
        let rules = match &names.other_target_group {
            Some(_) => Rules::of(self.world, stack).await.map_err(failed)?,
            None => None,
        };
        let rule = rules.and_then(|rules| rules.production.1);
        let serving = rule.as_ref().and_then(ListenerRule::serving);
        if serving.is_none() || serving != names.other_target_group.as_ref() {
            return Ok(());
        }
        self.context.sink.note(
            "the second target group serves, which the update removes: the tasks move to the first one before",
        );
        let redeployed = self.world.redeploy(&names.cluster, &names.service, None);
        let deployment = redeployed.await.map_err(failed)?;
        let moved = tokio::select! {
            biased;
            moved = self.rollout(&names, deployment) => moved,
            failure = Box::pin(self.keep_the_gate(stack)) => Err(DeployError::Final(failure)),
        };
        moved.map(drop).map_err(DeployError::into_failure)
    }

    /// Returns whether the operation in progress was started with `--hold`.
    pub(super) async fn is_held(&self, stack: &Observed) -> Remote<bool> {
        if self.context.config.hold {
            return Ok(true);
        }
        let events = self.world.newest_events(&stack.id).await?;
        let newest = events.iter().min_by_key(|event| Reverse(event.at_ms));
        let token = newest.and_then(|event| event.token.as_ref());
        Ok(token.and_then(Purpose::parse) == Some(Purpose::HeldUp))
    }

    /// Returns whether the update goes on. An update that keeps the task definition, for example a
    /// change of the strategy, deploys what served before.
    async fn moves_forward(&self, stack: &Observed) -> Remote<bool> {
        let now = self.world.observe((&stack.id).into()).await?;
        Ok(now.is_some_and(|stack| stack.status == StackStatus::UpdateInProgress))
    }

    /// Returns the failure of a run that finds a version waiting for a decision.
    fn waits_for_a_decision(&self, paused: &PausedDeployment) -> Failure {
        let config = self.context.config;
        let failure = Failure::new(
            FailureKind::Busy,
            "a version waits at the gate for a decision",
        );
        let failure = match paused.expires_at {
            Some(at) => failure.because(format!("it is held until {}", expiry(at))),
            None => failure,
        };
        failure
            .hint(format!(
                "let it pass: `{}`",
                command_line(config, "continue")
            ))
            .hint(format!(
                "or roll it back: `{}`",
                command_line(config, "rollback")
            ))
    }

    /// Waits for an operation of somebody else on the stack, such as a run of this program that was
    /// killed. Meanwhile, runs its release command and checks a version at the gate on its behalf.
    /// Without an answer, CloudFormation or ECS rolls back when its time is over.
    pub(crate) async fn wait_for_others(&self, stack: &Observed) -> Result<StackEnd, Failure> {
        let waiting = self.context.wait_for(self.world, stack);
        tokio::select! {
            // An operation that has ended decides, even if the gate fails in the same moment.
            biased;
            end = waiting => end,
            failure = Box::pin(self.keep_the_gate(stack)) => Err(failure),
            never = Box::pin(self.keep_the_release(stack)) => match never {},
        }
    }

    /// Answers for versions at the gate while it is polled. Ends only if a version is held for a
    /// decision.
    pub(super) async fn keep_the_gate(&self, stack: &Observed) -> Failure {
        let mut deployments = UnderWay::new(self.world, stack);
        loop {
            match self.answer_for_others(stack, &mut deployments).await {
                Ok(Some(held)) => return self.waits_for_a_decision(&held),
                Err(error) if !error.kind.is_passing() => {
                    // The other operation continues without us, so it is still worth waiting for.
                    deployments.warn(self.context.sink, &error);
                    return std::future::pending().await;
                }
                Ok(None) | Err(_) => {}
            }
            tokio::time::sleep(self.context.config.access.pace.poll).await;
        }
    }

    /// Polls once for a version at the gate, and answers for it until it waits no more. A version
    /// that is only unproven is left to its own run, and one that cannot be checked to the timeout.
    /// Returns one that is held for a decision.
    async fn answer_for_others(
        &self,
        stack: &Observed,
        deployments: &mut UnderWay<'_>,
    ) -> Remote<Option<PausedDeployment>> {
        let world = self.world;
        let Some(first) = deployments.paused().await?.into_iter().next() else {
            return Ok(None);
        };
        let restores = deployments.restores(&first);
        if first.stage == LifecycleStage::PostTestTrafficShift
            && self.is_held(stack).await?
            && (!restores || self.moves_forward(stack).await?)
        {
            return Ok(Some(first));
        }
        let intent = if restores {
            Intent::Restore
        } else {
            Intent::Prove
        };
        let image = world.image_of(&first.task_definition).await?;
        let image = image.and_then(|image| image.parse::<ImageUri>().ok());
        // The check must demand what the run that was killed would have: a clock where one ran. A
        // restored version is not checked.
        let running = match intent {
            Intent::Prove => self.running(stack).await.ok().flatten(),
            Intent::Hold | Intent::Undo | Intent::Restore => None,
        };
        let deployer = Deployer {
            was_a_clock: running.is_some_and(|(_, told)| told),
            ..*self
        };
        let version = image.map(|image| VersionAtGate::new(&deployer, stack, image.digest()));
        let version = version.and_then(Result::ok).flatten();
        let Some((version, names)) = version.zip(deployments.names(&first)) else {
            if intent == Intent::Restore {
                match world.answer_hook(&first, HookAnswer::Continue).await {
                    // Somebody else answered, or the response to our own answer was lost.
                    Err(error) if !error.kind.is_refusal() => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            return Ok(None);
        };
        let version = VersionAtGate {
            limit: None,
            ..version
        };
        let gate = Gate::new(world, self.context.sink, intent, &version);
        let mut gate = gate.restoring(stack.output(OutputName::TaskDefinitionArn));
        loop {
            gate.poll(&names).await?;
            // The hook may be answered meanwhile by the other run, or time out.
            let waiting = deployments.paused().await?;
            if waiting.iter().all(|one| one.arn != first.arn) {
                return Ok(None);
            }
            tokio::time::sleep(self.context.config.access.pace.poll).await;
        }
    }
}
