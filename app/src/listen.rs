//! The port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use tokio::net::{TcpListener, TcpSocket};

use crate::error::Error;

/// Connections that may wait to be accepted. The kernel cuts it to its own limit (4096 mostly).
const BACKLOG: u32 = 4096;

/// Listens on all addresses, of IPv6 and IPv4 alike where there is IPv6, otherwise of IPv4.
pub fn bind(port: NonZeroU16) -> Result<TcpListener, Error> {
    // Addresses, not text: binding text would link the resolver.
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.get()));
    let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.get()));
    let bound = match listen(both) {
        // These two say something of the port, and IPv4 alone would not change it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            ) =>
        {
            Err(error)
        }
        Err(_no_ipv6) => listen(ipv4),
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

/// Without `TCP_NODELAY` the second of two pipelined answers waits for the client's delayed
/// acknowledgement. Connections inherit it from the listener: one system call less for each.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A port whose last connections are still being forgotten can be had at once.
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
