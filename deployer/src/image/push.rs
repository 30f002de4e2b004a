//! Sends an image to a registry: nothing when it is there already, else what is missing, the manifest last. A reader of the
//! registry therefore never sees half an image.
//!
//! A tag may be immutable, as in ECR, which refuses even the same image under it: the digest is looked up first, and again
//! when the manifest is refused.

mod error;
mod progress;
mod retry;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;

use super::oci::BuiltImage;
pub use error::PushError;
use error::status;
use progress::Progress;
pub use progress::{OnProgress, PushProgress};
use retry::Retry;

/// A registry that does not answer within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// It may think about a large layer for a while, but not longer.
const READ_TIMEOUT: Duration = Duration::from_mins(2);
/// Who we are for the registry. Has no way of showing the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// User and password; for ECR `AWS` and a token of some hours.
    Basic {
        /// The user's name.
        user: String,
        /// Never shown.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// A repository in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Host, and port if it is not the usual one. One of this machine is spoken to without TLS.
    pub registry: String,
    /// The repository's name, without the registry's.
    pub name: String,
    /// Who we are there.
    pub credentials: Credentials,
}

/// An image that a registry has. Made by [`push`] alone, so that what was not pushed cannot be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    digest: String,
    outcome: Outcome,
    bytes_sent: u64,
    blobs_sent: usize,
    blobs_present: usize,
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The registry had the image.
    AlreadyThere,
    /// It has it now.
    Sent,
}

impl PushedImage {
    /// The digest of its manifest, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether anything had to be done.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What was sent, in bytes; requests that were tried again count once.
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// How many layers and configurations were sent.
    pub const fn blobs_sent(&self) -> usize {
        self.blobs_sent
    }

    /// How many layers and configurations the registry had already.
    pub const fn blobs_present(&self) -> usize {
        self.blobs_present
    }
}

/// Sends the image, under a tag, as far as the registry does not have it.
pub async fn push(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
) -> Result<PushedImage, PushError> {
    push_with(image, repository, tag, on_progress, Retry::default()).await
}

async fn push_with(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
    retry: Retry,
) -> Result<PushedImage, PushError> {
    let session = Session::open(repository, retry)?;
    let digest = image.digest();
    let blobs = blobs(image);
    let pushed = PushedImage {
        digest: digest.to_owned(),
        outcome: Outcome::AlreadyThere,
        bytes_sent: 0,
        blobs_sent: 0,
        blobs_present: blobs.len(),
    };
    if session.has_image(digest).await? {
        return Ok(pushed);
    }
    let missing = session.missing(&blobs).await?;
    let manifest = &image.manifest.content;
    let sizes = missing.iter().map(|blob| blob.content.len() as u64);
    let total = sizes.sum::<u64>() + manifest.len() as u64;
    let progress = Progress::start(total, on_progress);
    for blob in &missing {
        session.send_blob(blob, &progress).await?;
    }
    session.send_manifest(image, tag).await?;
    progress.add(manifest.len() as u64);
    Ok(PushedImage {
        outcome: Outcome::Sent,
        bytes_sent: total,
        blobs_sent: missing.len(),
        blobs_present: blobs.len() - missing.len(),
        ..pushed
    })
}

/// A layer or the configuration.
#[derive(Clone, Copy)]
struct Blob<'a> {
    digest: &'a str,
    content: &'a Bytes,
}

/// Each content once, also when two layers are the same.
fn blobs(image: &BuiltImage) -> Vec<Blob<'_>> {
    let layers = image.layers.iter().map(|layer| Blob {
        digest: &layer.digest,
        content: &layer.content,
    });
    let config = Blob {
        digest: &image.config.digest,
        content: &image.config.content,
    };
    let mut seen = BTreeSet::new();
    layers
        .chain([config])
        .filter(|blob| seen.insert(blob.digest))
        .collect()
}

/// The talk with one repository.
struct Session<'a> {
    client: Client,
    auth: RegistryAuth,
    repository: &'a Repository,
    retry: Retry,
}

