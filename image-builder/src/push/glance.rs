//! One look whether a registry on this machine has an image already, which is what an unchanged deployment is about. The usual client
//! reads all certificates of this machine before its first request, twice; nobody needs them here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oci_spec::image::MediaType;
use reqwest::header::ACCEPT;

use super::{Credentials, Repository, is_loopback};

/// Whoever does not answer within this time is asked again in the usual way.
const LIMIT: Duration = Duration::from_secs(5);
/// The registry's header that says what it has.
const DIGEST: &str = "docker-content-digest";

/// Whether the registry says that it has it. `false` means nothing: it is for the usual way to find out, and to tell.
pub(super) async fn has_image(repository: &Repository, digest: &str) -> bool {
    is_loopback(&repository.registry) && ask(repository, digest).await.unwrap_or(false)
}

async fn ask(repository: &Repository, digest: &str) -> reqwest::Result<bool> {
    super::use_tls_of_ring();
    let Repository {
        registry,
        name,
        credentials,
    } = repository;
    let here = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    ];
    let host = registry.split(':').next().unwrap_or_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        // Where a name of this machine leads to is known. An address is none, and stays as it is.
        .resolve_to_addrs(host, &here)
        .timeout(LIMIT)
        .build()?;
    let url = format!("http://{registry}/v2/{name}/manifests/{digest}");
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
