//! Routes of the service as warp filters. Every request gets a reply: no rejection is left.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use warp::filters::path::FullPath;
use warp::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reject::{InvalidQuery, Reject};
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::accept::Format;
use crate::health::{Condition, Health};
use crate::identity::Identity;
use crate::nonce::{InvalidNonce, Nonce};
use crate::page;
use crate::rules::Refusal;
use crate::timestamp;

/// Headers of answers. Cloning a map is less work than building one.
static JSON: LazyLock<HeaderMap> = LazyLock::new(|| headers("application/json"));
static TEXT: LazyLock<HeaderMap> = LazyLock::new(|| headers("text/plain; charset=utf-8"));
static HTML: LazyLock<HeaderMap> = LazyLock::new(|| headers("text/html; charset=utf-8"));

/// Returns the headers of an answer. Each answer is about one moment, so none may come from a
/// cache.
fn headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

#[derive(Deserialize)]
struct NowQuery {
    nonce: Option<Nonce>,
}

#[derive(Serialize)]
struct VersionBody<'a> {
    version: &'a str,
    instance: &'a str,
}

#[derive(Serialize)]
struct HealthBody<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct FailureBody {
    error: String,
}

/// Body of `/now`. Joins parts that were made JSON once: escaping two names for each request would
/// take more instructions than everything else here.
struct NowBody {
    /// Instance and version, after the timestamp.
    identity: String,
    health: Arc<Health>,
}

impl NowBody {
    fn new(identity: &Identity, health: Arc<Health>) -> Self {
        // Text can always be written as JSON.
        let quoted = |text: &String| serde_json::to_string(text).unwrap_or_default();
        let (instance, version) = (quoted(&identity.instance), quoted(&identity.version));
        let identity = format!(r#"","instance":{instance},"version":{version}"#);
        Self { identity, health }
    }

    fn json(&self, nonce: Option<&Nonce>) -> String {
        let nonce = nonce.map(|nonce| format!(r#","nonce":"{}""#, nonce.as_str()));
        let nonce = nonce.unwrap_or_default();
        let clock = &self.health.clock().json;
        let clock_key = if clock.is_empty() { "" } else { r#","clock":"# };
        let now = timestamp::format(SystemTime::now());
        let parts = [
            r#"{"now":""#,
            &now,
            &self.identity,
            &nonce,
            clock_key,
            clock,
            "}",
        ];
        parts.concat()
    }
}

/// Returns all routes of the service. The preferred format is an extension of the request, because
/// warp's header filters see only the first of several `Accept` lines, or copy all headers.
pub(crate) fn routes(
    identity: Arc<Identity>,
    health: Arc<Health>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let body = Arc::new(NowBody::new(&identity, Arc::clone(&health)));
    let now = resource("/now")
        .and(warp::query::<NowQuery>())
        .and(warp::ext::optional::<Format>())
        .map(
            move |query: NowQuery, format: Option<Format>| match format {
                None | Some(Format::Json) => reply(&JSON, body.json(query.nonce.as_ref())),
                Some(Format::Text) => reply(&TEXT, timestamp::format(SystemTime::now()) + "\n"),
            },
        );
    let health = resource("/health").map(move || health_reply(health.condition()));
    let version = resource("/version").map(move || {
        json_reply(&VersionBody {
            version: &identity.version,
            instance: &identity.instance,
        })
    });
    let page = resource("/").map(page_reply);

    // The target of such a request was replaced by one that no resource has.
    let refused = warp::ext::get::<Refusal>()
        .map(|refusal: Refusal| failure(refusal.status(), &refusal.reason()));

    // Boxed, so that a request for `/now` does not copy them.
    let others = health.or(version).unify().or(page).unify();
    now.or(others.or(refused).unify().boxed())
        .unify()
        .recover(|rejection: Rejection| ready(Ok::<_, Infallible>(failure_reply(&rejection))))
        .unify()
}

/// Matches exactly this path, and then GET or HEAD. warp's own path filters accept `/now/` for
/// `/now`. An unknown path is 404 for all methods. HEAD runs like GET, and hyper sends only the
/// head of the answer.
fn resource(path: &'static str) -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::path::full()
        .and(warp::method())
        .and_then(move |found: FullPath, method: Method| {
            ready(if found.as_str() != path {
                Err(warp::reject::not_found())
            } else if method == Method::GET || method == Method::HEAD {
                Ok(())
            } else {
                Err(warp::reject::custom(WrongMethod))
            })
        })
        .untuple_one()
}

/// Rejection of a method that the path does not have. warp's own one belongs to filters for one
/// method.
#[derive(Debug)]
struct WrongMethod;

impl Reject for WrongMethod {}

fn reply(headers: &HeaderMap, body: impl Into<Vec<u8>>) -> Response {
    let mut response = warp::http::Response::new(body.into());
    headers.clone_into(response.headers_mut());
    response.into_response()
}

fn json_reply(body: &impl Serialize) -> Response {
    // Objects of text can always be written as JSON.
    reply(&JSON, serde_json::to_vec(body).unwrap_or_default())
}

fn health_reply(condition: Condition) -> Response {
    let (code, status, reason) = match condition {
        Condition::Good => (StatusCode::OK, "ok", None),
        Condition::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", None),
        Condition::BadClock(fault) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "failing",
            Some(fault.reason()),
        ),
    };
    let mut response = json_reply(&HealthBody { status, reason });
    *response.status_mut() = code;
    response
}

fn page_reply() -> Response {
    let mut response = reply(&HTML, page::HTML);
    for (name, value) in page::HEADERS {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

fn failure_reply(rejection: &Rejection) -> Response {
    if rejection.find::<WrongMethod>().is_some() {
        let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, &"method not allowed");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    } else if rejection.find::<InvalidQuery>().is_some() {
        // No other parameter of the query can be wrong, and this one must not occur twice.
        failure(StatusCode::BAD_REQUEST, &InvalidNonce)
    } else {
        failure(StatusCode::NOT_FOUND, &"not found")
    }
}

fn failure(status: StatusCode, error: &impl ToString) -> Response {
    let mut response = json_reply(&FailureBody {
        error: error.to_string(),
    });
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::clock::{ClockReading, Synchronization};

    #[test]
    fn the_parts_make_one_json_object() {
        let identity = Identity {
            version: "1+\"x\"".to_owned(),
            instance: "a\\b".to_owned(),
        };
        let health = Arc::new(Health::default());
        let body = NowBody::new(&identity, Arc::clone(&health));
        let nonce = Nonce::try_from("n-1".to_owned()).unwrap();
        let check = |nonce: Option<&Nonce>, expected: Value| {
            let text = body.json(nonce);
            let mut found: Value = serde_json::from_str(&text).unwrap();
            assert!(found["now"].take().is_string());
            assert_eq!(found, expected);
            // The clock comes last, after the nonce.
            assert!(
                !text.contains("clock") || text.ends_with("0.550}}"),
                "{text}"
            );
        };
        let mut expected = json!({ "now": null, "instance": "a\\b", "version": "1+\"x\"" });
        check(None, expected.clone());
        expected["nonce"] = json!("n-1");
        check(Some(&nonce), expected.clone());

        let reading = ClockReading {
            status: Synchronization::Synchronized,
            error_bound: Some(Duration::from_micros(550)),
            reference: String::new(),
        };
        health.set_clock(Some(&reading), None);
        expected["clock"] = json!({ "status": "SYNCHRONIZED", "error_bound_ms": 0.55 });
        check(Some(&nonce), expected.clone());
        expected.as_object_mut().unwrap().remove("nonce");
        check(None, expected);
    }
}
