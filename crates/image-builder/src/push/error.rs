//! Why a push failed, in our words. The registry's own are cut, and addresses are left out: they may hold secrets.

use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};

use super::{Repository, is_loopback, is_unknown_repository};

/// How much of the registry's own words is kept, in characters.
const KEPT: usize = 300;

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Nobody listens there.
    #[error("cannot reach the registry `{registry}`: {reason}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Whether it is this machine.
        is_local: bool,
        /// What happened.
        reason: String,
    },
    /// It does not know us, or we may not.
    #[error("push refused by the registry `{registry}`: {reason}")]
    Refused {
        /// The registry.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// The repository is not there.
    #[error("the registry `{registry}` has no repository `{repository}`")]
    NoRepository {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
    },
    /// The tag is another image's, and the repository does not let it be moved.
    #[error("the tag `{tag}` belongs to another image: {reason}")]
    TagTaken {
        /// The tag.
        tag: String,
        /// What the registry said.
        reason: String,
    },
    /// Something else.
    #[error("the registry `{registry}` failed: {reason}")]
    Failed {
        /// The registry.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// A media type that cannot stand in a request.
    #[error("`{0}` is not a media type")]
    Unusable(String),
}

impl PushError {
    /// The remedy.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { is_local: true, .. } => {
                Some("start the emulator or the registry on this machine".to_owned())
            }
            Self::Unreachable { .. } => Some("look at the network and its proxy settings".to_owned()),
            Self::Refused { .. } => Some(
                "the login may have run out, or lacks the right to push; for ECR `ecr:PutImage` and its like".to_owned(),
            ),
            Self::NoRepository { .. } => {
                Some("the stack makes the repository: create it first".to_owned())
            }
            Self::TagTaken { .. } => Some("choose another tag: a tag of the digest never collides".to_owned()),
            Self::Failed { .. } => Some("try again; what was sent already is not sent twice".to_owned()),
            Self::Unusable(_) => None,
        }
    }

    pub(super) fn taken(tag: &str, refusal: &OciDistributionError) -> Self {
        Self::TagTaken {
            tag: tag.to_owned(),
            reason: reason(refusal),
        }
    }

    pub(super) fn new(repository: &Repository, error: &OciDistributionError) -> Self {
        let registry = repository.registry.clone();
        if is_unknown_repository(error) || status(error) == Some(404) {
            return Self::NoRepository {
                registry,
                repository: repository.name.clone(),
            };
        }
        let reason = reason(error);
        if is_connect(error) {
            Self::Unreachable {
                is_local: is_loopback(&registry),
                registry,
                reason,
            }
        } else if is_refusal(error) {
            Self::Refused { registry, reason }
        } else {
            Self::Failed { registry, reason }
        }
    }
}

/// The status the registry answered with, as far as the client tells.
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

/// The client keeps the body of these, and not the status. A word of the registry's own says nothing about it.
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
        | OciErrorCode::BlobUnknown => Some(404),
        OciErrorCode::Unauthorized => Some(401),
        OciErrorCode::Denied => Some(403),
        OciErrorCode::Toomanyrequests => Some(429),
        OciErrorCode::Other(_) => None,
        _ => Some(400),
    }
}

fn is_refusal(error: &OciDistributionError) -> bool {
    matches!(status(error), Some(401 | 403))
}

/// Nothing moved for as long as we wait.
pub(super) fn is_silence(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::IoError(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// The other side does not speak TLS, or has no certificate that counts: so it will be the next time.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        // What an input error is made of is not its source.
        let inner = error.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(std::io::Error::get_ref);
        if inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
            return true;
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// An answer that is complete and says nothing that a registry is known to say. What it says in words of its own may mean anything,
/// also that it is busy.
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

/// What happens on the way, and may not happen the next time: a connection that breaks, an answer that is cut.
pub(super) fn is_of_the_way(error: &OciDistributionError) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; most of its errors are about what was said"
    )]
    match error {
        OciDistributionError::RequestError(error) => !error.is_builder() && !is_tls(error),
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// No connection at all: neither was anything sent.
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
            let message = serde_json::from_str::<OciEnvelope>(message)
                .map_or_else(|_| message.clone(), |envelope| messages(&envelope));
            format!("status {code} {message}")
        }
        OciDistributionError::UnauthorizedError { .. } => "status 401".to_owned(),
        OciDistributionError::RegistryError { envelope, .. } => messages(envelope),
        OciDistributionError::RequestError(error) => of_request(error),
        other => other.to_string(),
    };
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

/// The innermost cause says it best, and without the address.
fn of_request(error: &reqwest::Error) -> String {
    if let Some(status) = error.status() {
        return format!("status {}", status.as_u16());
    }
    support::cause::innermost(error).to_string()
}
