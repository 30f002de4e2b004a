//! What makes a deployment a success: our version runs, and answers from outside as it should.

use super::{DeployError, Deployer, Proof};
use crate::cli::CheckFrom;
use crate::context::PublicUrl;
use crate::poll::Outcome;
use crate::pollers::{
    Asked, Bake, Regression, RolloutPoller, ServiceNames, Verification, Verified,
};
use crate::reachability::{UNPROVEN, all_healthy};
use deployment::error::{Failure, FailureKind};
use deployment::event::Checked;
use deployment::names::{DeploymentId, Digest};
use deployment::rollout::{Ended, Rollout};

impl Deployer<'_> {
    /// Follows the rollout of our task definition: a stack that is complete does not mean that it runs. Returns how many tasks the
    /// service runs.
    pub(super) async fn rollout(
        &self,
        names: &ServiceNames,
        deployment: Option<DeploymentId>,
    ) -> Result<u32, DeployError> {
        let context = self.context;
        let mut watch = RolloutPoller::new(self.world, context.sink, names).of(deployment);
        let limit = context.config.timeout;
        let followed = context.poll_for(&mut watch, limit).await;
        let end = match followed.map_err(DeployError::Final)? {
            Outcome::Completed(end) => end,
            Outcome::Cancelled => return Err(DeployError::NeedsRollback(Failure::interrupted())),
            Outcome::TimedOut => {
                let failure = context
                    .overdue("the rollout")
                    .because("not all tasks run and are healthy");
                let failure = context.explained(failure, watch.evidence(), Ended::GoesOn);
                return Err(DeployError::NeedsRollback(failure));
            }
        };
        let failure = match end.rollout {
            Rollout::Completed => return Ok(end.desired),
            Rollout::RolledBack(reason) | Rollout::Failed(reason) => {
                Failure::new(FailureKind::RolledBack, "the new version did not start")
                    .because(reason)
            }
            Rollout::Superseded => {
                let failure = Failure::new(
                    FailureKind::RolledBack,
                    "the new version was replaced while it rolled out",
                )
                .because("another version is the primary deployment of the service");
                let failure = context.explained(failure, &end.evidence, Ended::Superseded);
                return Err(DeployError::NeedsRollback(failure));
            }
            Rollout::InProgress => Failure::new(FailureKind::Unexpected, "the rollout did not end"),
        };
        let failure = context.explained(failure, &end.evidence, Ended::ForGood);
        Err(DeployError::NeedsRollback(failure.hint(
            "fix the program or its settings, then run `deployer up` again",
        )))
    }

    /// Proves the version that rolled out, in the way that the settings ask for. `tasks` are those that the service runs.
    pub(super) async fn verify(
        &self,
        names: &ServiceNames,
        url: &PublicUrl,
        digest: &Digest,
        tasks: u32,
    ) -> Result<Proof, DeployError> {
        match self.context.config.check_from {
            CheckFrom::Outside => self
                .check(names, url, digest, tasks)
                .await
                .map(Proof::Check),
            CheckFrom::TargetHealth => {
                let targets = self.world.targets(&names.target_group).await;
                let health = targets.ok().as_deref().and_then(all_healthy);
                let health = health.unwrap_or_else(|| "the rollout is complete".to_owned());
                let unproven = format!("not made from here: {health}. Not proven: {UNPROVEN}");
                self.context.sink.warn(format!("check {unproven}"));
                Ok(Proof::TargetHealth(unproven))
            }
        }
    }

    /// Checks from outside until all tasks, and no other, answer from the image with this digest.
    async fn check(
        &self,
        names: &ServiceNames,
        url: &PublicUrl,
        digest: &Digest,
        tasks: u32,
    ) -> Result<Checked, DeployError> {
        let context = self.context;
        let config = context.config;
        let settings = context.check_settings(tasks);
        let outside = self.host;
        let mut subject = Verification::new(context.sink, outside, &url.target, settings, digest)
            .of_tasks(self.world, names);
        let followed = context.poll_for(&mut subject, config.verify_timeout).await;
        let failure = match followed.map_err(DeployError::Final)? {
            Outcome::Completed(Verified::Working(checked)) => return Ok(checked),
            Outcome::Completed(Verified::ProvenWrong(last)) => wrong_clock(url, last),
            Outcome::Cancelled => return Err(DeployError::NeedsRollback(Failure::interrupted())),
            Outcome::TimedOut => {
                let last = subject.last();
                if let Some(last) = last.filter(|last| last.unreachable) {
                    // The way from here may be closed: then the load balancer knows better.
                    let targets = self.world.targets(&names.target_group).await;
                    if let Some(health) = targets.ok().as_deref().and_then(all_healthy) {
                        let cause = last.cause.as_deref().unwrap_or("no request arrives");
                        return Err(DeployError::Final(
                            context.unproven(&url.shown, cause, health),
                        ));
                    }
                }
                not_verified(url, last, config.verify_timeout.as_secs())
            }
        };
        Err(DeployError::NeedsRollback(failure))
    }

    /// Keeps watching a version that passed, for as long as the settings ask for.
    pub(super) async fn watch(
        &self,
        names: &ServiceNames,
        url: &PublicUrl,
    ) -> Result<(), DeployError> {
        let context = self.context;
        let seconds = context.config.watch_for.as_secs();
        let asked = (context.config.check_from == CheckFrom::Outside).then(|| Asked {
            outside: self.host,
            target: &url.target,
            settings: context.check_settings(0),
        });
        let mut subject = Bake::new(self.world, context.sink, names, asked);
        let followed = context
            .poll_for(&mut subject, context.config.watch_for)
            .await;
        let failure = match followed.map_err(DeployError::Final)? {
            Outcome::TimedOut => return Ok(()),
            Outcome::Cancelled => Failure::interrupted(),
            Outcome::Completed(Regression::TaskEnded(evidence)) => {
                let message = format!(
                    "the new version passed the check, but did not keep running for {seconds} s"
                );
                let failure = Failure::new(FailureKind::RolledBack, message);
                context
                    .explained(failure, &evidence, Ended::ForGood)
                    .hint("fix the program or its settings, then run `deployer up` again")
            }
            Outcome::Completed(Regression::Failing(last)) => Failure::new(
                FailureKind::CheckFailed,
                format!(
                    "{} passed the check, but is {} within {seconds} s",
                    url.shown,
                    last.verdict.name()
                ),
            )
            .because(
                last.cause
                    .unwrap_or_else(|| "it gives no reason".to_owned()),
            )
            .hint(format!("look yourself: `curl -i {}`", url.shown)),
            Outcome::Completed(Regression::Replaced) => Failure::new(
                FailureKind::RolledBack,
                "the new version was replaced while it was watched",
            )
            .because("another version is the primary deployment of the service"),
        };
        Err(DeployError::NeedsRollback(failure))
    }
}

