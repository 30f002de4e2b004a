//! Release command of a deployment: why it failed, and who takes care of it if its own run was
//! killed.

use std::convert::Infallible;

use super::Deployer;
use crate::context::Context;
use crate::explain::command_line;
use crate::pollers::{ReleaseFailure, ReleasePoller};
use aws::remote::World;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::rollout::{Ended, Evidence, FailedTask};
use deployment::stack::Observed;
use deployment::template::WaitingRelease;

impl Deployer<'_> {
    /// Returns the failure of a version whose release command did not succeed.
    pub(super) fn not_released(&self, failure: ReleaseFailure) -> Failure {
        let context = self.context;
        let of = |message: String| {
            Failure::new(FailureKind::RolledBack, message).leaving(
                Aftermath::RestoredPrevious,
                "; no task of the new version was started, and the previous state is restored",
            )
        };
        let fix = "fix what it names, then run `deployer up` again";
        match failure {
            ReleaseFailure::NotStarted(error) => {
                let why = context.remote_failure(&error);
                let failure = of("the release command could not be started".to_owned())
                    .because(why.cause.unwrap_or(why.message))
                    .with_evidence(why.evidence);
                why.hints.into_iter().fold(failure, Failure::hint)
            }
            ReleaseFailure::Stopped(task, log) => {
                let message = match task.exit_code {
                    Some(code) => format!("the release command ended with exit code {code}"),
                    None => "the release command could not be started".to_owned(),
                };
                let evidence = Evidence {
                    tasks: vec![FailedTask { task: *task, log }],
                    ..Evidence::default()
                };
                context
                    .explained(of(message), &evidence, Ended::ForGood)
                    .hint(fix)
            }
            ReleaseFailure::Forgotten => of("the release command was lost".to_owned())
                .because("ECS does not know its task anymore")
                .hint(format!(
                    "see what it did: `{}`",
                    command_line(context.config, "logs")
                )),
        }
    }

    /// Runs and answers for the release command of another run while it is polled. Never ends.
    pub(super) async fn keep_the_release(&self, stack: &Observed) -> Infallible {
        let context = self.context;
        let mut release = ReleasePoller::new(self.world, context.sink, &stack.id);
        loop {
            if let Err(error) = release.poll().await
                && !error.kind.is_passing()
            {
                // The other operation continues without us, so it is still worth waiting for.
                context.sink.warn(format!("the release command: {error}"));
                return std::future::pending().await;
            }
            tokio::time::sleep(context.config.access.pace.poll).await;
        }
    }
}

impl Context<'_> {
    /// Rejects a release command that an update waits for, so that its cancellation takes effect.
    ///
    /// Errors are ignored: the update ends in any case when its time is over.
    pub(crate) async fn reject_release(&self, world: &dyn World, stack: &Observed) {
        let events = world.newest_events(&stack.id).await.unwrap_or_default();
        if let Some(waiting) = WaitingRelease::among(&events) {
            let _ = world.signal(&stack.id, &waiting.logical_id, false).await;
        }
    }

    /// Stops the tasks of `run` and of release commands, which would keep the cluster from being
    /// deleted.
    pub(crate) async fn stop_one_off_tasks(&self, world: &dyn World, stack: &Observed) {
        use deployment::names::ClusterName;
        use deployment::stack::template_names::OutputName;
        let Some(cluster) = stack.output(OutputName::ClusterName).map(ClusterName::new) else {
            return;
        };
        // The deletion names what keeps it from ending, so errors are ignored.
        for task in world.one_off_tasks(&cluster).await.unwrap_or_default() {
            self.sink
                .note(format!("stopping the one-off task {}", task.id));
            let _ = world.stop_task(&cluster, &task.id).await;
        }
    }
}
