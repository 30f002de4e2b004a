//! `GET /now` in axum, over the same connections as the other peer: `axum::serve` has no time limit
//! for request heads.

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use servers::Now;

async fn now() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(Now::at_once()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = servers::listen().await?;
    let http = servers::http();
    let service = TowerToHyperService::new(Router::new().route("/now", get(now)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
    }
}
