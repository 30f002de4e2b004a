//! Reads the documents that are attached to an image.

use oci_client::manifest::ImageIndexEntry;
use serde_json::Value;

use super::retry::Retry;
use super::session::{Rights, Session};
use super::{PushError, Repository, attach::sbom_tag};
use crate::attestation::{self, PREDICATE_ANNOTATION, Statement};
use crate::image::Document;
use crate::sbom;

/// Limit for the number of artifacts that are read.
const MAX_ARTIFACTS: usize = 500;

/// Documents that are attached to an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// SBOM of the program.
    pub sbom: Option<Document>,
    /// in-toto statements about the image.
    pub statements: Vec<Document>,
}

/// Reads the documents that are attached to the image with this digest: all, or the statements with
/// this type of predicate. Documents of other types, and damaged ones, are passed over.
pub async fn attached(
    repository: &Repository,
    image: &str,
    predicate: Option<&str>,
) -> Result<Attached, PushError> {
    let session = Session::open(repository, Rights::Pull, Retry::default()).await;
    let mut found = Attached::default();
    let types = [attestation::MEDIA_TYPE, sbom::MEDIA_TYPE];
    let types = &types[..if predicate.is_some() { 1 } else { 2 }];
    // Without a type in the list, the manifest says what it is.
    let is_ours = |entry: &ImageIndexEntry| {
        let named = entry.artifact_type.as_deref();
        let annotations = entry.annotations.as_ref();
        let about = annotations.and_then(|it| it.get(PREDICATE_ANNOTATION));
        named.is_none_or(|named| types.contains(&named))
            && (predicate.is_none() || about.is_none_or(|it| Some(it.as_str()) == predicate))
    };
    let listed = session.referrers(image).await?;
    let ours = listed.into_iter().filter(is_ours).take(MAX_ARTIFACTS);
    let references = ours.map(|entry| entry.digest);
    let references = references.chain(predicate.is_none().then(|| sbom_tag(image)));
    for reference in references {
        // The tag is for images that were pushed before there was a list.
        if found.sbom.is_some() && !reference.starts_with("sha256:") {
            continue;
        }
        let Some(document) = content(&session, &reference, image).await? else {
            continue;
        };
        if document.media_type == sbom::MEDIA_TYPE {
            found.sbom = Some(document);
        } else if Statement::parse(&document.content, image).is_some() {
            found.statements.push(document);
        }
    }
    Ok(found)
}

/// Returns the document of an artifact, if it refers to this image.
async fn content(
    session: &Session,
    reference: &str,
    image: &str,
) -> Result<Option<Document>, PushError> {
    let Some(manifest) = session.manifest(reference).await? else {
        return Ok(None);
    };
    let manifest: Value = match serde_json::from_slice(&manifest.content) {
        Ok(manifest) => manifest,
        Err(_) => return Ok(None),
    };
    if manifest["subject"]["digest"] != image {
        return Ok(None);
    }
    let layers = manifest["layers"].as_array().map(Vec::as_slice);
    match layers {
        Some([layer]) => session.document(layer).await,
        Some(_) | None => Ok(None),
    }
}
