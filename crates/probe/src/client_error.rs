//! Conversion of the HTTP client's nested errors into a [`Failure`].

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clock::Failure;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::error_text::{causes, detail, innermost};
use crate::target::Route;

/// Converts a client construction error. Only the innermost cause says what went wrong.
pub fn not_built(error: &reqwest::Error) -> Failure {
    Failure::Client {
        detail: innermost(&causes(error)),
    }
}

/// Converts a request error. `after` is the connect timeout.
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
    // TLS errors come first: reqwest reports a failed handshake as a connect error, too.
    if let Some(tls) = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
    {
        return Failure::Tls {
            host: route.host.clone(),
            detail: tls_detail(tls),
            expired_s: expired(tls),
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

/// Describes a TLS error, with a hint if the fix is not obvious.
fn tls_detail(error: &rustls::Error) -> String {
    let text = error.to_string();
    if text.contains("CaUsedAsEndEntity") {
        // `openssl req -x509` creates such a certificate by default.
        return "the server's own certificate is marked as that of an authority: issue it with \
                `basicConstraints=critical,CA:FALSE`"
            .to_owned();
    }
    text
}

/// Returns the seconds by which a certificate has expired by the local clock; negative if it is not
/// valid yet.
fn expired(error: &rustls::Error) -> Option<i64> {
    let seconds = |from: UnixTime, to: UnixTime| {
        i64::try_from(i128::from(to.as_secs()) - i128::from(from.as_secs())).ok()
    };
    let rustls::Error::InvalidCertificate(error) = error else {
        return None;
    };
    if let CertificateError::ExpiredContext { time, not_after } = error {
        seconds(*not_after, *time)
    } else if let CertificateError::NotValidYetContext { time, not_before } = error {
        seconds(*not_before, *time)
    } else {
        None
    }
}

/// Formats addresses: `127.0.0.1:80`, joined by "and" if there are several.
fn peer(addresses: &[SocketAddr]) -> String {
    let mut text = String::new();
    for address in addresses {
        let separator = if text.is_empty() { "" } else { " and " };
        let _ = write!(text, "{separator}{address}");
    }
    text
}
