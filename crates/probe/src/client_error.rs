//! Turns the HTTP client's nested errors into a [`Failure`].

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clock::Failure;

use crate::error_text::{causes, detail, innermost};
use crate::target::Route;

/// Why there is no client: the innermost cause says it, the outer ones only that there was one.
pub fn not_built(error: &reqwest::Error) -> Failure {
    Failure::Client {
        detail: innermost(&causes(error)),
    }
}

/// Flattens the client's error. `after` is the time allowed for connecting.
pub(crate) fn failed(error: &reqwest::Error, route: &Route, after: Duration) -> Failure {
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
        return Failure::Tls {
            host: route.host.clone(),
            detail: tls.to_string(),
        };
    }
    let detail = causes
        .last()
        .map_or_else(String::new, |cause| detail(*cause));
    if error.is_connect() {
        if io_kind(io::ErrorKind::ConnectionRefused) {
            Failure::Refused { peer }
        } else if [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::AddrNotAvailable,
        ]
        .into_iter()
        .any(io_kind)
        {
            Failure::NoRoute { peer }
        } else if error.is_timeout() || io_kind(io::ErrorKind::TimedOut) {
            Failure::ConnectTimeout { peer, after }
        } else {
            Failure::Connect { peer, detail }
        }
    } else {
        Failure::Broken { peer, detail }
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
