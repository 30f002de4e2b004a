//! A hand-made HTTP server on loopback: it says byte for byte what a test wants, right or wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::program::command;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use probe::{ConnectTo, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request, as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The value of the query's `nonce`.
    pub(crate) nonce: String,
    /// From 0, over all connections.
    pub(crate) number: usize,
    /// From 0.
    pub(crate) connection: usize,
}

/// What to send, and what to do with the connection then.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    KeepOpen,
    Close,
    /// Keep it open and never write again.
    Hang,
}

/// A running server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) async fn start(respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", respond).await.unwrap()
    }

    pub(crate) async fn start_on(
        address: &str,
        respond: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let server = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
        };
        let (respond, seen) = (Arc::new(respond), Arc::clone(&server.seen));
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (respond, seen) = (Arc::clone(&respond), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, connection, &*respond, &seen).await });
            }
        });
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/now", self.address)
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(&self.url(), None).unwrap()
    }

    /// A target by another name.
    pub(crate) fn target_as(&self, url: &str) -> Target {
        let connect_to: ConnectTo = self.address.to_string().parse().unwrap();
        Target::new(url, Some(connect_to)).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    respond: &(dyn Fn(&Request) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Request>>,
) {
    let mut head = Vec::new();
    loop {
        let mut byte = [0; 1];
        if !matches!(stream.read(&mut byte).await, Ok(1)) {
            return;
        }
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let nonce = text
            .split_once("nonce=")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_hexdigit).collect())
            .unwrap_or_default();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let request = {
            let mut seen = seen.lock().unwrap();
            let request = Request {
                head: text,
                body: String::from_utf8(body).unwrap(),
                nonce,
                number: seen.len(),
                connection,
            };
            seen.push(request.clone());
            request
        };
        let reply = respond(&request);
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.then {
            Then::KeepOpen => {}
            Then::Close => return,
            Then::Hang => std::future::pending().await,
        }
    }
}

/// A clock that is `offset` milliseconds ahead.
pub(crate) fn clock(offset: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::milliseconds(offset)
}

/// The service's own form of an answer.
pub(crate) fn now_json(now: DateTime<Utc>, instance: &str, version: &str, nonce: &str) -> String {
    let now = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!(r#"{{"now":"{now}","instance":"{instance}","version":"{version}","nonce":"{nonce}"}}"#)
}

/// 200 with a body.
pub(crate) fn ok(body: &str) -> Reply {
    with_headers("200 OK", "", body)
}

pub(crate) fn with_headers(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply {
        bytes: format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            .into(),
        then: Then::KeepOpen,
    }
}

/// A healthy service whose clock is `offset` milliseconds ahead.
pub(crate) fn service(offset: i64) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| ok(&now_json(clock(offset), "a", "1", &request.nonce))
}

/// A library that, loaded first, makes a program believe that it is later by `AHEAD_MS`.
pub(crate) async fn shim(folder: &Path) -> String {
    // Read once, because nginx clears its environment.
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        static long long ahead;
        __attribute__((constructor)) static void start(void) {
            const char *text = getenv("AHEAD_MS");
            ahead = text ? atoll(text) * 1000000LL : 0;
        }
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, clock, now);
            if (clock == CLOCK_REALTIME) {
                long long all = now->tv_sec * 1000000000LL + now->tv_nsec + ahead;
                now->tv_sec = all / 1000000000LL;
                now->tv_nsec = all % 1000000000LL;
            }
            return result;
        }
        int gettimeofday(struct timeval *now, void *zone) {
            struct timespec fine;
            clock_gettime(CLOCK_REALTIME, &fine);
            now->tv_sec = fine.tv_sec;
            now->tv_usec = fine.tv_nsec / 1000;
            return 0;
        }
        time_t time(time_t *now) {
            struct timespec fine;
            clock_gettime(CLOCK_REALTIME, &fine);
            if (now) *now = fine.tv_sec;
            return fine.tv_sec;
        }
    "#;
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let made = command("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    library.to_str().unwrap().to_owned()
}

/// Prints a result, also if the test passes and its output is captured.
#[expect(clippy::disallowed_methods, reason = "around the harness, on purpose")]
pub(crate) fn show(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
