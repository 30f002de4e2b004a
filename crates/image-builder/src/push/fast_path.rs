//! Fast path for an unchanged deployment: asks a local registry whether it has the image.
//!
//! The regular client reads the system's certificates twice before its first request. None are
//! needed here.

use std::net::SocketAddr;
use std::time::Duration;

use oci_spec::image::MediaType;
use reqwest::header::ACCEPT;

use super::{Credentials, Repository, is_loopback, loopback};

/// Time limit, after which the regular client takes over.
const LIMIT: Duration = Duration::from_secs(5);
/// Header with the digest of a manifest.
const DIGEST: &str = "docker-content-digest";

/// Returns whether the registry has all these tags with these digests. On `false`, the regular
/// client has to find out, and reports errors.
pub(super) async fn has_all(repository: &Repository, expected: &[(String, &str)]) -> bool {
    is_loopback(&repository.registry) && ask(repository, expected).await.unwrap_or(false)
}

async fn ask(repository: &Repository, expected: &[(String, &str)]) -> reqwest::Result<bool> {
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
        .tls_certs_only([])
        .no_proxy()
        // A loopback name is resolved here. This does not affect a host that is an address already.
        .resolve_to_addrs(host, &here)
        .timeout(LIMIT)
        .build()?;
    // Concurrently: a registry takes longer for an answer than for the way.
    let asked = expected.iter().map(async |(tag, digest)| {
        let url = format!("http://{registry}/v2/{name}/manifests/{tag}");
        let request = client
            .head(url)
            .header(ACCEPT, MediaType::ImageManifest.to_string());
        // Sent without a challenge, since the connection does not leave this machine.
        let request = match credentials {
            Credentials::Anonymous => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
        };
        let response = request.send().await?;
        let found = response.headers().get(DIGEST);
        Ok(response.status().is_success() && found.is_some_and(|found| found == digest))
    });
    let found = futures_util::future::try_join_all(asked).await?;
    Ok(found.into_iter().all(|is_there| is_there))
}
