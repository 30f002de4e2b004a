//! Verification of a deployment: the rollout of our version is complete, and it passes the external
//! check.

use std::time::Duration;

use clock::Kind;

use super::{DeployError, Deployer, Proof};
use crate::cli::CheckFrom;
use crate::poll::Outcome;
use crate::pollers::{
    Asked, Bake, Check, PublicUrl, Refusal, Regression, RolloutPoller, ServiceNames, Verification,
    Verified, Working,
};
use crate::reachability::UNPROVEN;
use deployment::error::{Failure, FailureKind};
use deployment::event::Checked;
use deployment::names::{DeploymentId, Digest};
use deployment::rollout::{Ended, Rollout, all_healthy};

impl Deployer<'_> {
    /// Follows the rollout of our task definition. A complete stack does not mean that it runs.
    /// Returns the number of tasks of the service.
    pub(super) async fn rollout(
        &self,
        names: &ServiceNames,
        deployment: Option<DeploymentId>,
    ) -> Result<u32, DeployError> {
        let context = self.context;
        let mut watch = RolloutPoller::new(self.world, context.sink, names).of(deployment);
        // Replaced tasks of a gated service bake as well.
        let waiting = Duration::from_mins(context.config.settings.waiting_minutes().into());
        let limit = context.config.timeout + waiting;
        let followed = context.poll_for(&mut watch, limit).await;
        let end = match followed.map_err(DeployError::Final)? {
            Outcome::Completed(end) => end,
            Outcome::Cancelled => return Err(DeployError::NeedsRollback(Failure::interrupted())),
            Outcome::TimedOut => {
                let failure = context
                    .overdue("the rollout")
                    .because("not all tasks run and are healthy");
                // The evidence collected so far usually names the cause of the delay.
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
            // ECS reports no failure, so another user or run has deployed meanwhile.
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

    /// Verifies the version after its rollout, from where the settings ask for it. `tasks` is the
    /// number of tasks of the service.
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
            // The rollout has completed, so this cannot fail. It only states what is known.
            CheckFrom::TargetHealth => {
                let targets = names.targets(self.world).await;
                let health = targets.ok().as_deref().and_then(all_healthy);
                let health = health.unwrap_or_else(|| "the rollout is complete".to_owned());
                let unproven = format!("not made from here: {health}. Not proven: {UNPROVEN}");
                self.context.sink.warn(format!("check {unproven}"));
                Ok(Proof::TargetHealth(unproven))
            }
        }
    }

    /// Checks from outside until all tasks respond from the image with this digest, and no other.
    async fn check(
        &self,
        names: &ServiceNames,
        url: &PublicUrl,
        digest: &Digest,
        tasks: u32,
    ) -> Result<Box<Working>, DeployError> {
        let context = self.context;
        let config = context.config;
        let mut checks = context.checks(self.world, names, url).await;
        if self.was_a_clock {
            // A version that stops telling the time is a regression, so the HTTP check must not
            // pass it.
            checks.retain(|check| check.kind() == Kind::Clock);
        }
        let tasks = (self.world, names, tasks);
        let mut subject = Verification::new(context.sink, self.host, checks, digest, tasks);
        let followed = context.poll_for(&mut subject, config.verify_timeout).await;
        let failure = match followed.map_err(DeployError::Final)? {
            Outcome::Completed(Verified::Working(working)) => return Ok(working),
            Outcome::Completed(Verified::ProvenWrong(last)) => {
                wrong_clock(asked(&subject, url), last)
            }
            Outcome::Completed(Verified::Refused(refusal)) => {
                refused(subject.check(), url, refusal)
            }
            Outcome::Cancelled => return Err(DeployError::NeedsRollback(Failure::interrupted())),
            Outcome::TimedOut => {
                let last = subject.last();
                if let Some(last) = last.filter(|last| last.unreachable) {
                    // The path from here may be closed. Then the load balancer is the better
                    // source, and a rollback would be wrong.
                    let targets = names.targets(self.world).await;
                    if let Some(health) = targets.ok().as_deref().and_then(all_healthy) {
                        let cause = last.cause.as_deref().unwrap_or("no request arrives");
                        let check = subject.check();
                        return Err(DeployError::Final(
                            context.unproven(url, check, cause, health),
                        ));
                    }
                }
                let seconds = config.verify_timeout.as_secs();
                not_verified(asked(&subject, url), last, seconds)
            }
        };
        Err(DeployError::NeedsRollback(failure))
    }

    /// Keeps polling a version that passed, for the bake time in the settings.
    pub(super) async fn watch(
        &self,
        names: &ServiceNames,
        proof: &Proof,
    ) -> Result<(), DeployError> {
        let context = self.context;
        let seconds = context.config.watch_for.as_secs();
        let passed = match proof {
            Proof::Check(working) => Some(&working.check),
            Proof::TargetHealth(_) => None,
        };
        let asked = passed.map(|check| Asked {
            outside: self.host,
            check,
        });
        let mut subject = Bake::new(self.world, context.sink, names, asked);
        let followed = context
            .poll_for(&mut subject, context.config.watch_for)
            .await;
        let failure = match followed.map_err(DeployError::Final)? {
            // The bake time passed without a regression.
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
            Outcome::Completed(Regression::Failing(last)) => {
                let url = passed.map_or("the service", |check| &check.url.shown);
                let verdict = last.verdict.name();
                let message =
                    format!("{url} passed the check, but is {verdict} within {seconds} s");
                let cause = last.cause;
                Failure::new(FailureKind::CheckFailed, message)
                    .because(cause.unwrap_or_else(|| "it gives no reason".to_owned()))
                    .hint(format!("look yourself: `curl -i {url}`"))
            }
            Outcome::Completed(Regression::Replaced) => Failure::new(
                FailureKind::RolledBack,
                "the new version was replaced while it was watched",
            )
            .because("another version is the primary deployment of the service"),
        };
        Err(DeployError::NeedsRollback(failure))
    }
}

