//! Why a service counts as down, in one sentence for people. Here the HTTP client's nested errors are flattened.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::AnswerError;
use crate::target::Route;
use crate::units::{as_milliseconds, setting};

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
    /// Nothing from whoever knows the addresses.
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
    /// A success without a timestamp.
    #[error("answered without a timestamp: {0}")]
    NoTimestamp(AnswerError),
    /// Not the service's fault: no HTTP client could be made.
    #[error("cannot make an HTTP client: {detail}")]
    Client {
        /// What is wrong.
        detail: String,
    },
}

impl Failure {
    /// Whether no request came as far as the service: it may be well, and only the way from this machine is closed.
    pub fn never_arrived(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::ResolveTimeout { .. }
            | Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Proxy { .. } => true,
            Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::NoTimestamp(_)
            | Self::Client { .. } => false,
        }
    }

    /// Whether more patience might have helped, so that a checker that was itself held up proves nothing by it.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. } | Self::ConnectTimeout { .. } | Self::ResolveTimeout { .. }
        )
    }

    /// Whether a checker that was held up may be to blame: others are as patient as it is, and end what goes on for too long.
    pub(crate) fn may_be_ours(&self) -> bool {
        self.is_timeout() || matches!(self, Self::Connect { .. } | Self::Broken { .. })
    }

    /// Whether it is about the way to one address: others of the same name may be fine.
    pub(crate) fn is_about_the_address(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::ConnectTimeout { .. }
            | Self::NoRoute { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. } => true,
            Self::Resolve { .. }
            | Self::ResolveTimeout { .. }
            | Self::Status { .. }
            | Self::Proxy { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::NoTimestamp(_)
            | Self::Client { .. } => false,
        }
    }

    /// Why there is no client: the innermost cause says it, the outer ones only that there was one.
    pub(crate) fn from_builder(error: &reqwest::Error) -> Self {
        Self::Client {
            detail: innermost(&causes(error)),
        }
    }

    /// Flattens the client's error. `after` is the time allowed for connecting.
    pub(crate) fn from_client(error: &reqwest::Error, route: &Route, after: Duration) -> Self {
        let peer = peer(&route.addresses);
        let causes = causes(error);
        let io_kind = |kind| {
            causes.iter().any(|cause| {
                cause
                    .downcast_ref::<io::Error>()
                    .is_some_and(|error| error.kind() == kind)
            })
        };
        if let Some(tls) = causes
            .iter()
            .find_map(|cause| cause.downcast_ref::<rustls::Error>())
        {
            return Self::Tls {
                host: route.host.clone(),
                detail: tls.to_string(),
            };
        }
        let detail = causes
            .last()
            .map_or_else(String::new, |cause| detail(*cause));
        if error.is_connect() {
            if io_kind(io::ErrorKind::ConnectionRefused) {
                Self::Refused { peer }
            } else if [
                io::ErrorKind::NetworkUnreachable,
                io::ErrorKind::HostUnreachable,
                io::ErrorKind::AddrNotAvailable,
            ]
            .into_iter()
            .any(io_kind)
            {
                Self::NoRoute { peer }
            } else if error.is_timeout() || io_kind(io::ErrorKind::TimedOut) {
                Self::ConnectTimeout { peer, after }
            } else {
                Self::Connect { peer, detail }
            }
        } else {
            Self::Broken { peer, detail }
        }
    }
}

/// `127.0.0.1:80`, or several of them.
fn peer(addresses: &[SocketAddr]) -> String {
    let mut text = String::new();
    for address in addresses {
        let separator = if text.is_empty() { "" } else { " and " };
        let _ = write!(text, "{separator}{address}");
    }
    text
}

fn innermost(causes: &[&(dyn Error + 'static)]) -> String {
    causes
        .last()
        .map_or_else(String::new, |cause| detail(*cause))
}

/// The same for an error as a whole.
pub(crate) fn innermost_detail(error: &(dyn Error + 'static)) -> String {
    innermost(&causes(error))
}

/// The error and everything below it, including what an I/O error wraps (which its `source` jumps over).
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut current = error;
    loop {
        let wrapped = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| -> &'a (dyn Error + 'static) { inner });
        match wrapped.or_else(|| current.source()) {
            Some(next) => {
                causes.push(next);
                current = next;
            }
            None => return causes,
        }
    }
}

/// An error's text without the system's number, in lower case like ours.
pub(crate) fn detail(error: &dyn Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(text);
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_texts_become_ours() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(detail(&refused), "connection refused");
        let unknown =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(detail(&unknown), "name or service not known");
    }

    #[test]
    fn an_error_within_an_io_error_is_found() {
        let inner = io::Error::other(rustls::Error::HandshakeNotComplete);
        let outer = io::Error::other(inner);
        assert!(
            causes(&outer)
                .iter()
                .any(|cause| cause.downcast_ref::<rustls::Error>().is_some())
        );
    }
}
