//! One connection: requests on their way from hyper to warp's routes, and the end of the
//! connection.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tower_service::Service;
use warp::http::header::{ACCEPT, CONNECTION, HeaderValue, TRANSFER_ENCODING};
use warp::http::{Request, Response, Uri};

use crate::accept::negotiate;
use crate::access::AccessLog;
use crate::health::Health;
use crate::rules;

/// Routes and what else answers the requests of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Answers<S> {
    pub(crate) routes: S,
    pub(crate) access: Arc<AccessLog>,
    pub(crate) health: Arc<Health>,
}

impl<S, B> Answers<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
    B: Body,
{
    /// Answers a request of `client`, which is the other end of the connection.
    pub(crate) fn answer(
        &self,
        mut request: Request<Incoming>,
        client: IpAddr,
    ) -> impl Future<Output = Result<Response<B>, S::Error>> + use<S, B> {
        let pending = self.access.select(request.method(), request.uri(), client);
        // Requests without `Accept` get JSON.
        if request.headers().keys().any(|name| name == ACCEPT) {
            let lines = request.headers().get_all(ACCEPT).into_iter();
            let format = negotiate(lines.filter_map(|line| line.to_str().ok()));
            request.extensions_mut().insert(format);
        }
        // A program in front may find the end of the chunks elsewhere, so nothing that follows them
        // is taken for a request. No client has to send any here.
        let has_chunks =
            !request.body().is_end_stream() && request.headers().contains_key(TRANSFER_ENCODING);
        let refusal = rules::check(&request, has_chunks).err();
        if let Some(refusal) = refusal {
            request.extensions_mut().insert(refusal);
        }
        if refusal.is_some() || request.uri().path_and_query().is_none() {
            // `CONNECT host:80`: warp panics if a target has no path. No route has this one.
            *request.uri_mut() = Uri::from_static("*");
        }
        // A client that sends one request after the other on a connection is told in time to open
        // another one: a request that is on its way when the connection ends would be lost. A
        // client that breaks the rules may mean another end of its message than hyper does.
        let closes = has_chunks || refusal.is_some() || self.health.is_draining();
        // No route reads a body, and warp boxes each: an empty one needs no allocation. hyper sees
        // that nobody reads, and skips to the next request or closes.
        let answer = self.routes.clone().call(request.map(|_| Empty::new()));
        async move {
            let mut answer = answer.await?;
            if closes {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            if let Some(pending) = pending {
                let length = answer.body().size_hint().exact().unwrap_or_default();
                pending.answered(answer.status(), length);
            }
            Ok(answer)
        }
    }
}

/// Serves a connection until its client or `end` ends it. After `end`, requests that have arrived
/// are still answered.
pub(crate) async fn serve(connection: impl GracefulConnection, mut end: watch::Receiver<()>) {
    let mut connection = pin!(connection);
    // An error is the client's affair: it went away, was silent for too long or did not speak HTTP,
    // and hyper has told it so where possible.
    tokio::select! {
        // The connection first, which hyper-util's `GracefulShutdown` asks last: told to end while
        // it is idle, it closes at once, and a request that has arrived would be lost.
        biased;
        _ = connection.as_mut() => return,
        // The sender being gone means the same.
        _ = end.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

    #[tokio::test]
    async fn a_request_that_has_arrived_when_the_end_comes_is_answered() {
        let (mut client, server) = tokio::io::duplex(4096);
        let answer = |_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        };
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(server), service_fn(answer));
        let (end, ended) = watch::channel(());
        tokio::spawn(serve(connection, ended));

        client.write_all(REQUEST).await.unwrap();
        let mut first = [0; 4096];
        assert!(client.read(&mut first).await.unwrap() > 0);
        // The server's task runs after both of these: there is one thread, and neither of them
        // waits.
        client.write_all(REQUEST).await.unwrap();
        drop(end);
        let mut second = Vec::new();
        client.read_to_end(&mut second).await.unwrap();
        assert!(second.starts_with(b"HTTP/1.1 200"));
    }
}
