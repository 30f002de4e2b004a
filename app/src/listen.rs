//! The port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use tokio::net::TcpListener;

use crate::error::Error;

/// Listens on all addresses, of IPv6 and IPv4 alike where there is IPv6, otherwise of IPv4.
pub async fn bind(port: NonZeroU16) -> Result<TcpListener, Error> {
    // Addresses, not text: binding text would link the resolver.
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.get()));
    let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.get()));
    let bound = match TcpListener::bind(both).await {
        // These two say something of the port, and IPv4 alone would not change it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            ) =>
        {
            Err(error)
        }
        Err(_no_ipv6) => TcpListener::bind(ipv4).await,
        Ok(listener) => Ok(listener),
    };
    bound.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            Error::AddressInUse { port }
        } else {
            Error::Bind { port, source }
        }
    })
}
