//! HTTP requests of a check. No other module speaks HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, Exchange, Failure, Kind, Received, Settings, excerpt};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, AGE, CACHE_CONTROL, CONTENT_ENCODING, DATE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, PROXY_AUTHORIZATION, SERVER, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};
use rustls::ClientConfig;
use url::Position;

use crate::client_error;
use crate::proxy::Proxy;
use crate::stall::watched;
use crate::target::Route;
use crate::tls::tls;
use crate::transport::{Open, Transport};

/// Parts of a check's requests that its connections share.
pub(crate) struct Client<'a> {
    route: &'a Route,
    settings: &'a Settings,
    /// Request target up to the nonce.
    target: String,
    headers: HeaderMap,
    tls: Option<Arc<ClientConfig>>,
    proxy: Option<Proxy>,
}

impl<'a> Client<'a> {
    /// Prepares the requests to a target.
    pub(crate) fn new(route: &'a Route, settings: &'a Settings) -> Result<Self, Failure> {
        let is_encrypted = route.url.scheme() == "https";
        let (ca_file, identity) = (settings.ca_file.as_deref(), settings.identity.as_ref());
        let tls = is_encrypted.then(|| tls(ca_file, identity)).transpose()?;
        let proxy = settings.proxy.as_ref().map(Proxy::new);
        let mut url = route.url.clone();
        if settings.kind == Kind::Clock {
            url.query_pairs_mut().append_pair("nonce", "");
        }
        let mut headers = headers(route, settings)?;
        // A proxy passes plain requests on, for which it needs the whole URL.
        let target = match proxy.as_ref().filter(|_| !is_encrypted) {
            Some(Proxy { authorization, .. }) => {
                if let Some(value) = authorization {
                    headers.insert(PROXY_AUTHORIZATION, value.clone());
                }
                url.into()
            }
            None => url[Position::BeforePath..].to_owned(),
        };
        Ok(Self {
            route,
            settings,
            target,
            headers,
            tls,
            proxy,
        })
    }

    /// Returns a connection to the first of these addresses that accepts it. It is opened by the
    /// first request.
    pub(crate) fn connection(&'a self, addresses: &'a [SocketAddr]) -> Connection<'a> {
        Connection {
            client: self,
            addresses,
            open: None,
        }
    }

    fn request(&self, nonce: &str) -> Result<Request<Empty<Bytes>>, Failure> {
        let mut target = self.target.clone();
        // The URL of other services stays as written: they may reject an unknown parameter.
        if self.settings.kind == Kind::Clock {
            target.push_str(nonce);
        }
        let target = Uri::try_from(target).map_err(|error| Failure::Client {
            detail: error.to_string(),
        })?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target;
        request.headers_mut().clone_from(&self.headers);
        Ok(request)
    }

    /// Sends a request. Returns the response, and the connection if it can be reused.
    async fn exchange(
        &self,
        addresses: &[SocketAddr],
        open: Option<Open>,
        nonce: &str,
    ) -> Result<(Received, Option<Open>), Failure> {
        let request = self.request(nonce)?;
        let mut open = if let Some(open) = open {
            open
        } else {
            let transport = Transport {
                route: self.route,
                addresses,
                tls: self.tls.as_ref(),
                proxy: self.proxy.as_ref(),
                after: connect_timeout(self.settings.timeout),
            };
            transport.open().await?
        };
        let expires = open.expires;
        let broken =
            |error: hyper::Error| client_error::broken(&error, &self.route.host, addresses);
        let response = open.send(request).await.map_err(broken)?;
        let reading = self.read(response, expires);
        let received = open.drive(reading).await.map_err(broken)??;
        // The rest of a long body is still to come on this connection.
        let kept = (!received.is_cut).then_some(open);
        Ok((received, kept))
    }

    /// Reads a response. The outer error is one of the connection.
    async fn read(
        &self,
        mut response: Response<Incoming>,
        expires: Option<i64>,
    ) -> hyper::Result<Result<Received, Failure>> {
        let settings = self.settings;
        let status = response.status();
        if !settings.expected.status.contain(status.as_u16()) {
            // An encrypted response is never the proxy's.
            let proxy = self.proxy.as_ref().filter(|_| self.tls.is_none());
            return Ok(Err(unsuccessful(&response, proxy)));
        }
        let text = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut received = Received {
            status: status.as_u16(),
            // An `Age` that is no number still means a cache; it counts as 0.
            age: text(AGE).map(|age| age.trim().parse().unwrap_or_default()),
            date: text(DATE),
            expires,
            encoding: text(CONTENT_ENCODING)
                .filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
                .map(|encoding| excerpt(&encoding)),
            ..Received::default()
        };
        while let Some(frame) = response.frame().await {
            let chunk = frame?.into_data().unwrap_or_default();
            let room = settings.kind.longest_body() - received.body.len();
            received.is_cut = chunk.len() > room;
            received
                .body
                .extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if received.is_cut {
                break;
            }
        }
        Ok(Ok(received))
    }
}

