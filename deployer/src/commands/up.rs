//! `deployer up`: deploys from the source to a verified service.
//!
//! Two lanes run concurrently. One builds the image, the other prepares the stack. The image is
//! pushed as soon as the repository exists, while the rest of the stack is still being created.

mod created_stack;
mod push;
mod ready;

#[cfg(test)]
mod tests;

use super::plan;
use super::{Done, Execute};
use crate::cli::{Continues, DeployOptions, OnInterrupt, ServiceOptions};
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::Args;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Instant;

use futures_util::TryFutureExt as _;
use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::context::Context;
use crate::deploy::{DeployRequest, Deployer};
use crate::explain::command_line;
use crate::host::{Host, ImageBuilder, LocalHost};
use crate::image::ImagePlan;
use crate::lock::Lock;
use crate::template;
use created_stack::CreatedStack;
use deployment::error::{Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::ImageUri;
use deployment::stack::purpose::Purpose;
use deployment::stack::request::Wanted;
use push::Destination;

/// Settings of `up`.
#[derive(Debug, Default, Args)]
pub struct Up {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,

    /// The deployment.
    #[command(flatten)]
    pub deploy: DeployOptions,

    /// Use CloudFormation's EXPRESS mode, which ends before the service is stable. Rollout, check and rollback happen here.
    #[arg(long, env = "DEPLOYER_EXPRESS")]
    pub express: bool,

    /// Once the new version has passed the check at the gate, ask before it takes requests. Without a terminal: exit with code 10,
    /// for `deployer continue` or `deployer rollback`.
    #[arg(long, env = "DEPLOYER_HOLD")]
    pub hold: bool,

    /// Replace the tasks even if nothing changes.
    #[arg(long)]
    pub force: bool,

    /// The dry run.
    #[command(flatten)]
    pub preview: Preview,

    /// Deploy the image of `uri` under `[image]` only if a verdict PASSED is attached to it, as `up` and `promote` do.
    #[arg(long, value_enum, value_name = "WHAT", env = "DEPLOYER_REQUIRE")]
    pub require: Option<Requirement>,

    /// Deploy the image in this file, written by `image build --archive`, instead of building one.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Option<PathBuf>,
}

/// What an image needs in order to be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Requirement {
    /// A verdict of an earlier deployment.
    Verdict,
}

/// Options of a dry run.
#[derive(Debug, Default, Args)]
pub struct Preview {
    /// Show what would change, as `plan` does.
    #[arg(long, conflicts_with = "force")]
    pub dry_run: bool,

    /// With `--dry-run`: exit code 8 if something would change.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
}

#[async_trait(?Send)]
impl Execute for Up {
    fn reported_as(&self) -> Option<&'static str> {
        Some(if self.preview.dry_run { "plan" } else { "up" })
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            service: self.service_options.clone(),
            deploy: self.deploy.clone(),
            image_archive: self.image_archive.clone(),
            express: self.express,
            hold: self.hold,
            force: self.force,
            require_verdict: self.require == Some(Requirement::Verdict),
            ..Overrides::default()
        }
    }

    fn on_interrupt(&self) -> OnInterrupt {
        self.deploy.on_interrupt
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        if self.preview.dry_run {
            return plan::done(context, self.preview.exit_code).await;
        }
        Box::pin(run(context)).await?;
        Ok(Done::REPORTED)
    }
}

/// State of one run.
struct Run<'a> {
    context: Context<'a>,
    template: &'a str,
    host: &'a dyn Host,
    images: &'a dyn ImageBuilder,
    /// Guard of the stack that this run creates, if any.
    created: CreatedStack,
    /// Lock against other runs on this host, once account and stack are known.
    only_one: OnceLock<Option<Lock>>,
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<(), Failure> {
    // Report every problem that needs no connection before anything starts.
    context.warn_of_settings();
    let template = template::read(context)?;
    let image = context.plan_image().await?;
    Box::pin(deploy_as(context, &template, &image)).await
}

