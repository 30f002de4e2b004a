//! The image's way into the registry, with events for progress and failures with remedies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::Context;
use crate::config::Config;
use crate::error::{Failure, FailureKind};
use crate::event::Event;
use crate::image::PackError;
use crate::image::cargo::{CompileError, CompileEvent, CompileRequest, Surroundings, compile};
use crate::image::dockerfile::FinalStage;
use crate::image::oci::{self, BuiltImage, Executable, Recipe};
use crate::image::push::{Credentials, Outcome, PushError, Repository, push};
use crate::names::Digest;
use crate::remote::Login;

impl Context<'_> {
    /// Reads what the image is.
    pub(super) fn read_final_stage(&self) -> Result<FinalStage, Failure> {
        let image = &self.config.image;
        let shown = image.dockerfile.display();
        let text = std::fs::read_to_string(&image.dockerfile).map_err(|error| {
            Failure::preflight(format!("cannot read `{shown}`"))
                .because(error)
                .hint("set `dockerfile` under `[image]` in `deployer.toml`")
        })?;
        FinalStage::parse(&text, image.architecture).map_err(|error| {
            Failure::preflight(format!("cannot use `{shown}`"))
                .because(&error)
                .maybe_hint(error.hint())
        })
    }

    /// Compiles the program and packs it.
    pub(super) async fn build_image(&self, stage: &FinalStage) -> Result<BuiltImage, Failure> {
        let config = self.config;
        let surroundings = Surroundings::from_env();
        let target_dir = target_folder(config);
        let request = CompileRequest {
            workspace: &config.root,
            package: &config.image.package,
            binary: &config.image.binary,
            architecture: config.image.architecture,
            target_dir: &target_dir,
        };
        let mut waiting = false;
        let on_event = |event: CompileEvent<'_>| match event {
            CompileEvent::Crate { done, name, .. } => self.sink.send(&Event::Compiled {
                crates: done,
                name: name.to_owned(),
            }),
            // Cargo says it for each of its locks; once is enough.
            CompileEvent::Waiting if std::mem::replace(&mut waiting, true) => {}
            CompileEvent::Waiting => {
                self.sink
                    .note("another cargo is at work in the same folder: waiting for it");
            }
        };
        let executable = compile(&request, &surroundings, on_event)
            .await
            .map_err(|error| compile_failure(&error))?;
        let built = self.pack(stage.clone(), executable).await?;
        self.sink.send(&Event::ImagePacked {
            digest: digest_of(built.digest())?,
            bytes: built.size(),
        });
        Ok(built)
    }

    async fn pack(&self, stage: FinalStage, program: Executable) -> Result<BuiltImage, Failure> {
        let context: PathBuf = self
            .config
            .image
            .dockerfile
            .parent()
            .unwrap_or(Path::new("."))
            .to_owned();
        let architecture = self.config.image.architecture;
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
        // Reads files and compresses: not for a thread that also watches the stack.
        let packed = tokio::task::spawn_blocking(move || {
            let created = oci::created(epoch.as_deref())?;
            oci::build(&Recipe {
                stage: &stage,
                program: &program,
                context: &context,
                architecture,
                created,
            })
        });
        match packed.await {
            Ok(Ok(built)) => Ok(built),
            Ok(Err(error)) => Err(pack_failure(&error)),
            Err(error) => Err(Failure::new(
                FailureKind::Unexpected,
                "packing the image was broken off",
            )
            .because(error)),
        }
    }

    /// Sends the image to `address` (`HOST[:PORT]/NAME`), as far as it is not there.
    pub(super) async fn push_image(
        &self,
        address: &str,
        login: Option<Login>,
        built: &BuiltImage,
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
        };
        let sink = self.sink.clone();
        let progress = Arc::new(move |at: crate::image::push::PushProgress| {
            sink.send(&Event::PushProgressed {
                sent: at.sent,
                total: at.total,
            });
        });
        let pushed = push(built, &repository, &built.tag(), progress)
            .await
            .map_err(|error| push_failure(address, &error))?;
        let digest = digest_of(pushed.digest())?;
        self.sink.send(&Event::Pushed {
            digest: digest.clone(),
            bytes_sent: pushed.bytes_sent(),
            already_there: pushed.outcome() == Outcome::AlreadyThere,
        });
        Ok(digest)
    }
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
