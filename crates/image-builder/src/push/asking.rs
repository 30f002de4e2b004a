//! Requests to a registry, and the login: a token, if the registry gives tokens.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use http::Method;
use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Body, Url};
use serde_json::Value;

use super::error::RequestError;
use super::idle::Movement;
use super::loopback::is_loopback;
use super::{Credentials, Repository, use_tls_of_ring};
use crate::digest::digest as digest_of;
use crate::image::{MANIFESTS, MAX_DOCUMENT};
use crate::reference::DOCKER_HUB;
use support::certificates;

/// Timeout for a connection to the registry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of this program, without which some registries refuse requests.
const USER_AGENT: &str = concat!("deployer/", env!("CARGO_PKG_VERSION"));
/// Header with the digest of a manifest.
pub(super) const DIGEST: &str = "docker-content-digest";

type Answer<T> = Result<T, RequestError>;

/// Creates the HTTP client for a registry. For one on this machine, it reads no certificates, uses
/// no proxy and follows no redirect to another machine. To others it speaks TLS only.
pub(super) fn http_client(registry: &str, roots: &[String]) -> Answer<reqwest::Client> {
    use_tls_of_ring();
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
    } else {
        trusting(client, roots, certificates::has_any())?.https_only(true)
    };
    Ok(client.build()?)
}

/// Lets a client trust these certificates, in addition to the system's if there are any.
pub(super) fn trusting(
    client: reqwest::ClientBuilder,
    roots: &[String],
    has_system: bool,
) -> Answer<reqwest::ClientBuilder> {
    let roots = roots.iter();
    let roots: Vec<_> = roots
        .filter_map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).ok())
        .collect();
    if has_system {
        Ok(client.tls_certs_merge(roots))
    } else if roots.is_empty() {
        // The library fails for another reason then.
        Err(RequestError::NoCertificates)
    } else {
        Ok(client.tls_certs_only(roots))
    }
}

impl Repository {
    /// Returns the URL of the registry.
    pub(super) fn base(&self) -> Answer<Url> {
        let registry = match self.registry.as_str() {
            DOCKER_HUB => "index.docker.io",
            registry => registry,
        };
        let scheme = if is_loopback(registry) {
            "http"
        } else {
            "https"
        };
        let url = format!("{scheme}://{registry}/v2/");
        url.parse()
            .map_err(|error| RequestError::Nonsense(format!("`{url}`: {error}")))
    }

    /// Returns the URL of a path in the repository.
    pub(super) fn url(&self, path: &str) -> Answer<Url> {
        let url = self.base()?.join(&format!("{}/{path}", self.name));
        url.map_err(|error| RequestError::Nonsense(format!("`{path}`: {error}")))
    }
}

fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// Login that is sent with requests.
#[derive(Clone)]
enum Login {
    Credentials(Credentials),
    Token(String),
}

/// Client with a login.
#[derive(Clone)]
pub(crate) struct Asker {
    client: reqwest::Client,
    /// URL of the registry, the only one that gets the login.
    base: Url,
    login: Login,
}

impl Asker {
    /// Creates a client that sends the credentials as they are.
    pub(super) const fn new(client: reqwest::Client, base: Url, credentials: Credentials) -> Self {
        Self {
            client,
            base,
            login: Login::Credentials(credentials),
        }
    }

