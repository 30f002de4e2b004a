//! The task metadata client against endpoints that work, fail, lie and hang.

use std::time::Duration;

use crate::support::within;
use app::{Endpoint, MetadataError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_mins(10);
const TASK: &str = r#"{"TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c"}"#;

/// Answers one request with `pieces`, and then closes or, with `hang`, never does. Gives the base
/// address and, in the end, the request.
async fn endpoint(pieces: Vec<String>, hang: bool) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind(
        "127.0.0.1:0"
            .parse::<std::net::SocketAddr>()
            .expect("an address"),
    )
    .await
    .expect("loopback has a free port");
    let base = format!(
        "http://{}/v4/0a1b",
        listener.local_addr().expect("a bound address")
    );
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
        }
        for piece in pieces {
            // The client may have had enough and be gone.
            if stream.write_all(piece.as_bytes()).await.is_err() {
                break;
            }
        }
        if hang {
            std::future::pending::<()>().await;
        }
        String::from_utf8(request).expect("requests are text")
    });
    (base, request)
}

async fn fetch_task_id(base: &str, limit: Duration) -> Result<String, MetadataError> {
    Endpoint::parse(base)?.fetch(limit).await?.task_id()
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn fetch(pieces: Vec<String>) -> Result<String, MetadataError> {
    let (base, _) = endpoint(pieces, false).await;
    within(fetch_task_id(&base, LONG)).await
}

#[tokio::test]
async fn the_task_id_is_asked_for_and_read() {
    let (base, request) = endpoint(vec![ok(TASK)], false).await;
    assert_eq!(
        within(fetch_task_id(&base, LONG)).await.unwrap(),
        "158d1c8083dd49d6b527399fd6414f5c"
    );
    let request = within(request).await.unwrap();
    assert!(
        request.starts_with("GET /v4/0a1b/task HTTP/1.0\r\n"),
        "{request}"
    );
    assert!(
        request.contains(
            base.trim_start_matches("http://")
                .trim_end_matches("/v4/0a1b")
        ),
        "{request}"
    );
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_read() {
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{TASK}");
    assert_eq!(
        fetch(vec![answer]).await.unwrap(),
        "158d1c8083dd49d6b527399fd6414f5c"
    );
}

#[tokio::test]
async fn failures_are_told_apart() {
    let found = fetch(vec![
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ])
    .await;
    assert!(matches!(found, Err(MetadataError::Status { status: 503 })));

    let found = fetch(vec![ok("<html>")]).await;
    assert!(matches!(found, Err(MetadataError::Json(_))), "{found:?}");

    let found = fetch(vec![ok(r#"{"TaskARN":"none"}"#)]).await;
    assert!(
        matches!(found, Err(MetadataError::TaskArn { .. })),
        "{found:?}"
    );

    for pieces in [vec!["SSH-2.0-OpenSSH\r\n\r\n".to_owned()], vec![]] {
        let found = fetch(pieces).await;
        assert!(matches!(found, Err(MetadataError::NotHttp)), "{found:?}");
    }

    let found = fetch(vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned(),
    ])
    .await;
    assert!(matches!(found, Err(MetadataError::NotHttp)), "{found:?}");
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    // Bound, but not listening: nobody else can get the port.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let found = within(fetch_task_id(&format!("http://{address}/v4"), LONG)).await;
    assert!(matches!(found, Err(MetadataError::Connect(_))), "{found:?}");
}

#[tokio::test]
async fn a_body_beyond_one_mebibyte_is_refused() {
    let blank = " ".repeat(64 * 1024);
    let head = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    let endless = std::iter::once(head)
        .chain(std::iter::repeat_n(blank, 64))
        .collect();
    let found = fetch(endless).await;
    assert!(matches!(found, Err(MetadataError::TooLong)), "{found:?}");
}

#[tokio::test]
async fn a_silent_endpoint_costs_the_time_limit() {
    let limit = Duration::from_millis(50);
    for pieces in [
        vec![],
        vec!["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned()],
    ] {
        let (base, _request) = endpoint(pieces, true).await;
        let found = within(fetch_task_id(&base, limit)).await;
        assert!(
            matches!(found, Err(MetadataError::Timeout { .. })),
            "{found:?}"
        );
    }
}
