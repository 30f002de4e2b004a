//! A workshop in which nothing is compiled, sent or measured.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::super::deploy;
use super::super::workshop::Workshop;
use crate::commands::{Connection, Context};
use crate::error::Failure;
use crate::image::oci::{BuiltImage, Document};
use crate::names::Digest;
use crate::remote::Login;
use crate::testing::answer::answers;
use crate::testing::script::Script;
use crate::testing::{DIGEST, FOR_EVER, FakeWorld, Transcript, connection, settings};
use crate::watch::Outside;

/// Builds at once unless told otherwise; two instances answer from the new image.
pub(super) struct FakeWorkshop {
    world: Arc<FakeWorld>,
    transcript: Transcript,
    compiling: Duration,
    failure: Option<Failure>,
    reports: Script<checker::Report>,
}

impl FakeWorkshop {
    pub(super) fn new(world: FakeWorld) -> Self {
        let transcript = world.transcript();
        Self {
            world: world.there("clock-repository", FOR_EVER).shared(),
            transcript,
            compiling: Duration::ZERO,
            failure: None,
            reports: Script::new("the check", [answers("0.1.0+0123456789ab")]),
        }
    }

    /// Compiling takes this long.
    pub(super) fn compiling_for(self, compiling: Duration) -> Self {
        Self { compiling, ..self }
    }

    /// Compiling ends like this.
    pub(super) fn not_compiling(self, failure: Failure) -> Self {
        let failure = Some(failure);
        Self { failure, ..self }
    }

    /// What checks find, one after the other.
    pub(super) fn finding(self, reports: impl IntoIterator<Item = checker::Report>) -> Self {
        let reports = Script::new("the check", reports);
        Self { reports, ..self }
    }

    /// Runs the command; returns the transcript.
    pub(super) async fn run(self) -> String {
        let config = settings();
        let sink = self.transcript.sink();
        let context = Context {
            config: &config,
            sink: &sink,
        };
        let template = "Resources:\n  Repository:\n    Type: AWS::ECR::Repository\n";
        // Longer than all deadlines together: what is still waiting then waits for ever.
        let result = timeout(
            Duration::from_hours(24),
            Box::pin(deploy(context, template, &self)),
        );
        let result = result.await.expect("the command hangs");
        self.world.assert_played();
        self.transcript.end(result)
    }
}

#[async_trait]
impl Workshop for FakeWorkshop {
    async fn build(&self, _: Context<'_>) -> Result<BuiltImage, Failure> {
        sleep(self.compiling).await;
        let document = || Document {
            content: Bytes::new(),
            media_type: String::new(),
            digest: DIGEST.to_owned(),
        };
        match self.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(BuiltImage {
                manifest: document(),
                config: document(),
                layers: Vec::new(),
            }),
        }
    }

    async fn connect(&self, _: Context<'_>) -> Result<Connection, Failure> {
        Ok(connection(&self.world))
    }

    async fn push(
        &self,
        _: Context<'_>,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<Digest, Failure> {
        let user = login.map_or_else(|| "nobody".to_owned(), |login| login.user);
        self.transcript
            .line(&format!("> push to {address} as {user}"));
        Ok(built.digest().parse().unwrap())
    }
}

#[async_trait]
impl Outside for FakeWorkshop {
    async fn check(&self, _: &checker::Target, _: &checker::Settings) -> checker::Report {
        self.reports.next()
    }
}
