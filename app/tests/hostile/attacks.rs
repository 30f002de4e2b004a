//! The attacks, each until its time is over. What they demand of the answers is what any client
//! may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::everything;
use crate::support::Connection;

/// Connections that say nothing.
pub(crate) struct Idle {
    address: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Idle {
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Self {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(TcpStream::connect(address).await.expect("it accepts"));
        }
        Self { address, streams }
    }

    /// Replaces those that the server has had enough of, until it is told to stop.
    pub(crate) async fn hold(mut self, over: Arc<AtomicBool>) -> Self {
        loop {
            for stream in &mut self.streams {
                let is_open = matches!(stream.try_read(&mut [0]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
                if !is_open {
                    *stream = TcpStream::connect(self.address).await.expect("it accepts");
                }
            }
            if over.load(Ordering::Relaxed) {
                return self;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// One in a thousand says something after all.
    pub(crate) async fn ask(self) {
        for stream in self.streams.into_iter().step_by(1_000) {
            if is_healthy(stream).await.is_ok() {
                continue;
            }
            // Its time was over in this instant: as with any client, the next one is served.
            let stream = TcpStream::connect(self.address).await.expect("it accepts");
            is_healthy(stream).await.expect("it answers");
        }
    }
}

async fn is_healthy(mut stream: TcpStream) -> std::io::Result<()> {
    let request = b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    Ok(())
}

/// Clients that ask and never read: each keeps its place until its answers have waited for as long
/// as they may.
pub(crate) async fn never_read(address: SocketAddr, count: usize, until: Instant) {
    /// The server's limit is 30 s; the rest is for a busy machine.
    const LET_GO_WITHIN: Duration = Duration::from_mins(1);
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(async move {
            let requests = "GET /now HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
            loop {
                let socket = TcpSocket::new_v4().expect("a socket");
                // Full soon, and writable again soon: with the usual sizes a write may wait for
                // twenty thousand answers.
                socket.set_recv_buffer_size(4096).expect("any size will do");
                socket
                    .set_send_buffer_size(16_384)
                    .expect("any size will do");
                let mut stream = socket.connect(address).await.expect("it accepts");
                // First the buffers fill, which takes as long as it takes. Then nothing moves until
                // it is let go.
                loop {
                    let asked = timeout(LET_GO_WITHIN, stream.write_all(requests.as_bytes()));
                    tokio::select! {
                        asked = asked => match asked.expect("it is still held") {
                            Ok(()) => {}
                            Err(_let_go) => break,
                        },
                        () = sleep_until(until.into()) => return,
                    }
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("it is let go");
    }
}

/// Heads that arrive a byte at a time and never end.
pub(crate) async fn slow_heads(address: SocketAddr, count: usize, until: Instant) {
    let head = b"GET /now HTTP/1.1\r\nHost: test\r\nX-Slow: ";
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(address).await.expect("it accepts"));
    }
    for position in 0.. {
        if Instant::now() > until {
            return;
        }
        let byte = head.get(position).unwrap_or(&b'x');
        for stream in &mut streams {
            // Cut off after its time for a head.
            let _ = stream.write_all(&[*byte]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A megabyte of headers: many, long ones, or a line without end.
pub(crate) async fn huge_heads(address: SocketAddr, until: Instant) {
    let many = format!("GET /now HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(170_000));
    let long = format!(
        "GET /now HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n",
        "b".repeat(1 << 20)
    );
    let line = format!(
        "GET /{} HTTP/1.1\r\nHost: test\r\n\r\n",
        "b".repeat(1 << 20)
    );
    while Instant::now() < until {
        for head in [&many, &long, &line] {
            let mut stream = TcpStream::connect(address).await.expect("it accepts");
            // It need not read to the end.
            let _ = stream.write_all(head.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            // Nothing is left of the answer where the connection was reset.
            assert!(
                answer.is_empty()
                    || answer.starts_with("HTTP/1.1 431 ")
                    || answer.starts_with("HTTP/1.1 414 "),
                "{answer}"
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hundreds of requests in one piece: as many answers, in order.
pub(crate) async fn pipelines(address: SocketAddr, until: Instant) {
    let count = 300;
    let requests: Vec<String> = (0..count)
        .map(|number| format!("GET /now?nonce={number} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .collect();
    let requests = requests.concat();
    while Instant::now() < until {
        let mut connection = Connection::open(address).await;
        connection.send(&requests).await;
        for number in 0..count {
            let body = connection.response(false).await.body;
            assert!(body.contains(&format!(r#""nonce":"{number}""#)), "{body}");
        }
        // And once more without reading an answer.
        Connection::open(address).await.send(&requests).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whoever says that there is no more to come gets an answer to what was complete, and is let go.
pub(crate) async fn half_closed(address: SocketAddr, until: Instant) {
    let request = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    while Instant::now() < until {
        for sent in [request, &request[..20], ""] {
            let mut stream = TcpStream::connect(address).await.expect("it accepts");
            stream.write_all(sent.as_bytes()).await.expect("it reads");
            stream.shutdown().await.expect("half of it can be closed");
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            let read = tokio::time::timeout(Duration::from_secs(10), read).await;
            read.expect("it closes, too").expect("in order");
            let is_answered = answer.starts_with(b"HTTP/1.1 200 OK\r\n");
            assert_eq!(
                is_answered,
                sent == request,
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connections that end by a reset while an answer is on its way.
pub(crate) async fn reset(address: SocketAddr, until: Instant) {
    let requests = "GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    while Instant::now() < until {
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        stream.set_zero_linger().expect("an open socket");
        let _ = stream.write_all(requests.as_bytes()).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes by chance, and requests with some of their bytes changed, left out or sent twice.
pub(crate) async fn random_bytes(address: SocketAddr, until: Instant, count: Arc<AtomicU64>) {
    let whole: [&[u8]; 5] = [
        b"GET /now?nonce=abc HTTP/1.1\r\nHost: test\r\nAccept: text/plain;q=0.5, */*\r\n\r\n",
        b"POST /now HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        b"GET http://test/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let mut random = rand::rngs::StdRng::from_os_rng();
    while Instant::now() < until {
        let mut message = Vec::new();
        if random.random_bool(0.3) {
            message.resize(random.random_range(1..4096), 0);
            random.fill_bytes(&mut message);
        } else {
            for _ in 0..random.random_range(1..4) {
                message.extend_from_slice(whole.choose(&mut random).expect("there are some"));
            }
            for _ in 0..random.random_range(0..6) {
                mutate(&mut message, &mut random);
            }
        }
        let mut stream = TcpStream::connect(address).await.expect("it accepts");
        for piece in message.chunks(random.random_range(1..=message.len().max(1))) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        read.expect("it closes when nothing more can come").ok();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{:?} to {:?}",
            String::from_utf8_lossy(&answer),
            String::from_utf8_lossy(&message)
        );
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn mutate(message: &mut Vec<u8>, random: &mut rand::rngs::StdRng) {
    if message.is_empty() {
        return;
    }
    let start = random.random_range(0..message.len());
    let end = random.random_range(start..=message.len().min(start + 20));
    match random.random_range(0..4) {
        0 => message[start] = random.random(),
        1 => drop(message.drain(start..end)),
        2 => {
            let piece = message[start..end].to_vec();
            message.splice(start..start, piece);
        }
        _ => message.insert(
            start,
            *b"\r\n\0 \t:;,".choose(random).expect("there are some"),
        ),
    }
}

/// One message on a connection of its own; all that comes back until the server closes, which it is
/// asked to.
pub(crate) async fn answer_to(address: SocketAddr, message: &str) -> String {
    let mut connection = Connection::open(address).await;
    connection.send(message).await;
    String::from_utf8_lossy(&everything(connection).await).into_owned()
}
