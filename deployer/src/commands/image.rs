//! The image's way into the registry, with events for progress and failures with remedies.

mod alone;
mod docker;
mod native;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::{Builder, ImageCommand};
use crate::commands::Context;
use crate::config::Config;
use aws::remote::Login;
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use deployment::names::Digest;
use image_builder::PackError;
use image_builder::cache::LayerCache;
use image_builder::cargo::CompileError;
use image_builder::docker::DockerError;
use image_builder::dockerfile::FinalStage;
use image_builder::inspect::Inspection;
use image_builder::oci::BuiltImage;
use image_builder::push::{BillOutcome, Credentials, Outcome, PushError, Repository, push};
use image_builder::unpack::restore;
use support::input;

/// The command: make the image, and do something with it. What it is, where that was asked for.
pub async fn run(
    context: Context<'_>,
    command: &ImageCommand,
) -> Result<Option<Inspection>, Failure> {
    Box::pin(alone::run(context, command)).await
}

impl Context<'_> {
    /// Reads what the image is; nothing where another builder reads the Dockerfile, or the image is there already.
    pub(super) fn read_final_stage(&self) -> Result<Option<FinalStage>, Failure> {
        let image = &self.config.image;
        if image.archive.is_some() {
            return Ok(None);
        }
        let shown = image.dockerfile.display();
        let text = input::text(&image.dockerfile, input::WRITTEN_BY_HAND).map_err(|error| {
            Failure::preflight(format!("cannot read `{shown}`"))
                .because(error)
                .hint("set `dockerfile` under `[image]` in `deployer.toml`")
        })?;
        if image.builder == Builder::Docker {
            return Ok(None);
        }
        let stage = FinalStage::parse(&text, image.architecture);
        stage.map(Some).map_err(|error| {
            Failure::preflight(format!("cannot use `{shown}`"))
                .because(&error)
                .maybe_hint(error.hint())
                .hint("`--builder docker` takes all that Docker takes")
        })
    }

    /// Makes the image: of the final stage, or, where another builder reads the Dockerfile, by that.
    pub(super) async fn build_image(
        &self,
        stage: Option<&FinalStage>,
    ) -> Result<BuiltImage, Failure> {
        let built = match (&self.config.image.archive, stage) {
            (Some(file), _) => self.restore(file).await?,
            (None, Some(stage)) => self.build_here(stage).await?,
            (None, None) => self.build_by_docker().await?,
        };
        self.sink.send(&Event::ImagePacked {
            digest: digest_of(built.digest())?,
            bytes: built.size(),
        });
        Ok(built)
    }

    /// Reads the image that was made before.
    async fn restore(&self, file: &Path) -> Result<BuiltImage, Failure> {
        let (path, architecture) = (file.to_owned(), self.config.image.architecture);
        let read = tokio::task::spawn_blocking(move || restore(&path, architecture)).await;
        let failed = || Failure::preflight(format!("cannot use `{}`", file.display()));
        match read {
            Ok(Ok(built)) => Ok(built),
            Ok(Err(error)) => Err(failed()
                .because(&error)
                .maybe_hint(error.hint())
                .hint("`deployer image build --archive FILE` writes such a file")),
            Err(error) => Err(failed().because(error)),
        }
    }

    /// The folder that is copied from: that of the Dockerfile.
    fn build_context(&self) -> PathBuf {
        let dockerfile = &self.config.image.dockerfile;
        dockerfile.parent().unwrap_or(Path::new(".")).to_owned()
    }

    /// Where compressed layers are kept.
    fn layer_cache(&self) -> LayerCache {
        LayerCache::in_folder(image_folder(self.config).join("layers"))
    }

    /// Sends the image to `address` (`HOST[:PORT]/NAME`), as far as it is not there.
    pub(super) async fn push_image(
        &self,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<Digest, Failure> {
        self.push_image_as(address, login, built, &built.tag())
            .await
    }

    /// The same under another tag.
    async fn push_image_as(
        &self,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
        tag: &str,
    ) -> Result<Digest, Failure> {
        let (registry, name) = address.split_once('/').ok_or_else(|| {
            Failure::new(
                FailureKind::Unexpected,
                format!("`{address}` is not the address of a repository"),
            )
        })?;
        let credentials = match login {
            Some(Login { user, password }) => Credentials::Basic { user, password },
            None => Credentials::Anonymous,
        };
        let repository = Repository {
            registry: registry.to_owned(),
            name: name.to_owned(),
            credentials,
            roots: self
                .config
                .access
                .found
                .get()
                .map(|found| found.roots.clone())
                .unwrap_or_default(),
        };
        let sink = self.sink.clone();
        let progress = Arc::new(move |at: image_builder::push::PushProgress| {
            sink.send(&Event::PushProgressed {
                sent: at.sent,
                total: at.total,
            });
        });
        let pushed = Box::pin(push(built, &repository, tag, progress))
            .await
            .map_err(|error| push_failure(address, &error))?;
        let digest = digest_of(pushed.digest())?;
        self.sink.send(&Event::Pushed {
            digest: digest.clone(),
            bytes_sent: pushed.bytes_sent(),
            already_there: pushed.outcome() == Outcome::AlreadyThere,
        });
        if let BillOutcome::Refused(reason) = pushed.bill() {
            self.sink.note(format!(
                "the registry does not take the list of what the program is made of ({reason}): it is in {}",
                bill_file(self.config).display()
            ));
        }
        Ok(digest)
    }
}

/// Where what belongs to the image is kept, cargo's own files included.
fn image_folder(config: &Config) -> PathBuf {
    target_folder(config).join("image")
}

/// The list of what the program is made of.
fn bill_file(config: &Config) -> PathBuf {
    image_folder(config).join(format!("{}.cdx.json", config.image.binary))
}

/// Cargo's target folder, as the user set it or at its usual place.
pub(super) fn target_folder(config: &Config) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || config.root.join("target"),
        |folder| config.root.join(folder),
    )
}

/// A program that cannot be compiled.
pub(super) fn compile_failure(error: &CompileError) -> Failure {
    let failure = Failure::preflight(error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    };
    failure
        .with_evidence(error.diagnostics().to_vec())
        .maybe_hint(error.hint())
}

/// Another builder that does not build.
pub(super) fn docker_failure(error: &DockerError) -> Failure {
    Failure::preflight(error.to_string())
        .with_evidence(error.said().to_vec())
        .maybe_hint(error.hint())
}

/// Packing is not for a thread that also watches the stack: it reads files and compresses.
async fn packed(
    work: impl FnOnce() -> Result<BuiltImage, PackError> + Send + 'static,
) -> Result<BuiltImage, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(built)) => Ok(built),
        Ok(Err(error)) => Err(pack_failure(&error)),
        Err(error) => Err(Failure::new(
            FailureKind::Unexpected,
            "packing the image was broken off",
        )
        .because(error)),
    }
}

fn pack_failure(error: &PackError) -> Failure {
    Failure::preflight("cannot pack the image")
        .because(error)
        .maybe_hint(error.hint())
}

fn push_failure(address: &str, error: &PushError) -> Failure {
    Failure::preflight(format!("cannot push the image to {address}"))
        .because(error)
        .maybe_hint(error.hint())
}

fn digest_of(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| {
        Failure::new(FailureKind::Unexpected, "the image has no proper digest").because(error)
    })
}
