//! Attaches documents to an image, SBOM and in-toto statements, as artifacts that refer to it (OCI
//! distribution specification, "Pushing Manifests with Subject"). Best effort: a deployment does
//! not depend on it.

use std::time::Duration;

use bytes::Bytes;
use oci_client::manifest::ImageIndexEntry;
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::progress::Progress;
use super::retry::Retry;
use super::session::{Rights, Session};
use super::{AttachOutcome, Blob, PushError, Repository};
use crate::attestation::{self, PREDICATE_ANNOTATION};
use crate::image::{BuiltImage, Document, descriptor, document};

/// Time limit for attaching.
const LIMIT: Duration = Duration::from_secs(20);
const RETRY: Retry = Retry {
    retries: 1,
    first_delay: Duration::from_millis(250),
    logins: 1,
    gives_up_on_nobody: true,
};
/// Media type of the placeholder for a missing configuration.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Artifacts that refer to one image.
pub(super) struct Artifacts<'a> {
    all: Vec<Artifact<'a>>,
    empty: Document,
    subject: String,
    /// Tag of the index in which clients find the artifacts if the registry has no referrers API.
    pub(super) referrers_tag: String,
}

/// Artifact that refers to an image.
pub(super) struct Artifact<'a> {
    /// Tag, or the digest of the manifest. An artifact with another content each time gets no tag,
    /// since tags may be immutable.
    pub(super) reference: String,
    pub(super) manifest: Document,
    document: &'a Document,
    annotations: Option<Value>,
}

/// Returns the tag of the SBOM of an image with this digest.
pub(crate) fn sbom_tag(image: &str) -> String {
    format!("{}.sbom", image.replace(':', "-"))
}

/// Returns the artifacts of an image.
pub(super) fn artifacts(image: &BuiltImage) -> Artifacts<'_> {
    let all = image.sbom.iter().chain(&image.statements);
    Artifacts::of(image.digest(), &image.manifest.descriptor(), all)
}

/// Attaches statements to an image that exists in the registry.
pub async fn attach(
    repository: &Repository,
    image: &str,
    statements: &[Document],
) -> Result<(), PushError> {
    let session = Session::open(repository, Rights::Push, RETRY).await;
    let manifest = session.manifest(image).await?;
    let manifest = manifest.ok_or_else(|| PushError::Failed {
        registry: repository.registry.clone(),
        reason: format!("it has no image {image}"),
    })?;
    let subject = descriptor(&manifest.media_type, image, manifest.content.len() as u64);
    let artifacts = Artifacts::of(image, &subject, statements);
    let sent = async {
        artifacts.send_blobs(&session).await?;
        artifacts.put(&session).await
    };
    Box::pin(within(sent))
        .await
        .map_err(|reason| PushError::Failed {
            registry: repository.registry.clone(),
            reason,
        })
}

impl<'a> Artifacts<'a> {
    fn of(image: &str, subject: &Value, documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let empty = Document::new(EMPTY, Bytes::from_static(b"{}"));
        let artifact = |document| Artifact::new(image, subject, &empty, document);
        Self {
            all: documents.into_iter().map(artifact).collect(),
            empty,
            subject: image.to_owned(),
            referrers_tag: image.replace(':', "-"),
        }
    }

    /// Returns reference and digest of each artifact.
    pub(super) fn expected(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.all.iter();
        all.map(|it| (it.reference.as_str(), it.manifest.digest.as_str()))
    }

    /// Uploads the blobs of the artifacts.
    pub(super) async fn upload(&self, session: &Session) -> Result<(), String> {
        let session = session.with(RETRY);
        within(self.send_blobs(&session)).await
    }

    async fn send_blobs(&self, session: &Session) -> Result<(), PushError> {
        if self.all.is_empty() {
            return Ok(());
        }
        // The progress shown to the user is that of the image alone.
        let progress = Progress::start(0, std::sync::Arc::new(|_| ()));
        let documents = self.all.iter().map(|it| it.document);
        let blobs: Vec<_> = documents.chain([&self.empty]).map(Blob::from).collect();
        for blob in &session.missing(&blobs).await? {
            session.send_blob(blob, progress.blob()).await?;
        }
        Ok(())
    }

    /// Attaches the artifacts. The image must exist in the registry.
    pub(super) async fn attach(&self, session: &Session) -> AttachOutcome {
        if self.all.is_empty() {
            return AttachOutcome::Untouched;
        }
        let session = session.with(RETRY);
        match Box::pin(within(self.put(&session))).await {
            Ok(()) => AttachOutcome::Attached,
            Err(reason) => AttachOutcome::Refused(reason),
        }
    }

