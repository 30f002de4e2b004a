//! Requests to a registry, except those that log in.
//!
//! The registry client reads the system's certificates twice when it is created, also for a registry
//! on this machine, which needs none, and panics if there are none. It drops the headers of
//! responses, too: how long a registry asks to wait, and where the next page of a list is.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use http::Method;
use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER,
};
use oci_client::client::Client;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::redirect::Policy;
use reqwest::{Body, Url};

use super::error::without_certificates;
use super::loopback::is_loopback;
use crate::digest::digest as digest_of;
use crate::image::{MANIFESTS, MAX_DOCUMENT};
use support::certificates;

/// Timeout for a connection to the registry.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the question how long to wait.
const LIMIT: Duration = Duration::from_secs(10);
/// Name of this program, without which some registries refuse requests.
pub(super) const USER_AGENT: &str = concat!("deployer/", env!("CARGO_PKG_VERSION"));
/// Header with the digest of a manifest.
pub(super) const DIGEST: &str = "docker-content-digest";

type Answer<T> = Result<T, OciDistributionError>;

/// Access to one repository, without a login yet.
#[derive(Clone)]
pub(crate) struct Asking {
    /// Repository, with any tag or digest.
    pub(crate) at: Reference,
    /// Login for the registry, if it requires one, and a client that knows how to log in. Without the
    /// client, the login itself is sent.
    pub(crate) login: Option<(Option<Client>, RegistryAuth)>,
    /// Client from [`http_client`].
    pub(crate) http: reqwest::Client,
}

/// Creates the HTTP client for a registry. For one on this machine, it reads no certificates, uses
/// no proxy and follows no redirect to another machine. To others it speaks TLS only.
pub(crate) fn http_client(registry: &str, roots: &[String]) -> Answer<reqwest::Client> {
    let client = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT);
    let client = if is_loopback(registry) {
        let stays = Policy::custom(|attempt| {
            if is_here(attempt.url()) {
                Policy::default().redirect(attempt)
            } else {
                attempt.error("it leads to another machine")
            }
        });
        client.no_proxy().tls_certs_only([]).redirect(stays)
    } else if !certificates::has_any() {
        return Err(without_certificates());
    } else {
        let roots = roots.iter();
        client.https_only(true).tls_certs_merge(
            roots.filter_map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).ok()),
        )
    };
    Ok(client.build()?)
}

/// Returns the URL of a path below `/v2/`.
pub(crate) fn url(at: &Reference, path: &str) -> Option<Url> {
    let registry = at.resolve_registry();
    let scheme = if is_loopback(registry) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{registry}/v2/{path}").parse().ok()
}

fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

impl Asking {
    /// Returns how long the registry asks to wait after this error, if it does. The same address is
    /// asked once more for that, or the base path: a registry that limits or sheds load answers in
    /// the same way.
    pub(super) async fn told_to_wait(&self, error: &OciDistributionError) -> Option<Duration> {
        let base = url(&self.at, "")?;
        let is_content = |url: &Url| {
            url.origin() == base.origin()
                && (url.path().contains("/manifests/") || url.path().contains("/blobs/sha256:"))
        };
        let url = address(error).filter(is_content).unwrap_or(base);
        let ask = async {
            let asker = self.connect(RegistryOperation::Pull).await?;
            asker.send(Method::HEAD, url, "*/*").await
        };
        let response = tokio::time::timeout(LIMIT, ask).await.ok()?.ok()?;
        let is_busy = may_say_when(Some(response.status().as_u16()));
        is_busy.then(|| wait(response.headers(), SystemTime::now()))?
    }

    /// Logs in, for questions or to push.
    pub(crate) async fn connect(&self, operation: RegistryOperation) -> Answer<Asker> {
        let base = url(&self.at, "");
        let base = base.ok_or_else(|| OciDistributionError::UrlParseError(self.at.whole()))?;
        let login = match &self.login {
            None => RegistryAuth::Anonymous,
            Some((None, auth)) => auth.clone(),
            Some((Some(client), auth)) => match client.auth(&self.at, auth, operation).await? {
                Some(token) => RegistryAuth::Bearer(token),
                None => auth.clone(),
            },
        };
        Ok(Asker {
            client: self.http.clone(),
            base,
            login,
        })
    }
}

/// Client with a login.
#[derive(Clone)]
pub(crate) struct Asker {
    client: reqwest::Client,
    /// URL of the registry, the only one that gets the login.
    base: Url,
    login: RegistryAuth,
}

