//! Building and pushing images, with progress events and hints for failures.

mod docker;
mod native;
mod plan;
mod provenance;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::context::Context;
use crate::verdict::{self, OfImage};
use aws::remote::{Login, World};
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use deployment::names::{Digest, ImageUri, RepositoryUri};
use image_builder::cache::LayerCache;
use image_builder::cargo::Surroundings;
use image_builder::image::BuiltImage;
use image_builder::push::{
    AttachOutcome, Credentials, Outcome, Repository, attach, attached, push,
};
use image_builder::submodules::not_checked_out;
use image_builder::unpack::restore;
use image_builder::{Hint, PackError};
pub(crate) use plan::{ImagePlan, at_digest, choose};
pub(crate) use provenance::{provenance_file, public_args};

impl Context<'_> {
    /// Builds the image according to the plan.
    pub(crate) async fn build_image(&self, plan: &ImagePlan) -> Result<BuiltImage, Failure> {
        let built = match plan {
            ImagePlan::Archive(file) => self.restore(file).await,
            ImagePlan::Existing(image) => Ok(BuiltImage::clone(image)),
            ImagePlan::Native(plan) => self.build_here(plan).await,
            ImagePlan::Docker => self.build_by_docker().await,
        };
        let built = built.map_err(|failure| with_submodule(self.config, failure))?;
        self.sink.send(&Event::ImagePacked {
            digest: digest_of(built.digest())?,
            bytes: built.size(),
        });
        Ok(built)
    }

    /// Reads an image from an archive.
    async fn restore(&self, file: &Path) -> Result<BuiltImage, Failure> {
        let (path, architecture) = (file.to_owned(), self.config.image.architecture);
        // Reads and hashes the whole file, which would block an async worker.
        let read = tokio::task::spawn_blocking(move || restore(&path, architecture)).await;
        let cannot_use = || format!("cannot use `{}`", file.display());
        match read {
            Ok(Ok(built)) => Ok(built),
            Ok(Err(error)) => Err(failure_to(cannot_use(), &error)
                .hint("`deployer image build --archive FILE` writes such a file")),
            Err(error) => Err(Failure::preflight(cannot_use()).because(error)),
        }
    }

    /// Returns the configured build context, or the folder of the Dockerfile.
    fn build_context(&self) -> PathBuf {
        let image = &self.config.image;
        let folder = || image.dockerfile.parent().unwrap_or(Path::new("."));
        let configured = image.context.as_deref();
        configured.unwrap_or_else(folder).to_owned()
    }

    /// Returns additional root certificates for registries, besides those of this machine.
    async fn trusted_roots(&self) -> Result<Vec<String>, Failure> {
        aws::trust::roots(&self.config.access).await
    }

    /// Returns the cache of compressed layers.
    fn layer_cache(&self) -> LayerCache {
        LayerCache::in_folder(image_folder(self.config).join("layers"))
    }

    /// Pushes the missing parts of the image to a repository; returns its URI there.
    pub(crate) async fn push_image(
        &self,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<ImageUri, Failure> {
        self.push_image_as(address, login, built, &built.tag())
            .await
    }

    /// Pushes the image with this tag.
    pub(crate) async fn push_image_as(
        &self,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
        tag: &str,
    ) -> Result<ImageUri, Failure> {
        let credentials = match login {
            Some(Login { user, password }) => Credentials::Basic { user, password },
            None => Credentials::Anonymous,
        };
        let repository = Repository {
            registry: address.registry().to_owned(),
            name: address.repository().to_string(),
            credentials,
            roots: self.trusted_roots().await?,
        };
        let sink = self.sink.clone();
        let progress = Arc::new(move |at: image_builder::push::PushProgress| {
            sink.send(&Event::PushProgressed {
                sent: at.sent,
                total: at.total,
            });
        });
        // Boxed, because the future of a push is large.
        let pushed = Box::pin(push(built, &repository, tag, progress))
            .await
            .map_err(|error| failure_to(format!("cannot push the image to {address}"), &error))?;
        let digest = digest_of(pushed.digest())?;
        self.sink.send(&Event::Pushed {
            digest: digest.clone(),
            bytes_sent: pushed.bytes_sent(),
            already_there: pushed.outcome() == Outcome::AlreadyThere,
        });
        // Not every registry accepts artifacts. The image is usable without them.
        if let AttachOutcome::Refused(reason) = pushed.attachments() {
            self.sink.note(format!(
                "the registry does not take SBOM and provenance ({reason}): they are in {}",
                image_folder(self.config).display()
            ));
        }
        Ok(address.image(digest))
    }

    /// Attaches a verdict to an image in the stack's repository. Returns false if nothing was
    /// changed and this stack's verdict is attached already.
    pub(crate) async fn attach_verdict(
        &self,
        world: &dyn World,
        verdict: &OfImage<'_>,
    ) -> Result<bool, Failure> {
        let OfImage {
            image,
            stack,
            statement,
            changed,
        } = *verdict;
        let credentials = if self.config.access.logs_in_to_registry() {
            let login = world.login(None).await;
            let Login { user, password } = login.map_err(|error| self.remote_failure(&error))?;
            Credentials::Basic { user, password }
        } else {
            Credentials::Anonymous
        };
        let repository = Repository {
            registry: image.repository().registry().to_owned(),
            name: image.repository().repository().to_string(),
            credentials,
            roots: self.trusted_roots().await?,
        };
        let digest = image.digest().as_str();
        let failed = |error| failure_to("cannot attach the verdict", &error);
        if !changed {
            let kind = Some(verdict::PREDICATE);
            let found = attached(&repository, digest, kind).await.map_err(failed)?;
            if verdict::is_there(stack, &found.statements, digest) {
                return Ok(false);
            }
        }
        let document = statement.document(self.config.program_name(), digest);
        attach(&repository, digest, &[document])
            .await
            .map_err(failed)?;
        Ok(true)
    }
}

