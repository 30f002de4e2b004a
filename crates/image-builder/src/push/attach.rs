//! Puts the list of an image's parts beside it: an artifact that refers to the image, as the OCI distribution specification has it.
//! Best effort: registries are free to refuse artifacts, and a deployment does not depend on them.

use std::time::Duration;

use bytes::Bytes;
use oci_spec::image::MediaType;
use serde_json::json;

use super::progress::Progress;
use super::retry::Retry;
use super::session::Session;
use super::{BillOutcome, Blob};
use crate::oci::{BuiltImage, Document, document};

/// All of it takes a moment, or is left.
const LIMIT: Duration = Duration::from_secs(20);
/// Once more, and no oftener.
const RETRY: Retry = Retry {
    retries: 1,
    first_delay: Duration::from_millis(250),
    logins: 1,
    gives_up_on_nobody: true,
};
/// What an artifact without a configuration has in its place.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Attaches the list, if there is one. Its tag is the image's with `.sbom` at the end.
pub(super) async fn attach(session: &Session<'_>, image: &BuiltImage, tag: &str) -> BillOutcome {
    let Some(bill) = &image.bill else {
        return BillOutcome::Untouched;
    };
    let session = session.with(RETRY);
    match tokio::time::timeout(LIMIT, send(&session, image, bill, tag)).await {
        Ok(Ok(())) => BillOutcome::Attached,
        Ok(Err(reason)) => BillOutcome::Refused(reason),
        Err(_elapsed) => BillOutcome::Refused(format!("it took longer than {} s", LIMIT.as_secs())),
    }
}

async fn send(
    session: &Session<'_>,
    image: &BuiltImage,
    bill: &Document,
    tag: &str,
) -> Result<(), String> {
    let empty = Document::new(EMPTY, Bytes::from_static(b"{}"));
    let progress = Progress::start(0, std::sync::Arc::new(|_| ()));
    let blobs = [bill, &empty].map(|document| Blob {
        digest: &document.digest,
        content: &document.content,
    });
    let sending = async {
        for blob in session.missing(&blobs).await? {
            session.send_blob(blob, progress.blob()).await?;
        }
        Ok(())
    };
    sending
        .await
        .map_err(|error: super::PushError| error.to_string())?;
    let artifact = artifact(image, bill, &empty);
    let tag = format!("{tag}.sbom");
    let Err(error) = session.put(&artifact, &tag).await else {
        return Ok(());
    };
    // A tag that cannot be moved refuses also what it leads to already.
    match session.tagged(&tag).await {
        Ok(Some(digest)) if digest == artifact.digest => Ok(()),
        Ok(_) | Err(_) => Err(session.error(&error).to_string()),
    }
}

fn artifact(image: &BuiltImage, bill: &Document, empty: &Document) -> Document {
    let media_type = MediaType::ImageManifest;
    document(
        &media_type,
        json!({
            "schemaVersion": 2,
            "mediaType": media_type.to_string(),
            "artifactType": bill.media_type,
            "config": empty.descriptor(),
            "layers": [bill.descriptor()],
            "subject": image.manifest.descriptor(),
        }),
    )
}
