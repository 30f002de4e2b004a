//! Accept loop: warp's filters on hyper's HTTP/1 connections.
//!
//! warp's own server has no timeout for request heads, no limit for connections, no `TCP_NODELAY`,
//! and a graceful shutdown that one silent client can block forever.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;

use crate::access::{AccessLog, Sampling};
use crate::config::DEFAULT_LINGER;
use crate::connection::{self, Answers};
use crate::health::Health;
use crate::identity::Identity;
use crate::log::{self, Value::Text};
use crate::routes::routes;
use crate::version::VersionGuard;

/// Maximum size of a request head, and so about the memory that a connection can claim before it
/// gets 431. hyper's default is 400 KiB, or 6 GB for 16,384 connections.
const HEAD_LIMIT: usize = 16 * 1024;

/// Pause after a failed accept, in which another connection may free its descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Maximum time of open requests after the second signal: enough for those that are being answered.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// Limits of the accept loop. The defaults are for a service behind a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Maximum time of a request head. hyper's timer for it also ends idle keep-alive connections,
    /// so it must exceed the load balancer's idle timeout (60 s unless set lower): otherwise the
    /// balancer sends requests into connections that are just being closed, and answers 502.
    pub head_timeout: Duration,
    /// Maximum time that an answer waits for a client that does not read. Otherwise such a client
    /// would keep its place forever.
    pub write_timeout: Duration,
    /// Time that new connections and requests are still accepted after the signal to shut down,
    /// while `/health` already answers 503. A load balancer that is notified at the same moment
    /// still sends requests for an instant, and those in the listen queue or on a new connection
    /// would be lost. One that learns of it from `/health` alone needs its check interval times its
    /// number of failures.
    pub linger: Duration,
    /// Maximum time of open requests after that.
    pub drain: Duration,
    /// Maximum number of connections. More of them wait in the listen queue.
    pub max_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(75),
            // The kernel's buffers hold many answers: only a client that reads none of them reaches
            // this.
            write_timeout: Duration::from_secs(30),
            linger: DEFAULT_LINGER,
            drain: Duration::from_secs(10),
            // With heads that never end they take 450 MiB, which the smallest task has.
            max_connections: 16_384,
        }
    }
}

/// Service with its identity and condition.
#[derive(Debug)]
pub struct Service {
    /// Name and version of this process.
    pub identity: Identity,
    /// Condition, which other owners update.
    pub health: Arc<Health>,
    /// Share of the requests that is logged.
    pub access_log: Sampling,
}

impl Service {
    /// Returns a service in good health that logs no requests.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            health: Arc::default(),
            access_log: Sampling::Off,
        }
    }
}

/// Result of a shutdown.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// All requests were answered.
    Complete,
    /// Some were not answered within [`Settings::drain`] or before the second signal, and their
    /// connections were closed.
    CutOff {
        /// Number of connections.
        connections: usize,
    },
}

/// Serves until `shutdown` is ready and [`Settings::linger`] has passed. Then closes the port and
/// idle connections at once, and lets open requests finish within [`Settings::drain`].
///
/// `shutdown` returns another future. Once that is ready as well, open requests are cut off after
/// 0.1 s. When this function returns, no connection is open. Failed accepts are logged.
pub async fn serve<Hurry: Future<Output = ()>>(
    listener: TcpListener,
    service: Service,
    settings: Settings,
    shutdown: impl Future<Output = Hurry>,
) -> Drain {
    let health = Arc::clone(&service.health);
    let answers = Answers {
        access: Arc::new(AccessLog::new(service.access_log)),
        health: Arc::clone(&health),
        routes: warp::service(routes(Arc::new(service.identity), service.health)),
    };
    let (end, ended) = watch::channel(());
    let admit = |stream: TcpStream, peer: SocketAddr| {
        // Without it the second of two pipelined answers waits for the client's delayed
        // acknowledgement. Set here, and not on the listener that hands it down, so that it holds
        // whoever made the listener. It fails only on a dead connection, which is found out anyway.
        let _ = stream.set_nodelay(true);
        // A write waits once the kernel's buffer is full, and proceeds once a third of that is free
        // again. A client that reads a byte now and then has to read that much within each timeout,
        // which `TCP_USER_TIMEOUT` would not demand.
        let mut stream = TimeoutWriter::new(VersionGuard::new(stream));
        stream.set_timeout(Some(settings.write_timeout));
        let answers = answers.clone();
        let answer = service_fn(move |request| answers.answer(request, peer.ip()));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(settings.head_timeout)
            .max_buf_size(HEAD_LIMIT)
            // A client that closes its half of the connection still gets its answer.
            .half_close(true)
            // Head and body in one piece: bodies are so short that copying them is less work.
            .writev(false);
        let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), answer);
        connection::serve(connection, ended.clone())
    };
    let mut connections = JoinSet::new();
    let mut accept_works = true;
    let mut shutdown = pin!(async {
        let mut hurry = Box::pin(shutdown.await);
        health.drain();
        tokio::select! {
            () = &mut hurry => None,
            () = tokio::time::sleep(settings.linger) => Some(hurry),
        }
    });
    let hurry = loop {
        let accepted = tokio::select! {
            biased;
            hurry = &mut shutdown => break hurry,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < settings.max_connections => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                accept_works = true;
                connections.spawn(admit(stream, peer));
            }
            Err(error) => {
                // Most likely out of descriptors. One line for a series of failures.
                if std::mem::take(&mut accept_works) {
                    let reason = error.to_string();
                    log::warn("cannot accept connections", &[("reason", Text(&reason))]);
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    };

    drop(listener);
    drop(end);
    let time_is_up = async {
        if let Some(hurry) = hurry {
            tokio::select! {
                () = hurry => {}
                () = tokio::time::sleep(settings.drain) => return,
            }
        }
        tokio::time::sleep(LAST_MOMENT).await;
    };
    tokio::select! {
        biased;
        () = async { while connections.join_next().await.is_some() {} } => return Drain::Complete,
        () = time_is_up => {}
    }
    // Connections that ended but were not joined yet do not count as open.
    while connections.try_join_next().is_some() {}
    let cut_off = connections.len();
    connections.shutdown().await;
    match cut_off {
        0 => Drain::Complete,
        connections => Drain::CutOff { connections },
    }
}
