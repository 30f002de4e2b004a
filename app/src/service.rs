//! What stands between hyper's connections and warp's routes.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use pin_project_lite::pin_project;
use warp::http::header::{ACCEPT, CONNECTION, HeaderValue, TRANSFER_ENCODING};
use warp::http::{Request, Response, Uri};

use crate::accept::{Format, negotiate};
use crate::access::{AccessLog, Pending};
use crate::health::Health;
use crate::rules;

/// The routes as they are served on one connection.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) routes: S,
    pub(crate) access: Arc<AccessLog>,
    pub(crate) health: Arc<Health>,
    /// The other end.
    pub(crate) client: IpAddr,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Connection<S>
where
    S: tower_service::Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let pending = self
            .access
            .pick(request.method(), request.uri(), self.client);
        let accept = request.headers().get_all(ACCEPT).into_iter();
        match negotiate(accept.filter_map(|line| line.to_str().ok())) {
            // What a request prefers that says nothing.
            Format::Json => {}
            format @ Format::Text => drop(request.extensions_mut().insert(format)),
        }
        // What one program takes for the end of the chunks may be none for another one in front: nothing that follows them is
        // taken for a request. No client has to send any here.
        let has_chunks =
            !request.body().is_end_stream() && request.headers().contains_key(TRANSFER_ENCODING);
        let checked = rules::check_target(
            request.version(),
            request.method(),
            request.uri(),
            request.headers(),
        )
        .and_then(|()| {
            if has_chunks {
                rules::check_codings(request.headers())
            } else {
                Ok(())
            }
        });
        let is_refused = checked.is_err();
        if let Err(refusal) = checked {
            request.extensions_mut().insert(refusal);
        }
        if is_refused || request.uri().path_and_query().is_none() {
            // `CONNECT host:80`: warp panics where a target has no path. No route has this one.
            *request.uri_mut() = Uri::from_static("*");
        }
        // Who sends one request after the other on a connection is told in time to take another one: at the end, a request
        // that is under way to us would be lost. A client that breaks the rules may mean another end of its message than hyper.
        let closes = has_chunks || is_refused || self.health.is_draining();
        Answer {
            closes,
            pending,
            // warp's filters are always ready. No route reads a body, and warp puts each into a box: an empty one needs
            // none. hyper sees that nobody reads, and reads on to the next request or closes.
            future: self.routes.clone().call(request.map(|_| Empty::new())),
        }
    }
}

pin_project! {
    /// An answer that is being made, and is logged if its request was picked.
    pub(crate) struct Answer<F> {
        closes: bool,
        pending: Option<Box<Pending>>,
        #[pin]
        future: F,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.future.poll(context));
        if *this.closes
            && let Ok(answer) = &mut answer
        {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        if let (Some(pending), Ok(answer)) = (this.pending.take(), &answer) {
            let length = answer.body().size_hint().exact().unwrap_or_default();
            pending.answered(answer.status(), length);
        }
        Poll::Ready(answer)
    }
}
