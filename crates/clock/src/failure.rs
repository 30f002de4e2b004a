//! Reasons that a service counts as down, each as one sentence for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerError;
use crate::timestamp::TimestampError;
use crate::units::{as_milliseconds, setting};
use crate::verdict::Reason;

/// Why there was no answer with a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// No address for the name.
    #[error("cannot resolve `{host}`: {detail}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// The resolver cannot tell whether the name has an address.
    #[error("the resolver cannot tell the address of `{host}`: {detail}")]
    Resolver {
        /// The name.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// No answer from the resolver.
    #[error("no answer from the resolver about `{host}` within {}", setting(*after))]
    ResolveTimeout {
        /// The name.
        host: String,
        /// The timeout.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// Nothing listens there.
    #[error("connection refused by {peer}")]
    Refused {
        /// The addresses tried.
        peer: String,
    },
    /// No TCP (or TLS) connection in time.
    #[error("no connection to {peer} within {}", setting(*after))]
    ConnectTimeout {
        /// The addresses tried.
        peer: String,
        /// Time spent on it.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// This machine has no way there: no address of that family, or no network.
    #[error("no route to {peer} from this machine")]
    NoRoute {
        /// The addresses tried.
        peer: String,
    },
    /// No TCP connection for another reason.
    #[error("cannot connect to {peer}: {detail}")]
    Connect {
        /// The addresses tried.
        peer: String,
        /// What the system said.
        detail: String,
    },
    /// No trust: certificate, name or protocol.
    #[error("no TLS connection to `{host}`: {detail}")]
    Tls {
        /// The name that the certificate should be for.
        host: String,
        /// What is wrong.
        detail: String,
        /// Seconds by which the certificate has expired by the local clock; negative: until it becomes valid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expired_s: Option<i64>,
    },
    /// No (whole) answer in time.
    #[error("timed out after {}", setting(*after))]
    TimedOut {
        /// The timeout.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// The connection ended, or held something else than HTTP.
    #[error("the exchange with {peer} broke off: {detail}")]
    Broken {
        /// The addresses tried.
        peer: String,
        /// What happened.
        detail: String,
    },
    /// An answer, but no success.
    #[error("answered {status}")]
    Status {
        /// Code and phrase.
        status: String,
    },
    /// The proxy answered in the service's place.
    #[error("the proxy {proxy} answered {status}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Code and phrase.
        status: String,
    },
    /// Redirects are not followed: what answers elsewhere is another service.
    #[error("answered {status}, a redirect to `{location}`")]
    Redirect {
        /// Code and phrase.
        status: String,
        /// As sent.
        location: String,
    },
    /// More than 64 KiB.
    #[error("answered with more than 64 KiB")]
    TooLarge,
    /// A success whose body is compressed, or encoded otherwise.
    #[error("answered in the encoding `{encoding}`, which was not asked for")]
    Encoded {
        /// As sent.
        encoding: String,
    },
    /// A success whose body is not as expected.
    #[error("the answer is not as expected: {detail}")]
    Unexpected {
        /// What is wrong.
        detail: String,
    },
    /// A success without a timestamp.
    #[error("answered without a timestamp: {0}")]
    NoTimestamp(AnswerError),
    /// The certificates to trust cannot be read.
    #[error("cannot read the certificates to trust: {detail}")]
    CertificateStore {
        /// What is wrong.
        detail: String,
    },
    /// Not the service's fault: no HTTP client could be made.
    #[error("cannot make an HTTP client: {detail}")]
    Client {
        /// What is wrong.
        detail: String,
    },
}

impl Failure {
    /// Returns the status code that the service answered with, where that is what is wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status } | Self::Redirect { status, .. } => {
                status.get(..3)?.parse().ok()
            }
            Self::Resolve { .. }
            | Self::Resolver { .. }
            | Self::ResolveTimeout { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Proxy { .. }
            | Self::TooLarge
            | Self::Encoded { .. }
            | Self::Unexpected { .. }
            | Self::NoTimestamp(_)
            | Self::CertificateStore { .. }
            | Self::Client { .. } => None,
        }
    }

    /// Returns whether the service itself gave this answer and will repeat it. Only another path or
    /// other settings help.
    pub fn is_lasting(&self) -> bool {
        match self {
            // 408 Request Timeout, 425 Too Early, 429 Too Many Requests: a retry may succeed.
            Self::Status { .. } => self
                .status()
                .is_some_and(|code| (400..500).contains(&code) && ![408, 425, 429].contains(&code)),
            Self::NoTimestamp(error) => !matches!(
                error,
                AnswerError::Timestamp(TimestampError::LeapSecond { .. })
            ),
            Self::Redirect { .. } | Self::TooLarge | Self::Encoded { .. } => true,
            // Time may fix these: a service starts, a deployment ends, or DNS changes.
            Self::Resolve { .. }
            | Self::Resolver { .. }
            | Self::ResolveTimeout { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Proxy { .. }
            | Self::Unexpected { .. }
            | Self::CertificateStore { .. }
            | Self::Client { .. } => false,
        }
    }

    /// Returns whether no request reached the service. It may be healthy, with only the route from
    /// this host closed.
    pub fn never_arrived(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Resolver { .. }
            | Self::ResolveTimeout { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Proxy { .. } => true,
            // A TLS error or a timeout may come from the service itself, after it was reached.
            Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::Encoded { .. }
            | Self::Unexpected { .. }
            | Self::NoTimestamp(_)
            | Self::CertificateStore { .. }
            | Self::Client { .. } => false,
        }
    }

    /// Returns the local fault that this failure proves, which says nothing about the service;
    /// `None` if it may be the service's.
    pub(crate) fn local_fault(&self) -> Option<Reason> {
        match self {
            Self::NoRoute { .. } => Some(Reason::NoNetwork),
            Self::Resolver { .. } | Self::ResolveTimeout { .. } => Some(Reason::Resolver),
            Self::CertificateStore { .. } => Some(Reason::CertificateStore),
            Self::Client { .. } => Some(Reason::InternalError),
            // A name without an address is a fault of the service's DNS, not of this host's
            // resolver.
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Status { .. }
            | Self::Proxy { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::Encoded { .. }
            | Self::Unexpected { .. }
            | Self::NoTimestamp(_) => None,
        }
    }

    /// Returns whether a longer timeout might have helped. A checker that was itself delayed proves
    /// nothing by such a failure.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. } | Self::ConnectTimeout { .. } | Self::ResolveTimeout { .. }
        )
    }

    /// Returns whether a delay of the checker may be the cause: peers close connections that stay
    /// idle for too long.
    pub fn may_be_ours(&self) -> bool {
        self.is_timeout() || matches!(self, Self::Connect { .. } | Self::Broken { .. })
    }

    /// Returns whether the failure concerns the route to one address. Other addresses of the same
    /// name may work.
    pub fn is_about_the_address(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. } => true,
            Self::Resolve { .. }
            | Self::Resolver { .. }
            | Self::ResolveTimeout { .. }
            | Self::Status { .. }
            | Self::Proxy { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::Encoded { .. }
            | Self::Unexpected { .. }
            | Self::NoTimestamp(_)
            | Self::CertificateStore { .. }
            | Self::Client { .. } => false,
        }
    }
}
