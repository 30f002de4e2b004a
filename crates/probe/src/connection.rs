//! HTTP connection to one target, used for several requests. No other module speaks HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use clock::{
    Clock, Exchange, Failure, Identity, Kind, Received, Settings, Statuses, certificate_expiry,
    excerpt,
};
use reqwest::header::{
    ACCEPT, AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, DATE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, SERVER,
};
use reqwest::redirect::Policy;
use reqwest::tls::TlsInfo;
use reqwest::{Client, ClientBuilder, Proxy, Response, StatusCode, Version};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt as _;
use url::Url;

use crate::client_error;
use crate::error_text::innermost_detail;
use crate::stall::watched;
use crate::target::Route;

/// Connection, opened by the first request and reused by the next ones.
pub(crate) struct Connection {
    client: Client,
    route: Route,
    timeout: Duration,
    headers: HeaderMap,
    kind: Kind,
    /// Status codes that count as success.
    statuses: Statuses,
    /// Proxy host and port, without credentials.
    proxy: Option<String>,
    requests: u32,
}

impl Connection {
    /// Creates a connection to the first of the route's addresses that accepts it.
    pub(crate) fn new(route: &Route, settings: &Settings) -> Result<Self, Failure> {
        let route = route.clone();
        let (ca_file, identity) = (settings.ca_file.as_deref(), settings.identity.as_ref());
        let mut builder = client_builder(route.url.scheme(), ca_file, identity)?
            .tls_info(true)
            // Ignores `HTTP_PROXY` and similar variables: only the settings choose a proxy.
            .no_proxy()
            .pool_max_idle_per_host(1)
            .connect_timeout(connect_timeout(settings.timeout));
        // With a proxy, the route's addresses are the proxy's.
        let connected = settings.proxy.as_ref().unwrap_or(&route.url);
        if let Some(host) = connected.domain() {
            builder = builder.resolve_to_addrs(host, &route.addresses);
        }
        if let Some(proxy) = &settings.proxy {
            let proxy =
                Proxy::all(proxy.clone()).map_err(|error| client_error::not_built(&error))?;
            builder = builder.proxy(proxy);
        }
        let client = builder
            .build()
            .map_err(|error| client_error::not_built(&error))?;
        Ok(Self {
            client,
            route,
            timeout: settings.timeout,
            headers: headers(settings)?,
            kind: settings.kind,
            statuses: settings.expected.status.clone(),
            proxy: settings.proxy.as_ref().map(host_and_port),
            requests: 0,
        })
    }

    /// Returns the address of the connection, if the route has only one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.route.addresses.as_slice() {
            [address] => Some(*address),
            _ => None,
        }
    }

    /// Sends one request.
    pub(crate) async fn ask(&mut self, clock: &dyn Clock) -> Exchange {
        let nonce = format!("{:016x}", rand::random::<u64>());
        let warm = self.requests > 0;
        self.requests += 1;

        let sent = clock.read();
        let (received, stall) =
            watched(tokio::time::timeout(self.timeout, self.exchange(&nonce))).await;
        let at = clock.read();
        let received = received.unwrap_or(Err(Failure::TimedOut {
            after: self.timeout,
        }));
        if !matches!(received, Ok((_, true))) {
            // The client opens a new connection for the next request.
            self.requests = 0;
        }
        Exchange {
            sent,
            received: at,
            stall,
            warm,
            address: self.address(),
            nonce,
            result: received.map(|(received, _)| received),
        }
    }

    /// Sends the request. Returns the response, and whether the connection can be reused.
    async fn exchange(&self, nonce: &str) -> Result<(Received, bool), Failure> {
        let broken = |error: reqwest::Error| {
            client_error::failed(&error, &self.route, connect_timeout(self.timeout))
        };
        let mut url = self.route.url.clone();
        let accepted = match self.kind {
            Kind::Clock => {
                url.query_pairs_mut().append_pair("nonce", nonce);
                "application/json, text/plain;q=0.5"
            }
            // The URL stays as written: other services may reject an unknown parameter.
            Kind::Http => "*/*",
        };
        let mut request = self
            .client
            .get(url)
            .header(ACCEPT, accepted)
            .header(CACHE_CONTROL, "no-store");
        if let Ok(host) = HeaderValue::from_str(&self.route.host_header) {
            request = request.header(HOST, host);
        }
        // Headers from the settings come last, because they may replace those above.
        request = request.headers(self.headers.clone());
        let mut response = request.send().await.map_err(broken)?;
        if !self.statuses.contain(response.status().as_u16()) {
            return Err(unsuccessful(&response, self.proxy.as_deref()));
        }
        let text = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut received = Received {
            status: response.status().as_u16(),
            // An `Age` that is no number still means a cache; it counts as 0.
            age: text(AGE).map(|age| age.trim().parse().unwrap_or_default()),
            date: text(DATE),
            expires: expires(&response),
            encoding: text(CONTENT_ENCODING)
                .filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
                .map(|encoding| excerpt(&encoding)),
            ..Received::default()
        };
        let mut kept = is_kept(&response);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            let room = self.kind.longest_body() - received.body.len();
            let part = chunk.get(..room).unwrap_or(&chunk);
            received.body.extend_from_slice(part);
            if chunk.len() > room {
                received.is_cut = true;
                // The rest of the body is still to come on this connection.
                kept = false;
                break;
            }
        }
        Ok((received, kept))
    }
}

