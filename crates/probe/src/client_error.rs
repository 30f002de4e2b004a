//! Conversion of nested errors of connections into a [`Failure`].

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clock::Failure;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::error_text::{causes, innermost};

/// Converts an error of connecting. `after` is the connect timeout.
pub(crate) fn not_connected(
    error: &(dyn Error + 'static),
    host: &str,
    addresses: &[SocketAddr],
    after: Duration,
) -> Failure {
    let causes = causes(error);
    let is = |kinds: &[io::ErrorKind]| {
        let mut errors = causes
            .iter()
            .filter_map(|it| it.downcast_ref::<io::Error>());
        errors.any(|error| kinds.contains(&error.kind()))
    };
    let peer = peer(addresses);
    if let Some(failure) = tls(&causes, host) {
        failure
    } else if is(&[io::ErrorKind::ConnectionRefused]) {
        Failure::Refused { peer }
    } else if is(&[
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::AddrNotAvailable,
    ]) {
        Failure::NoRoute { peer }
    } else if is(&[io::ErrorKind::TimedOut]) {
        Failure::ConnectTimeout { peer, after }
    } else {
        Failure::Connect {
            peer,
            detail: innermost(&causes),
        }
    }
}

/// Returns the failure of a connection that took too long.
pub(crate) fn connect_timeout(addresses: &[SocketAddr], after: Duration) -> Failure {
    Failure::ConnectTimeout {
        peer: peer(addresses),
        after,
    }
}

/// Converts an error of a request.
pub(crate) fn broken(
    error: &(dyn Error + 'static),
    host: &str,
    addresses: &[SocketAddr],
) -> Failure {
    let causes = causes(error);
    // A server may reject a client certificate after the handshake.
    tls(&causes, host).unwrap_or_else(|| Failure::Broken {
        peer: peer(addresses),
        detail: innermost(&causes),
    })
}

fn tls(causes: &[&(dyn Error + 'static)], host: &str) -> Option<Failure> {
    let error = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())?;
    Some(Failure::Tls {
        host: host.to_owned(),
        detail: tls_detail(error),
        expired_s: expired(error),
    })
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
