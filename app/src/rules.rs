//! Rules of HTTP/1.1 that hyper leaves to the application: RFC 9112 on the request line, `Host` and
//! transfer codings.

use std::net::Ipv6Addr;

use warp::http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use warp::http::uri::Scheme;
use warp::http::{Method, Request, StatusCode, Uri, Version};

/// Reason to refuse a request for any path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request target has the wrong form for its method, another scheme, or a user name.
    Target,
    /// HTTP/1.1 without `Host`, several `Host` lines, or one that is not a host and port.
    Host,
    /// `chunked` occurs twice: no program may send that, and two programs may read it differently.
    ChunkedTwice,
    /// The transfer coding is not implemented.
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

/// Checks a request, and its transfer codings if it `has_chunks`.
///
/// Which host is meant makes no difference here, so a `Host` other than the one in an absolute
/// target is allowed: the target takes precedence (RFC 9112 §3.2.2).
pub(crate) fn check<B>(request: &Request<B>, has_chunks: bool) -> Result<(), Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    // Nearly all targets are paths, which have neither scheme nor authority.
    if !uri.path().starts_with('/') || uri.authority().is_some() {
        check_other_form(request.method(), uri)?;
    }
    // A scan, because requests have few headers: a lookup takes more instructions.
    let mut hosts = headers.iter().filter(|(name, _)| *name == HOST);
    let is_right = match (hosts.next(), hosts.next()) {
        (Some((_, host)), None) => is_authority(host.as_bytes()),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if !is_right {
        return Err(Refusal::Host);
    }
    if has_chunks {
        check_codings(headers)
    } else {
        Ok(())
    }
}

/// Checks a target that is not a path: RFC 9112 §3.2.2 to §3.2.4.
fn check_other_form(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    let is_right = match (uri.scheme(), uri.authority()) {
        // A load balancer that terminates TLS forwards the target it received.
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

/// Checks the transfer codings of a request. hyper has refused those that do not end with
/// `chunked`.
fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
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

/// Returns whether this is a host with or without a port (RFC 3986 §3.2.2, §3.2.3) that an `http`
/// URI can have: the host is not empty (RFC 9110 §4.2.1), and the port is one of TCP. There is no
/// user name in `Host`, and none may be in a target (RFC 9110 §4.2.4). Addresses of future versions
/// of IP (`[v1.…]`) are refused: there are none.
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
    let mut rest = text;
    loop {
        let end = rest.iter().position(|byte| !NAME_BYTES[usize::from(*byte)]);
        rest = &rest[end.unwrap_or(rest.len())..];
        match rest {
            [] => return !text.is_empty(),
            [b':', ..] => return rest.len() < text.len() && is_port(rest),
            [b'%', first, second, after @ ..]
                if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() =>
            {
                rest = after;
            }
            _ => return false,
        }
    }
}

/// `unreserved` and `sub-delims` of RFC 3986. A table, because each byte of each `Host` is looked
/// up.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x7f {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'$' | b'&'..=b'.' | b';' | b'=' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// Returns whether this is `:` and a port, which may be left out.
fn is_port(text: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix(b":") else {
        return false;
    };
    // Any number of leading zeros is allowed, so the length is no criterion.
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
        // Some of these names are unusual, but they are names.
        let right = "a test 127.0.0.1:8080 a.example. xn--gre-goa.example a_b a: a:0 a:80 a:080 \
                     a:00000000000080 a:65535 a%20b a%fF:1 a,b * (a)!$&'*+;=~ [::1] [::1]:80 \
                     [::ffff:192.0.2.1]:";
        for text in right.split(' ') {
            assert!(is_authority(text.as_bytes()), "{text:?}");
        }
        let wrong = ": :80 u@x u:p@x a/b a?b a#b a\\b a\"b <a> a|b a^b a`b {a} é a% a%2 a%zz a%2g \
                     a:http a:-1 a:+1 a:65536 a:4294967376 a:18446744073709551696 a:80:80 [ [] [::1 ::1 \
                     [::1]x [::1]:x [::1]] [::g] [1.2.3.4] [v1.a] [fe80::1%25eth0] http://a";
        for text in wrong.split(' ').chain(["", "a b", "a\tb", "a: 80"]) {
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

    fn check_head(
        version: Version,
        method: Method,
        target: &str,
        hosts: &[&'static str],
    ) -> Result<(), Refusal> {
        let mut request = Request::new(());
        *request.version_mut() = version;
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        *request.headers_mut() = with(&HOST, hosts);
        check(&request, false)
    }

    #[test]
    fn the_form_of_the_target_belongs_to_the_method() {
        let check = |method, target| check_head(Version::HTTP_11, method, target, &["test"]);
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
        for target in [
            "ftp://a/b",
            "http://u@a/",
            "http://u:p@a/",
            "http://a:65536/",
            "a:80",
            "a",
            "*",
        ] {
            let checked = check(Method::GET, target);
            assert_eq!(checked, Err(Refusal::Target), "{target}");
        }
    }

    #[test]
    fn one_host_is_required_since_version_1_1() {
        let check = |version, hosts: &[&'static str]| check_head(version, Method::GET, "/", hosts);
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
