//! Source of the facts: this host and AWS, or a replacement in tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::clock::Reading;
use crate::cli::Builder;
use crate::context::{Connection, Context, connect, emulator};
use crate::image::{ImagePlan, failure_of, surroundings, target_folder, with_submodule};
use crate::local::{Emulator, Presence};
use crate::pollers::{ExternalCheck, NetworkCheck};
use crate::template;
use aws::access::Access;
use deployment::error::{Failure, FailureKind};
use image_builder::cargo::{BinaryTarget, Toolchain};
use image_builder::docker;
use support::cause::innermost;

/// Timeout of reading AWS's clock.
const CLOCK_LIMIT: Duration = Duration::from_secs(10);

/// Source of facts for the checks.
#[async_trait]
pub(super) trait Environment: Send + Sync {
    /// Returns the text of the template.
    fn template(&self, context: Context<'_>) -> Result<String, Failure>;
    /// Returns the program to deploy.
    async fn program(&self, context: Context<'_>) -> Result<BinaryTarget, Failure>;
    /// Checks whether the Dockerfile, or the existing image, can be used. Returns remarks about it.
    async fn dockerfile(&self, context: Context<'_>) -> Result<Vec<String>, Failure>;
    /// Returns the folders that are written to, each with the reason if it is not writable.
    fn folders(&self, context: Context<'_>) -> Vec<(PathBuf, Result<(), String>)>;
    /// Returns the toolchain that compiles.
    async fn toolchain(&self, context: Context<'_>) -> Result<Toolchain, Failure>;
    /// Connects, and looks up the identity of the credentials.
    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure>;
    /// Reads AWS's clock.
    async fn clock(&self, context: Context<'_>) -> Result<Reading, String>;
    /// Checks that the Docker engine responds.
    async fn engine(&self, context: Context<'_>) -> Result<(), Failure>;
    /// Returns the external check.
    fn outside(&self) -> &dyn ExternalCheck;
    /// Looks for a running emulator.
    async fn emulator(&self, context: Context<'_>) -> Result<Presence, Failure>;
}

/// Environment of this host.
pub(super) struct LocalEnvironment;

#[async_trait]
impl Environment for LocalEnvironment {
    fn template(&self, context: Context<'_>) -> Result<String, Failure> {
        template::read(context)
    }

    async fn program(&self, context: Context<'_>) -> Result<BinaryTarget, Failure> {
        let program = context.program(&surroundings(context.config)).await;
        program.map_err(|error| with_submodule(context.config, failure_of(&error)))
    }

    async fn dockerfile(&self, context: Context<'_>) -> Result<Vec<String>, Failure> {
        Ok(match context.plan_image().await? {
            ImagePlan::Native(plan) => plan.remarks,
            ImagePlan::Docker | ImagePlan::Archive(_) | ImagePlan::Existing(_) => Vec::new(),
        })
    }

    fn folders(&self, context: Context<'_>) -> Vec<(PathBuf, Result<(), String>)> {
        let mut folders = vec![target_folder(context.config)];
        if let Ok(Some(emulator)) = emulator(context.config) {
            folders.push(emulator.folder().to_owned());
        }
        let folders = folders.into_iter();
        folders
            .map(|folder| {
                let result = can_be_written(&folder).map_err(|error| error.to_string());
                (folder, result)
            })
            .collect()
    }

    async fn toolchain(&self, context: Context<'_>) -> Result<Toolchain, Failure> {
        let config = context.config;
        let architecture = config.image.architecture;
        if config.image.builder == Builder::Docker {
            let engine = docker::find().await;
            let engine = engine.map_err(|error| failure_of(&error))?;
            return Ok(Toolchain {
                cargo: engine.to_string(),
                target: format!("linux/{}", architecture.oci_name()),
            });
        }
        let toolchain = context.toolchain(&surroundings(context.config)).await;
        toolchain.map_err(|error| failure_of(&error))
    }

    async fn connect(&self, context: Context<'_>) -> Result<Connection, Failure> {
        connect(context).await
    }

    fn outside(&self) -> &dyn ExternalCheck {
        &NetworkCheck
    }

    async fn clock(&self, context: Context<'_>) -> Result<Reading, String> {
        let access = &context.config.access;
        let roots = aws::trust::roots(access).await;
        let roots = roots.map_err(|failure| failure.to_string())?;
        read_clock(&clock_address(access), &roots).await
    }

    async fn engine(&self, context: Context<'_>) -> Result<(), Failure> {
        the_emulator(context)?.engine().await
    }

    async fn emulator(&self, context: Context<'_>) -> Result<Presence, Failure> {
        the_emulator(context)?.presence(context.sink).await
    }
}

fn the_emulator(context: Context<'_>) -> Result<Emulator, Failure> {
    emulator(context.config)?.ok_or_else(|| {
        Failure::new(
            FailureKind::Unexpected,
            "there is no emulator without `--local`",
        )
    })
}

/// Checks that a file can be created in this folder, or in its nearest existing ancestor.
fn can_be_written(folder: &Path) -> std::io::Result<()> {
    let existing = folder.ancestors().find(|folder| folder.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    // Random, so that two runs do not delete each other's file.
    let file = existing.join(format!(".deployer-doctor-{:016x}", rand::random::<u64>()));
    // Permissions alone do not tell: the file system may be full or read-only.
    std::fs::write(&file, b"can this be written?")?;
    std::fs::remove_file(&file)
}

/// Returns the URL of an AWS endpoint that responds without credentials.
fn clock_address(access: &Access) -> String {
    if let Some(url) = &access.endpoint_url {
        return url.to_string();
    }
    match access.region.as_deref() {
        // The China partition has its own domain.
        Some(region) if region.starts_with("cn-") => {
            format!("https://sts.{region}.amazonaws.com.cn/")
        }
        Some(region) => format!("https://sts.{region}.amazonaws.com/"),
        None => "https://sts.amazonaws.com/".to_owned(),
    }
}

/// Reads the clock from the `Date` header. Any response has it, including an error.
async fn read_clock(address: &str, roots: &[String]) -> Result<Reading, String> {
    // The provider is global to the process. A second installation fails, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unusable = |error: reqwest::Error| innermost(&error).to_string();
    let mut client = reqwest::Client::builder()
        // A redirect may lead to a host with another clock.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(CLOCK_LIMIT);
    if !roots.is_empty() {
        let roots = roots.iter();
        let roots = roots.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()));
        let roots: Result<Vec<_>, _> = roots.collect();
        client = client.tls_certs_only(roots.map_err(unusable)?);
    }
    let client = client.build().map_err(unusable)?;
    let ask = || client.head(address).send();
    let failed = |error: reqwest::Error| format!("{address}: {}", innermost(&error));
    // The second request reuses the connection. It has a shorter round trip, which makes the
    // reading more precise.
    ask().await.map_err(failed)?;
    let asked = Utc::now().timestamp_millis();
    let answer = ask().await.map_err(failed)?;
    let answered = Utc::now().timestamp_millis();
    let date = answer.headers().get(http::header::DATE);
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let date = date.ok_or_else(|| format!("{address} does not tell the time"))?;
    Ok(Reading {
        asked,
        answered,
        date: date.timestamp_millis(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::settings;

    #[test]
    fn who_is_asked_for_the_time() {
        let mut access = settings().access;
        assert_eq!(clock_address(&access), "https://sts.amazonaws.com/");
        access.region = Some("eu-west-1".to_owned());
        assert_eq!(
            clock_address(&access),
            "https://sts.eu-west-1.amazonaws.com/"
        );
        access.region = Some("cn-north-1".to_owned());
        assert_eq!(
            clock_address(&access),
            "https://sts.cn-north-1.amazonaws.com.cn/"
        );
        access.endpoint_url = "http://127.0.0.1:5000".parse().ok();
        assert_eq!(clock_address(&access), "http://127.0.0.1:5000/");
    }

    #[test]
    fn folders_that_can_be_written_and_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(can_be_written(&folder.path().join("a/b")).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(can_be_written(&folder.path().join("file/below")).is_err());
    }
}