/// Returns the folder for image files, inside Cargo's target folder.
fn image_folder(config: &Config) -> PathBuf {
    target_folder(config).join("image")
}

/// Returns `SOURCE_DATE_EPOCH`, which reproducible builds set (reproducible-builds.org).
fn source_date_epoch(config: &Config) -> Option<String> {
    match &config.image.rebuild {
        Some(rebuild) => rebuild.source_date_epoch.clone(),
        None => std::env::var("SOURCE_DATE_EPOCH").ok(),
    }
}

/// Returns the path of the SBOM file of this program.
pub(crate) fn sbom_file(config: &Config, program: &str) -> PathBuf {
    image_folder(config).join(format!("{program}.cdx.json"))
}

/// Returns the environment of the compiler, with the secrets that the settings allow.
pub(crate) fn surroundings(config: &Config) -> Surroundings {
    let rebuild = config.image.rebuild.as_ref();
    Surroundings {
        allowed: config.image.build_environment.clone(),
        toolchain: rebuild.and_then(|it| it.toolchain.clone()),
        ..Surroundings::from_env()
    }
}

/// Returns Cargo's target folder, from `CARGO_TARGET_DIR` or at its default place.
pub(crate) fn target_folder(config: &Config) -> PathBuf {
    if let Some(rebuild) = &config.image.rebuild {
        return rebuild.target_folder.clone();
    }
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace_of(&config.root).join("target"),
        // Joining keeps an absolute path as it is.
        |folder| config.root.join(folder),
    )
}

/// Returns the root folder of the cargo workspace that a folder belongs to, or of its package.
fn workspace_of(folder: &Path) -> &Path {
    let manifest = |folder: &&Path| std::fs::read_to_string(folder.join("Cargo.toml")).ok();
    let is_workspace =
        |folder: &&Path| manifest(folder).is_some_and(|it| it.contains("[workspace"));
    let mut above = folder.ancestors();
    above
        .find(is_workspace)
        .or_else(|| folder.ancestors().find(|it| manifest(it).is_some()))
        .unwrap_or(folder)
}

/// Converts an error to a failure with the error's own message and cause.
pub(crate) fn failure_of(error: &impl Hint) -> Failure {
    let failure = Failure::preflight(error.to_string());
    let failure = match error.source() {
        Some(source) => failure.because(source),
        None => failure,
    };
    failure
        .with_evidence(error.evidence().to_vec())
        .maybe_hint(error.hint())
}

/// Puts a hint first if the failure names a git submodule that is not checked out.
pub(crate) fn with_submodule(config: &Config, failure: Failure) -> Failure {
    let text = format!("{failure}\n{}", failure.evidence.join("\n"));
    let submodules = not_checked_out(&config.root).into_iter();
    let mut named = submodules.filter(|it| it.is_named_in(&text));
    let first = named.next().map(|it| it.hint());
    Failure {
        hints: first.into_iter().chain(failure.hints).collect(),
        ..failure
    }
}

/// Converts an error to a failure to do `what`, with the error as the cause.
fn failure_to(what: impl Into<String>, error: &impl Hint) -> Failure {
    Failure::preflight(what)
        .because(error)
        .maybe_hint(error.hint())
}

/// Runs the packing on a blocking thread: it reads and compresses files, while this thread also
/// polls the stack.
async fn packed(
    work: impl FnOnce() -> Result<BuiltImage, PackError> + Send + 'static,
) -> Result<BuiltImage, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(built)) => Ok(built),
        Ok(Err(error)) => Err(failure_to("cannot pack the image", &error)),
        Err(error) => Err(Failure::new(
            FailureKind::Unexpected,
            "packing the image was broken off",
        )
        .because(error)),
    }
}

pub(crate) fn digest_of(text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|error| {
        Failure::new(FailureKind::Unexpected, "the image has no proper digest").because(error)
    })
}
