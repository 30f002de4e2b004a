//! What both peers share: the answer, and the connections' limits, which are those of the service.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use serde::Serialize;
use tokio::net::TcpListener;

/// Longest time for a request head, and for an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest request head, bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// The answer of `/now`, as long as the service's own.
#[derive(Serialize)]
pub struct Now {
    now: String,
    instance: &'static str,
    version: &'static str,
}

impl Now {
    /// At this moment.
    pub fn at_once() -> Self {
        Self {
            now: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            instance: "9f0c2b7e41d85a36",
            version: "0.1.0",
        }
    }
}

/// A server of HTTP/1 with the limits of the service.
pub fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LIMIT);
    http
}

/// Listens at the port that `PORT` names.
pub async fn listen() -> std::io::Result<TcpListener> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok());
    let port = port.ok_or_else(|| std::io::Error::other("PORT has to be a number"))?;
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await
}
