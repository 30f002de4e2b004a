//! A server on a free loopback port and a client that shows the bytes: what goes over the wire is
//! what these tests are about, so no HTTP library stands in between.

use std::net::SocketAddr;
use std::time::Duration;

use app::{Drain, Health, Identity, Service, Settings, serve};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No test waits longer than this for anything: a hang is a failure, not a stalled build.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running service.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    done: JoinHandle<Drain>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        Self::start_as(settings, Arc::default()).await
    }

    /// Starts a service whose condition is known to the test.
    pub(crate) async fn start_as(settings: Settings, health: Arc<Health>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound address");
        let identity = Identity {
            version: "1.2.3+0123456789ab".to_owned(),
            instance: "instance-under-test".to_owned(),
        };
        let service = Service {
            health,
            ..Service::new(identity)
        };
        let (shutdown, signal) = oneshot::channel();
        #[expect(clippy::async_yields_async, reason = "nothing cuts the shutdown short")]
        let done = tokio::spawn(serve(listener, service, settings, async {
            let _ = signal.await;
            std::future::pending()
        }));
        Self {
            address,
            shutdown,
            done,
        }
    }

    /// Begins the shutdown; the handle tells how it went.
    pub(crate) fn stop(self) -> JoinHandle<Drain> {
        self.shutdown.send(()).expect("the server is running");
        self.done
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Sends one request on a connection of its own. `head` is request line and further headers,
    /// separated by `\r\n`, without `Host`.
    pub(crate) async fn request(&self, head: &str) -> Response {
        let mut connection = self.connect().await;
        connection
            .send(&format!("{head}\r\nHost: test\r\n\r\n"))
            .await;
        connection.response(head.starts_with("HEAD ")).await
    }
}

/// One TCP connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address))
            .await
            .expect("the server accepts");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .await
            .expect("the server reads");
    }

    /// Sends a GET request and reads the response.
    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
        self.response(false).await
    }

    /// Reads one response, headers and as much body as they announce.
    pub(crate) async fn response(&mut self, is_head: bool) -> Response {
        let end = loop {
            if let Some(position) = self
                .received
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break position + 4;
            }
            self.read_some().await;
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("heads are text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line");
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut response = Response {
            status: status.expect("a status code"),
            headers,
            body: String::new(),
        };
        if !is_head {
            let length = response.content_length();
            while self.received.len() < length {
                self.read_some().await;
            }
            response.body = String::from_utf8(self.received.drain(..length).collect())
                .expect("bodies are text");
        }
        response
    }

    /// Waits until the server closes, and gives what it sent before.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        loop {
            let mut buffer = [0; 4096];
            // A reset is a way of closing as well.
            match within(self.stream.read(&mut buffer)).await.unwrap_or(0) {
                0 => return self.received,
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }

    async fn read_some(&mut self) {
        let mut buffer = [0; 4096];
        let count = within(self.stream.read(&mut buffer))
            .await
            .expect("the server answers");
        assert_ne!(
            count,
            0,
            "closed after {:?}",
            String::from_utf8_lossy(&self.received)
        );
        self.received.extend_from_slice(&buffer[..count]);
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn content_length(&self) -> usize {
        self.header("content-length")
            .and_then(|text| text.parse().ok())
            .expect("a Content-Length")
    }
}

/// Limits the wait for `future`.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TIMEOUT, future)
        .await
        .expect("no answer in time")
}