impl Asker {
    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let is_registry = url.origin() == self.base.origin();
        let request = self.client.request(method, url);
        match &self.login {
            RegistryAuth::Basic(user, password) if is_registry => {
                request.basic_auth(user, Some(password))
            }
            RegistryAuth::Bearer(token) if is_registry => request.bearer_auth(token),
            RegistryAuth::Anonymous | RegistryAuth::Basic(..) | RegistryAuth::Bearer(_) => request,
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        accept: &str,
    ) -> Answer<reqwest::Response> {
        let request = self.request(method, url).header(ACCEPT, accept);
        Ok(request.send().await?)
    }

    /// Returns the digest of a manifest.
    pub(super) async fn digest(&self, url: Url) -> Answer<String> {
        let accepted = MANIFESTS.join(", ");
        let head = self.send(Method::HEAD, url.clone(), &accepted).await?;
        match (head.status().as_u16(), head.headers().get(DIGEST)) {
            (200, Some(digest)) => return Ok(digest.to_str()?.to_owned()),
            // The header is optional, and these errors have their reason in the body.
            (200 | 400 | 403..=405, _) => {}
            _ => drop(succeeded(head).await?),
        }
        let response = succeeded(self.send(Method::GET, url, &accepted).await?).await?;
        Ok(digest_of(&body(response).await?))
    }

    /// Returns whether a blob exists.
    pub(super) async fn has(&self, blob: Url) -> Answer<bool> {
        let response = self.request(Method::HEAD, blob).send().await?;
        match response.status().as_u16() {
            404 => Ok(false),
            _ => expect(response, 200).await.map(|_| true),
        }
    }

    /// Uploads a blob in one request, to the place that the registry gives for it.
    pub(super) async fn upload(
        &self,
        uploads: Url,
        (digest, size): (&str, u64),
        content: impl Stream<Item = Answer<Bytes>> + Send + 'static,
    ) -> Answer<()> {
        let mut place = self.place(uploads, 202).await?;
        place.query_pairs_mut().append_pair("digest", digest);
        let request = self.request(Method::PUT, place);
        let request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(content));
        expect(request.send().await?, 201).await.map(drop)
    }

    /// Mounts a blob from another repository of the registry. Without the right to do so, a registry
    /// starts an upload instead: an error.
    pub(super) async fn mount(&self, uploads: Url, (digest, from): (&str, &str)) -> Answer<()> {
        let mut url = uploads;
        url.query_pairs_mut()
            .append_pair("mount", digest)
            .append_pair("from", from);
        self.place(url, 201).await.map(drop)
    }

    async fn place(&self, uploads: Url, status: u16) -> Answer<Url> {
        let request = self.request(Method::POST, uploads);
        // Some registries require the header.
        let response = request.header(CONTENT_LENGTH, 0).send().await?;
        let response = expect(response, status).await?;
        let place = response.headers().get(LOCATION);
        let place = place.ok_or(OciDistributionError::RegistryNoLocationError)?;
        let asked = response.url();
        upload_place(&self.base, asked, place.to_str()?)
    }

    /// Sends a manifest.
    pub(super) async fn put(&self, url: Url, media_type: &str, content: Bytes) -> Answer<()> {
        let request = self.request(Method::PUT, url);
        let request = request.header(CONTENT_TYPE, media_type).body(content);
        let response = request.send().await?;
        // As older versions of Quay do.
        if response.status().as_u16() == 202 {
            return Ok(());
        }
        expect(response, 201).await.map(drop)
    }
}

/// Returns where to upload, which a registry gives in answer to a request at `asked`.
fn upload_place(base: &Url, asked: &Url, location: &str) -> Answer<Url> {
    let place = asked.join(location);
    let mut place =
        place.map_err(|error| OciDistributionError::UrlParseError(error.to_string()))?;
    // A registry behind a proxy that ends TLS may know itself only without.
    if base.scheme() == "https" && place.port().is_none() {
        place.set_scheme("https").ok();
    }
    if is_here(base) {
        // What goes to a registry on this machine stays there.
        if !is_here(&place) {
            let host = place.host_str().unwrap_or_default();
            let reason = format!("it sends uploads to another machine: {host}");
            return Err(OciDistributionError::SpecViolationError(reason));
        }
        // The login is for one name of this machine, and the registry may call it by another.
        if place.port_or_known_default() == base.port_or_known_default() {
            place.set_host(base.host_str()).ok();
        }
    }
    Ok(place)
}

