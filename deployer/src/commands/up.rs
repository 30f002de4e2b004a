//! `deployer up`: from the source to a service that was seen to work.
//!
//! Two lanes run side by side. One compiles and packs the image; the other gets the stack ready to take it. They meet
//! at the repository: the image is pushed as soon as that is there, while the rest of the stack is still being made.

mod created_stack;
mod push;
mod ready;

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Instant;

use futures_util::TryFutureExt as _;
use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::commands::deploy::{DeployRequest, Deployer};
use crate::commands::explain::command_line;
use crate::commands::host::{Host, ImageBuilder, LocalHost};
use crate::commands::{Context, read_template};
use crate::lock::Lock;
use created_stack::CreatedStack;
use deployment::error::{Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::ImageUri;
use deployment::stack::purpose::Purpose;
use deployment::stack::request::Wanted;
use push::Destination;

/// One run of the command.
struct Run<'a> {
    context: Context<'a>,
    template: &'a str,
    host: &'a dyn Host,
    images: &'a dyn ImageBuilder,
    /// The stack that this run makes, if there was none.
    created: CreatedStack,
    /// Keeps other runs on this machine away, once it is known from what.
    only_one: OnceLock<Option<Lock>>,
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<(), Failure> {
    // What can be found wrong at once is, before anything is started.
    context.warn_of_left_out_settings();
    let template = read_template(context)?;
    let image = context.plan_image().await?;
    let run = Run {
        context,
        template: &template,
        host: &LocalHost,
        images: &image,
        created: CreatedStack::default(),
        only_one: OnceLock::new(),
    };
    Box::pin(run.to_its_end()).await
}

impl Run<'_> {
    /// Brings the service up; takes the stack away again that was made for it, when somebody wishes to stop.
    async fn to_its_end(&self) -> Result<(), Failure> {
        match Box::pin(self.bring_up()).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.created.delete_after(self.context, failure).await),
        }
    }

    async fn bring_up(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let Context { config, sink, .. } = self.context;
        let (announce, destination) = watch::channel(None::<Destination>);
        let image_lane = async {
            let work = self.images.build(self.context);
            let work = self.context.unless_cancelled(work);
            let built = sink.phase(Phase::Image, work).await?;
            let early = self.push_early(&built, destination);
            let early = self
                .context
                .unless_cancelled(async { Ok(early.await) })
                .await?;
            Ok((built, early))
        };
        let image_lane = image_lane.map_err(|failure: Failure| {
            // A stack costs money, and who reads of a program that does not compile does not expect one.
            let stays = self.created.exists() && failure.kind != FailureKind::Interrupted;
            failure.maybe_hint(stays.then(|| {
                format!(
                    "the new stack stays: `deployer up` continues with it, `{}` removes it",
                    command_line(config, "down")
                )
            }))
        });
        let stack_lane = self.ready_stack(&announce);
        let ((built, early), (world, stack)) = both(image_lane, stack_lane).await?;
        let repository = self.context.repository_of(world.as_ref(), &stack).await?;
        let image = if let Some(image) = early.arrived_at(&repository) {
            image
        } else {
            // The repository that it went to is gone with an attempt to create the stack, or did not take it at first.
            let push = self.push(&built, world.as_ref(), &repository);
            self.context.unless_cancelled(push).await?
        };
        self.created.set_image(&image);
        let request = DeployRequest {
            wanted: self.wanted(Some(&image)),
            image,
            purpose: Purpose::Up,
        };
        let deployer = Deployer {
            context: self.context,
            world: world.as_ref(),
            host: self.host,
            stack_is_new: self.created.exists(),
            is_rollback: false,
        };
        let deployed = Box::pin(deployer.deploy(&stack, &request)).await?;
        self.created.keep();
        deployer.tell(deployed, &stack, &request, began).await;
        Ok(())
    }

    /// The template with our parameters and this image, if any.
    fn wanted(&self, image: Option<&ImageUri>) -> Wanted {
        self.context.wanted(self.template, image)
    }
}

/// Does both side by side, and ends with the first that fails; only that a wish to stop is heard by each of them, and that the stack
/// is left in order, is waited for.
async fn both<I, S>(
    image: impl Future<Output = Result<I, Failure>>,
    stack: impl Future<Output = Result<S, Failure>>,
) -> Result<(I, S), Failure> {
    let (image, stack) = (pin!(image), pin!(stack));
    match select(image, stack).await {
        Either::Left((Ok(image), stack)) => Ok((image, stack.await?)),
        Either::Left((Err(failure), stack)) if failure.kind == FailureKind::Interrupted => {
            // It hears the same wish. How it ends matters more than that compiling was broken off.
            match stack.await {
                Err(other) if other.kind != FailureKind::Interrupted => Err(other),
                Ok(_) | Err(_) => Err(failure),
            }
        }
        Either::Left((Err(failure), _)) | Either::Right((Err(failure), _)) => Err(failure),
        Either::Right((Ok(stack), image)) => Ok((image.await?, stack)),
    }
}