/// Connection, opened by the first request and reused by the next ones.
pub(crate) struct Connection<'a> {
    client: &'a Client<'a>,
    addresses: &'a [SocketAddr],
    open: Option<Open>,
}

impl Connection<'_> {
    /// Returns the address of the connection, if there is only one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.addresses {
            [address] => Some(*address),
            _ => None,
        }
    }

    /// Sends one request.
    pub(crate) async fn ask(&mut self, clock: &dyn Clock) -> Exchange {
        let client = self.client;
        let timeout = client.settings.timeout;
        let nonce = format!("{:016x}", rand::random::<u64>());
        // A new connection has to replace one that the server has closed.
        let open = self.open.take().and_then(Open::unless_closed);
        let warm = open.is_some();

        let sent = clock.read();
        let asked = client.exchange(self.addresses, open, &nonce);
        let (answer, stall) = watched(timeout, asked).await;
        let received = clock.read();
        let answer = answer.unwrap_or(Err(Failure::TimedOut { after: timeout }));
        let result = answer.map(|(received, open)| {
            self.open = open;
            received
        });
        Exchange {
            sent,
            received,
            stall,
            warm,
            address: self.address(),
            nonce,
            result,
        }
    }
}

fn headers(route: &Route, settings: &Settings) -> Result<HeaderMap, Failure> {
    let accepted = match settings.kind {
        Kind::Clock => "application/json, text/plain;q=0.5",
        Kind::Http => "*/*",
    };
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(&route.host_header) {
        headers.insert(HOST, host);
    }
    let agent = concat!("checker/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Headers from the settings come last, because they may replace those above.
    for header in &settings.headers {
        let unusable = || Failure::Client {
            detail: format!("the header `{}` cannot be sent", excerpt(&header.name)),
        };
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| unusable())?;
        let mut value = HeaderValue::from_str(&header.value).map_err(|_| unusable())?;
        // Keeps the value out of debug output.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn unsuccessful(response: &Response<Incoming>, proxy: Option<&Proxy>) -> Failure {
    let code = response.status();
    let status = code.to_string();
    if let Some(proxy) = proxy.filter(|_| is_of_the_proxy(response)) {
        return proxy.answered(code);
    }
    match response.headers().get(LOCATION) {
        Some(location) if code.is_redirection() => Failure::Redirect {
            status,
            location: excerpt(&String::from_utf8_lossy(location.as_bytes())),
        },
        Some(_) | None => Failure::Status { status },
    }
}

/// Returns whether the proxy answered for itself, because it requires a login or cannot reach the
/// service. An AWS load balancer without a healthy target sends the same codes, but identifies
/// itself by its `Server` header.
fn is_of_the_proxy(response: &Response<Incoming>) -> bool {
    let is_of_aws = |server: &HeaderValue| server.as_bytes().starts_with(b"awselb/");
    match response.status() {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => true,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            !response.headers().get(SERVER).is_some_and(is_of_aws)
        }
        _ => false,
    }
}

/// Returns a connect timeout slightly below the total, so that a missing connection can be told
/// from a missing answer.
fn connect_timeout(timeout: Duration) -> Duration {
    timeout.mul_f64(0.9)
}