/// Returns the address of a response. What follows `?` may be a signature that gives access.
fn place_of(response: &reqwest::Response) -> String {
    let mut url = response.url().clone();
    url.set_query(None);
    url.to_string()
}

/// Returns the response if it has this status.
async fn expect(response: reqwest::Response, status: u16) -> Answer<reqwest::Response> {
    let found = response.status();
    if found.as_u16() == status {
        return Ok(response);
    }
    if found.is_success() {
        let reason = format!("it answers {found} and not {status}");
        return Err(OciDistributionError::SpecViolationError(reason));
    }
    let (url, code) = (place_of(&response), found.as_u16());
    let message = body(response).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&message).into_owned();
    Err(OciDistributionError::ServerError { code, url, message })
}

/// Reads the content of a response.
pub(crate) async fn body(mut response: reqwest::Response) -> Answer<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        content.extend_from_slice(&chunk);
        if content.len() as u64 > MAX_DOCUMENT {
            return Err(incomplete(format!("it sends over {MAX_DOCUMENT} bytes")));
        }
    }
    Ok(content)
}

/// Returns the error of content that exists but is not read to its end. The status distinguishes it
/// from the errors of a registry without lists.
pub(super) fn incomplete(message: String) -> OciDistributionError {
    OciDistributionError::ServerError {
        code: 200,
        url: String::new(),
        message,
    }
}

/// Returns the response, unless it is an error.
pub(crate) async fn succeeded(response: reqwest::Response) -> Answer<reqwest::Response> {
    let (url, code) = (place_of(&response), response.status().as_u16());
    match code {
        200 => Ok(response),
        401 => Err(OciDistributionError::UnauthorizedError { url }),
        _ => {
            let content = body(response).await.unwrap_or_default();
            let message = String::from_utf8_lossy(&content).into_owned();
            Err(match serde_json::from_str(&message) {
                Ok(envelope) if (400..500).contains(&code) => {
                    OciDistributionError::RegistryError { envelope, url }
                }
                Ok(_) | Err(_) => OciDistributionError::ServerError { code, url, message },
            })
        }
    }
}

/// Returns the address of the request that failed.
fn address(error: &OciDistributionError) -> Option<Url> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum; the others have no address"
    )]
    match error {
        OciDistributionError::ServerError { url, .. }
        | OciDistributionError::RegistryError { url, .. } => url.parse().ok(),
        OciDistributionError::RequestError(error) => error.url().cloned(),
        _ => None,
    }
}

/// Returns whether a response with this status may say when to come back.
pub(super) fn may_say_when(status: Option<u16>) -> bool {
    matches!(status, Some(429 | 503))
}

/// Parses `Retry-After`, which has seconds or a date. A date is compared with the registry's own
/// clock, if the response has it.
fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text| httpdate::parse_http_date(text).ok();
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(DATE).and_then(date).unwrap_or(now);
    // A date in the past asks for nothing.
    date(after)?.duration_since(now).ok()
}

/// Returns the URL of the next page of a list (`Link: <…>; rel="next"`), or its text as the error
/// if it is not in the same registry: the login must not go elsewhere.
pub(super) fn next_page(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, String> {
    let values = headers.get_all(LINK).iter();
    let links = values.filter_map(|it| it.to_str().ok()).flat_map(links);
    let is_next = |parameter: &str| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            let mut relations = value.trim().trim_matches('"').split_whitespace();
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|it| it.eq_ignore_ascii_case("next"))
        })
    };
    let mut next = links.filter(|(_, parameters)| split_unquoted(parameters, ';').any(is_next));
    let Some((target, _)) = next.next() else {
        return Ok(None);
    };
    let url = page.join(target).ok().map(|mut url| {
        // A registry behind a proxy that ends TLS may know itself only without.
        if page.scheme() == "https" && url.port().is_none() {
            url.set_scheme("https").ok();
        }
        url
    });
    let url = url.filter(|url| url.origin() == page.origin());
    url.map(Some).ok_or_else(|| target.to_owned())
}

/// Returns the target and the parameters of each link in a header. Commas separate links, except in
/// targets and quotes.
fn links(mut text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while let Some((target, rest)) = text
        .trim_start_matches([',', ' ', '\t'])
        .strip_prefix('<')
        .and_then(|it| it.split_once('>'))
    {
        let parameters = split_unquoted(rest, ',').next().unwrap_or_default();
        found.push((target, parameters));
        text = &rest[parameters.len()..];
    }
    found
}

