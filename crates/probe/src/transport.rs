//! TCP and TLS connections that carry HTTP.
//!
//! The task that sends a request also drives its connection. With a pool or a task of its own, each
//! request would wake another task, and a check could not tell whether its connection is a new one.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clock::{Failure, certificate_expiry};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client_error;
use crate::proxy::Proxy;
use crate::target::Route;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Open connection.
pub(crate) struct Open {
    requests: SendRequest<Empty<Bytes>>,
    driver: Driver,
    /// Expiry of the service's certificate, seconds since 1970.
    pub(crate) expires: Option<i64>,
}

impl Open {
    /// Returns the connection unless the server has closed it.
    pub(crate) fn unless_closed(mut self) -> Option<Self> {
        let mut context = Context::from_waker(Waker::noop());
        self.driver.poll(&mut context).is_pending().then_some(self)
    }

    /// Sends a request.
    pub(crate) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let answer = self.requests.send_request(request);
        self.driver.run(answer).await
    }

    /// Drives the connection while a response is read.
    pub(crate) async fn drive<T>(&mut self, reading: impl Future<Output = T>) -> T {
        self.driver.run(reading).await
    }
}

/// State machine of a connection. Nothing is sent or received unless it is polled.
struct Driver {
    connection: http1::Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>,
    has_ended: bool,
}

impl Driver {
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            // Errors of the connection reach the request.
            let _ = self.poll(context);
            work.as_mut().poll(context)
        })
        .await
    }

    /// Completes when the connection has ended, and stays complete.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_ended {
            self.has_ended = Pin::new(&mut self.connection).poll(context).is_ready();
        }
        if self.has_ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Way to a service.
pub(crate) struct Transport<'a> {
    pub(crate) route: &'a Route,
    pub(crate) addresses: &'a [SocketAddr],
    pub(crate) tls: Option<&'a Arc<ClientConfig>>,
    pub(crate) proxy: Option<&'a Proxy>,
    /// Timeout of connecting, TLS included.
    pub(crate) after: Duration,
}

impl Transport<'_> {
    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Open, Failure> {
        let late = || client_error::connect_timeout(self.addresses, self.after);
        timeout(self.after, self.connect())
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self) -> Result<Open, Failure> {
        let tcp = self.dial().await.map_err(|error| self.failed(&error))?;
        let Some(tls) = self.tls else {
            return self.open_on(Box::new(tcp), None).await;
        };
        // The end of a TLS handshake and the request are two small writes.
        let _ = tcp.set_nodelay(true);
        let stream: Box<dyn Stream> = match self.proxy {
            None => Box::new(tcp),
            Some(proxy) => self.tunnel(proxy, Box::new(tcp)).await?,
        };
        let host = self.route.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| Failure::Tls {
            host: self.route.host.clone(),
            detail: error.to_string(),
            expired_s: None,
        })?;
        let secured = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let secured = secured.await.map_err(|error| self.failed(&error))?;
        let certificates = secured.get_ref().1.peer_certificates();
        let expires = certificates.and_then(|chain| certificate_expiry(chain.first()?));
        self.open_on(Box::new(secured), expires).await
    }

    async fn open_on(
        &self,
        stream: Box<dyn Stream>,
        expires: Option<i64>,
    ) -> Result<Open, Failure> {
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(Open {
            requests,
            driver: Driver {
                connection,
                has_ended: false,
            },
            expires,
        })
    }

    /// Connects to the first of the addresses that accepts it.
    async fn dial(&self) -> io::Result<TcpStream> {
        if let [address] = self.addresses {
            return connect(*address).await;
        }
        // An address that does not answer leaves time for the others.
        let count = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        let each = self.after / count.max(1);
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for address in self.addresses {
            failed = match timeout(each, connect(*address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
        }
        Err(failed)
    }

    /// Asks the proxy for a tunnel to the service.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let unusable = |detail: String| Failure::Client { detail };
        let port = self.route.url.port_or_known_default().unwrap_or(443);
        let authority = format!("{}:{port}", self.route.host);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() =
            Uri::try_from(&authority).map_err(|error| unusable(error.to_string()))?;
        let host = HeaderValue::try_from(authority);
        let host = host.map_err(|error| unusable(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
        if let Some(value) = &proxy.authorization {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
        let mut open = self.open_on(stream, None).await?;
        let answer = open.send(request).await;
        let status = answer.map_err(|error| self.failed(&error))?.status();
        if !status.is_success() {
            return Err(proxy.answered(status));
        }
        // Ends here, because the connection is no longer one of HTTP.
        poll_fn(|context| open.driver.poll(context)).await;
        Ok(open.driver.connection.into_parts().io.into_inner())
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        client_error::not_connected(error, &self.route.host, self.addresses, self.after)
    }
}

/// Opens a connection that somebody writes to at once.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    leave_last_packet_to_first_write(&socket);
    socket.connect(address).await
}

/// Saves a packet: without it, Linux ends the handshake before the first write and not with it. Later
/// packets are acknowledged at once nevertheless, on which servers rely that write a response in
/// several pieces.
#[cfg(target_os = "linux")]
fn leave_last_packet_to_first_write(socket: &TcpSocket) {
    let _ = rustix::net::sockopt::set_tcp_quickack(socket, false);
}

#[cfg(not(target_os = "linux"))]
const fn leave_last_packet_to_first_write(_socket: &TcpSocket) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt::tcp_quickack;

    #[tokio::test]
    async fn only_the_last_packet_of_the_handshake_is_delayed() {
        let socket = TcpSocket::new_v4().unwrap();
        leave_last_packet_to_first_write(&socket);
        assert!(!tcp_quickack(&socket).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = socket.connect(listener.local_addr().unwrap()).await;
        assert!(tcp_quickack(open.unwrap()).unwrap());
    }
}