    /// Exchanges the credentials for a token with this scope, if the registry gives tokens.
    pub(super) async fn log_in(mut self, scope: &str) -> Answer<Self> {
        let response = self.client.get(self.base.clone()).send().await?;
        let Some(challenge) = challenge(response.headers()) else {
            return Ok(self);
        };
        let realm: Result<Url, _> = challenge["realm"].parse();
        let mut realm = realm
            .map_err(|error| RequestError::Nonsense(format!("its address for tokens: {error}")))?;
        // What goes to a registry on this machine stays there.
        if is_here(&self.base) && !is_here(&realm) {
            let host = realm.host_str().unwrap_or_default();
            let reason = format!("it sends logins to another machine: {host}");
            return Err(RequestError::Nonsense(reason));
        }
        realm.query_pairs_mut().append_pair("scope", scope);
        if let Some(service) = challenge.get("service") {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let request = self.client.get(realm);
        let request = match &self.login {
            Login::Credentials(Credentials::Basic { user, password }) => {
                request.basic_auth(user, Some(password))
            }
            Login::Credentials(Credentials::Anonymous) | Login::Token(_) => request,
        };
        let response = succeeded(request.send().await?).await?;
        let content: Option<Value> = serde_json::from_slice(&body(response, None).await?).ok();
        let field = |name: &str| content.as_ref()?[name].as_str();
        let token = field("token").or_else(|| field("access_token"));
        let token = token.ok_or_else(|| RequestError::Nonsense("it gives no token".to_owned()))?;
        self.login = Login::Token(token.to_owned());
        Ok(self)
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let is_registry = url.origin() == self.base.origin();
        let request = self.client.request(method, url);
        match &self.login {
            Login::Credentials(Credentials::Basic { user, password }) if is_registry => {
                request.basic_auth(user, Some(password))
            }
            Login::Token(token) if is_registry => request.bearer_auth(token),
            Login::Credentials(_) | Login::Token(_) => request,
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
            (200, Some(digest)) => return Ok(text(digest)?.to_owned()),
            // The header is optional, and these errors have their reason in the body.
            (200 | 400 | 403..=405, _) => {}
            _ => drop(succeeded(head).await?),
        }
        let response = succeeded(self.send(Method::GET, url, &accepted).await?).await?;
        Ok(digest_of(&body(response, None).await?))
    }

    /// Returns whether a blob exists.
    pub(super) async fn has(&self, blob: Url) -> Answer<bool> {
        let response = self.request(Method::HEAD, blob).send().await?;
        match response.status().as_u16() {
            404 => Ok(false),
            _ => expect(response, 200).await.map(|_| true),
        }
    }

    /// Starts an upload. Returns where to upload.
    pub(super) async fn start(&self, uploads: Url) -> Answer<Url> {
        let response = self.post(uploads).await?;
        self.place(response).await
    }

    /// Mounts a blob from another repository of the registry. Without the right to do so, a registry
    /// starts an upload instead, whose place is returned.
    pub(super) async fn mount(
        &self,
        mut uploads: Url,
        (digest, from): (&str, &str),
    ) -> Answer<Option<Url>> {
        uploads
            .query_pairs_mut()
            .append_pair("mount", digest)
            .append_pair("from", from);
        let response = self.post(uploads).await?;
        if response.status().as_u16() == 201 {
            return Ok(None);
        }
        self.place(response).await.map(Some)
    }

    async fn post(&self, url: Url) -> Answer<reqwest::Response> {
        let request = self.request(Method::POST, url);
        // Some registries require the header.
        Ok(request.header(CONTENT_LENGTH, 0).send().await?)
    }

    async fn place(&self, response: reqwest::Response) -> Answer<Url> {
        let response = expect(response, 202).await?;
        let place = response.headers().get(LOCATION);
        let place =
            place.ok_or_else(|| RequestError::Nonsense("it gives no location".to_owned()))?;
        upload_place(&self.base, response.url(), text(place)?)
    }

    /// Uploads a blob in one request, to the place that the registry gave for it.
    pub(super) async fn upload(
        &self,
        mut place: Url,
        (digest, size): (&str, u64),
        content: impl Stream<Item = Answer<Bytes>> + Send + 'static,
    ) -> Answer<()> {
        place.query_pairs_mut().append_pair("digest", digest);
        let request = self.request(Method::PUT, place);
        let request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(content));
        expect(request.send().await?, 201).await.map(drop)
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
        place.map_err(|error| RequestError::Nonsense(format!("its location: {error}")))?;
    // A registry behind a proxy that ends TLS may know itself only without.
    if base.scheme() == "https" && place.port().is_none() {
        place.set_scheme("https").ok();
    }
    if is_here(base) {
        // What goes to a registry on this machine stays there.
        if !is_here(&place) {
            let host = place.host_str().unwrap_or_default();
            let reason = format!("it sends uploads to another machine: {host}");
            return Err(RequestError::Nonsense(reason));
        }
        // The login is for one name of this machine, and the registry may call it by another.
        if place.port_or_known_default() == base.port_or_known_default() {
            place.set_host(base.host_str()).ok();
        }
    }
    Ok(place)
}

fn text(header: &http::HeaderValue) -> Answer<&str> {
    let text = header.to_str();
    text.map_err(|error| RequestError::Nonsense(format!("a header of it: {error}")))
}

/// Returns the response if it has this status.
async fn expect(response: reqwest::Response, status: u16) -> Answer<reqwest::Response> {
    let found = response.status();
    if found.as_u16() == status {
        return Ok(response);
    }
    if found.is_success() {
        let reason = format!("it answers {found} and not {status}");
        return Err(RequestError::Nonsense(reason));
    }
    let after = wait(response.headers(), SystemTime::now());
    let body = body(response, None).await.unwrap_or_default();
    Err(RequestError::of_status(found.as_u16(), &body, after))
}

/// Returns the response, unless it is an error.
pub(crate) async fn succeeded(response: reqwest::Response) -> Answer<reqwest::Response> {
    expect(response, 200).await
}

/// Reads the content of a response. Records its arrival, if there is an idle timer.
pub(super) async fn body(
    mut response: reqwest::Response,
    movement: Option<&Movement>,
) -> Answer<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if let Some(movement) = movement {
            movement.moved();
        }
        content.extend_from_slice(&chunk);
        if content.len() as u64 > MAX_DOCUMENT {
            let reason = format!("it sends over {MAX_DOCUMENT} bytes");
            return Err(RequestError::Incomplete(reason));
        }
    }
    Ok(content)
}

