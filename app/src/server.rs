//! The accept loop: warp's filters on hyper's HTTP/1 connections.
//!
//! warp's own server has no time limit for request heads, no bound on connections, no `TCP_NODELAY`
//! and a graceful shutdown that one silent client can hold up for ever. Hence this loop of our own.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::identity::Identity;
use crate::log;
use crate::routes::routes;

/// Most bytes of a request head, and so about the most memory a connection can claim before it is
/// answered with 431. hyper's own bound is 400 KiB, which 10,000 connections turn into 4 GB.
const HEAD_LIMIT: usize = 16 * 1024;

/// Pause after a failed accept: long enough for another connection to give its descriptor back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits of the accept loop. The defaults are for a service behind a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a request head may take. hyper's timer for it also ends idle keep-alive connections,
    /// so it must exceed the load balancer's idle timeout (60 s unless set lower): otherwise the
    /// balancer sends requests into connections that are just being closed, and answers 502.
    pub head_timeout: Duration,
    /// How long new connections and requests are still taken after the signal to shut down. A load
    /// balancer that was told at the same moment sends some more for an instant, and those in the
    /// listen queue or on a connection that has just been opened would be lost.
    pub linger: Duration,
    /// How long open requests may go on after that.
    pub drain: Duration,
    /// Connections at the same time. More of them wait in the listen queue.
    pub max_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(75),
            linger: Duration::from_millis(300),
            drain: Duration::from_secs(10),
            max_connections: 10_000,
        }
    }
}

/// How a shutdown went.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// All requests were answered.
    Complete,
    /// Some were not within [`Settings::drain`]; their connections were closed.
    CutOff {
        /// How many.
        connections: usize,
    },
}

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

/// Serves until `shutdown` is ready and [`Settings::linger`] over, then lets open requests finish
/// within [`Settings::drain`].
///
/// Then the port and idle connections are closed at once. When this returns, no connection is
/// left open. Failed accepts are logged and survived.
pub async fn serve(
    listener: TcpListener,
    identity: Identity,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Drain {
    let service = TowerToHyperService::new(warp::service(routes(Arc::new(identity))));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(HEAD_LIMIT);

    let graceful = GracefulShutdown::new();
    let admit = |stream: TcpStream| {
        // Without it the second of two pipelined answers waits for the client's delayed
        // acknowledgement. It fails only on a dead connection, which is found out anyway.
        let _ = stream.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        async move {
            // What ends a connection early is the client's affair: it went away, was silent
            // for too long or did not speak HTTP, and hyper has told it so where possible.
            let _ = connection.await;
        }
    };
    let mut connections = JoinSet::new();
    let mut accept_works = true;
    let mut shutdown = pin!(async {
        shutdown.await;
        tokio::time::sleep(settings.linger).await;
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < settings.max_connections => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                accept_works = true;
                connections.spawn(admit(stream));
            }
            Err(error) => {
                // Out of descriptors, most likely. One line for a row of failures, and on we go.
                if std::mem::take(&mut accept_works) {
                    log::warn(
                        "cannot accept connections",
                        &json!({ "reason": error.to_string() }),
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    drop(listener);
    if tokio::time::timeout(settings.drain, graceful.shutdown())
        .await
        .is_ok()
    {
        return Drain::Complete;
    }
    // Those that ended but were not looked at yet do not count as open.
    while connections.try_join_next().is_some() {}
    let cut_off = connections.len();
    connections.shutdown().await;
    match cut_off {
        0 => Drain::Complete,
        connections => Drain::CutOff { connections },
    }
}
