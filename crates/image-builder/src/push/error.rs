//! Errors of a push, in this project's terms. The registry's messages are shortened and stripped of
//! URLs, which may contain secrets.

use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};

use crate::Hint;

use super::{Credentials, Repository, is_loopback, is_unknown_repository};

/// Number of characters that are kept of a registry's message.
const KEPT: usize = 300;

/// Reason why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry does not accept connections.
    #[error("cannot reach the registry `{registry}`: {reason}")]
    Unreachable {
        /// Host of the registry.
        registry: String,
        /// Set if the registry is on this machine.
        is_local: bool,
        /// Error of the connection.
        reason: String,
    },
    /// The login or the permissions were rejected.
    #[error("refused by the registry `{registry}`: {reason}")]
    Refused {
        /// Host of the registry.
        registry: String,
        /// Set if the request was sent without credentials.
        is_anonymous: bool,
        /// Response of the registry.
        reason: String,
    },
    /// The repository does not exist.
    #[error("the registry `{registry}` has no repository `{repository}`")]
    NoRepository {
        /// Host of the registry.
        registry: String,
        /// Name of the repository.
        repository: String,
    },
    /// The tag belongs to another image, and the repository has immutable tags.
    #[error("the tag `{tag}` belongs to another image: {reason}")]
    TagTaken {
        /// Tag that was requested.
        tag: String,
        /// Response of the registry.
        reason: String,
    },
    /// The registry's certificate is not trusted.
    #[error("the certificate of the registry `{registry}` is not trusted: {reason}")]
    Untrusted {
        /// Host of the registry.
        registry: String,
        /// Reason given by the TLS library.
        reason: String,
    },
    /// This machine has no certificates, so that no registry elsewhere can be trusted.
    #[error(
        "this machine has no certificates to trust, so the registry `{registry}` cannot be trusted"
    )]
    NoCertificates {
        /// Host of the registry.
        registry: String,
    },
    /// The registry does not use TLS.
    #[error("the registry `{registry}` does not speak HTTPS: {reason}")]
    PlainHttp {
        /// Host of the registry.
        registry: String,
        /// Reason given by the TLS library.
        reason: String,
    },
    /// The registry, or a proxy before it, limits the size of requests.
    #[error(
        "the registry `{registry}`, or a proxy before it, refuses a layer as too large: {reason}"
    )]
    TooLarge {
        /// Host of the registry.
        registry: String,
        /// Response of the registry.
        reason: String,
    },
    /// The registry stored a different manifest than it was sent.
    #[error("the registry `{registry}` stored another manifest than it was sent: {digest}")]
    Rewritten {
        /// Host of the registry.
        registry: String,
        /// Digest of the stored manifest.
        digest: String,
    },
    /// The push failed for another reason.
    #[error("the registry `{registry}` failed: {reason}")]
    Failed {
        /// Host of the registry.
        registry: String,
        /// Response of the registry.
        reason: String,
    },
    /// The registry has the content, which cannot be read to its end.
    #[error("the registry `{registry}` does not give everything: {reason}")]
    Incomplete {
        /// Host of the registry.
        registry: String,
        /// Description of the rest.
        reason: String,
    },
}

