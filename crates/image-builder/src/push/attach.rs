//! Attaches the SBOM to an image as an artifact that refers to it (OCI distribution specification,
//! "Pushing Manifests with Subject"). Best effort: a deployment does not depend on it.

use std::time::Duration;

use bytes::Bytes;
use oci_spec::image::MediaType;
use serde_json::json;

use super::progress::Progress;
use super::retry::Retry;
use super::session::Session;
use super::{Blob, SbomOutcome};
use crate::image::{BuiltImage, Document, document};

/// Time limit for attaching the SBOM.
const LIMIT: Duration = Duration::from_secs(20);
const RETRY: Retry = Retry {
    retries: 1,
    first_delay: Duration::from_millis(250),
    logins: 1,
    gives_up_on_nobody: true,
};
/// Media type of the placeholder for a missing configuration.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Artifact that refers to an image.
pub(super) struct Artifact<'a> {
    /// Tag of the artifact: `sha256-`, the 64 digits of the image, and `.sbom`.
    pub(super) tag: String,
    pub(super) manifest: Document,
    document: &'a Document,
    empty: Document,
    /// Tag of the index in which clients find the artifact if the registry has no referrers API.
    referrers_tag: String,
    subject: &'a str,
}

/// Returns the tag of the SBOM of an image with this digest.
pub(crate) fn sbom_tag(image: &str) -> String {
    format!("{}.sbom", image.replace(':', "-"))
}

/// Returns the artifact of an image that has an SBOM.
pub(super) fn artifact(image: &BuiltImage) -> Option<Artifact<'_>> {
    let document = image.sbom.as_ref()?;
    let empty = Document::new(EMPTY, Bytes::from_static(b"{}"));
    let media_type = MediaType::ImageManifest;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type.to_string(),
        "artifactType": document.media_type,
        // The specification requires a configuration, for which artifacts use an empty object.
        "config": empty.descriptor(),
        "layers": [document.descriptor()],
        "subject": image.manifest.descriptor(),
    });
    let referrers_tag = image.digest().replace(':', "-");
    Some(Artifact {
        tag: sbom_tag(image.digest()),
        manifest: self::document(&media_type, manifest),
        document,
        empty,
        referrers_tag,
        subject: image.digest(),
    })
}

impl Artifact<'_> {
    /// Uploads the blobs of the artifact.
    pub(super) async fn send_blobs(&self, session: &Session<'_>) -> Result<(), String> {
        let session = session.with(RETRY);
        // The progress shown to the user is that of the image alone.
        let progress = Progress::start(0, std::sync::Arc::new(|_| ()));
        let blobs = [self.document, &self.empty].map(Blob::from);
        within(async {
            for blob in &session.missing(&blobs).await? {
                session.send_blob(blob, progress.blob()).await?;
            }
            Ok(())
        })
        .await
    }

    /// Attaches the artifact. The image must exist in the registry.
    pub(super) async fn attach(&self, session: &Session<'_>) -> SbomOutcome {
        let session = session.with(RETRY);
        let attached = Box::pin(within(async {
            session.put_if_other(&self.manifest, &self.tag).await?;
            self.list_it(&session).await
        }));
        match attached.await {
            Ok(()) => SbomOutcome::Attached,
            Err(reason) => SbomOutcome::Refused(reason),
        }
    }

    /// Attaches the artifact to an image that existed already, unless it is attached.
    pub(super) async fn attach_if_missing(&self, session: &Session<'_>) -> SbomOutcome {
        let found = session.with(RETRY).tagged(&self.tag).await;
        match found {
            Ok(Some(digest)) if digest == self.manifest.digest => SbomOutcome::Untouched,
            // A failed look-up proves nothing, so the SBOM is sent as if it were missing.
            Ok(_) | Err(_) => match self.send_blobs(session).await {
                Ok(()) => Box::pin(self.attach(session)).await,
                Err(reason) => SbomOutcome::Refused(reason),
            },
        }
    }

    /// Adds the artifact to the index of referrers, unless the registry maintains one itself.
    async fn list_it(&self, session: &Session<'_>) -> Result<(), super::PushError> {
        let listed = session.referrers(self.subject).await?;
        // The registry has the referrers API and lists the artifact on its own.
        if listed.contains(&self.manifest.digest) {
            return Ok(());
        }
        // The index is replaced as a whole, so the entries of other artifacts are carried over.
        let mut manifests = match session.index(&self.referrers_tag).await? {
            Some(index) => index["manifests"].as_array().cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        let mut descriptor = self.manifest.descriptor();
        // Clients find an SBOM in the index by this field.
        descriptor["artifactType"] = json!(self.document.media_type);
        manifests.push(descriptor);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": manifests,
        });
        let index = document(&MediaType::ImageIndex, index);
        session.put_if_other(&index, &self.referrers_tag).await
    }
}

async fn within(work: impl Future<Output = Result<(), super::PushError>>) -> Result<(), String> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(format!("it took longer than {} s", LIMIT.as_secs())),
    }
}
