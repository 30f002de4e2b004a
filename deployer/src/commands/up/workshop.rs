//! What `up` needs of the machine it runs on, and what tests put in its place.

use async_trait::async_trait;

use crate::commands::{Connection, Context, connect, emulator};
use crate::error::Failure;
use crate::event::Phase;
use crate::image::dockerfile::FinalStage;
use crate::image::oci::BuiltImage;
use crate::names::Digest;
use crate::remote::Login;
use crate::watch::{Network, Outside};

/// Compiles, connects, sends, and looks from outside.
#[async_trait]
pub(super) trait Workshop: Outside {
    /// Compiles the program and packs it.
    async fn build(&self, context: Context<'_>) -> Result<BuiltImage, Failure>;

    /// Connects to AWS, or to the emulator after making sure that it runs.
    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure>;

    /// Sends the image to `address` (`HOST[:PORT]/NAME`).
    async fn push(
        &self,
        context: Context<'_>,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<Digest, Failure>;
}

/// The real one.
pub(super) struct ThisMachine {
    /// What the image is.
    pub(super) stage: FinalStage,
}

#[async_trait]
impl Workshop for ThisMachine {
    async fn build(&self, context: Context<'_>) -> Result<BuiltImage, Failure> {
        context.build_image(&self.stage).await
    }

    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure> {
        if let Some(emulator) = emulator(context.config)? {
            context
                .sink
                .phase(Phase::Emulator, emulator.ensure(context.sink))
                .await?;
        }
        connect(context).await
    }

    async fn push(
        &self,
        context: Context<'_>,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<Digest, Failure> {
        context.push_image(address, login, built).await
    }
}

#[async_trait]
impl Outside for ThisMachine {
    async fn check(
        &self,
        target: &checker::Target,
        settings: &checker::Settings,
    ) -> checker::Report {
        Network.check(target, settings).await
    }
}
