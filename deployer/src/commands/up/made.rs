//! The stack that a run makes: taken away again when the run is stopped before it came to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::commands::Context;
use crate::commands::down::take_down;
use crate::error::{Failure, FailureKind};
use crate::names::StackId;
use crate::remote::World;
use crate::stop::Duty;

/// What this run made, if anything.
#[derive(Default)]
pub(super) struct Made(Mutex<Option<Making>>);

struct Making {
    world: Arc<dyn World>,
    stack: StackId,
    /// Is it still being created?
    unfinished: bool,
    _duty: Duty,
}

impl Made {
    fn state(&self) -> MutexGuard<'_, Option<Making>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the creation of this stack was begun.
    pub(super) fn begun(&self, context: Context<'_>, world: &Arc<dyn World>, stack: &StackId) {
        *self.state() = Some(Making {
            world: Arc::clone(world),
            stack: stack.clone(),
            unfinished: true,
            _duty: context.stop.duty(),
        });
    }

    /// Notes that it was created.
    pub(super) fn finished(&self) {
        if let Some(making) = self.state().as_mut() {
            making.unfinished = false;
        }
    }

    /// Notes that it stays, or that nothing is there to be taken away.
    pub(super) fn keep(&self) {
        *self.state() = None;
    }

    /// Was something made that stays if nobody takes it away?
    pub(super) fn is_there(&self) -> bool {
        self.state().is_some()
    }

    /// Takes it away where the failure asks for that: somebody wishes to stop, or the creation did not end in time.
    pub(super) async fn take_away_after(&self, context: Context<'_>, failure: Failure) -> Failure {
        let Some(making) = self.state().take() else {
            return failure;
        };
        let overdue = making.unfinished && failure.kind == FailureKind::RolledBack;
        if failure.kind != FailureKind::Interrupted && !overdue {
            return failure;
        }
        let context = context.heedless();
        context
            .sink
            .note("deleting the stack that was begun: there was none before");
        // As `down` does: it may not be possible yet.
        let deletion = take_down(context, making.world.as_ref(), Some(making.stack)).await;
        match deletion {
            Ok(_gone) => Failure {
                message: format!(
                    "{}; the stack that was begun is deleted again",
                    failure.message
                ),
                ..failure
            },
            Err(second) => Failure::new(
                FailureKind::Stuck,
                format!(
                    "{}, and the stack that was begun could not be deleted",
                    failure.message
                ),
            )
            .because(second.cause.unwrap_or(second.message))
            .with_evidence(second.evidence)
            .hint("it may cost money: `deployer down` takes it away"),
        }
    }
}
