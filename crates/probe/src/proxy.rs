//! HTTP proxy between this host and the service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clock::Failure;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

/// HTTP proxy.
pub(crate) struct Proxy {
    /// Host and port, without credentials.
    name: String,
    /// Value of the `Proxy-Authorization` header.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Proxy {
    pub(crate) fn new(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        Self {
            name: format!("{host}:{}", url.port_or_known_default().unwrap_or(80)),
            authorization: authorization(url),
        }
    }

    /// Returns the failure for an answer that is the proxy's own.
    pub(crate) fn answered(&self, status: StatusCode) -> Failure {
        Failure::Proxy {
            proxy: self.name.clone(),
            status: status.to_string(),
        }
    }
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode_str(url.username()).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).ok()?;
    // Keeps the value out of debug output.
    value.set_sensitive(true);
    Some(value)
}
