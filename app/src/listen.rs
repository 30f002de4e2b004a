//! Listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use tokio::net::{TcpListener, TcpSocket};

use crate::error::Error;

/// Length of the listen queue, which is the usual limit of the kernel. When many clients connect at
/// once, as after an outage, a short queue makes some of them wait for their next attempt, seconds
/// later.
const WAITING: u32 = 4096;

/// Listens on all addresses: of IPv6 and IPv4 if the machine has IPv6, otherwise of IPv4.
pub fn bind(port: NonZeroU16) -> Result<TcpListener, Error> {
    // Addresses, not text: binding text would link the resolver.
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.get()));
    let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.get()));
    let bound = match TcpSocket::new_v6().and_then(|socket| listen(socket, both)) {
        // These two concern the port, so IPv4 alone would fail as well.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            ) =>
        {
            Err(error)
        }
        Err(_no_ipv6) => TcpSocket::new_v4().and_then(|socket| listen(socket, ipv4)),
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

fn listen(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    // After a restart, remains of earlier connections must not block the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}
