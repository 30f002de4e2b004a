//! What commands need of the machine they run on, and what tests put in its place.

use std::time::Duration;

use async_trait::async_trait;

use crate::cli::Output;
use crate::context::{Connection, Context, connect, emulator};
use crate::lock::Lock;
use crate::pollers::{ExternalCheck, NetworkCheck};
use crate::state::Deployment;
use aws::remote::Login;
use deployment::error::Failure;
use deployment::event::{Event, Phase};
use deployment::names::{ImageUri, RepositoryUri};
use image_builder::image::BuiltImage;

/// Connects, looks from outside, and asks the user.
#[async_trait]
pub(crate) trait Host: ExternalCheck {
    /// Connects to AWS, or to the emulator after making sure that it runs.
    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure>;

    /// Waits until no other run on this machine deploys the same stack.
    async fn only_one(
        &self,
        context: Context<'_>,
        command: &str,
        connection: &Connection,
    ) -> Result<Option<Lock>, Failure>;

    /// Asks the user a question that is answered by yes or no; `None` when there is nobody to ask.
    async fn agrees(&self, context: Context<'_>, question: &str) -> Option<bool>;
}

/// Compiles and sends.
#[async_trait]
pub(crate) trait ImageBuilder: Send + Sync {
    /// Compiles the program and packs it.
    async fn build(&self, context: Context<'_>) -> Result<BuiltImage, Failure>;

    /// Sends the image to this repository; returns its address there.
    async fn push(
        &self,
        context: Context<'_>,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<ImageUri, Failure>;
}

/// The real machine.
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
        let config = context.config;
        let place = connection
            .endpoint
            .clone()
            .unwrap_or_else(|| format!("{}-{}", connection.caller.account, connection.region));
        crate::state::only_one(&Deployment {
            place,
            stack: &config.stack,
            command,
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
        // Who reads JSON Lines does not see a question.
        let unseen = context.config.output == Output::Json;
        if unseen || !crate::prompt::is_interactive() {
            return None;
        }
        context.sink.send(&Event::Asked {
            question: question.to_owned(),
        });
        // Waits for a key: not for a thread that has something else to do.
        tokio::task::spawn_blocking(crate::prompt::read_agreement)
            .await
            .ok()
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
