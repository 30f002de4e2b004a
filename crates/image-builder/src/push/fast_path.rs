//! Fast path for an unchanged deployment: asks a local registry for everything at once, whether it
//! has the image.

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use http::Method;
use oci_spec::image::MediaType;

use super::asking::{Asker, DIGEST, body, http_client, succeeded};
use super::attach::Artifacts;
use super::error::RequestError;
use super::{Repository, is_loopback, loopback};

/// Time limit, after which the regular client takes over.
const LIMIT: Duration = Duration::from_secs(5);

/// Returns whether the registry has the image and its artifacts. On `false`, the regular client has
/// to find out, and reports errors.
pub(super) async fn has_all(
    repository: &Repository,
    image: (&str, &str),
    artifacts: &Artifacts<'_>,
) -> bool {
    if !is_loopback(&repository.registry) {
        return false;
    }
    let answer = tokio::time::timeout(LIMIT, ask(repository, image, artifacts)).await;
    matches!(answer, Ok(Ok(true)))
}

async fn ask(
    repository: &Repository,
    image: (&str, &str),
    artifacts: &Artifacts<'_>,
) -> Result<bool, RequestError> {
    let repository = Repository {
        registry: loopback::address_of(&repository.registry).await,
        ..repository.clone()
    };
    let client = http_client(&repository.registry, &[])?;
    // The login is sent without a challenge, since the connection does not leave this machine.
    let credentials = repository.credentials.clone();
    let asker = Asker::new(client, repository.base()?, credentials);
    let send = async |method: Method, reference: &str, accepted: MediaType| {
        let url = repository.url(&format!("manifests/{reference}"))?;
        asker.send(method, url, accepted.as_ref()).await
    };
    let expected: Vec<(&str, &str)> = [image].into_iter().chain(artifacts.expected()).collect();
    // Concurrently: a registry takes longer for an answer than for the way.
    let asked = expected.iter().map(async |(reference, digest)| {
        let response = send(Method::HEAD, reference, MediaType::ImageManifest).await?;
        let found = response.headers().get(DIGEST);
        let is_there = response.status().is_success() && found.is_some_and(|found| found == digest);
        Ok::<_, RequestError>(is_there)
    });
    let listed = async {
        if expected.len() == 1 {
            return Ok(true);
        }
        let index = send(Method::GET, &artifacts.referrers_tag, MediaType::ImageIndex).await?;
        let index = body(succeeded(index).await?, None).await?;
        let index = String::from_utf8_lossy(&index);
        let mut artifacts = expected.iter().skip(1);
        Ok(artifacts.all(|(_, digest)| index.contains(digest)))
    };
    let (found, listed) = try_join(try_join_all(asked), listed).await?;
    Ok(listed && found.into_iter().all(|is_there| is_there))
}
