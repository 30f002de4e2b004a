//! Pushes an image to a registry: nothing if the registry has it already, or else what is missing.
//! The manifest comes last, so that clients never see a partial image.
//!
//! A tag may be immutable. ECR then rejects a push even of the same image, so the tag is looked up
//! first, and again if the manifest is rejected. SBOM and statements are attached if the registry
//! accepts them.

mod asking;
mod attach;
mod attached;
mod error;
mod fast_path;
mod idle;
mod loopback;
mod progress;
mod retry;
mod session;

use std::collections::BTreeSet;
use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::image::{BuiltImage, Document};
use crate::layer;
pub use attach::attach;
pub use attached::{Attached, attached};
pub use error::PushError;
pub(crate) use error::RequestError;
pub(crate) use idle::{Movement, patiently};
use loopback::is_loopback;
use progress::Progress;
pub use progress::{OnProgress, PushProgress};
pub(crate) use retry::Retry;
pub(crate) use session::{Rights, Session};

/// Number of layers that are uploaded or looked up concurrently.
const PARALLEL: usize = 4;

/// Credentials for a registry. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Access without a login.
    Anonymous,
    /// User name and password. For ECR, these are `AWS` and a token that is valid for 12 hours.
    Basic {
        /// User name for the login.
        user: String,
        /// Password or token for the login.
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

/// Repository in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Host of the registry, with the port unless it is the default. A registry on this machine is
    /// accessed without TLS.
    pub registry: String,
    /// Name of the repository, without the host.
    pub name: String,
    /// Credentials for the registry.
    pub credentials: Credentials,
    /// Certificates to trust in addition to the system's, each in PEM.
    pub roots: Vec<String>,
}

/// Image that exists in a registry. Only [`push`] creates this type, so that a reference derived
/// from it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    digest: String,
    outcome: Outcome,
    bytes_sent: u64,
    blobs_sent: usize,
    blobs_present: usize,
    attachments: AttachOutcome,
}

/// Result of attaching SBOM and statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachOutcome {
    /// There is nothing to attach, or nothing had to be sent.
    Untouched,
    /// The registry stores all of it as referrers of the image.
    Attached,
    /// The registry rejected it, for this reason.
    Refused(String),
}

/// Result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The registry had the image already, with this tag.
    AlreadyThere,
    /// The image was pushed.
    Sent,
}

impl PushedImage {
    fn already_there(image: &BuiltImage) -> Self {
        Self {
            digest: image.digest().to_owned(),
            outcome: Outcome::AlreadyThere,
            bytes_sent: 0,
            blobs_sent: 0,
            blobs_present: blobs(image).len(),
            attachments: AttachOutcome::Untouched,
        }
    }

    /// Returns the digest of the manifest, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns whether anything was sent.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns the number of bytes that were sent. Retried requests count once.
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Returns the number of blobs (layers and configurations) that were sent.
    pub const fn blobs_sent(&self) -> usize {
        self.blobs_sent
    }

    /// Returns the result of attaching SBOM and statements.
    pub const fn attachments(&self) -> &AttachOutcome {
        &self.attachments
    }

    /// Returns the number of blobs (layers and configurations) that the registry had already.
    pub const fn blobs_present(&self) -> usize {
        self.blobs_present
    }
}

/// Pushes the image with this tag, as far as the registry does not have it.
pub async fn push(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
) -> Result<PushedImage, PushError> {
    // Includes the artifacts, so that what could not be attached is sent by a later push.
    let artifacts = attach::artifacts(image);
    if fast_path::has_all(repository, (tag, image.digest()), &artifacts).await {
        return Ok(PushedImage::already_there(image));
    }
    let retry = Retry::default();
    Box::pin(push_with(image, repository, tag, on_progress, retry)).await
}

async fn push_with(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
    retry: Retry,
) -> Result<PushedImage, PushError> {
    // Boxed, since the future with all its concurrent uploads is too large for the stack.
    Box::pin(push_at_once(image, repository, tag, on_progress, retry)).await
}

async fn push_at_once(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
    retry: Retry,
) -> Result<PushedImage, PushError> {
    let session = Session::open(repository, Rights::Push, retry).await;
    let artifacts = attach::artifacts(image);
    let blobs = blobs(image);
    // Looks up the tag and not the digest: the image may exist with another tag only.
    if session.tagged(tag).await?.as_deref() == Some(image.digest()) {
        return Ok(PushedImage {
            attachments: Box::pin(artifacts.attach_if_missing(&session)).await,
            ..PushedImage::already_there(image)
        });
    }
    let missing = session.missing(&blobs).await?;
    let manifest = &image.manifest.content;
    let sizes = missing.iter().map(|blob| blob.content.size());
    let total = sizes.sum::<u64>() + manifest.len() as u64;
    let progress = Progress::start(total, on_progress);
    session.authorise().await;
    let image_lane = async {
        let sending: Vec<_> = missing
            .iter()
            .map(|blob| session.send_blob(blob, progress.blob()))
            .collect();
        stream::iter(sending)
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await?;
        // Registries reject a manifest that refers to missing blobs.
        session.send_manifest(image, tag).await?;
        progress.add(manifest.len() as u64);
        Ok(())
    };
    // Not `try_join!`: an error with an artifact must not abort the image.
    let (sent, prepared) = tokio::join!(image_lane, artifacts.upload(&session));
    sent?;
    // Strict registries accept a referrer only after its image. An error here does not fail the
    // push.
    let attachments = match prepared {
        Ok(()) => Box::pin(artifacts.attach(&session)).await,
        Err(reason) => AttachOutcome::Refused(reason),
    };
    Ok(PushedImage {
        outcome: Outcome::Sent,
        bytes_sent: total,
        blobs_sent: missing.len(),
        blobs_present: blobs.len() - missing.len(),
        attachments,
        ..PushedImage::already_there(image)
    })
}

/// Layer or document to push.
#[derive(Clone)]
struct Blob<'a> {
    digest: &'a str,
    content: layer::Blob,
    /// Repository that the layer of a base image comes from: `REGISTRY/NAME`.
    origin: Option<&'a str>,
}

impl<'a> From<&'a Document> for Blob<'a> {
    fn from(document: &'a Document) -> Self {
        Self {
            digest: &document.digest,
            content: document.content.clone().into(),
            origin: None,
        }
    }
}

/// Returns the blobs of an image, each digest once: two layers may be equal.
fn blobs(image: &BuiltImage) -> Vec<Blob<'_>> {
    let layers = image.layers.iter().map(|layer| Blob {
        digest: &layer.digest,
        content: layer.content.clone(),
        origin: layer.origin.as_deref(),
    });
    let config = Blob::from(&image.config);
    // Concurrent uploads of the same blob would waste time and count twice.
    let mut seen = BTreeSet::new();
    layers
        .chain([config])
        .filter(|blob| seen.insert(blob.digest))
        .collect()
}

/// Installs the TLS provider that the HTTP clients use. An error means that it is installed
/// already.
fn use_tls_of_ring() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

#[cfg(test)]
mod tests;
