//! TLS configuration: trusted authorities and client certificates.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use clock::{Failure, Identity};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error_text::innermost_detail;

/// Returns the TLS configuration, cached for an hour. One process checks many targets, each with
/// new connections. The cache expires because certificates change within the months that the
/// process runs.
pub fn tls(
    ca_file: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, Failure> {
    const KEPT: Duration = Duration::from_hours(1);
    type Files = (Option<PathBuf>, Option<Identity>);
    type Known = (Files, Instant, Arc<ClientConfig>);
    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    install_tls_provider();
    let files: Files = (ca_file.map(Path::to_owned), identity.cloned());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = known.iter().find(|(of, ..)| *of == files);
    if let Some((_, read, configuration)) = kept
        && read.elapsed() < KEPT
    {
        return Ok(Arc::clone(configuration));
    }
    let mut configuration = match (fresh(ca_file, identity), kept) {
        (Ok(configuration), _) => configuration,
        // The cached authorities are better than none.
        (Err(_), Some((.., configuration))) => return Ok(Arc::clone(configuration)),
        (Err(detail), None) => return Err(Failure::CertificateStore { detail }),
    };
    // Every new connection has to prove that a full handshake works.
    configuration.resumption = rustls::client::Resumption::disabled();
    let configuration = Arc::new(configuration);
    known.retain(|(of, ..)| *of != files);
    known.push((files, Instant::now(), Arc::clone(&configuration)));
    Ok(configuration)
}

/// Builds a TLS configuration that trusts the authorities of a file, or else those of the system.
fn fresh(ca_file: Option<&Path>, identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let builder = if let Some(file) = ca_file {
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(certificates(file)?);
        builder.with_root_certificates(store)
    } else {
        // The verifier would silently fall back to the system's authorities if this file cannot be
        // read.
        if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
            certificates(Path::new(&file)).map_err(|detail| format!("SSL_CERT_FILE: {detail}"))?;
        }
        let verified = builder.with_platform_verifier();
        verified.map_err(|error| error.to_string())?
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let (chain, key) = read(identity)?;
            let shown = builder.with_client_auth_cert(chain, key);
            shown.map_err(|error| format!("{}: {error}", identity.certificate.display()))
        }
    }
}

/// Loads a client certificate and its key.
fn read(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|error| format!("{}: {}", identity.key.display(), innermost_detail(&error)))?;
    Ok((chain, key))
}

/// Validates a client certificate. The error never contains a part of its key.
pub fn check_identity(identity: &Identity) -> Result<(), String> {
    install_tls_provider();
    let (chain, key) = read(identity)?;
    let builder = ClientConfig::builder();
    let builder = builder.with_root_certificates(rustls::RootCertStore::empty());
    let made = builder.with_client_auth_cert(chain, key);
    made.map(|_| ())
        .map_err(|error| format!("{}: {error}", identity.certificate.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |detail: &str| format!("{}: {detail}", file.display());
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| unreadable(&innermost_detail(&error)))?;
    // Skips malformed PEM sections: one bad entry does not disable the others.
    let certificates: Vec<_> = certificates.flatten().collect();
    if certificates.is_empty() {
        return Err(unreadable("no certificate in it"));
    }
    Ok(certificates)
}

/// Installs the process-wide cryptography provider that rustls requires.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the application embedding this library has installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
