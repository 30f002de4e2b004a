//! Errors of a push, in this project's terms. The registry's messages are shortened and stripped of
//! URLs, which may contain secrets.

use std::io;
use std::time::Duration;

use serde_json::Value;

use crate::Hint;

use super::{Credentials, Repository, is_loopback};

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
    pub(super) fn taken(tag: &str, refusal: &RequestError) -> Self {
        Self::TagTaken {
            tag: tag.to_owned(),
            reason: reason(refusal),
        }
    }

    pub(crate) fn new(repository: &Repository, error: &RequestError) -> Self {
        let registry = repository.registry.clone();
        // An upload that expired also yields 404, although the repository exists.
        let is_missing = error.status() == Some(404) && !error.is_lost_upload();
        if error.is_unknown_repository() || is_missing {
            return Self::NoRepository {
                registry,
                repository: repository.name.clone(),
            };
        }
        let reason = reason(error);
        match error {
            RequestError::NoCertificates => return Self::NoCertificates { registry },
            RequestError::Incomplete(_) => return Self::Incomplete { registry, reason },
            RequestError::Status { .. }
            | RequestError::Http(_)
            | RequestError::Io(_)
            | RequestError::Nonsense(_) => {}
        }
        // Checked before `is_connect`, which is also true for a failed TLS handshake.
        match error.of_tls() {
            // A plain HTTP response is not a valid TLS record.
            Some(rustls::Error::InvalidMessage(_)) => return Self::PlainHttp { registry, reason },
            Some(rustls::Error::InvalidCertificate(_)) => {
                return Self::Untrusted { registry, reason };
            }
            Some(_) | None => {}
        }
        if error.is_connect() {
            Self::Unreachable {
                is_local: is_loopback(&registry),
                registry,
                reason,
            }
        } else if matches!(error.status(), Some(401 | 403)) {
            Self::Refused {
                registry,
                // 403 means that the login is valid but lacks a permission.
                is_anonymous: repository.credentials == Credentials::Anonymous
                    && error.is_unauthorised(),
                reason,
            }
        } else if error.status() == Some(413) {
            // Usually the limit of a reverse proxy in front of the registry.
            Self::TooLarge { registry, reason }
        } else {
            Self::Failed { registry, reason }
        }
    }
}

/// Failure of one request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The registry answered with an error.
    #[error("status {status} {message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// Codes of the registry's errors, from its JSON.
        codes: Vec<String>,
        /// Messages of the registry, or the text of a proxy in between.
        message: String,
        /// Time that it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The request failed on its way.
    #[error("{}", of_request(.0))]
    Http(#[from] reqwest::Error),
    /// Nothing moved, or the content cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The response is complete but invalid for a registry.
    #[error("{0}")]
    Nonsense(String),
    /// The registry has the content, which is not read to its end.
    #[error("{0}")]
    Incomplete(String),
    /// This machine has no certificates to trust.
    #[error("no certificates")]
    NoCertificates,
}

