//! What stands between hyper's connections and warp's routes.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use pin_project_lite::pin_project;
use warp::http::header::{ACCEPT, HeaderMap, HeaderValue};
use warp::http::{Method, Request, Response};

use crate::access::{AccessLog, Pending};

/// The routes as they are served on one connection.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) routes: S,
    pub(crate) access: Arc<AccessLog>,
    /// The other end.
    pub(crate) client: IpAddr,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Connection<S>
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let pending = self
            .access
            .pick(request.method(), request.uri(), self.client)
            .map(|pending| (pending, *request.method() == Method::HEAD));
        join_accept_lines(request.headers_mut());
        Answer {
            pending,
            // warp's filters are always ready.
            future: self.routes.clone().call(request),
        }
    }
}

pin_project! {
    /// An answer that is being made, and is logged if its request was picked.
    pub(crate) struct Answer<F> {
        // With whether the body is left out.
        pending: Option<(Pending, bool)>,
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
        let answer = ready!(this.future.poll(context));
        if let (Some((pending, is_head)), Ok(answer)) = (this.pending.take(), &answer) {
            let length = answer.body().size_hint().exact().unwrap_or_default();
            pending.answered(answer.status(), if is_head { 0 } else { length });
        }
        Poll::Ready(answer)
    }
}

/// Makes one line of all `Accept` lines, without those that are no text: warp's filter sees the first
/// line alone, and takes no other than text.
fn join_accept_lines(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(ACCEPT).iter();
    match (lines.next(), lines.next()) {
        (None, _) => return,
        (Some(only), None) if only.to_str().is_ok() => return,
        _ => {}
    }
    let readable: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    match HeaderValue::from_str(&readable.join(",")) {
        Ok(joined) => headers.insert(ACCEPT, joined),
        // Never so: they were headers before.
        Err(_) => headers.remove(ACCEPT),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_lines_become_one_that_is_text() {
        for (lines, expected) in [
            (&[][..], None),
            (&["text/plain"], Some("text/plain")),
            (&["a/b;q=0.5", "c/d, e/f"], Some("a/b;q=0.5,c/d, e/f")),
            (&["a/b", "\u{e9}", "c/d"], Some("a/b,c/d")),
            (&["\u{e9}"], Some("")),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            join_accept_lines(&mut headers);
            let found: Vec<_> = headers.get_all(ACCEPT).iter().collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{lines:?}");
        }
    }
}
