//! Translation of SDK errors.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;

use crate::remote::{RemoteError, RemoteErrorKind};

/// Returns a function that converts the SDK error of this operation, for `map_err`.
pub(super) fn of<E>(operation: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> RemoteError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| translate(operation, &error)
}

fn translate<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> RemoteError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let message = match error.message() {
        Some(message) => message.to_owned(),
        None => chain(error),
    };
    RemoteError {
        kind: if is_untrusted(error) {
            RemoteErrorKind::Untrusted
        } else {
            kind(code.as_deref(), status, is_about_credentials(error))
        },
        operation,
        code,
        message,
        request_id: error.request_id().map(str::to_owned),
    }
}

/// Meanings of a failure that only the code or the message of AWS tells.
impl RemoteError {
    fn has_code(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }

    /// Returns whether CloudFormation refuses the request because another operation is in progress.
    pub fn is_conflict(&self) -> bool {
        // For a stack in progress, CloudFormation reports a validation error with the status in the
        // message.
        self.is_invalid_request() && self.message.contains("_IN_PROGRESS")
            || self.has_code(&[
                "OperationInProgressException",
                "InvalidChangeSetStatus",
                // CloudFormation deletes the other change sets of a stack when one of them is
                // executed.
                "ChangeSetNotFound",
            ])
    }

    /// Returns whether AWS refuses the timestamp of the request, because a clock is wrong.
    pub fn is_clock_skew(&self) -> bool {
        self.has_code(&["RequestExpired", "RequestTimeTooSkewed"])
            // The codes of these messages also stand for a wrong secret access key.
            || self.message.contains("Signature expired")
            || self.message.contains("Signature not yet current")
    }

    /// Returns whether CloudFormation requires capabilities to be acknowledged.
    pub fn lacks_capabilities(&self) -> bool {
        self.message.contains("Requires capabilities")
    }

    /// Returns whether termination protection keeps the stack from being deleted.
    pub fn is_termination_protection(&self) -> bool {
        self.message.contains("TerminationProtection")
    }

    /// Returns whether CloudFormation finds the request itself invalid.
    pub fn is_invalid_request(&self) -> bool {
        self.has_code(&["ValidationError"])
    }

    /// Returns whether the resource already exists.
    pub fn is_already_exists(&self) -> bool {
        self.has_code(&["AlreadyExistsException"])
    }

    /// Returns whether AWS does not know the access key.
    pub fn is_unknown_client(&self) -> bool {
        self.has_code(&["InvalidClientTokenId", "UnrecognizedClientException"])
    }
}

/// Builds the error for a response without a required member.
///
/// Read as absence, it would be mistaken for a fact.
pub(super) fn incomplete(operation: &'static str, what: &str) -> RemoteError {
    RemoteError {
        kind: RemoteErrorKind::Unreachable,
        operation,
        code: None,
        message: format!("the answer lacks {what}"),
        request_id: None,
    }
}

/// Classifies a failure by the service's error code, the HTTP status and whether credentials were
/// missing.
///
/// The status is `None` if there was no response.
fn kind(code: Option<&str>, status: Option<u16>, unsigned: bool) -> RemoteErrorKind {
    const THROTTLING: [&str; 9] = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "PriorRequestNotComplete",
        "SlowDown",
    ];
    const TIMED_OUT: [&str; 2] = ["RequestTimeout", "RequestTimeoutException"];
    const CREDENTIALS: [&str; 6] = [
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
    ];
    let code = code.unwrap_or_default();
    if unsigned || CREDENTIALS.contains(&code) {
        RemoteErrorKind::Credentials
    } else if THROTTLING.contains(&code) || status == Some(429) {
        RemoteErrorKind::Throttled
    } else if TIMED_OUT.contains(&code) {
        RemoteErrorKind::Unreachable
    } else if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" {
        RemoteErrorKind::Denied
    } else if code.ends_with("NotFound") || code.ends_with("NotFoundException") {
        RemoteErrorKind::NotFound
    } else {
        match status {
            Some(500..=599) => RemoteErrorKind::Server,
            // A success that cannot be parsed, or no response at all.
            Some(200..=299) | None => RemoteErrorKind::Unreachable,
            // AWS always sends a code: this response is a proxy's, or it was truncated.
            Some(_) if code.is_empty() => RemoteErrorKind::Unreachable,
            Some(_) => RemoteErrorKind::Refused,
        }
    }
}

