//! Fast path for an unchanged deployment: asks a local registry whether it has the image.
//!
//! The regular client reads the system's certificates twice before its first request. None are
//! needed here.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use oci_spec::image::MediaType;
use reqwest::header::ACCEPT;

use super::asking::{DIGEST, USER_AGENT};
use super::attach::Artifacts;
use super::{Credentials, Repository, is_loopback, loopback};

/// Time limit, after which the regular client takes over.
const LIMIT: Duration = Duration::from_secs(5);

/// Returns whether the registry has the image and its artifacts. On `false`, the regular client has
/// to find out, and reports errors.
pub(super) async fn has_all(
    repository: &Repository,
    image: (&str, &str),
    artifacts: &Artifacts<'_>,
) -> bool {
    is_loopback(&repository.registry) && ask(repository, image, artifacts).await.unwrap_or(false)
}

async fn ask(
    repository: &Repository,
    image: (&str, &str),
    artifacts: &Artifacts<'_>,
) -> reqwest::Result<bool> {
    super::use_tls_of_ring();
    let Repository {
        registry,
        name,
        credentials,
        // Certificates are not needed: a local registry uses no TLS.
        roots: _,
    } = repository;
    let here = loopback::HERE.map(|address| SocketAddr::new(address, 0));
    let (host, _port) = loopback::split(registry);
    let client = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .tls_certs_only([])
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // A loopback name is resolved here. This does not affect a host that is an address already.
        .resolve_to_addrs(host, &here)
        .timeout(LIMIT)
        .build()?;
    let request = |method: Method, reference: &str, accepted: MediaType| {
        let url = format!("http://{registry}/v2/{name}/manifests/{reference}");
        let request = client
            .request(method, url)
            .header(ACCEPT, accepted.to_string());
        // Sent without a challenge, since the connection does not leave this machine.
        match credentials {
            Credentials::Anonymous => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
        }
    };
    let expected: Vec<(&str, &str)> = [image].into_iter().chain(artifacts.expected()).collect();
    // Concurrently: a registry takes longer for an answer than for the way.
    let asked = expected.iter().map(async |(reference, digest)| {
        let request = request(Method::HEAD, reference, MediaType::ImageManifest);
        let response = request.send().await?;
        let found = response.headers().get(DIGEST);
        Ok::<_, reqwest::Error>(
            response.status().is_success() && found.is_some_and(|found| found == digest),
        )
    });
    let listed = async {
        let tag = &artifacts.referrers_tag;
        if expected.len() == 1 {
            return Ok(true);
        }
        let request = request(Method::GET, tag, MediaType::ImageIndex);
        let index = request.send().await?.text().await?;
        let mut artifacts = expected.iter().skip(1);
        Ok(artifacts.all(|(_, digest)| index.contains(digest)))
    };
    let (found, listed) =
        futures_util::future::try_join(futures_util::future::try_join_all(asked), listed).await?;
    Ok(listed && found.into_iter().all(|is_there| is_there))
}
