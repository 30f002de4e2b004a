//! Greets at `/`, and answers what a service has to that is deployed and checked: `/health` and `/now` (see `docs/template.md`).

use std::convert::Infallible;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Longer than the load balancer keeps an idle connection.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// After a connection that could not be accepted, most likely for want of descriptors: until another one gives its own back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For what is in flight after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port: u16 = variable("PORT").parse().unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    eprintln!("listening on 0.0.0.0:{port}");
    let mut terminated = signal(SignalKind::terminate())?;
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_LIMIT)
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                let connection = connections.watch(connection);
                // A client that went away is nothing to tell.
                tokio::spawn(async move { connection.await.ok() });
            }
            _ = terminated.recv() => break,
        }
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/" => (StatusCode::OK, format!("{}\n", variable("GREETING"))),
        "/health" => (StatusCode::OK, String::new()),
        "/now" => (
            StatusCode::OK,
            now(request.uri().query().unwrap_or_default()),
        ),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    Ok(response)
}

fn now(query: &str) -> String {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let (instance, digest) = (variable("HOSTNAME"), variable("IMAGE_DIGEST"));
    let build = digest
        .trim_start_matches("sha256:")
        .get(..12)
        .unwrap_or("unknown");
    let nonce = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("nonce="));
    let is_plain = |nonce: &&str| nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let nonce = nonce
        .filter(is_plain)
        .map(|nonce| format!(r#","nonce":"{nonce}""#));
    format!(
        r#"{{"now":"{now}","instance":"{instance}","version":"0.1.0+{build}"{}}}"#,
        nonce.unwrap_or_default()
    )
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