/// Returns the parameters of a challenge for a token, if there is one (RFC 6750).
fn challenge(headers: &HeaderMap) -> Option<BTreeMap<String, String>> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let values = values.filter_map(|it| it.to_str().ok());
    let mut is_bearer = false;
    let mut found = BTreeMap::new();
    for part in values.flat_map(|it| split_unquoted(it, ',')) {
        let part = part.trim();
        let (mut name, value) = part.split_once('=').unwrap_or((part, ""));
        // The first parameter follows the name of its scheme.
        if let Some((scheme, first)) = name.trim().split_once(' ') {
            is_bearer = scheme.eq_ignore_ascii_case("bearer");
            name = first;
        }
        if is_bearer {
            let value = value.trim().trim_matches('"').to_owned();
            let name = name.trim().to_ascii_lowercase();
            found.entry(name).or_insert(value);
        }
    }
    found.contains_key("realm").then_some(found)
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
            assert_eq!(
                wait(&headers, now + Duration::from_hours(1)),
                expected,
                "{text}"
            );
        }
        assert_eq!(wait(&HeaderMap::new(), now), None);
    }

    #[test]
    fn the_challenge_for_a_token_is_found_among_others() {
        let found = |values: &[&str]| {
            let values = values
                .iter()
                .map(|it| (WWW_AUTHENTICATE, it.parse().unwrap()));
            let found = challenge(&values.collect())?;
            Some((found["realm"].clone(), found.get("service").cloned()))
        };
        let realm = "https://auth.example/token?a=1,2";
        let service = Some("registry.example".to_owned());
        let bearer = format!("Bearer realm=\"{realm}\",service=\"registry.example\"");
        let expected = Some((realm.to_owned(), service));
        assert_eq!(found(&[&bearer]), expected);
        assert_eq!(found(&[&bearer.replace("Bearer", "bearer")]), expected);
        let basic = "Basic realm=\"here\", charset=\"UTF-8\"";
        assert_eq!(found(&[basic, &bearer]), expected);
        assert_eq!(found(&[&format!("{basic}, {bearer}")]), expected);
        assert_eq!(found(&[&format!("{bearer}, {basic}")]), expected);
        let only = Some((realm.to_owned(), None));
        assert_eq!(found(&[&format!("Bearer realm=\"{realm}\"")]), only);
        for not in [basic, "Bearer", "Negotiate", "Bearer service=\"x\"", ""] {
            assert_eq!(found(&[not]), None, "{not}");
        }
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
