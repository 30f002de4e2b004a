//! Settings for the access to AWS or to the emulator.

use url::Url;

use super::{given, usage};
use crate::cli::Shared;
use aws::access::{Access, Pace, ProfileSource, is_loopback};
use deployment::error::{Failure, FailureKind};
use deployment::names::{HostPort, RegistryHost};

/// Region of the emulator. It only looks for load balancers in this one.
const LOCAL_REGION: &str = "us-east-1";
/// Default endpoint of the emulator.
const LOCAL_ENDPOINT: &str = "http://127.0.0.1:4566";

/// Returns whether the command would use the same endpoint without `--endpoint-url`.
pub fn is_usual_endpoint(access: &Access) -> bool {
    let usual = access
        .local
        .then_some(LOCAL_ENDPOINT)
        // `Url` always has a path, and so a trailing slash.
        .map(|url| format!("{url}/"));
    access.endpoint_url.as_ref().map(Url::as_str) == usual.as_deref()
}

/// Resolves the access settings.
pub(super) fn access(
    shared: &Shared,
    file_region: Option<String>,
    file_profile: Option<String>,
) -> Result<Access, Failure> {
    let registry = given(shared.registry.as_ref()).map(str::parse::<RegistryHost>);
    let registry = registry.transpose().map_err(usage)?;
    let connect_to = given(shared.connect_to.as_ref()).map(str::parse::<HostPort>);
    let connect_to = connect_to.transpose().map_err(usage)?;
    let endpoint = given(shared.endpoint_url.as_ref())
        .or(shared.local.then_some(LOCAL_ENDPOINT))
        .map(endpoint)
        .transpose()?;
    if !shared.local {
        let (profile, profile_source) = profile(shared, file_profile);
        return Ok(Access {
            region: given(shared.region.as_ref())
                .or(given(shared.default_region.as_ref()))
                .map(str::to_owned)
                .or(file_region),
            profile,
            profile_source,
            endpoint_url: endpoint,
            registry,
            connect_to,
            ..Access::remote()
        });
    }
    let endpoint = endpoint.ok_or_else(|| Failure::new(FailureKind::Unexpected, "no endpoint"))?;
    let host = endpoint.host_str().unwrap_or_default();
    // The emulator only listens on this machine, and without TLS.
    if endpoint.scheme() != "http" || !is_loopback(host) {
        return Err(Failure::new(
            FailureKind::Usage,
            format!("`--local` means this machine, but the endpoint is {endpoint}"),
        )
        .hint("use `http://127.0.0.1:PORT`, or leave out `--local`"));
    }
    let port = endpoint.port_or_known_default().unwrap_or(80);
    let here = |host: &str| HostPort {
        host: host.to_owned(),
        port,
    };
    Ok(Access {
        local: true,
        region: Some(LOCAL_REGION.to_owned()),
        // Docker allows plain HTTP for registries at `localhost`.
        registry: registry.or_else(|| Some(here("localhost").into())),
        connect_to: connect_to.or_else(|| Some(here(host.trim_matches(['[', ']'])))),
        endpoint_url: Some(endpoint),
        pace: Pace::LOCAL,
        ..Access::remote()
    })
}

/// Returns the profile and the source that named it.
fn profile(shared: &Shared, file: Option<String>) -> (Option<String>, ProfileSource) {
    // An empty flag deliberately selects no profile, whatever the file says.
    if shared.profile.as_deref() == Some("") {
        return (None, ProfileSource::Flag);
    }
    let flag = shared.profile.clone();
    let environment = given(shared.default_profile.as_ref())
        .or(given(shared.older_profile.as_ref()))
        .map(str::to_owned);
    match (flag, environment) {
        (Some(profile), _) => (Some(profile), ProfileSource::Flag),
        // The SDK prefers keys in the environment to a profile in the environment.
        (None, Some(profile)) if given(shared.environment_key.as_ref()).is_some() => {
            (Some(profile), ProfileSource::BehindKeys)
        }
        (None, Some(profile)) => (Some(profile), ProfileSource::Environment),
        (None, None) => (file, ProfileSource::File),
    }
}

fn endpoint(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            format!("`{text}` is not an address for `--endpoint-url`"),
        )
        .hint("it looks like `http://127.0.0.1:4566`")
    })
}

/// Returns the proxy of the check. The emulator needs none, because it is on this machine.
pub(super) fn check_proxy(
    shared: &Shared,
    of_file: Option<&str>,
    access: &Access,
) -> Result<Option<Url>, Failure> {
    let Some(text) = given(shared.check_proxy.as_ref()).or(of_file) else {
        return Ok(None);
    };
    if access.local {
        return Ok(None);
    }
    let url = Url::parse(text).ok();
    let url = url.filter(|url| url.scheme() == "http" && url.host().is_some());
    let Some(url) = url else {
        // The address is not shown, because it may contain a password.
        return Err(Failure::new(
            FailureKind::Usage,
            "the address for `--check-proxy` is not one of an HTTP proxy",
        )
        .hint("it looks like `http://proxy.example:3128`"));
    };
    if access.connect_to.is_some() {
        return Err(Failure::new(
            FailureKind::Usage,
            "the check goes either through `--check-proxy` or straight to `--connect-to`",
        )
        .hint("leave out one of them"));
    }
    Ok(Some(url))
}
