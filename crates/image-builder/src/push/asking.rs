//! Requests beside those of the registry client, which drops the headers of responses: how long a
//! registry asks to wait, and where the next page of a list is.

use std::time::{Duration, SystemTime};

use http::Method;
use http::header::{ACCEPT, DATE, HeaderMap, LINK, RETRY_AFTER};
use oci_client::client::Client;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::Url;

use super::loopback::is_loopback;
use crate::digest::digest as digest_of;
use crate::image::{MANIFESTS, MAX_DOCUMENT};

/// Timeout for a connection to the registry.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for the question how long to wait.
const LIMIT: Duration = Duration::from_secs(10);
/// Header with the digest of a manifest.
pub(super) const DIGEST: &str = "docker-content-digest";

/// Access to one repository, for requests that the client does not make.
pub(crate) struct Asking {
    /// Repository, with any tag or digest.
    pub(crate) at: Reference,
    /// Login for the registry, if it requires one, and a client that knows how to log in.
    pub(crate) login: Option<(Client, RegistryAuth)>,
    /// Certificates to trust in addition to the system's, each in PEM.
    pub(crate) roots: Vec<String>,
}

impl Asking {
    /// Returns how long the registry asks to wait after this error, if it does. The same address is
    /// asked once more for that, or the base path: a registry that limits or sheds load answers in
    /// the same way.
    pub(super) async fn told_to_wait(&self, error: &OciDistributionError) -> Option<Duration> {
        let base = self.url("")?;
        let is_content = |url: &Url| {
            url.origin() == base.origin()
                && (url.path().contains("/manifests/") || url.path().contains("/blobs/sha256:"))
        };
        let url = address(error).filter(is_content).unwrap_or(base);
        let ask = async { self.connect().await?.send(Method::HEAD, url, "*/*").await };
        let response = tokio::time::timeout(LIMIT, ask).await.ok()?.ok()?;
        let is_busy = may_say_when(Some(response.status().as_u16()));
        is_busy.then(|| wait(response.headers(), SystemTime::now()))?
    }

    /// Returns the URL of a path below `/v2/`.
    pub(super) fn url(&self, path: &str) -> Option<Url> {
        let registry = self.at.resolve_registry();
        let scheme = if is_loopback(registry) {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{registry}/v2/{path}").parse().ok()
    }

    /// Logs in.
    pub(super) async fn connect(&self) -> Result<Asker, OciDistributionError> {
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        let client = if is_loopback(self.at.resolve_registry()) {
            client.no_proxy().tls_certs_only([])
        } else {
            let roots = self.roots.iter();
            client.tls_certs_merge(
                roots.filter_map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).ok()),
            )
        };
        let login = match &self.login {
            None => RegistryAuth::Anonymous,
            Some((client, auth)) => {
                let token = client.auth(&self.at, auth, RegistryOperation::Pull);
                match token.await {
                    Ok(Some(token)) => RegistryAuth::Bearer(token),
                    Ok(None) | Err(_) => auth.clone(),
                }
            }
        };
        let client = client.build()?;
        Ok(Asker { client, login })
    }
}

/// Client with a login.
#[derive(Clone)]
pub(super) struct Asker {
    client: reqwest::Client,
    login: RegistryAuth,
}

impl Asker {
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        accept: &str,
    ) -> Result<reqwest::Response, OciDistributionError> {
        let request = self.client.request(method, url).header(ACCEPT, accept);
        let request = match &self.login {
            RegistryAuth::Anonymous => request,
            RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
            RegistryAuth::Bearer(token) => request.bearer_auth(token),
        };
        Ok(request.send().await?)
    }

    /// Returns the digest of a manifest.
    pub(super) async fn digest(&self, url: Url) -> Result<String, OciDistributionError> {
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
}

/// Reads the content of a response.
pub(super) async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, OciDistributionError> {
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
pub(super) async fn succeeded(
    response: reqwest::Response,
) -> Result<reqwest::Response, OciDistributionError> {
    let (url, code) = (response.url().to_string(), response.status().as_u16());
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
    let mut next = links.filter(|(_, parameters)| parameters.split(';').any(is_next));
    let Some((target, _)) = next.next() else {
        return Ok(None);
    };
    let url = page.join(target).ok();
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
        let mut is_quoted = false;
        let end = rest.find(|character| {
            is_quoted ^= character == '"';
            character == ',' && !is_quoted
        });
        let (parameters, rest) = rest.split_at(end.unwrap_or(rest.len()));
        found.push((target, parameters));
        text = rest;
    }
    found
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
        for none in ["</x>; rel=\"prev\"", "x; rel=next", ""] {
            assert_eq!(next(none), Ok(None), "{none}");
        }
        for other in ["https://other.example/x", "http://r.example/x"] {
            assert_eq!(next(&format!("<{other}>; rel=next")), Err(other.to_owned()));
        }
    }
}
