//! Asks a registry on this machine whether it has an image already, which is what an unchanged
//! deployment is about. The regular client reads all certificates of this machine before its first
//! request, twice; none is needed here.

use std::net::SocketAddr;
use std::time::Duration;

use oci_spec::image::MediaType;
use reqwest::header::ACCEPT;

use super::{Credentials, Repository, is_loopback, loopback};

/// Falls back to the regular client after this long.
const LIMIT: Duration = Duration::from_secs(5);
/// The registry's header that says what it has.
const DIGEST: &str = "docker-content-digest";

/// Returns whether the registry has all of these: tags and the digests that they lead to. `false` means nothing: the regular
/// client finds out, and tells.
pub(super) async fn has_all(repository: &Repository, expected: &[(String, &str)]) -> bool {
    is_loopback(&repository.registry) && ask(repository, expected).await.unwrap_or(false)
}

async fn ask(repository: &Repository, expected: &[(String, &str)]) -> reqwest::Result<bool> {
    super::use_tls_of_ring();
    let Repository {
        registry,
        name,
        credentials,
        // A registry of this machine is spoken to without TLS.
        roots: _,
    } = repository;
    let here = loopback::HERE.map(|address| SocketAddr::new(address, 0));
    let (host, _port) = loopback::split(registry);
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        // Where a name of this machine leads to is known. An address is none, and stays as it is.
        .resolve_to_addrs(host, &here)
        .timeout(LIMIT)
        .build()?;
    for (tag, digest) in expected {
        let url = format!("http://{registry}/v2/{name}/manifests/{tag}");
        let request = client
            .head(url)
            .header(ACCEPT, MediaType::ImageManifest.to_string());
        let request = match credentials {
            Credentials::Anonymous => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
        };
        let response = request.send().await?;
        let found = response.headers().get(DIGEST);
        if !response.status().is_success() || found.is_none_or(|found| found != digest) {
            return Ok(false);
        }
    }
    Ok(true)
}