impl Hint for PushError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { is_local: true, .. } => {
                Some("start the emulator or the registry on this machine".to_owned())
            }
            Self::Unreachable { .. } => Some("check the network, and `HTTPS_PROXY` and `NO_PROXY`".to_owned()),
            Self::Refused { is_anonymous: true, .. } => Some(
                "log in: `--user NAME`, with the password in `DEPLOYER_REGISTRY_PASSWORD`".to_owned(),
            ),
            Self::Refused { .. } => Some(
                "the login may have run out, or lacks the right; for ECR `ecr:PutImage` and its like".to_owned(),
            ),
            Self::Untrusted { .. } => Some(
                "if the certificate is of your own authority, name its file in `AWS_CA_BUNDLE`, or in `SSL_CERT_FILE`".to_owned(),
            ),
            Self::NoCertificates { .. } => Some(
                "install the package `ca-certificates`, or name a file with certificates in `SSL_CERT_FILE`".to_owned(),
            ),
            Self::PlainHttp { .. } => Some(
                "only registries on this machine are spoken to without TLS: reach it as `localhost:PORT`, or let it speak HTTPS".to_owned(),
            ),
            Self::TooLarge { .. } => Some(
                "raise the limit of the body size there (in nginx `client_max_body_size`), or make the image smaller".to_owned(),
            ),
            Self::Rewritten { .. } => Some(
                "push to a registry that keeps manifests as they are, or turn its conversion off".to_owned(),
            ),
            Self::NoRepository { .. } => {
                Some("the stack makes the repository: create it first".to_owned())
            }
            Self::TagTaken { .. } => Some("choose another tag: a tag of the digest never collides".to_owned()),
            Self::Failed { .. } => Some("try again; what was sent already is not sent twice".to_owned()),
            Self::Incomplete { .. } => Some(
                "delete some of what is attached to the image; or, behind a proxy, tell the registry the address that clients use".to_owned(),
            ),
        }
    }
}

impl PushError {
    pub(super) fn taken(tag: &str, refusal: &OciDistributionError) -> Self {
        Self::TagTaken {
            tag: tag.to_owned(),
            reason: reason(refusal),
        }
    }

    pub(super) fn new(repository: &Repository, error: &OciDistributionError) -> Self {
        let is_anonymous = repository.credentials == Credentials::Anonymous;
        Self::of(&repository.registry, &repository.name, is_anonymous, error)
    }

    /// Creates the error of a failed pull.
    pub(crate) fn of_pull(registry: &str, name: &str, error: &OciDistributionError) -> Self {
        Self::of(registry, name, false, error)
    }

    fn of(registry: &str, name: &str, is_anonymous: bool, error: &OciDistributionError) -> Self {
        let registry = registry.to_owned();
        // An upload that expired also yields 404, although the repository exists.
        let is_missing = status(error) == Some(404) && !is_lost_upload(error);
        if is_unknown_repository(error) || is_missing {
            return Self::NoRepository {
                registry,
                repository: name.to_owned(),
            };
        }
        if let OciDistributionError::ServerError {
            code: 200, message, ..
        } = error
        {
            let reason = message.clone();
            return Self::Incomplete { registry, reason };
        }
        let reason = reason(error);
        if is_without_certificates(error) {
            return Self::NoCertificates { registry };
        }
        // Checked before `is_connect`, which is also true for a failed TLS handshake.
        match tls_error(error) {
            // A plain HTTP response is not a valid TLS record.
            Some(rustls::Error::InvalidMessage(_)) => return Self::PlainHttp { registry, reason },
            Some(rustls::Error::InvalidCertificate(_)) => {
                return Self::Untrusted { registry, reason };
            }
            Some(_) | None => {}
        }
        if is_connect(error) {
            Self::Unreachable {
                is_local: is_loopback(&registry),
                registry,
                reason,
            }
        } else if is_refusal(error) {
            Self::Refused {
                registry,
                // 403 means that the login is valid but lacks a permission.
                is_anonymous: is_anonymous && status(error) == Some(401),
                reason,
            }
        } else if status(error) == Some(413) {
            // Usually the limit of a reverse proxy in front of the registry.
            Self::TooLarge { registry, reason }
        } else {
            Self::Failed { registry, reason }
        }
    }
}

/// Returns whether the registry has dropped an upload that it had started.
pub(super) fn is_lost_upload(error: &OciDistributionError) -> bool {
    let is_unknown = |text: &str| text.contains("BLOB_UPLOAD_UNKNOWN");
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; most of its errors are about pulling"
    )]
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            let mut errors = envelope.errors.iter();
            errors.any(|error| error.code == OciErrorCode::BlobUploadUnknown)
        }
        OciDistributionError::ServerError { message, .. } => is_unknown(message),
        _ => false,
    }
}

