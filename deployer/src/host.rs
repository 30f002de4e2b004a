//! Interface between commands and the machine they run on, replaced by fakes in tests.

use std::time::Duration;

use async_trait::async_trait;

use crate::cli::Output;
use crate::context::{Connection, Context, connect, emulator};
use crate::lock::Lock;
use crate::pollers::{ExternalCheck, NetworkCheck};
use crate::state::Deployment;
use crate::verdict::OfImage;
use aws::remote::{Login, World};
use deployment::error::Failure;
use deployment::event::{Event, Phase};
use deployment::names::{ImageUri, RepositoryUri};
use deployment::rollout::gate::HookAnswer;
use image_builder::image::BuiltImage;

/// Time limit for attaching a verdict.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);

/// Machine that runs the command: connects to AWS, checks from outside, and prompts the user.
#[async_trait]
pub(crate) trait Host: ExternalCheck {
    /// Connects to AWS, or to the emulator after ensuring that it runs.
    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure>;

    /// Waits until no other run on this machine deploys the same stack.
    async fn only_one(
        &self,
        context: Context<'_>,
        command: &str,
        connection: &Connection,
    ) -> Result<Option<Lock>, Failure>;

    /// Asks the user a yes-or-no question; returns `None` when nobody can answer.
    async fn agrees(&self, context: Context<'_>, question: &str) -> Option<bool>;

    /// Asks the user whether a version may pass the gate; returns `None` when nobody can answer.
    async fn decides(&self, context: Context<'_>, question: &str) -> Option<HookAnswer>;

    /// Attaches a verdict to an image. Returns false if nothing was changed and this stack's
    /// verdict is attached already.
    async fn attach(
        &self,
        context: Context<'_>,
        world: &dyn World,
        verdict: &OfImage<'_>,
    ) -> Result<bool, Failure>;
}

/// Builder and publisher of container images.
#[async_trait]
pub(crate) trait ImageBuilder: Send + Sync {
    /// Compiles the program and packs it into an image.
    async fn build(&self, context: Context<'_>) -> Result<BuiltImage, Failure>;

    /// Pushes the image to this repository; returns its URI there.
    async fn push(
        &self,
        context: Context<'_>,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<ImageUri, Failure>;
}

/// Host implementation for the real machine.
pub(crate) struct LocalHost;

#[async_trait]
impl Host for LocalHost {
    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure> {
        if let Some(emulator) = emulator(context.config)? {
            context
                .sink
                .phase(Phase::Emulator, emulator.ensure(context.sink))
                .await?;
        }
        connect(context).await
    }

    async fn only_one(
        &self,
        context: Context<'_>,
        command: &str,
        connection: &Connection,
    ) -> Result<Option<Lock>, Failure> {
        // The same stack name in another account or region is another stack.
        let config = context.config;
        let place = connection
            .endpoint
            .clone()
            .unwrap_or_else(|| format!("{}-{}", connection.caller.account, connection.region));
        crate::state::only_one(&Deployment {
            place,
            stack: &config.stack,
            command,
            // `--no-wait` also applies to the lock of another run.
            limit: if config.wait {
                config.timeout
            } else {
                Duration::ZERO
            },
            sink: context.sink,
        })
        .await
    }

    async fn agrees(&self, context: Context<'_>, question: &str) -> Option<bool> {
        // A program that reads JSON Lines cannot answer a question.
        let unseen = context.config.output == Output::Json;
        if unseen || !crate::prompt::is_interactive() {
            return None;
        }
        context.sink.send(&Event::Asked {
            question: question.to_owned(),
            answers: "y/N",
        });
        // Reading standard input blocks, so it gets a thread outside the async workers.
        tokio::task::spawn_blocking(crate::prompt::read_agreement)
            .await
            .ok()
    }

    async fn decides(&self, context: Context<'_>, question: &str) -> Option<HookAnswer> {
        if context.config.output == Output::Json || !crate::prompt::is_interactive() {
            return None;
        }
        loop {
            context.sink.send(&Event::Asked {
                question: question.to_owned(),
                answers: "approve/rollback",
            });
            let line = tokio::task::spawn_blocking(crate::prompt::read_line);
            match line.await.ok()??.as_str() {
                "approve" | "a" => return Some(HookAnswer::Continue),
                "rollback" | "r" => return Some(HookAnswer::RollBack),
                // There is no default: neither answer can be taken back.
                _ => {}
            }
        }
    }

    async fn attach(
        &self,
        context: Context<'_>,
        world: &dyn World,
        verdict: &OfImage<'_>,
    ) -> Result<bool, Failure> {
        let work = Box::pin(context.attach_verdict(world, verdict));
        match tokio::time::timeout(ATTACH_LIMIT, work).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::preflight(format!(
                "the registry does not answer within {} s",
                ATTACH_LIMIT.as_secs()
            ))),
        }
    }
}

#[async_trait]
impl ExternalCheck for LocalHost {
    async fn check(&self, target: &probe::Target, settings: &clock::Settings) -> clock::Report {
        NetworkCheck.check(target, settings).await
    }

    async fn knock(
        &self,
        target: &probe::Target,
        settings: &clock::Settings,
    ) -> Result<(), clock::Failure> {
        NetworkCheck.knock(target, settings).await
    }
}