/// Deploys an existing image.
pub(super) async fn deploy(context: Context<'_>, image: &ImagePlan) -> Result<(), Failure> {
    context.warn_of_settings();
    let template = template::read(context)?;
    Box::pin(deploy_as(context, &template, image)).await
}

async fn deploy_as(context: Context<'_>, template: &str, image: &ImagePlan) -> Result<(), Failure> {
    refuse_without_a_gate(context, template)?;
    let run = Run {
        context,
        template,
        host: &LocalHost,
        images: image,
        created: CreatedStack::default(),
        only_one: OnceLock::new(),
    };
    Box::pin(run.to_its_end()).await
}

/// Fails if the template has no gate, or the settings end the operation before it.
fn refuse_without_a_gate(context: Context<'_>, template: &str) -> Result<(), Failure> {
    let config = context.config;
    if config.express && deployment::template::is_gated(template) {
        return Err(Failure::preflight(
            "with `--express`, CloudFormation ends before a new version is at the gate",
        )
        .hint("leave out `--express`, or use `--strategy rolling`"));
    }
    if config.hold && !deployment::template::can_hold(template) {
        let strategy = config.settings.strategy.name();
        return Err(Failure::preflight("there is no gate at which to hold the new version")
            .because(format!("the strategy is `{strategy}`"))
            .hint("set `strategy = \"blue-green\"` under `[deployment]`, or `--strategy blue-green`")
            .hint("or leave out `--hold`, and `hold` under `[deployment]`"));
    }
    Ok(())
}

impl Run<'_> {
    /// Deploys the service. On a cancellation, deletes the stack that was created for it.
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
            // The new stack costs money, which a user does not expect after a compile error.
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
            // The early push failed, or its repository is gone with a failed creation of the stack.
            let push = self.push(&built, world.as_ref(), &repository);
            self.context.unless_cancelled(push).await?
        };
        self.created.set_image(&image);
        let request = DeployRequest {
            wanted: self.wanted(Some(&image)),
            image,
            purpose: match config.promoted_from {
                // Whoever finds it paused has to know that a person decides.
                _ if config.hold => Purpose::HeldUp,
                Some(_) => Purpose::Promote,
                None => Purpose::Up,
            },
        };
        let deployer = Deployer {
            stack_is_new: self.created.exists(),
            ..Deployer::new(self.context, world.as_ref(), self.host)
        };
        let deployed = Box::pin(deployer.deploy(&stack, &request)).await?;
        // The service works, so nothing later in this run may delete its stack.
        self.created.keep();
        Box::pin(deployer.tell(deployed, &stack, &request, began)).await;
        Ok(())
    }

    /// Returns the template with our parameters and an optional image.
    fn wanted(&self, image: Option<&ImageUri>) -> Wanted {
        self.context.wanted(self.template, image)
    }
}

/// Runs both futures concurrently and returns the first error. On cancellation, waits for the stack
/// future, so that its cleanup completes.
async fn both<I, S>(
    image: impl Future<Output = Result<I, Failure>>,
    stack: impl Future<Output = Result<S, Failure>>,
) -> Result<(I, S), Failure> {
    let (image, stack) = (pin!(image), pin!(stack));
    match select(image, stack).await {
        Either::Left((Ok(image), stack)) => Ok((image, stack.await?)),
        Either::Left((Err(failure), stack)) if failure.kind == FailureKind::Interrupted => {
            // The stack lane is cancelled too. Its result matters more than the interrupted build.
            match stack.await {
                Err(other) if other.kind != FailureKind::Interrupted => Err(other),
                Ok(_) | Err(_) => Err(failure),
            }
        }
        // Dropping the other future only stops following it. An operation at CloudFormation
        // continues.
        Either::Left((Err(failure), _)) | Either::Right((Err(failure), _)) => Err(failure),
        Either::Right((Ok(stack), image)) => Ok((image.await?, stack)),
    }
}