/// A version whose clock is proven wrong.
fn wrong_clock(url: &PublicUrl, last: Checked) -> Failure {
    let message = format!("{} is SKEWED, proven twice in a row", url.shown);
    let cause = last
        .cause
        .unwrap_or_else(|| "its clock is wrong".to_owned());
    Failure::new(FailureKind::CheckFailed, message)
        .because(cause)
        .hint(format!("look yourself: `curl -i {}`", url.shown))
        .hint("waiting does not help: check the program, and this machine's own clock")
}

/// A version that did not pass the check in time; `last` is what was found last.
fn not_verified(url: &PublicUrl, last: Option<&Checked>, seconds: u64) -> Failure {
    let cause = last
        .and_then(|last| last.cause.clone())
        .unwrap_or_else(|| "no check was made".to_owned());
    let seen = match last.map(|last| last.verdict) {
        Some(clock::Verdict::Ok) => "still answers from another version",
        Some(verdict) => &format!("is {}", verdict.name()),
        None => "is unknown",
    };
    let message = format!("{} {seen} after {seconds} s", url.shown);
    Failure::new(FailureKind::CheckFailed, message)
        .because(cause)
        .hint(format!("look yourself: `curl -i {}`", url.shown))
        .hint("allow more time: `--verify-timeout 5m`")
}
