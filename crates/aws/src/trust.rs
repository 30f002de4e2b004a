//! Trusted certificates: this machine's, or those of a bundle.

use std::path::PathBuf;

use aws_runtime::env_config::section::EnvConfigSections;
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::files::Files;
use super::limited::read_limited;
use crate::access::Access;
use deployment::error::Failure;

/// Environment variable that names the bundle, as for the AWS CLI.
const VARIABLE: &str = "AWS_CA_BUNDLE";
/// Maximum size of a bundle, bytes. Those of Linux distributions have a quarter of a megabyte.
const LIMIT: u64 = 8 << 20;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Returns the certificates to trust instead of this machine's, for connections outside the SDK.
///
/// Each is in PEM. The result is empty if no bundle is configured.
pub async fn roots(access: &Access) -> Result<Vec<String>, Failure> {
    if access.local {
        return Ok(Vec::new());
    }
    if let Some(found) = access.found.get() {
        return Ok(found.roots.clone());
    }
    let files = Files::read(access.profile.as_deref().unwrap_or("default")).await?;
    bundle(&files.profiles).await
}

/// Reads the certificates that `AWS_CA_BUNDLE` or the profile's `ca_bundle` names, each in PEM.
///
/// The result is empty if neither is set.
pub(super) async fn bundle(profiles: &EnvConfigSections) -> Result<Vec<String>, Failure> {
    let variable = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let (path, named_by) = match (variable, profiles.get("ca_bundle")) {
        // The variable takes precedence over the profile, as in the AWS CLI.
        (Some(path), _) => (PathBuf::from(path), format!("`{VARIABLE}`")),
        (None, Some(path)) if !path.is_empty() => (
            PathBuf::from(path),
            format!("`ca_bundle` of profile `{}`", profiles.selected_profile()),
        ),
        (None, _) => return Ok(Vec::new()),
    };
    let failed = |cause: String| {
        Failure::preflight(format!(
            "cannot use the certificates in `{}`",
            path.display()
        ))
        .because(cause)
        .hint(format!(
            "{named_by} has to name a file of certificates in PEM"
        ))
    };
    let read = read_limited(&path, LIMIT).await.map_err(failed)?;
    let bytes = read.ok_or_else(|| failed("there is no such file".to_owned()))?;
    // Text between the certificates may be in any encoding.
    let certificates = usable(&String::from_utf8_lossy(&bytes));
    if certificates.is_empty() {
        return Err(failed("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Returns the certificates in this text that rustls accepts.
///
/// Others are skipped: bundles of companies contain malformed ones, and the TLS library would panic
/// on them.
fn usable(text: &str) -> Vec<String> {
    let blocks = text.split(BEGIN).skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once(END)?.0));
    let blocks = blocks.map(|inside| format!("{BEGIN}{inside}{END}\n"));
    blocks.filter(|pem| is_usable(pem)).collect()
}

fn is_usable(pem: &str) -> bool {
    let mut store = RootCertStore::empty();
    CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| store.add(der).is_ok())
}

/// Returns the TLS context for connections without TLS, which trusts nothing.
pub(super) fn nothing() -> TlsContext {
    with(TrustStore::empty().with_native_roots(false))
}

/// Builds the TLS context: trusts these certificates only, as the AWS CLI does, or else this
/// machine's.
pub(super) fn context(roots: &[String]) -> TlsContext {
    let store = if roots.is_empty() {
        // In programs with debug assertions, such as this one, the TLS library panics if the
        // machine has no certificates.
        TrustStore::empty().with_native_roots(this_machine_has_some())
    } else {
        let empty = TrustStore::empty().with_native_roots(false);
        roots.iter().fold(empty, |store, pem| {
            store.with_pem_certificate(pem.as_bytes())
        })
    };
    with(store)
}

fn with(store: TrustStore) -> TlsContext {
    let context = TlsContext::builder().with_trust_store(store);
    context.build().unwrap_or_default()
}

/// Returns whether this machine has any trusted certificates.
pub(crate) fn this_machine_has_some() -> bool {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let (usable, _not) = store.add_parsable_certificates(found);
    usable > 0
}

/// Builds the failure of a connection to a server with an untrusted certificate.
pub fn untrusted(cause: &str) -> Failure {
    let failure =
        Failure::preflight("the connection to AWS is not secure, and was ended").because(cause);
    // A wrong clock makes valid certificates look expired or not yet valid.
    if cause.contains("expired") || cause.contains("not valid yet") {
        return failure.hint("is this machine's clock right? `deployer doctor` looks");
    }
    let failure = failure.hint(
        "does a proxy read the traffic, or is this a private endpoint? Name a file with its certificates: `AWS_CA_BUNDLE=FILE`, or `ca_bundle` in the profile; those alone are trusted then",
    );
    if this_machine_has_some() {
        failure
    } else {
        failure.hint(
            "this machine has no certificates to trust: install the package `ca-certificates`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_left_out() {
        let odd =
            format!("# a comment\n{BEGIN}\nAAAA\n{END}\n{BEGIN}\nnot base64!\n{END}\n{BEGIN}\n");
        assert_eq!(usable(&odd), Vec::<String>::new());
        assert_eq!(usable(""), Vec::<String>::new());
    }
}
