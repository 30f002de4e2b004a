//! Reasons that a service counts as down, each as one sentence for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerError;
use crate::timestamp::TimestampError;
use crate::units::{as_milliseconds, setting};
use crate::verdict::Reason;

/// Reason that there is no answer with a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// The name has no address.
    #[error("cannot resolve `{host}`: {detail}")]
    Resolve {
        /// Host name.
        host: String,
        /// Message of the resolver.
        detail: String,
    },
    /// The resolver cannot tell whether the name has an address.
    #[error("the resolver cannot tell the address of `{host}`: {detail}")]
    Resolver {
        /// Host name.
        host: String,
        /// Message of the resolver.
        detail: String,
    },
    /// Timeout of the resolver.
    #[error("no answer from the resolver about `{host}` within {}", setting(*after))]
    ResolveTimeout {
        /// Host name.
        host: String,
        /// Timeout that elapsed.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// Connection refused: nothing listens at the address.
    #[error("connection refused by {peer}")]
    Refused {
        /// Addresses that were tried.
        peer: String,
    },
    /// Timeout of the TCP or TLS connection.
    #[error("no connection to {peer} within {}", setting(*after))]
    ConnectTimeout {
        /// Addresses that were tried.
        peer: String,
        /// Time spent on connecting.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// No route from this host: no network, or no address of that family.
    #[error("no route to {peer} from this machine")]
    NoRoute {
        /// Addresses that were tried.
        peer: String,
    },
    /// Another error of the TCP connection.
    #[error("cannot connect to {peer}: {detail}")]
    Connect {
        /// Addresses that were tried.
        peer: String,
        /// Message of the operating system.
        detail: String,
    },
    /// TLS error: certificate, name or protocol.
    #[error("no TLS connection to `{host}`: {detail}")]
    Tls {
        /// Host name that the certificate has to match.
        host: String,
        /// Description of the error.
        detail: String,
        /// Seconds since the certificate expired, by the local clock. Negative: seconds until it
        /// becomes valid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expired_s: Option<i64>,
    },
    /// Timeout before the answer was complete.
    #[error("timed out after {}", setting(*after))]
    TimedOut {
        /// Timeout that elapsed.
        #[serde(with = "as_milliseconds", rename = "after_ms")]
        after: Duration,
    },
    /// Connection that ended early, or that carried something other than HTTP.
    #[error("the exchange with {peer} broke off: {detail}")]
    Broken {
        /// Addresses that were tried.
        peer: String,
        /// Description of the error.
        detail: String,
    },
    /// Answer with a status that is not a success.
    #[error("answered {status}")]
    Status {
        /// Status code and reason phrase.
        status: String,
    },
    /// Answer of the proxy in place of the service.
    #[error("the proxy {proxy} answered {status}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Status code and reason phrase.
        status: String,
    },
    /// Redirect, which is not followed: its target is another service.
    #[error("answered {status}, a redirect to `{location}`")]
    Redirect {
        /// Status code and reason phrase.
        status: String,
        /// Value of the header, as sent.
        location: String,
    },
    /// Body of more than 64 KiB.
    #[error("answered with more than 64 KiB")]
    TooLarge,
    /// Successful answer whose body has a content encoding, such as gzip.
    #[error("answered in the encoding `{encoding}`, which was not asked for")]
    Encoded {
        /// Value of the header, as sent.
        encoding: String,
    },
    /// Successful answer whose body is not as expected.
    #[error("the answer is not as expected: {detail}")]
    Unexpected {
        /// Description of the error.
        detail: String,
    },
    /// Successful answer without a timestamp.
    #[error("answered without a timestamp: {0}")]
    NoTimestamp(AnswerError),
    /// Certificate store that cannot be read.
    #[error("cannot read the certificates to trust: {detail}")]
    CertificateStore {
        /// Description of the error.
        detail: String,
    },
    /// HTTP client that cannot be built, which is not the fault of the service.
    #[error("cannot make an HTTP client: {detail}")]
    Client {
        /// Description of the error.
        detail: String,
    },
}

impl Failure {
    /// Returns the status code that the service answered with, where that is what is wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status } | Self::Redirect { status, .. } => {
                // The text is the code with its phrase, such as `404 Not Found`.
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
