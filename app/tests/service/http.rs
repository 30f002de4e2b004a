//! The HTTP interface over real connections: statuses, headers and bodies.

use crate::support::{Response, Server};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const PATHS: [&str; 4] = ["/now", "/health", "/version", "/"];

/// Parses the body of an answer in JSON, which must not be cached.
fn body(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    serde_json::from_str(&response.body).expect("the body is JSON")
}

fn assert_timestamp(text: &str, before: DateTime<Utc>) {
    assert_eq!(text.len(), "2026-11-22T10:04:05.123456Z".len(), "{text}");
    assert!(text.ends_with('Z') && text.as_bytes()[19] == b'.', "{text}");
    let time = DateTime::parse_from_rfc3339(text).expect("RFC 3339");
    // The timestamp is cut to microseconds, so it may lie before a reading of the same microsecond.
    assert!(
        time > before - chrono::TimeDelta::microseconds(1) && time <= Utc::now(),
        "{text}"
    );
}

#[tokio::test]
async fn now_is_json_by_default() {
    let server = Server::start().await;
    let before = Utc::now();
    let response = server.request("GET /now HTTP/1.1").await;

    assert_eq!(response.status, 200);
    let body = body(&response);
    let now = body["now"].as_str().expect("a timestamp");
    assert_timestamp(now, before);
    assert_eq!(
        body,
        json!({ "now": now, "instance": "instance-under-test", "version": "1.2.3+0123456789ab" })
    );
}

#[tokio::test]
async fn now_is_a_bare_timestamp_as_text() {
    let server = Server::start().await;
    let before = Utc::now();
    let response = server
        .request("GET /now?nonce=abc HTTP/1.1\r\nAccept: text/plain")
        .await;

    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_timestamp(
        response
            .body
            .strip_suffix('\n')
            .expect("a newline at the end"),
        before,
    );
}

#[tokio::test]
async fn all_accept_lines_count() {
    let server = Server::start().await;
    for (accept, expected) in [
        ("Accept: */*", "application/json"),
        ("Accept: application/json", "application/json"),
        ("Accept: text/plain;q=0", "application/json"),
        ("Accept: \u{e9}", "application/json"),
        (
            "Accept: text/html\r\nAccept: text/plain",
            "text/plain; charset=utf-8",
        ),
    ] {
        let response = server
            .request(&format!("GET /now HTTP/1.1\r\n{accept}"))
            .await;
        assert_eq!(response.header("content-type"), Some(expected), "{accept}");
    }
}