/// Returns the URL of the current check, for users.
fn asked<'a>(subject: &'a Verification<'_>, url: &'a PublicUrl) -> &'a str {
    subject.check().map_or(&url.shown, |check| &check.url.shown)
}

/// Returns the failure for a version whose clock is proven wrong.
pub(super) fn wrong_clock(url: &str, last: Checked) -> Failure {
    let message = format!("{url} is SKEWED, proven twice in a row");
    let cause = last
        .cause
        .unwrap_or_else(|| "its clock is wrong".to_owned());
    Failure::new(FailureKind::CheckFailed, message)
        .because(cause)
        .hint(format!("look yourself: `curl -i {url}`"))
        .hint("waiting does not help: check the program, and this machine's own clock")
}

/// Returns the failure for a healthy version that rejects the check.
pub(super) fn refused(check: Option<&Check>, url: &PublicUrl, refusal: Refusal) -> Failure {
    let url = check.map_or(&url.shown, |check| &check.url.shown);
    let kind = check.map_or(Kind::Clock, Check::kind);
    let cause = refusal.checked.cause;
    Failure::new(
        FailureKind::CheckFailed,
        format!("{url} does not pass the check, and waiting does not help"),
    )
    .because(cause.unwrap_or_else(|| refusal.failure.to_string()))
    .with_evidence([refusal.health])
    .hint(other_check(kind, refusal.failure.status()))
    .hint(format!("look yourself: `curl -i {url}`"))
}

/// Returns a hint with the setting that may let the service pass.
fn other_check(kind: Kind, status: Option<u16>) -> &'static str {
    match (kind, status) {
        (_, Some(401 | 403 | 407)) => {
            "send what the service asks for, `headers = { Authorization = \"@FILE\" }`, or ask elsewhere, \
             `path = \"/PATH\"`: under `[check]` in `deployer.toml`"
        }
        (Kind::Clock, _) => {
            "if the service tells no time, set `kind = \"http\"` under `[check]` in `deployer.toml`, and `path` to \
             what answers; if it tells it elsewhere, set `path` and `field`"
        }
        (Kind::Http, _) => {
            "set `path` to what answers, or `status` to what is right, under `[check]` in `deployer.toml`"
        }
    }
}

/// Returns the failure for a version that did not pass the check in time. `last` holds the last
/// findings.
pub(super) fn not_verified(url: &str, last: Option<&Checked>, seconds: u64) -> Failure {
    let cause = last
        .and_then(|last| last.cause.clone())
        .unwrap_or_else(|| "no check was made".to_owned());
    let seen = match last {
        Some(last) if last.is_http_ok() => "answers, but not as deployed,",
        Some(last) if last.verdict == clock::Verdict::Ok => "still answers from another version",
        Some(last) => &format!("is {}", last.verdict.name()),
        None => "is unknown",
    };
    let message = format!("{url} {seen} after {seconds} s");
    Failure::new(FailureKind::CheckFailed, message)
        .because(cause)
        .hint(format!("look yourself: `curl -i {url}`"))
        .hint("allow more time: `--verify-timeout 5m`")
}
