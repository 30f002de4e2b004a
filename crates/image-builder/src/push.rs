//! Sends an image to a registry: nothing when it is there already, else what is missing, the manifest last. A reader of the
//! registry therefore never sees half an image.
//!
//! A tag may be immutable, as in ECR, which refuses even the same image under it: what the tag leads to is looked up first, and
//! again when the manifest is refused. The list of the image's parts goes with it, where the registry takes it.

mod attach;
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
use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::image::{BuiltImage, Document};
use crate::layer;
pub use error::PushError;
use loopback::is_loopback;
use progress::Progress;
pub use progress::{OnProgress, PushProgress};
use retry::Retry;
use session::Session;
pub(crate) use session::client_for;

/// So many layers are sent, or asked for, at the same time.
const PARALLEL: usize = 4;

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
    /// Certificates to trust besides this machine's, each in PEM.
    pub roots: Vec<String>,
}

/// An image that a registry has. [`push`] alone returns one, so that an address built from it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    digest: String,
    outcome: Outcome,
    bytes_sent: u64,
    blobs_sent: usize,
    blobs_present: usize,
    sbom: SbomOutcome,
}

/// What became of the SBOM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SbomOutcome {
    /// There is none, or the image was there already.
    Untouched,
    /// It is in the registry, and refers to the image.
    Attached,
    /// The registry did not take it, for this reason.
    Refused(String),
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The registry had the image, and under this tag.
    AlreadyThere,
    /// It has it now.
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
            sbom: SbomOutcome::Untouched,
        }
    }

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

    /// What became of the SBOM.
    pub const fn sbom(&self) -> &SbomOutcome {
        &self.sbom
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
    let artifact = attach::artifact(image);
    let mut expected = vec![(tag.to_owned(), image.digest())];
    expected.extend(
        artifact
            .as_ref()
            .map(|it| (it.tag.clone(), it.manifest.digest.as_str())),
    );
    if fast_path::has_all(repository, &expected).await {
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
    // What goes on at the same time is too much for a stack.
    Box::pin(push_at_once(image, repository, tag, on_progress, retry)).await
}

async fn push_at_once(
    image: &BuiltImage,
    repository: &Repository,
    tag: &str,
    on_progress: OnProgress,
    retry: Retry,
) -> Result<PushedImage, PushError> {
    let session = Session::open(repository, retry).await?;
    let artifact = attach::artifact(image);
    let blobs = blobs(image);
    // Asked by the tag, not by the digest: an image that is there under another tag still lacks this one.
    if session.tagged(tag).await?.as_deref() == Some(image.digest()) {
        let sbom = match &artifact {
            Some(artifact) => Box::pin(artifact.attach_if_missing(&session)).await,
            None => SbomOutcome::Untouched,
        };
        return Ok(PushedImage {
            sbom,
            ..PushedImage::already_there(image)
        });
    }
    let missing = session.missing(&blobs).await?;
    let manifest = &image.manifest.content;
    let sizes = missing.iter().map(|blob| blob.content.size());
    let total = sizes.sum::<u64>() + manifest.len() as u64;
    let progress = Progress::start(total, on_progress);
    session.authorise_to_push().await;
    let image_lane = async {
        let sending: Vec<_> = missing
            .iter()
            .map(|blob| session.send_blob(blob, progress.blob()))
            .collect();
        stream::iter(sending)
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await?;
        session.send_manifest(image, tag).await?;
        progress.add(manifest.len() as u64);
        Ok(())
    };
    let artifact_lane = async {
        match &artifact {
            Some(artifact) => artifact.send_blobs(&session).await,
            None => Ok(()),
        }
    };
    let (sent, prepared) = tokio::join!(image_lane, artifact_lane);
    sent?;
    // Strict registries take what refers to an image only when that is there. Whether it arrives is no condition for anything.
    let sbom = match (&artifact, prepared) {
        (None, _) => SbomOutcome::Untouched,
        (Some(_), Err(reason)) => SbomOutcome::Refused(reason),
        (Some(artifact), Ok(())) => Box::pin(artifact.attach(&session)).await,
    };
    Ok(PushedImage {
        outcome: Outcome::Sent,
        bytes_sent: total,
        blobs_sent: missing.len(),
        blobs_present: blobs.len() - missing.len(),
        sbom,
        ..PushedImage::already_there(image)
    })
}

/// A layer or a document.
#[derive(Clone)]
struct Blob<'a> {
    digest: &'a str,
    content: layer::Blob,
    /// Where a base image has it: `REGISTRY/NAME`.
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

/// Each content once, also when two layers are the same.
fn blobs(image: &BuiltImage) -> Vec<Blob<'_>> {
    let layers = image.layers.iter().map(|layer| Blob {
        digest: &layer.digest,
        content: layer.content.clone(),
        origin: layer.origin.as_deref(),
    });
    let config = Blob::from(&image.config);
    let mut seen = BTreeSet::new();
    layers
        .chain([config])
        .filter(|blob| seen.insert(blob.digest))
        .collect()
}

/// The clients want to know whose cryptography to use. Whoever came first has installed the same one.
fn use_tls_of_ring() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

fn is_unknown_repository(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::RegistryError { envelope, .. }
        if envelope.errors.iter().any(|error| matches!(error.code, OciErrorCode::NameUnknown)))
}

#[cfg(test)]
mod tests;