impl RequestError {
    /// Creates the error of a response with this status and body.
    pub(super) fn of_status(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        let errors = parsed.as_ref().and_then(|it| it["errors"].as_array());
        let texts = |name: &str| -> Option<Vec<String>> {
            let texts = errors?.iter().filter_map(|it| it[name].as_str());
            Some(texts.map(ToOwned::to_owned).collect())
        };
        let messages = texts("message").map(|it| it.join("; "));
        Self::Status {
            status,
            codes: texts("code").unwrap_or_default(),
            message: messages.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()),
            retry_after,
        }
    }

    /// Returns the HTTP status of the response, if it was an error.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Http(_)
            | Self::Io(_)
            | Self::Nonsense(_)
            | Self::Incomplete(_)
            | Self::NoCertificates => None,
        }
    }

    /// Returns how long the registry asks to wait, if it does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Http(_)
            | Self::Io(_)
            | Self::Nonsense(_)
            | Self::Incomplete(_)
            | Self::NoCertificates => None,
        }
    }

    fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Status { codes, .. } if codes.iter().any(|it| it == wanted))
    }

    /// Returns whether the registry has dropped an upload that it had started.
    pub(super) fn is_lost_upload(&self) -> bool {
        self.has_code("BLOB_UPLOAD_UNKNOWN")
    }

    pub(super) fn is_unknown_repository(&self) -> bool {
        self.has_code("NAME_UNKNOWN")
    }

    /// Returns whether the registry requires another login.
    pub(super) fn is_unauthorised(&self) -> bool {
        self.status() == Some(401)
    }

    /// Returns whether the request ended because no data moved within the idle timeout.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::TimedOut)
    }

    /// Returns whether the response was complete but invalid for a registry.
    pub(super) const fn is_nonsense(&self) -> bool {
        matches!(self, Self::Nonsense(_))
    }

    /// Returns whether the connection failed, such as by a reset or a truncated response. A retry
    /// may help.
    pub(super) fn is_of_the_way(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_builder() && self.of_tls().is_none(),
            Self::Io(_) => true,
            Self::Status { .. }
            | Self::Nonsense(_)
            | Self::Incomplete(_)
            | Self::NoCertificates => false,
        }
    }

    /// Returns whether no connection was established, so that nothing was sent.
    pub(super) fn is_connect(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_connect())
    }

    /// Returns the error of the TLS library, if it is one. A retry would not help.
    fn of_tls(&self) -> Option<&rustls::Error> {
        let Self::Http(error) = self else { return None };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // `io::Error::source` skips the error that it wraps, so that one is checked as well.
            let inner = error.downcast_ref::<io::Error>();
            cause = match inner.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

fn reason(error: &RequestError) -> String {
    let text = error.to_string();
    // A proxy may answer with a page of HTML; a message is a single line.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(KEPT).collect()
}

/// Formats the innermost cause of an error, which is the most specific and omits the URL.
fn of_request(error: &reqwest::Error) -> String {
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
        let error = RequestError::Http(error);
        assert!(!error.is_of_the_way(), "it would be tried again");
        let error = PushError::new(&repository, &error);
        let text = error.to_string();
        assert!(
            text.starts_with("the certificate of the registry `registry.example` is not trusted:"),
            "{text}"
        );
        assert!(error.hint().unwrap().contains("`AWS_CA_BUNDLE`"));
        let error = PushError::new(&repository, &RequestError::NoCertificates);
        assert_eq!(
            error.to_string(),
            "this machine has no certificates to trust, so the registry `registry.example` cannot be trusted"
        );
        assert!(error.hint().unwrap().contains("`ca-certificates`"));
    }

    #[tokio::test]
    async fn a_machine_without_certificates_trusts_those_that_are_named() {
        crate::push::use_tls_of_ring();
        let trusting = |roots: &[String]| {
            let client = reqwest::Client::builder().no_proxy();
            crate::push::asking::trusting(client, roots, false)
        };
        assert!(matches!(trusting(&[]), Err(RequestError::NoCertificates)));
        let client = trusting(&[CERTIFICATE.to_owned()]);
        let client = client.unwrap().build().unwrap();
        let request = client.get(format!("https://127.0.0.1:{}/v2/", secured()));
        // The certificate is known: only that an authority answers itself is refused.
        let error = request.send().await.unwrap_err().into();
        let told = format!("{:?}", RequestError::of_tls(&error));
        assert!(told.contains("CaUsedAsEndEntity"), "{told}");
    }

    #[test]
    fn the_status_decides_whatever_the_body_says() {
        let body = br#"{"errors":[{"code":"SOMETHING_ELSE","message":"no"},{"message":"never"}]}"#;
        let error = RequestError::of_status(422, body, None);
        assert_eq!(error.status(), Some(422));
        assert_eq!(error.to_string(), "status 422 no; never");
        for text in ["<html>", "[]", "{}", "null"] {
            let error = RequestError::of_status(400, text.as_bytes(), None);
            assert_eq!(error.to_string(), format!("status 400 {text}"));
        }
    }
}