impl<'a> Session<'a> {
    fn open(repository: &'a Repository, retry: Retry) -> Result<Self, PushError> {
        // Whoever came first has installed the same one.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let is_local = is_loopback(&repository.registry);
        let retry = Retry {
            gives_up_on_nobody: is_local,
            ..retry
        };
        let protocol = if is_local {
            ClientProtocol::HttpsExcept(vec![repository.registry.clone()])
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            // The other way sends parts of 4 MiB, and ECR wants larger ones.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            ..ClientConfig::default()
        };
        let client =
            Client::try_from(config).map_err(|error| PushError::new(repository, &error))?;
        let auth = match &repository.credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Basic { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
        };
        Ok(Self {
            client,
            auth,
            repository,
            retry,
        })
    }

    fn by_digest(&self, digest: &str) -> Reference {
        let Repository { registry, name, .. } = self.repository;
        Reference::with_digest(registry.clone(), name.clone(), digest.to_owned())
    }

    fn error(&self, error: &OciDistributionError) -> PushError {
        PushError::new(self.repository, error)
    }

    async fn has_image(&self, digest: &str) -> Result<bool, PushError> {
        let reference = self.by_digest(digest);
        let found = self
            .retry
            .run(|| self.client.fetch_manifest_digest(&reference, &self.auth))
            .await;
        match found {
            Ok(found) => Ok(found == digest),
            Err(error) if is_unknown_repository(&error) => Err(self.error(&error)),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(self.error(&error)),
        }
    }

    async fn missing<'b>(&self, blobs: &[Blob<'b>]) -> Result<Vec<Blob<'b>>, PushError> {
        let mut missing = Vec::new();
        for blob in blobs {
            let reference = self.by_digest(blob.digest);
            let is_there = self
                .retry
                .run(|| self.client.blob_exists(&reference, blob.digest))
                .await
                .map_err(|error| self.error(&error))?;
            if !is_there {
                missing.push(*blob);
            }
        }
        Ok(missing)
    }

    async fn send_blob(&self, blob: &Blob<'_>, progress: &Progress) -> Result<(), PushError> {
        let reference = self.by_digest(blob.digest);
        let before = progress.sent();
        self.retry
            .run(|| {
                progress.reset_to(before);
                let stream = progress.chunks(blob.content.clone());
                let size = Some(blob.content.len() as u64);
                self.client
                    .push_blob_stream(&reference, stream, blob.digest, size)
            })
            .await
            .map_err(|error| self.error(&error))?;
        Ok(())
    }

    async fn send_manifest(&self, image: &BuiltImage, tag: &str) -> Result<(), PushError> {
        let Repository { registry, name, .. } = self.repository;
        let reference = Reference::with_tag(registry.clone(), name.clone(), tag.to_owned());
        let media_type = http::HeaderValue::from_str(&image.manifest.media_type)
            .map_err(|_| PushError::Unusable(image.manifest.media_type.clone()))?;
        let sent = self
            .retry
            .run(|| {
                self.client.push_manifest_raw(
                    &reference,
                    image.manifest.content.clone(),
                    media_type.clone(),
                )
            })
            .await;
        let Err(error) = sent else {
            return Ok(());
        };
        let is_refused = matches!(status(&error), Some(400 | 405 | 409 | 412));
        // Someone else may have sent the same image in the meantime, or our first attempt did arrive.
        if is_refused && self.has_image(image.digest()).await? {
            return Ok(());
        }
        if is_refused
            && self
                .retry
                .run(|| self.client.fetch_manifest_digest(&reference, &self.auth))
                .await
                .is_ok()
        {
            return Err(PushError::TagTaken {
                tag: tag.to_owned(),
            });
        }
        Err(self.error(&error))
    }
}

/// An emulator or a registry on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_unknown_repository(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::RegistryError { envelope, .. }
        if envelope.errors.iter().any(|error| matches!(error.code, OciErrorCode::NameUnknown)))
}

#[cfg(test)]
mod tests;