/// Splits a text at a separator, except in quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = is_quoted && character == '\\' && !is_escaped;
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("3600", Some(3600)),
            ("Tue, 14 Nov 2023 22:13:27 GMT", Some(7)),
            // Obsolete forms, which recipients must accept (RFC 9110).
            ("Tuesday, 14-Nov-23 22:13:27 GMT", Some(7)),
            ("Tue Nov 14 22:13:27 2023", Some(7)),
            ("Tue, 14 Nov 2023 22:13:13 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(wait(&headers, now), expected, "{text}");
            // The clock here is wrong by an hour.
            let date = "Tue, 14 Nov 2023 22:13:20 GMT".parse().unwrap();
            headers.insert(DATE, date);
            assert_eq!(wait(&headers, now + LIMIT * 360), expected, "{text}");
        }
        assert_eq!(wait(&HeaderMap::new(), now), None);
    }

    #[test]
    fn uploads_go_where_the_login_counts_and_nobody_listens() {
        let place = |base: &str, location: &str| {
            let base: Url = base.parse().unwrap();
            let asked = base.join("team/app/blobs/uploads/").unwrap();
            upload_place(&base, &asked, location).map(|place| place.to_string())
        };
        for (base, location, expected) in [
            (
                "https://a.example/v2/",
                "/v2/u?s=1",
                "https://a.example/v2/u?s=1",
            ),
            (
                "https://a.example/v2/",
                "https://b.example/u",
                "https://b.example/u",
            ),
            (
                "https://a.example/v2/",
                "http://a.example/u?s=1",
                "https://a.example/u?s=1",
            ),
            // Refused when it is requested: the client speaks TLS only.
            (
                "https://a.example/v2/",
                "http://a.example:80/u",
                "https://a.example/u",
            ),
            (
                "https://a.example/v2/",
                "http://a.example:8080/u",
                "http://a.example:8080/u",
            ),
            (
                "http://127.0.0.1:5000/v2/",
                "u",
                "http://127.0.0.1:5000/v2/team/app/blobs/uploads/u",
            ),
            (
                "http://127.0.0.1:5000/v2/",
                "http://localhost:5000/u",
                "http://127.0.0.1:5000/u",
            ),
            (
                "http://127.0.0.1:5000/v2/",
                "http://localhost:5001/u",
                "http://localhost:5001/u",
            ),
        ] {
            assert_eq!(
                place(base, location).unwrap(),
                expected,
                "{base} {location}"
            );
        }
        assert!(place("http://127.0.0.1:5000/v2/", "http://192.0.2.1:5000/u").is_err());
        assert!(place("https://a.example/v2/", "https://").is_err());
    }

    #[test]
    fn the_next_page_is_in_the_same_registry() {
        let page = "https://r.example/v2/a/referrers/sha256:1".parse().unwrap();
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            next_page(&headers, &page).map(|it| it.map(String::from))
        };
        let url = "https://r.example/v2/a/referrers/sha256:1?last=2".to_owned();
        let path = "</v2/a/referrers/sha256:1?last=2>";
        let expected = Ok(Some(url.clone()));
        assert_eq!(next(&format!("{path}; rel=\"next\"")), expected);
        assert_eq!(next(&format!("<{url}>;rel=next")), expected);
        assert_eq!(next(&format!("<{url}>; rel=\"last next\"")), expected);
        let comma = next(&format!("</x>; title=\"<y>, z\", <{url},3>; rel=next"));
        assert_eq!(comma, Ok(Some(format!("{url},3"))));
        let second = format!("</x>; rel=prev, {path}; title=t; rel=\"next\"");
        assert_eq!(next(&second), expected);
        let quoted = "; title=\"a; rel=prev, \\\"\"; rel=next";
        assert_eq!(next(&format!("{path}{quoted}")), expected);
        // Behind a proxy that ends TLS.
        let plain = url.replace("https:", "http:");
        assert_eq!(next(&format!("<{plain}>; rel=next")), expected);
        let in_quotes = "</x>; title=\"; rel=next; \"";
        for none in ["</x>; rel=\"prev\"", "x; rel=next", "", in_quotes] {
            assert_eq!(next(none), Ok(None), "{none}");
        }
        for other in ["https://other.example/x", "http://r.example:5000/x"] {
            assert_eq!(next(&format!("<{other}>; rel=next")), Err(other.to_owned()));
        }
    }
}
