//! Access to registries on this machine, which use no TLS. Their addresses come from no resolver
//! and their requests go through no proxy: data such as passwords must not leave the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time limit for a connection. On this machine it succeeds or fails at once.
const LIMIT: Duration = Duration::from_secs(2);
/// Default port of plain HTTP.
const USUAL_PORT: u16 = 80;

/// Loopback addresses, for whatever name the registry has.
const HERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Returns whether the registry is on this machine.
pub(super) fn is_loopback(registry: &str) -> bool {
    // Names of hosts have no case.
    let registry = registry.to_ascii_lowercase();
    let (host, _port) = split(&registry);
    host == "localhost"
        || host.ends_with(".localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// Returns the address of a registry: its name, unless it is on this machine. Names that end in `localhost` are loopback by
/// definition (RFC 6761). A resolver with a search domain might still look them up elsewhere.
pub(super) async fn address_of(registry: &str) -> String {
    let (host, port) = split(registry);
    if address(host).is_some() || !is_loopback(registry) {
        return registry.to_owned();
    }
    let at = |ip: IpAddr| SocketAddr::new(ip, port.unwrap_or(USUAL_PORT));
    let [four, six] = HERE.map(at);
    let listens =
        |at| async move { matches!(timeout(LIMIT, TcpStream::connect(at)).await, Ok(Ok(_))) };
    // If nobody listens on either address, the request itself reports the error.
    if !listens(four).await && listens(six).await {
        six.to_string()
    } else {
        four.to_string()
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Splits a host from its port, if there is one.
fn split(registry: &str) -> (&str, Option<u16>) {
    match registry.rsplit_once(':') {
        // A colon within brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (registry, None),
        },
        Some(_) | None => (registry, None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let table = [
            ("localhost", true),
            ("localhost:4566", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("ecr.localhost:4566", true),
            ("LOCALHOST:5000", true),
            ("localhost.example.org", false),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", false),
            ("10.0.0.1:5000", false),
            ("[2001:db8::1]:5000", false),
            ("notlocalhost", false),
        ];
        for (registry, expected) in table {
            assert_eq!(is_loopback(registry), expected, "{registry}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_looked_up_nowhere() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = format!("127.0.0.1:{port}");
        for name in ["localhost", "ecr.localhost", "no-such-name.localhost"] {
            assert_eq!(address_of(&format!("{name}:{port}")).await, here);
        }
        for other in ["[::1]:5000", "registry.example", "localhost.example:80"] {
            assert_eq!(address_of(other).await, other);
        }
        assert_eq!(address_of(&here).await, here);

        drop(listener);
        assert_eq!(address_of(&format!("localhost:{port}")).await, here);
        // Where the sixth version is there: what listens on it alone is found.
        if let Ok(listener) = TcpListener::bind("[::1]:0").await {
            let port = listener.local_addr().unwrap().port();
            let name = format!("localhost:{port}");
            assert_eq!(address_of(&name).await, format!("[::1]:{port}"));
        }
    }
}