/// Returns whether the registry requires another login.
pub(crate) fn is_unauthorised(error: &OciDistributionError) -> bool {
    status(error) == Some(401)
}

/// Returns the HTTP status of the response, as far as the client reports it.
pub(super) fn status(error: &OciDistributionError) -> Option<u16> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; most of its errors are about pulling"
    )]
    match error {
        OciDistributionError::ServerError { code, .. } => Some(*code),
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => Some(401),
        OciDistributionError::ImageManifestNotFoundError(_) => Some(404),
        OciDistributionError::RequestError(error) => error.status().map(|status| status.as_u16()),
        OciDistributionError::RegistryError { envelope, .. } => of_envelope(envelope),
        _ => None,
    }
}

/// Derives the status from a registry's error codes, since the client drops it. Codes outside of
/// the specification have none.
fn of_envelope(envelope: &OciEnvelope) -> Option<u16> {
    envelope
        .errors
        .iter()
        .find_map(|error| of_code(&error.code))
}

fn of_code(code: &OciErrorCode) -> Option<u16> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; only what is acted upon"
    )]
    match code {
        OciErrorCode::ManifestUnknown
        | OciErrorCode::NotFound
        | OciErrorCode::NameUnknown
        | OciErrorCode::BlobUploadUnknown
        | OciErrorCode::BlobUnknown => Some(404),
        OciErrorCode::Unauthorized => Some(401),
        OciErrorCode::Denied => Some(403),
        OciErrorCode::Toomanyrequests => Some(429),
        OciErrorCode::Other(_) => None,
        // All other codes of the specification are errors of the request.
        _ => Some(400),
    }
}

fn is_refusal(error: &OciDistributionError) -> bool {
    matches!(status(error), Some(401 | 403))
}

/// Returns whether the request ended because no data moved within the idle timeout.
pub(super) fn is_silence(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::IoError(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// Text of the error below.
const NO_CERTIFICATES: &str = "no certificates";

/// Returns the error of a client on a machine without certificates.
pub(super) fn without_certificates() -> OciDistributionError {
    OciDistributionError::GenericError(Some(NO_CERTIFICATES.to_owned()))
}

/// Returns whether the registry was not asked because this machine trusts nobody.
fn is_without_certificates(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::GenericError(Some(text)) if text == NO_CERTIFICATES)
}

/// Returns the error of the TLS library, if it is one. A retry would not help.
fn tls_error(error: &OciDistributionError) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `io::Error::source` skips the error that it wraps, so that one is checked as well.
        let inner = error.downcast_ref::<std::io::Error>();
        cause = match inner.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Returns whether the response was complete but invalid for a registry. Error codes outside of the
/// specification count, since they may mean anything.
pub(super) fn is_nonsense(error: &OciDistributionError) -> bool {
    status(error).is_none()
        && matches!(
            error,
            OciDistributionError::RegistryError { .. }
                | OciDistributionError::SpecViolationError(_)
                | OciDistributionError::RegistryNoLocationError
                | OciDistributionError::RegistryNoDigestError
                | OciDistributionError::UrlParseError(_)
                | OciDistributionError::HeaderValueError(_)
                | OciDistributionError::JsonError(_)
        )
}

/// Returns whether the connection failed, such as by a reset or a truncated response. A retry may
/// help.
pub(super) fn is_of_the_way(error: &OciDistributionError) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; most of its errors are about what was said"
    )]
    match error {
        OciDistributionError::RequestError(request) => {
            !request.is_builder() && tls_error(error).is_none()
        }
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// Returns whether no connection was established, so that nothing was sent.
pub(super) fn is_connect(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::RequestError(error) if error.is_connect())
}