/// Returns whether the cause is a permanent lack of credentials.
fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    find::<CredentialsError>(error, |_| true).is_some_and(|found| !is_passing(found))
}

/// Returns whether the source of the credentials failed to respond this time.
pub(super) fn is_passing(error: &CredentialsError) -> bool {
    let broken = |error: &ConnectorError| error.is_timeout() || error.is_io();
    matches!(error, CredentialsError::ProviderTimedOut(_)) || find(error, broken).is_some()
}

/// Returns whether a server presented an untrusted certificate.
pub(super) fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    find::<Untrusted>(error, |_| true).is_some()
}

/// Finds the first error of this type among an error and its sources.
fn find<'a, E: Error + 'static>(
    error: &'a (dyn Error + 'static),
    is_meant: impl Fn(&E) -> bool,
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<E>() {
            Some(found) if is_meant(found) => return Some(found),
            Some(_) | None => next = error.source(),
        }
    }
    None
}

/// Formats an error and its sources as one line, without repetitions.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Many errors already include the text of their source.
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

/// Error for a server whose certificate is not trusted.
#[derive(Debug)]
pub(super) struct Untrusted {
    pub(super) host: String,
    pub(super) cause: String,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, cause } = self;
        write!(out, "the certificate of {host} is not trusted: {cause}")
    }
}

impl Error for Untrusted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        use RemoteErrorKind as K;
        for (code, status, expected) in [
            (Some("Throttling"), Some(400), K::Throttled),
            (None, Some(429), K::Throttled),
            (Some("ExpiredToken"), Some(403), K::Credentials),
            (Some("AccessDeniedException"), Some(400), K::Denied),
            (Some("RepositoryNotFoundException"), Some(400), K::NotFound),
            (Some("LoadBalancerNotFound"), Some(400), K::NotFound),
            (Some("InternalFailure"), Some(500), K::Server),
            (Some("ValidationError"), Some(400), K::Refused),
            (None, None, K::Unreachable),
            (None, Some(200), K::Unreachable),
            (None, Some(400), K::Unreachable),
            (None, Some(403), K::Unreachable),
            (Some("RequestTimeout"), Some(400), K::Unreachable),
        ] {
            assert_eq!(kind(code, status, false), expected, "{code:?} {status:?}");
        }
        assert_eq!(kind(None, None, true), K::Credentials);
    }

    #[test]
    fn meanings() {
        let error = |code: &str, message: &str| RemoteError {
            kind: RemoteErrorKind::Refused,
            operation: "Call",
            code: Some(code.to_owned()),
            message: message.to_owned(),
            request_id: None,
        };
        let invalid = |message: &str| error("ValidationError", message);
        let moving = "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.";
        assert!(invalid(moving).is_conflict());
        assert!(error("InvalidChangeSetStatus", "").is_conflict());
        assert!(!error("AccessDenied", moving).is_conflict());
        assert!(!invalid("Template format error").is_conflict());
        let expired = "Signature expired: 20261122T100405Z is now earlier than 20261122T101005Z";
        assert!(error("InvalidSignatureException", expired).is_clock_skew());
        assert!(error("RequestTimeTooSkewed", "").is_clock_skew());
        assert!(!error("SignatureDoesNotMatch", "no").is_clock_skew());
        assert!(
            error(
                "InsufficientCapabilitiesException",
                "Requires capabilities : [X]"
            )
            .lacks_capabilities()
        );
        assert!(
            invalid("Stack [clock] cannot be deleted while TerminationProtection is enabled")
                .is_termination_protection()
        );
    }
}
