//! Rules of HTTP/1.1 that hyper leaves to the application: RFC 9112 on the request line, `Host` and transfer codings.

use std::net::Ipv6Addr;

use warp::http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use warp::http::uri::Scheme;
use warp::http::{Method, StatusCode, Uri, Version};

/// Why a request is refused whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request target has another form than its method has, another scheme, or a user name.
    Target,
    /// HTTP/1.1 without `Host`, several `Host` lines, or one that is not a host and port.
    Host,
    /// `chunked` twice: no program may send that, and two programs may read it differently.
    ChunkedTwice,
    /// A transfer coding that is not known here.
    TransferCoding,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Target | Self::Host | Self::ChunkedTwice => StatusCode::BAD_REQUEST,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Target => "invalid request target",
            Self::Host => "invalid Host header",
            Self::ChunkedTwice => "invalid Transfer-Encoding header",
            Self::TransferCoding => "unsupported transfer coding",
        }
    }
}

/// Checks the target and the `Host` header.
///
/// Which host is meant makes no difference here, so a `Host` other than the one in an absolute target is no
/// fault: the target takes precedence (RFC 9112 §3.2.2).
pub(crate) fn check_target(
    version: Version,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    // Nearly all targets are paths, which have neither scheme nor authority.
    if !uri.path().starts_with('/') || uri.authority().is_some() {
        check_other_form(method, uri)?;
    }
    let mut hosts = headers.get_all(HOST).iter();
    let is_right = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_authority(host.as_bytes()),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_right { Ok(()) } else { Err(Refusal::Host) }
}

/// Checks a target that is not a path: RFC 9112 §3.2.2 to §3.2.4.
fn check_other_form(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    let is_right = match (uri.scheme(), uri.authority()) {
        // A load balancer that ends TLS passes on what it was asked.
        (Some(scheme), Some(authority)) => {
            (*scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
                && is_authority(authority.as_str().as_bytes())
        }
        (None, Some(_)) => method == Method::CONNECT,
        (_, None) => method == Method::OPTIONS && uri.path() == "*",
    };
    if is_right {
        Ok(())
    } else {
        Err(Refusal::Target)
    }
}

/// Checks the transfer codings of a request. hyper has refused those that do not end with `chunked`.
pub(crate) fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut chunked = 0;
    for line in headers.get_all(TRANSFER_ENCODING) {
        for coding in line.as_bytes().split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked += 1;
            } else if !coding.is_empty() {
                return Err(Refusal::TransferCoding);
            }
        }
    }
    if chunked > 1 {
        return Err(Refusal::ChunkedTwice);
    }
    Ok(())
}

/// Returns whether this is a host with or without a port (RFC 3986 §3.2.2, §3.2.3) that an `http` URI can have:
/// the host is not empty (RFC 9110 §4.2.1), and the port is one of TCP. There is no user name in `Host`, and none may
/// be in a target (RFC 9110 §4.2.4). Addresses of future versions of IP (`[v1.…]`) are refused: there are none.
fn is_authority(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let (address, after) = (&rest[..end], &rest[end + 1..]);
        let is_address =
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
        return is_address && (after.is_empty() || is_port(after));
    }
    let mut position = 0;
    while let Some(byte) = text.get(position) {
        position += match byte {
            b':' => return position > 0 && is_port(&text[position..]),
            b'%' => match text.get(position + 1..position + 3) {
                Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 3,
                _ => return false,
            },
            byte if is_name_byte(*byte) => 1,
            _ => return false,
        };
    }
    position > 0
}

/// `unreserved` and `sub-delims` of RFC 3986.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Returns whether this is `:` and a port, which may be left out.
fn is_port(text: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix(b":") else {
        return false;
    };
    // Any number of leading zeros is allowed, so the length says nothing.
    let port = digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    });
    port.is_some()
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let right = [
            "a",
            "test",
            "127.0.0.1:8080",
            "a.example.",
            "xn--gre-goa.example",
            "a_b",
            "a:",
            "a:0",
            "a:80",
            "a:080",
            "a:00000000000080",
            "a:65535",
            "a%20b",
            "a%fF:1",
            // Nobody has these names, but they are names.
            "a,b",
            "*",
            "(a)!$&'*+;=~",
            "[::1]",
            "[::1]:80",
            "[::ffff:192.0.2.1]:",
        ];
        for text in right {
            assert!(is_authority(text.as_bytes()), "{text:?}");
        }
        let wrong = [
            "",
            ":",
            ":80",
            "a b",
            "a\tb",
            "u@x",
            "u:p@x",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "<a>",
            "a|b",
            "a^b",
            "a`b",
            "{a}",
            "é",
            "a%",
            "a%2",
            "a%zz",
            "a%2g",
            "a:http",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:4294967376",
            "a:18446744073709551696",
            "a:80:80",
            "a: 80",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[::1]]",
            "[::g]",
            "[1.2.3.4]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "http://a",
        ];
        for text in wrong {
            assert!(!is_authority(text.as_bytes()), "{text:?}");
        }
        for byte in [0, 0x7f, 0x80, 0xff] {
            assert!(!is_authority(&[b'a', byte]), "{byte}");
        }
    }

    fn with(name: &warp::http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_form_of_the_target_belongs_to_the_method() {
        let check = |method, target: &str| {
            let headers = with(&HOST, &["test"]);
            check_target(
                Version::HTTP_11,
                &method,
                &target.parse().unwrap(),
                &headers,
            )
        };
        for (method, target) in [
            (Method::GET, "/"),
            (Method::GET, "//a@b"),
            (Method::GET, "http://other"),
            (Method::POST, "HTTPS://a:80/b"),
            (Method::OPTIONS, "*"),
            (Method::CONNECT, "a:80"),
        ] {
            assert_eq!(check(method, target), Ok(()), "{target}");
        }
        for (method, target) in [
            (Method::GET, "ftp://a/b"),
            (Method::GET, "http://u@a/"),
            (Method::GET, "http://u:p@a/"),
            (Method::GET, "http://a:65536/"),
            (Method::GET, "a:80"),
            (Method::GET, "a"),
            (Method::GET, "*"),
        ] {
            assert_eq!(check(method, target), Err(Refusal::Target), "{target}");
        }
    }

    #[test]
    fn one_host_is_required_since_version_1_1() {
        let check = |version, hosts: &[&'static str]| {
            check_target(
                version,
                &Method::GET,
                &Uri::from_static("/"),
                &with(&HOST, hosts),
            )
        };
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(check(version, &["a"]), Ok(()));
            for hosts in [&["a", "a"][..], &["a", "b"], &[""], &["a b"]] {
                assert_eq!(check(version, hosts), Err(Refusal::Host), "{hosts:?}");
            }
        }
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check(Version::HTTP_11, &[]), Err(Refusal::Host));
    }

    #[test]
    fn only_chunks_are_understood() {
        let check = |lines: &[&'static str]| check_codings(&with(&TRANSFER_ENCODING, lines));
        for lines in [
            &["chunked"][..],
            &["CHUNKED"],
            &[" , chunked\t"],
            &["", "chunked"],
        ] {
            assert_eq!(check(lines), Ok(()), "{lines:?}");
        }
        for lines in [&["chunked, chunked"][..], &["chunked", "chunked"]] {
            assert_eq!(check(lines), Err(Refusal::ChunkedTwice), "{lines:?}");
        }
        for lines in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["identity,chunked"],
            &["chunked;a=b, chunked"],
            &["chunked, x, chunked"],
        ] {
            assert_eq!(check(lines), Err(Refusal::TransferCoding), "{lines:?}");
        }
    }
}
