//! Messages that a proxy in front and the service could divide differently. Whatever the proxy
//! takes for a body must never be answered as a request of its own: such a message is refused, or
//! it is the last on its connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::attacks::answer_to;
use crate::running::Running;

/// What is smuggled. Its answer is like no other's.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/// Each is followed by [`SMUGGLED`].
fn shapes() -> Vec<String> {
    let length = SMUGGLED.len();
    let chunk = format!("{length:x}\r\n");
    let headers = [
        // A length and chunks.
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            length + 5
        ),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n",
            length + 5
        ),
        format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
        // Chunks in other words.
        format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("Content-Length: {length}\r\n Transfer-Encoding: chunked\r\n\r\n"),
        format!("Content-Length: {length}\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding:\x0bchunked\r\n\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: identity\r\n\r\n"),
        format!(
            "Content-Length: {length}\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: gzip\r\n\r\n".to_owned(),
        // Codings that only one of the two knows, before the chunks.
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        // Hosts of which each of the two could take another one.
        format!("Host: other\r\nContent-Length: {length}\r\n\r\n"),
        format!("Host: a b\r\nContent-Length: {length}\r\n\r\n"),
        // Lengths that say two things, or nothing.
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n\r\n"),
        format!("Content-Length: 0, {length}\r\n\r\n"),
        format!("Content-Length: +{length}\r\n\r\n"),
        format!("Content-Length: -{length}\r\n\r\n"),
        format!("Content-Length: 0x{length:x}\r\n\r\n"),
        format!("Content-Length: {length} 0\r\n\r\n"),
        format!("Content-Length : {length}\r\n\r\n"),
        format!("Content-Length\0: {length}\r\n\r\n"),
        format!("Content-Length: 1844674407370955{length}\r\n\r\n"),
        "Content-Length: \r\n\r\n".to_owned(),
        // Chunks of which one could read another size.
        "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n".to_owned(),
    ];
    let mut shapes: Vec<String> = headers
        .iter()
        .map(|headers| format!("POST /now HTTP/1.1\r\nHost: test\r\n{headers}"))
        .collect();
    // One request or none, for a proxy that knows other versions.
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        shapes.push(format!(
            "POST /now {version}\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        ));
    }
    // Chunks are not known to HTTP/1.0.
    shapes.push("POST /now HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned());
    shapes
}

fn check(shape: &str, answer: &str) {
    assert!(
        !answer.contains("HTTP/1.1 404"),
        "smuggled:\n{shape}\nwas answered by\n{answer}"
    );
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1."),
        "{answer}"
    );
}

/// All of them, again and again.
pub(crate) async fn repeatedly(address: SocketAddr, until: Instant) {
    let shapes = shapes();
    while Instant::now() < until {
        for shape in &shapes {
            check(
                shape,
                &answer_to(address, &format!("{shape}{SMUGGLED}")).await,
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn nothing_can_be_smuggled() {
    let running = Running::start(|_| {});
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    for shape in shapes() {
        let answer = answer_to(address, &format!("{shape}{SMUGGLED}")).await;
        println!("{shape:?}\n    {:?}", answer.lines().next());
        check(&shape, &answer);
    }
    // What nobody can mistake is understood, and so is what follows it: the check above can fail.
    let clear = "POST /now HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    let answer = answer_to(address, &format!("{clear}{SMUGGLED}")).await;
    assert!(answer.contains("HTTP/1.1 404"), "{answer}");
}
