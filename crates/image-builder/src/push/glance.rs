//! One look whether a registry on this machine has an image under its tag already, which is what an unchanged deployment is about. The usual client
//! reads all certificates of this machine before its first request, twice; nobody needs them here.

use std::net::SocketAddr;
use std::time::Duration;

use oci_spec::image::MediaType;
use reqwest::header::ACCEPT;

use super::{Credentials, Repository, is_loopback, loopback};

/// Whoever does not answer within this time is asked again in the usual way.
const LIMIT: Duration = Duration::from_secs(5);
/// The registry's header that says what it has.
const DIGEST: &str = "docker-content-digest";

/// Whether the registry says that it has it. `false` means nothing: it is for the usual way to find out, and to tell.
pub(super) async fn has_image(repository: &Repository, tag: &str, digest: &str) -> bool {
    is_loopback(&repository.registry) && ask(repository, tag, digest).await.unwrap_or(false)
}

async fn ask(repository: &Repository, tag: &str, digest: &str) -> reqwest::Result<bool> {
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
    Ok(response.status().is_success() && found.is_some_and(|found| found == digest))
}
