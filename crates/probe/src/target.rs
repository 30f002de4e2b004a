//! Target of a check: the URL, and the address of its TCP connection.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use clock::{Failure, Family, Settings};
use url::{Host, Url};

/// Path requested if a URL has none.
const DEFAULT_PATH: &str = "/now";
/// Maximum number of addresses asked. Names with hundreds of addresses exist.
const MOST_ADDRESSES: usize = 16;

/// Service to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    connect_to: Option<ConnectTo>,
}

/// Host and port to connect to instead of the URL's, which stay in the `Host` header and in the TLS
/// handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    host: String,
    port: u16,
}

/// Error for a target that cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Text that is no URL.
    #[error("cannot read the URL `{url}`: {detail}")]
    InvalidUrl {
        /// URL as given, without credentials.
        url: String,
        /// Error of the URL parser, or a hint.
        detail: String,
    },
    /// Scheme other than http and https.
    #[error("cannot check `{scheme}` URLs, only http and https")]
    UnsupportedScheme {
        /// Scheme as given.
        scheme: String,
    },
    /// User name or password within the URL: they would be printed with every line.
    #[error("cannot take credentials in a URL")]
    Credentials,
    /// Text that is not `HOST:PORT`.
    #[error("cannot read `{text}` as HOST:PORT")]
    InvalidConnectTo {
        /// Text as given.
        text: String,
    },
}

impl Target {
    /// Creates a target. `http://` is optional in the URL; the default path is `/now`.
    pub fn new(url: &str, connect_to: Option<ConnectTo>) -> Result<Self, TargetError> {
        let mut target = Self::exact(url, connect_to)?;
        if target.url.path() == "/" {
            target.url.set_path(DEFAULT_PATH);
        }
        Ok(target)
    }

    /// Creates a target whose path is requested as written. `http://` is optional.
    pub fn exact(url: &str, connect_to: Option<ConnectTo>) -> Result<Self, TargetError> {
        // `Url` would parse a number as an IPv4 address: 8080 as 0.0.31.144.
        if !url.is_empty() && url.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(TargetError::InvalidUrl {
                url: url.to_owned(),
                detail: format!("a host is missing: write for example `localhost:{url}`"),
            });
        }
        let with_scheme = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let mut parsed = Url::parse(&with_scheme).map_err(|error| TargetError::InvalidUrl {
            // The part before an `@` may contain a password.
            url: match url.rsplit_once('@') {
                Some((_, rest)) => format!("…@{rest}"),
                None => url.to_owned(),
            },
            detail: error.to_string(),
        })?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(TargetError::UnsupportedScheme {
                scheme: parsed.scheme().to_owned(),
            });
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(TargetError::Credentials);
        }
        parsed.set_fragment(None);
        Ok(Self {
            url: parsed,
            connect_to,
        })
    }

    /// Returns the same service at another path, which begins with `/` and may have a query.
    pub fn at(&self, path: &str) -> Result<Self, TargetError> {
        let invalid = |detail: String| TargetError::InvalidUrl {
            url: path.to_owned(),
            detail,
        };
        // Two slashes would begin a host. `Url` treats a backslash like a slash.
        if !path.starts_with('/') || path.starts_with("//") || path.contains('\\') {
            return Err(invalid("a path begins with one `/`".to_owned()));
        }
        let mut url = self
            .url
            .join(path)
            .map_err(|error| invalid(error.to_string()))?;
        url.set_fragment(None);
        Ok(Self {
            url,
            connect_to: self.connect_to.clone(),
        })
    }

    /// Returns the requested URL, without the nonce.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the host and port to connect to instead of the URL's.
    pub fn connect_to(&self) -> Option<&ConnectTo> {
        self.connect_to.as_ref()
    }

    /// Resolves the name. Done for every check, because a load balancer's addresses change.
    pub(crate) async fn route(&self, settings: &Settings) -> Result<Route, Failure> {
        let (host, port) = self.first_hop(settings);
        let unresolved = |detail: &str| Failure::Resolve {
            host: host.to_string(),
            detail: detail.to_owned(),
        };
        let mut addresses = resolve(&host, port).await?;
        addresses.retain(|address| settings.family.has(address.ip()));
        // Deduplicates without sorting: the resolver's order is its preference.
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(*address));
        addresses.truncate(MOST_ADDRESSES);
        match (addresses.is_empty(), settings.family) {
            (false, _) => Ok(self.route_to(addresses)),
            (true, Family::Any) => Err(unresolved("it has no address")),
            (true, Family::V4) => Err(unresolved("it has no IPv4 address")),
            (true, Family::V6) => Err(unresolved("it has no IPv6 address")),
        }
    }

    /// Returns the failure of a name resolution that took too long.
    pub(crate) fn unresolved_in_time(&self, settings: &Settings) -> Failure {
        Failure::ResolveTimeout {
            host: self.first_hop(settings).0.to_string(),
            after: settings.timeout,
        }
    }

    /// Returns the host and port to resolve and connect to: the proxy's, if there is one.
    fn first_hop(&self, settings: &Settings) -> (Host<String>, u16) {
        match &settings.proxy {
            Some(proxy) => endpoint_of(proxy),
            None => self.endpoint(),
        }
    }

    /// Returns the host and port of the service.
    pub(crate) fn endpoint(&self) -> (Host<String>, u16) {
        match &self.connect_to {
            Some(ConnectTo { host, port }) => {
                let host = host
                    .parse()
                    .map_or_else(|_| Host::Domain(host.clone()), to_host);
                (host, *port)
            }
            None => endpoint_of(&self.url),
        }
    }

    fn route_to(&self, addresses: Vec<SocketAddr>) -> Route {
        let host = self.url.host_str().unwrap_or_default();
        Route {
            host: host.to_owned(),
            host_header: match self.url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            url: self.url.clone(),
            addresses,
        }
    }
}

