//! What makes a deployment a success: our version runs, and answers from outside as it should.

use super::{Setback, Site};
use crate::commands::PublicUrl;
use crate::engine::Followed;
use crate::error::{Failure, FailureKind};
use crate::event::Checked;
use crate::names::Digest;
use crate::rollout::{Ended, Rollout};
use crate::watch::{RolloutWatch, ServiceNames, Verification, Verified};

impl Site<'_> {
    /// Follows the rollout of our task definition: a stack that is complete does not mean that it runs.
    pub(super) async fn rollout(
        &self,
        names: &ServiceNames,
        deployment: Option<String>,
    ) -> Result<(), Setback> {
        let context = self.context;
        let mut watch = RolloutWatch::new(self.world, context.sink, names).of(deployment);
        let limit = context.config.timeout;
        let followed = context.follow_for(&mut watch, limit).await;
        let end = match followed.map_err(Setback::Over)? {
            Followed::Ended(end) => end,
            Followed::Stopped => return Err(Setback::Live(Failure::interrupted())),
            Followed::DeadlinePassed => {
                let failure = context
                    .overdue("the rollout")
                    .because("not all tasks run and are healthy");
                let failure = context.explained(failure, watch.evidence(), Ended::GoesOn);
                return Err(Setback::Live(failure));
            }
        };
        let failure = match end.rollout {
            Rollout::Completed => return Ok(()),
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
                return Err(Setback::Live(failure));
            }
            Rollout::InProgress => Failure::new(FailureKind::Unexpected, "the rollout did not end"),
        };
        let failure = context.explained(failure, &end.evidence, Ended::ForGood);
        Err(Setback::Live(failure.hint(
            "mend the program or its settings, then run `deployer up` again",
        )))
    }

    /// Checks from outside until so many tasks, and no other, answer from the image with this digest.
    pub(super) async fn verify(
        &self,
        url: &PublicUrl,
        digest: &Digest,
        tasks: u32,
    ) -> Result<Checked, Setback> {
        let context = self.context;
        let config = context.config;
        let settings = context.check_settings(tasks);
        let outside = self.machine;
        let mut subject = Verification::new(context.sink, outside, &url.target, settings, digest);
        let followed = context
            .follow_for(&mut subject, config.verify_timeout)
            .await;
        let failure = match followed.map_err(Setback::Over)? {
            Followed::Ended(Verified::Working(checked)) => return Ok(checked),
            Followed::Ended(Verified::ProvenWrong(last)) => wrong_clock(url, last),
            Followed::Stopped => return Err(Setback::Live(Failure::interrupted())),
            Followed::DeadlinePassed => {
                let seconds = config.verify_timeout.as_secs();
                not_verified(url, subject.last(), seconds)
            }
        };
        Err(Setback::Live(failure))
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
        Some(checker::Verdict::Ok) => "still answers from another version",
        Some(verdict) => &format!("is {}", verdict.name()),
        None => "is unknown",
    };
    let message = format!("{} {seen} after {seconds} s", url.shown);
    Failure::new(FailureKind::CheckFailed, message)
        .because(cause)
        .hint(format!("look yourself: `curl -i {}`", url.shown))
        .hint("allow more time: `--verify-timeout 5m`")
}