#[tokio::test]
async fn nonce_comes_back() {
    let server = Server::start().await;
    for (query, expected) in [
        ("nonce=abc", json!("abc")),
        ("nonce=A-z_9", json!("A-z_9")),
        ("other=1&nonce=%61bc&more", json!("abc")),
        ("other=%ff", Value::Null),
        ("", Value::Null),
    ] {
        let response = server.request(&format!("GET /now?{query} HTTP/1.1")).await;
        assert_eq!(
            (response.status, &body(&response)["nonce"]),
            (200, &expected),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_wrong_nonce_is_400() {
    let server = Server::start().await;
    let too_long = format!("nonce={}", "x".repeat(65));
    let queries = "nonce nonce= nonce=a+b nonce=%00 nonce=%ff nonce=a&nonce=b";
    for query in queries.split(' ').chain([&*too_long]) {
        for accept in ["*/*", "text/plain"] {
            let response = server
                .request(&format!("GET /now?{query} HTTP/1.1\r\nAccept: {accept}"))
                .await;
            assert_eq!(response.status, 400, "{query}");
            assert_eq!(
                body(&response),
                json!({ "error": "nonce is not 1 to 64 characters of A-Z a-z 0-9 _ -" })
            );
        }
    }
}

#[tokio::test]
async fn health_and_version() {
    let server = Server::start().await;
    for (path, expected) in [
        ("/health", json!({ "status": "ok" })),
        (
            "/version",
            json!({ "version": "1.2.3+0123456789ab", "instance": "instance-under-test" }),
        ),
        ("/health?anything", json!({ "status": "ok" })),
    ] {
        let response = server.request(&format!("GET {path} HTTP/1.1")).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(body(&response), expected, "{path}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start().await;
    let without_date = |response: &Response| {
        let mut headers = response.headers.clone();
        headers.retain(|(name, _)| name != "date");
        headers.sort();
        headers
    };
    let paths = "/now /now?nonce=abc /now?nonce=! /health /version /nothing";
    for path in paths.split(' ') {
        for accept in ["*/*", "text/plain"] {
            let get = server
                .request(&format!("GET {path} HTTP/1.1\r\nAccept: {accept}"))
                .await;
            // Two on one connection: a body after the first would spoil the second.
            let mut connection = server.connect().await;
            for _ in 0..2 {
                connection
                    .send(&format!(
                        "HEAD {path} HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\n\r\n"
                    ))
                    .await;
                let head = connection.response(true).await;
                assert_eq!(head.status, get.status, "{path}");
                assert_eq!(without_date(&head), without_date(&get), "{path}");
                assert_eq!(head.content_length(), get.body.len(), "{path}");
            }
            connection.send("GET /health HTTP/1.0\r\n\r\n").await;
            assert!(
                connection.rest().await.starts_with(b"HTTP/1.0 200"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_404_whatever_the_method() {
    let server = Server::start().await;
    for path in "// /now/ //now /now/x /Now /no /nowx /n%6Fw /health/ /version/".split(' ') {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let response = server.request(&format!("{method} {path} HTTP/1.1")).await;
            assert_eq!(response.status, 404, "{method} {path}");
            assert_eq!(response.header("allow"), None, "{method} {path}");
            assert_eq!(body(&response), json!({ "error": "not found" }));
        }
    }
}

#[tokio::test]
async fn other_methods_on_known_paths_are_405() {
    let server = Server::start().await;
    for path in PATHS {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let response = server
                .request(&format!("{method} {path} HTTP/1.1\r\nContent-Length: 0"))
                .await;
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(
                response.header("allow"),
                Some("GET, HEAD"),
                "{method} {path}"
            );
            assert_eq!(body(&response), json!({ "error": "method not allowed" }));
        }
    }
    // The method comes before the query.
    assert_eq!(
        server
            .request("POST /now?nonce=! HTTP/1.1\r\nContent-Length: 0")
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn the_absolute_form_of_the_target_is_understood() {
    let server = Server::start().await;
    assert_eq!(
        server
            .request("GET http://test/health HTTP/1.1")
            .await
            .status,
        200
    );
    let page = server.request("GET http://test HTTP/1.1").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
}

#[tokio::test]
async fn a_target_without_a_path_is_nobodys() {
    let server = Server::start().await;
    for head in ["CONNECT test:80 HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        assert_eq!(server.request(head).await.status, 404, "{head}");
    }
}

/// Sends one request as it is, on a connection that the server has to close.
async fn refused(server: &Server, message: &str) -> Response {
    let mut connection = server.connect().await;
    connection.send(message).await;
    let response = connection.response(false).await;
    assert_eq!(response.header("connection"), Some("close"), "{message}");
    assert_eq!(connection.rest().await, b"", "{message}");
    response
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start().await;
    let hosts = [
        "",
        "Host: test\r\nHost: test\r\n",
        "Host: test\r\nX: y\r\nhost: other\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: user@test\r\n",
        "Host: test:http\r\n",
        "Host: test:65536\r\n",
        "Host: test/now\r\n",
        "Host: [::1\r\n",
        "Host: t\u{e9}st\r\n",
    ];
    for host in hosts {
        for target in ["/now", "/nothing", "http://test/now"] {
            for method in ["GET", "POST"] {
                let message = format!("{method} {target} HTTP/1.1\r\n{host}\r\n");
                let response = refused(&server, &message).await;
                assert_eq!(response.status, 400, "{message}");
                assert_eq!(body(&response), json!({ "error": "invalid Host header" }));
            }
        }
    }
    // What load balancers, proxies and browsers send.
    let hosts = "test test:8080 10.0.3.7:8080 [::1]:8080 my_service.internal. \
                 app-1234567890.eu-central-1.elb.amazonaws.com";
    for host in hosts.split(' ') {
        let mut connection = server.connect().await;
        let message = format!("GET /now HTTP/1.1\r\nHost: \t{host} \r\n\r\n");
        connection.send(&message).await;
        assert_eq!(connection.response(false).await.status, 200, "{host}");
    }
    // HTTP/1.0, as haproxy's plain health check, need not; but what it says has to be right.
    let mut connection = server.connect().await;
    connection.send("OPTIONS / HTTP/1.0\r\n\r\n").await;
    assert_eq!(connection.response(false).await.status, 405);
    let mut connection = server.connect().await;
    connection
        .send("GET /health HTTP/1.0\r\nHost: a b\r\n\r\n")
        .await;
    assert_eq!(connection.response(false).await.status, 400);
}

#[tokio::test]
async fn a_target_of_the_wrong_form_is_refused() {
    let server = Server::start().await;
    let targets = "ftp://test/now http://user@test/now http://test:65536/now test:80 now *";
    for target in targets.split(' ') {
        let message = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = refused(&server, &message).await;
        assert_eq!(response.status, 400, "{target}");
        assert_eq!(
            body(&response),
            json!({ "error": "invalid request target" })
        );
    }
    // The target takes precedence over `Host`, and none of the hosts is another service.
    for target in ["http://other/now", "https://test/now", "HTTP://test:80/now"] {
        let response = server.request(&format!("GET {target} HTTP/1.1")).await;
        assert_eq!(response.status, 200, "{target}");
    }
}

#[tokio::test]
async fn a_transfer_coding_other_than_chunked_is_not_implemented() {
    let server = Server::start().await;
    for (coding, status, error) in [
        ("gzip, chunked", 501, "unsupported transfer coding"),
        (
            "gzip\r\nTransfer-Encoding: chunked",
            501,
            "unsupported transfer coding",
        ),
        ("identity, chunked", 501, "unsupported transfer coding"),
        ("chunked, chunked", 400, "invalid Transfer-Encoding header"),
    ] {
        let message = format!(
            "GET /now HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        );
        let response = refused(&server, &message).await;
        assert_eq!(response.status, status, "{coding}");
        assert_eq!(body(&response), json!({ "error": error }), "{coding}");
    }
    for coding in ["chunked", "Chunked"] {
        let message = format!(
            "GET /now HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        );
        assert_eq!(refused(&server, &message).await.status, 200, "{coding}");
    }
}

#[tokio::test]
async fn another_major_version_is_told_so() {
    let server = Server::start().await;
    for message in [
        "GET /now HTTP/2.0\r\nHost: test\r\n\r\n",
        "GET /now HTTP/3.0\r\n\r\n",
        // A client that knows the server speaks HTTP/2 without being told: it does not.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
    ] {
        assert_eq!(refused(&server, message).await.status, 505, "{message}");
    }
}

#[tokio::test]
async fn requests_that_are_no_http_are_refused() {
    let server = Server::start().await;
    let long_path = format!("GET /{} HTTP/1.1", "x".repeat(100_000));
    let long_header = format!("GET /now HTTP/1.1\r\nX: {}", "x".repeat(100_000));
    // With `Host`, one more than there may be.
    let many_headers = format!("GET /now HTTP/1.1{}", "\r\nA: b".repeat(100));
    for (head, status) in [
        ("GET /now", 400),
        ("GET /now HTTP/1.1\r\nno colon", 400),
        (&long_path, 431),
        (&long_header, 431),
        // hyper's parser knows no version after 1.1, and no name but this.
        ("GET /now HTTP/1.2", 400),
        ("GET /now HTTP/2", 400),
        ("GET /now http/1.1", 400),
        (&many_headers, 431),
    ] {
        assert_eq!(server.request(head).await.status, status, "{head:.40}");
    }
    // None of them harmed the others.
    assert_eq!(server.request("GET /health HTTP/1.1").await.status, 200);
}