fn headers(settings: &Settings) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
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

/// Returns whether the next request may use this connection.
fn is_kept(response: &Response) -> bool {
    let options = response.headers().get_all(CONNECTION);
    let has = |name: &str| {
        options.iter().any(|value| {
            let text = value.to_str().unwrap_or_default();
            text.split(',')
                .any(|it| it.trim().eq_ignore_ascii_case(name))
        })
    };
    !has("close") && (response.version() >= Version::HTTP_11 || has("keep-alive"))
}

fn expires(response: &Response) -> Option<i64> {
    let tls = response.extensions().get::<TlsInfo>()?;
    certificate_expiry(tls.peer_certificate()?)
}

fn unsuccessful(response: &Response, proxy: Option<&str>) -> Failure {
    let code = response.status();
    let status = code.to_string();
    if let Some(proxy) = proxy.filter(|_| is_of_the_proxy(response)) {
        return Failure::Proxy {
            proxy: proxy.to_owned(),
            status,
        };
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
fn is_of_the_proxy(response: &Response) -> bool {
    let is_of_aws = |server: &HeaderValue| server.as_bytes().starts_with(b"awselb/");
    match response.status() {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => true,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            !response.headers().get(SERVER).is_some_and(is_of_aws)
        }
        _ => false,
    }
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port_or_known_default().unwrap_or(80))
}

/// Returns a connect timeout slightly below the total, so that a missing connection can be told
/// from a missing answer.
fn connect_timeout(timeout: Duration) -> Duration {
    timeout.mul_f64(0.9)
}

/// Returns a builder of HTTP clients for URLs with this scheme.
pub fn client_builder(
    scheme: &str,
    ca_file: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<ClientBuilder, Failure> {
    install_tls_provider();
    let builder = Client::builder()
        .user_agent(concat!("checker/", env!("CARGO_PKG_VERSION")))
        // A redirect or a retry would measure another service or another moment.
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .http1_only();
    Ok(match scheme {
        // Loading the system's certificates takes tens of milliseconds, and fails where there are
        // none.
        "http" => builder.tls_certs_only([]),
        _ => builder.tls_backend_preconfigured(tls(ca_file, identity)?),
    })
}

/// Returns the TLS configuration, cached for an hour. One process checks many targets, each with
/// new connections. The cache expires because certificates change within the months that the
/// process runs.
fn tls(
    ca_file: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<rustls::ClientConfig, Failure> {
    const KEPT: Duration = Duration::from_hours(1);
    type Files = (Option<PathBuf>, Option<Identity>);
    type Known = (Files, Instant, rustls::ClientConfig);
    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    let files: Files = (ca_file.map(Path::to_owned), identity.cloned());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = known.iter().find(|(of, ..)| *of == files);
    if let Some((_, read, configuration)) = kept
        && read.elapsed() < KEPT
    {
        return Ok(configuration.clone());
    }
    let mut configuration = match (fresh(ca_file, identity), kept) {
        (Ok(configuration), _) => configuration,
        // The cached authorities are better than none.
        (Err(_), Some((.., configuration))) => return Ok(configuration.clone()),
        (Err(detail), None) => return Err(Failure::CertificateStore { detail }),
    };
    // Every new connection has to prove that a full handshake works.
    configuration.resumption = rustls::client::Resumption::disabled();
    known.retain(|(of, ..)| *of != files);
    known.push((files, Instant::now(), configuration.clone()));
    Ok(configuration)
}

/// Builds a TLS configuration that trusts the authorities of a file, or else those of the system.
fn fresh(
    ca_file: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<rustls::ClientConfig, String> {
    let builder = rustls::ClientConfig::builder();
    let builder = if let Some(file) = ca_file {
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(certificates(file)?);
        builder.with_root_certificates(store)
    } else {
        // The verifier would silently fall back to the system's authorities if this file cannot be
        // read.
        if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
            certificates(Path::new(&file)).map_err(|detail| format!("SSL_CERT_FILE: {detail}"))?;
        }
        let verified = builder.with_platform_verifier();
        verified.map_err(|error| error.to_string())?
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let (chain, key) = read(identity)?;
            let shown = builder.with_client_auth_cert(chain, key);
            shown.map_err(|error| format!("{}: {error}", identity.certificate.display()))
        }
    }
}

/// Loads a client certificate and its key.
fn read(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)
        .map_err(|error| format!("{}: {}", identity.key.display(), innermost_detail(&error)))?;
    Ok((chain, key))
}

/// Validates a client certificate. The error never contains a part of its key.
pub fn check_identity(identity: &Identity) -> Result<(), String> {
    install_tls_provider();
    let (chain, key) = read(identity)?;
    let builder = rustls::ClientConfig::builder();
    let builder = builder.with_root_certificates(rustls::RootCertStore::empty());
    let made = builder.with_client_auth_cert(chain, key);
    made.map(|_| ())
        .map_err(|error| format!("{}: {error}", identity.certificate.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |detail: &str| format!("{}: {detail}", file.display());
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| unreadable(&innermost_detail(&error)))?;
    // Skips malformed PEM sections: one bad entry does not disable the others.
    let certificates: Vec<_> = certificates.flatten().collect();
    if certificates.is_empty() {
        return Err(unreadable("no certificate in it"));
    }
    Ok(certificates)
}

/// Installs the process-wide cryptography provider that rustls requires.
fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the application embedding this library has installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
