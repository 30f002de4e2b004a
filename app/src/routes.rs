//! What the service answers, as warp filters. Everything ends in a reply: nothing is left rejected.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use warp::filters::path::FullPath;
use warp::http::StatusCode;
use warp::http::header::{ACCEPT, ALLOW, HeaderMap, HeaderValue};
use warp::reject::{InvalidQuery, MethodNotAllowed};
use warp::reply::{Response, json, with};
use warp::{Filter, Rejection, Reply};

use crate::accept::{Format, negotiate};
use crate::identity::Identity;
use crate::nonce::{InvalidNonce, Nonce};
use crate::timestamp;

/// The query of `/now`. Other parameters are ignored.
#[derive(Deserialize)]
struct NowQuery {
    nonce: Option<Nonce>,
}

#[derive(Serialize)]
struct NowBody<'a> {
    #[serde(rename = "now")]
    timestamp: String,
    instance: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
}

#[derive(Serialize)]
struct VersionBody<'a> {
    version: &'a str,
    instance: &'a str,
}

#[derive(Serialize)]
struct HealthBody {
    status: &'static str,
}

#[derive(Serialize)]
struct FailureBody {
    error: String,
}

/// All routes of the service.
pub(crate) fn routes(
    identity: Arc<Identity>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let identity_of_now = Arc::clone(&identity);
    let now = resource("/now")
        .and(warp::query::<NowQuery>())
        .and(warp::header::headers_cloned())
        .map(move |query: NowQuery, headers: HeaderMap| {
            let accept = headers
                .get_all(ACCEPT)
                .into_iter()
                .filter_map(|value| value.to_str().ok());
            let format = negotiate(accept);
            // The clock is read last, when the answer is otherwise ready.
            now_reply(&identity_of_now, format, query.nonce, Utc::now())
        });
    let health = resource("/health").map(|| json(&HealthBody { status: "ok" }));
    let version = resource("/version").map(move || {
        json(&VersionBody {
            version: &identity.version,
            instance: &identity.instance,
        })
    });

    now.or(health)
        .or(version)
        .recover(|rejection: Rejection| ready(Ok::<_, Infallible>(failure_reply(&rejection))))
        // Every answer tells of one moment: none of them may come from a cache.
        .with(with::header("cache-control", "no-store"))
}

/// Exactly this path (warp's own path filters take `/now/` for `/now`), and only then GET or HEAD:
/// an unknown path is 404 whatever the method.
fn resource(path: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::path::full()
        .and_then(move |found: FullPath| {
            ready(if found.as_str() == path {
                Ok(())
            } else {
                Err(warp::reject::not_found())
            })
        })
        .untuple_one()
        // HEAD runs like GET; hyper sends the head of the answer alone.
        .and(warp::get().or(warp::head()).unify())
}

fn now_reply(
    identity: &Identity,
    format: Format,
    nonce: Option<Nonce>,
    now: DateTime<Utc>,
) -> Response {
    let timestamp = timestamp::format(now);
    match format {
        Format::Json => json(&NowBody {
            timestamp,
            instance: &identity.instance,
            version: &identity.version,
            nonce,
        })
        .into_response(),
        // warp calls a string `text/plain; charset=utf-8`.
        Format::Text => (timestamp + "\n").into_response(),
    }
}

fn failure_reply(rejection: &Rejection) -> Response {
    if rejection.find::<MethodNotAllowed>().is_some() {
        let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, &"method not allowed");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    } else if rejection.find::<InvalidQuery>().is_some() {
        // The query has no other parameter that could be wrong, nor may this one come twice.
        failure(StatusCode::BAD_REQUEST, &InvalidNonce)
    } else {
        failure(StatusCode::NOT_FOUND, &"not found")
    }
}

fn failure(status: StatusCode, error: &impl ToString) -> Response {
    warp::reply::with_status(
        json(&FailureBody {
            error: error.to_string(),
        }),
        status,
    )
    .into_response()
}
