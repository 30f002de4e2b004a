//! Guard of a stack that a run creates. Deletes the stack if the run is cancelled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancellation::ShutdownGuard;
use crate::commands::down::delete_everything;
use crate::context::Context;
use aws::remote::World;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::names::{ImageUri, StackId};
use deployment::stack::Observed;

/// Guard of the stack created by this run, if any.
#[derive(Default)]
pub(super) struct CreatedStack(Mutex<Option<Creation>>);

struct Creation {
    world: Arc<dyn World>,
    stack: StackId,
    /// Set while the stack is being created.
    in_progress: bool,
    /// URI of the image that this run deploys.
    image: Option<String>,
    _guard: ShutdownGuard,
}

impl CreatedStack {
    fn state(&self) -> MutexGuard<'_, Option<Creation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the creation of this stack has started.
    pub(super) fn started(&self, context: Context<'_>, world: &Arc<dyn World>, stack: &StackId) {
        *self.state() = Some(Creation {
            world: Arc::clone(world),
            stack: stack.clone(),
            in_progress: true,
            image: None,
            _guard: context.cancellation.guard(),
        });
    }

    /// Records that the stack was created.
    pub(super) fn completed(&self) {
        if let Some(creation) = self.state().as_mut() {
            creation.in_progress = false;
        }
    }

    /// Records that this image is about to be deployed.
    pub(super) fn set_image(&self, image: &ImageUri) {
        if let Some(creation) = self.state().as_mut() {
            creation.image = Some(image.to_string());
        }
    }

    /// Releases the stack: it is kept, or does not exist.
    pub(super) fn keep(&self) {
        *self.state() = None;
    }

    /// Returns whether this run has created a stack that still needs its guard.
    pub(super) fn exists(&self) -> bool {
        self.state().is_some()
    }

    /// Deletes the stack after a cancellation, or if its creation timed out.
    pub(super) async fn delete_after(&self, context: Context<'_>, failure: Failure) -> Failure {
        // Taken and not borrowed, so that the guard lives until the deletion has ended.
        let Some(creation) = self.state().take() else {
            return failure;
        };
        let overdue = creation.in_progress && failure.kind == FailureKind::RolledBack;
        if failure.kind != FailureKind::Interrupted && !overdue {
            return failure;
        }
        // The cleanup is the response to the cancellation, so it has to run to its end.
        let context = context.uncancellable();
        context
            .sink
            .note("deleting the new stack: there was none before");
        // Uses the steps of `down`, because the stack may not be deletable yet.
        let of_others = AtomicBool::new(false);
        let of_this_run = |stack: &Observed| match stack.image() {
            Some(image) if creation.image.as_deref() != Some(image) => {
                of_others.store(true, Ordering::Relaxed);
                Err(Failure::new(
                    FailureKind::Busy,
                    "somebody else has deployed to it meanwhile",
                ))
            }
            Some(_) | None => Ok(()),
        };
        let world = creation.world.as_ref();
        let deletion =
            delete_everything(context, world, Some(creation.stack.clone()), &of_this_run).await;
        match deletion {
            // Only the check above sets it: it kept the stack from being deleted.
            Err(second) if of_others.load(Ordering::Relaxed) => failure
                .leaving(Aftermath::LeftToOthers, "")
                .hint(format!("the new stack stays: {}", second.message)),
            Ok(_gone) => failure.leaving(Aftermath::RemovedStack, "; the new stack is deleted"),
            Err(second) => Failure::new(FailureKind::Stuck, failure.message)
                .leaving(
                    Aftermath::LeftStack,
                    ", and the new stack could not be deleted",
                )
                .because(second.cause.unwrap_or(second.message))
                .with_evidence(second.evidence)
                .hint("it may cost money: `deployer down` deletes it"),
        }
    }
}