/// Returns host and port of a URL.
fn endpoint_of(url: &Url) -> (Host<String>, u16) {
    let host = url.host();
    (
        host.map_or_else(|| Host::Domain(String::new()), |host| host.to_owned()),
        url.port_or_known_default().unwrap_or(80),
    )
}

fn to_host(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

/// Route to a target: the request's URL and host, and the addresses to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) url: Url,
    /// Host as shown to people.
    pub(crate) host: String,
    pub(crate) host_header: String,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Route {
    /// Returns whether all addresses are loopback ones. A service usually listens on only one of
    /// them.
    pub(crate) fn are_interchangeable(&self) -> bool {
        self.addresses
            .iter()
            .all(|address| address.ip().is_loopback())
    }
}

async fn resolve(host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let name = match host {
        Host::Ipv4(address) => return Ok(vec![(*address, port).into()]),
        Host::Ipv6(address) => return Ok(vec![(*address, port).into()]),
        Host::Domain(name) => name,
    };
    if is_localhost(name) {
        // RFC 6761: names below `localhost` are not sent to a resolver, which may not know them.
        return Ok(vec![
            (Ipv4Addr::LOCALHOST, port).into(),
            (Ipv6Addr::LOCALHOST, port).into(),
        ]);
    }
    let addresses = tokio::net::lookup_host((name.as_str(), port))
        .await
        .map_err(|error| unresolved(name.clone(), crate::error_text::detail(&error)))?;
    Ok(addresses.collect())
}

/// Tells a name without an address from a failing resolver. The standard library only exposes the
/// system's error text.
fn unresolved(host: String, detail: String) -> Failure {
    const NO_SUCH_NAME: [&str; 5] = [
        // glibc
        "name or service not known",
        "no address associated with hostname",
        // musl
        "name does not resolve",
        "name has no usable address",
        // macOS
        "nodename nor servname provided, or not known",
    ];
    if NO_SUCH_NAME.contains(&detail.as_str()) {
        Failure::Resolve { host, detail }
    } else {
        Failure::Resolver { host, detail }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

impl FromStr for ConnectTo {
    type Err = TargetError;

    /// Parses `HOST:PORT`, with an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || TargetError::InvalidConnectTo {
            text: text.to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let address = rest.strip_suffix(']').ok_or_else(invalid)?;
                address.parse::<Ipv6Addr>().map_err(|_| invalid())?;
                address
            }
            None => host,
        };
        let strange = |character: char| character.is_whitespace() || "/@[]?#".contains(character);
        let bare_ipv6 = host.contains(':') && !text.starts_with('[');
        if host.is_empty() || port == 0 || bare_ipv6 || host.contains(strange) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(url, None).unwrap()
    }

    #[test]
    fn urls_are_completed() {
        let table = [
            ("http://example.test", "http://example.test/now"),
            ("localhost:8080", "http://localhost:8080/now"),
            (
                "https://example.test/time?a=1#x",
                "https://example.test/time?a=1",
            ),
            ("http://[::1]:80/", "http://[::1]/now"),
        ];
        for (given, asked) in table {
            assert_eq!(target(given).url().as_str(), asked);
        }
        let elsewhere = target("http://a.test:81/x?y=1");
        let elsewhere = |path| elsewhere.at(path).map(|target| target.url().to_string());
        assert_eq!(elsewhere("/").unwrap(), "http://a.test:81/");
        assert_eq!(elsewhere("/b/c?d=e#f").unwrap(), "http://a.test:81/b/c?d=e");
        for path in ["", "b", "//b.test/", "/\\b.test", "http://b.test/"] {
            assert!(elsewhere(path).is_err(), "{path}");
        }
        let exact = Target::exact("example.test/", None).unwrap();
        assert_eq!(exact.url().as_str(), "http://example.test/");
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for url in [
            "",
            "8080",
            "ftp://example.test",
            "http://u:p@example.test/",
            "http://:80",
            "http://a b/",
        ] {
            assert!(Target::new(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn connect_to_is_read_strictly() {
        for text in ["127.0.0.1:80", "[::1]:8080", "lb.example.test:443"] {
            assert_eq!(text.parse::<ConnectTo>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:70000",
            "::1:80",
            "[x]:1",
            "http://h:1",
        ] {
            assert!(text.parse::<ConnectTo>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn names_below_localhost_are_loopback() {
        for url in [
            "http://localhost:81",
            "http://service.localhost:81",
            "http://LOCALHOST.:81",
        ] {
            let route = target(url).route(&Settings::default()).await.unwrap();
            assert_eq!(
                route.addresses,
                [
                    SocketAddr::from(([127, 0, 0, 1], 81)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, 81))
                ]
            );
        }
    }

    #[tokio::test]
    async fn a_family_leaves_out_the_others_addresses() {
        let of = async |url: &str, family| {
            let settings = Settings {
                family,
                ..Settings::default()
            };
            target(url).route(&settings).await
        };
        let v6 = of("http://localhost:81", Family::V6).await.unwrap();
        assert_eq!(v6.addresses, [SocketAddr::from((Ipv6Addr::LOCALHOST, 81))]);
        let none = of("http://127.0.0.1:81", Family::V6).await.unwrap_err();
        assert_eq!(
            none.to_string(),
            "cannot resolve `127.0.0.1`: it has no IPv6 address"
        );
    }
}