    /// Attaches the artifacts to an image that existed already, unless they are attached.
    pub(super) async fn attach_if_missing(&self, session: &Session) -> AttachOutcome {
        // A failed look-up proves nothing, so everything is sent as if it were missing.
        match self.is_attached(&session.with(RETRY)).await {
            Ok(true) => AttachOutcome::Untouched,
            Ok(false) | Err(_) => match self.upload(session).await {
                Ok(()) => Box::pin(self.attach(session)).await,
                Err(reason) => AttachOutcome::Refused(reason),
            },
        }
    }

    async fn is_attached(&self, session: &Session) -> Result<bool, PushError> {
        if self.all.is_empty() {
            return Ok(true);
        }
        for (reference, digest) in self.expected() {
            if session.tagged(reference).await?.as_deref() != Some(digest) {
                return Ok(false);
            }
        }
        let listed = session.referrers(&self.subject).await?;
        Ok(self.missing_in(&listed).is_empty())
    }

    fn missing_in(&self, listed: &[ImageIndexEntry]) -> Vec<&Artifact<'a>> {
        let is_listed = |it: &&Artifact<'_>| {
            let mut listed = listed.iter();
            listed.any(|entry| entry.digest == it.manifest.digest)
        };
        self.all.iter().filter(|it| !is_listed(it)).collect()
    }

    async fn put(&self, session: &Session) -> Result<(), PushError> {
        for artifact in &self.all {
            let (manifest, reference) = (&artifact.manifest, &artifact.reference);
            session.put_if_other(manifest, reference).await?;
        }
        self.list(session).await
    }

    /// Adds the artifacts to the index of referrers, unless the registry maintains one itself.
    async fn list(&self, session: &Session) -> Result<(), PushError> {
        let listed = session.referrers(&self.subject).await?;
        let missing = self.missing_in(&listed);
        if missing.is_empty() {
            return Ok(());
        }
        // The index is replaced as a whole, so the entries of other artifacts are carried over.
        let index = session.manifest(&self.referrers_tag).await?;
        // Without an index, the list is that of the registry's API. It may have further pages.
        if index.is_none() && !listed.is_empty() {
            return Ok(());
        }
        let index: Option<Value> =
            index.and_then(|index| serde_json::from_slice(&index.content).ok());
        let others = index.and_then(|index| index["manifests"].as_array().cloned());
        let mut manifests = others.unwrap_or_default();
        manifests.extend(missing.into_iter().map(Artifact::entry));
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": manifests,
        });
        let index = document(&MediaType::ImageIndex, index);
        session.put_if_other(&index, &self.referrers_tag).await
    }
}

impl<'a> Artifact<'a> {
    fn new(image: &str, subject: &Value, empty: &Document, content: &'a Document) -> Self {
        let media_type = MediaType::ImageManifest;
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type.to_string(),
            "artifactType": content.media_type,
            // The specification requires a configuration, for which artifacts use an empty object.
            "config": empty.descriptor(),
            "layers": [content.descriptor()],
            "subject": subject,
        });
        let annotations = annotations(content);
        if let Some(annotations) = &annotations {
            manifest["annotations"] = annotations.clone();
            manifest["layers"][0]["annotations"] = annotations.clone();
        }
        let manifest = document(&media_type, manifest);
        let is_statement = content.media_type == attestation::MEDIA_TYPE;
        Self {
            reference: if is_statement {
                manifest.digest.clone()
            } else {
                sbom_tag(image)
            },
            manifest,
            document: content,
            annotations,
        }
    }

    /// Returns the entry in the index of referrers. Clients choose by type and annotations.
    fn entry(&self) -> Value {
        let mut entry = self.manifest.descriptor();
        entry["artifactType"] = json!(self.document.media_type);
        if let Some(annotations) = &self.annotations {
            entry["annotations"] = annotations.clone();
        }
        entry
    }
}

/// Returns the annotations of a statement, which name the type of its predicate.
fn annotations(document: &Document) -> Option<Value> {
    if document.media_type != attestation::MEDIA_TYPE {
        return None;
    }
    let statement: Value = serde_json::from_slice(&document.content).ok()?;
    Some(json!({ PREDICATE_ANNOTATION: statement["predicateType"].as_str()? }))
}

async fn within(work: impl Future<Output = Result<(), PushError>>) -> Result<(), String> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("it took longer than {} s", LIMIT.as_secs())),
    }
}