fn reason(error: &OciDistributionError) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; its own words are good enough for the rest"
    )]
    let text = match error {
        OciDistributionError::ServerError { code, message, .. } => {
            // The body may be the registry's JSON, or text of a proxy in between.
            let message = serde_json::from_str::<OciEnvelope>(message)
                .map_or_else(|_| message.clone(), |envelope| messages(&envelope));
            format!("status {code} {message}")
        }
        // The client's own message contains the URL.
        OciDistributionError::UnauthorizedError { .. } => "status 401".to_owned(),
        OciDistributionError::RegistryError { envelope, .. } => messages(envelope),
        OciDistributionError::RequestError(error) => of_request(error),
        other => other.to_string(),
    };
    // A proxy may answer with a page of HTML; a message is a single line.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(KEPT).collect()
}

fn messages(envelope: &OciEnvelope) -> String {
    let messages: Vec<&str> = envelope
        .errors
        .iter()
        .map(|error| error.message.as_str())
        .collect();
    messages.join("; ")
}

/// Formats the innermost cause of an error, which is the most specific and omits the URL.
fn of_request(error: &reqwest::Error) -> String {
    if let Some(status) = error.status() {
        return format!("status {}", status.as_u16());
    }
    support::cause::innermost(error).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;
    use crate::push::Credentials;

    /// Nobody trusts it: it is its own authority.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBmTCCAT+gAwIBAgIUdGabryADg7CrD1zEetKmYn1/QpQwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIcmVnaXN0cnkwIBcNMjYxMTI4MDMzMTEzWhgPMjEyNjExMDQw
MzMxMTNaMBMxETAPBgNVBAMMCHJlZ2lzdHJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAErXRTpDygpgTT/e4EZ+XgtUwxC5lI7G+rfszcUIqp/+ig+RnsG8fKEn/u
lgPtxXpeOfWZS1PJ3R4rtZyhzt1HaKNvMG0wHQYDVR0OBBYEFPywDQwg8iwg4F0j
vDHnthvJPx84MB8GA1UdIwQYMBaAFPywDQwg8iwg4F0jvDHnthvJPx84MA8GA1Ud
EwEB/wQFMAMBAf8wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMAoGCCqGSM49
BAMCA0gAMEUCIEE69HNNGXmhCWAxM+LPrsHsg+zTMC+YK88zjo8eAqVMAiEApFEQ
gazeqTt/I7i1OzmXbjalxAvG4AqEpNaDlpNNMxk=
-----END CERTIFICATE-----";
    const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgqT+iPP+24FQJIyJS
YL8mzxuAJ5aKSnWWa3Cfw+J36NOhRANCAAStdFOkPKCmBNP97gRn5eC1TDELmUjs
b6t+zNxQiqn/6KD5Gewbx8oSf+6WA+3Fel459ZlLU8ndHiu1nKHO3Udo
-----END PRIVATE KEY-----";

    /// Starts a server that shows that certificate; returns its port.
    fn secured() -> u16 {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let config = Arc::new(config);
            while let Ok((mut stream, _)) = listener.accept() {
                let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                // The client refuses it: an error here.
                session.complete_io(&mut stream).ok();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted() {
        crate::push::use_tls_of_ring();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("https://127.0.0.1:{}/v2/", secured()));
        let error = request.send().await.unwrap_err();
        let repository = Repository {
            registry: "registry.example".to_owned(),
            name: "clock".to_owned(),
            credentials: Credentials::Anonymous,
            roots: Vec::new(),
        };
        let error = OciDistributionError::RequestError(error);
        assert!(!is_of_the_way(&error), "it would be tried again");
        let error = PushError::new(&repository, &error);
        let text = error.to_string();
        assert!(
            text.starts_with("the certificate of the registry `registry.example` is not trusted:"),
            "{text}"
        );
        assert!(error.hint().unwrap().contains("`AWS_CA_BUNDLE`"));
        let error = PushError::new(&repository, &without_certificates());
        assert_eq!(
            error.to_string(),
            "this machine has no certificates to trust, so the registry `registry.example` cannot be trusted"
        );
        assert!(error.hint().unwrap().contains("`ca-certificates`"));
    }
}
