//! Parses names of images as Docker reads them: `[REGISTRY/]NAME[:TAG][@DIGEST]`.
//!
//! The library of the registry client does so with a regular expression that takes longer to
//! compile than an unchanged image to push.

use std::net::Ipv6Addr;

use oci_client::Reference;

pub(crate) const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_LEGACY: &str = "index.docker.io";
/// Namespace of Docker Hub's own images, which their names omit.
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// Size limits of a repository's name and of a tag, in bytes.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;
/// Number of hexadecimal digits by algorithm.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// Returns the parts of an image's name, or `None` if it is not valid.
pub(crate) fn parse(text: &str) -> Option<Reference> {
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (text, None),
    };
    let start = named.rfind('/').map_or(0, |slash| slash + 1);
    // A colon before the last slash is that of a port.
    let (name, tag) = match named[start..].rfind(':').map(|colon| start + colon) {
        Some(colon) => (&named[..colon], Some(&named[colon + 1..])),
        None => (named, None),
    };
    // A repository's name has no upper-case letters.
    let is_registry = |part: &str| {
        part.contains(['.', ':']) || part == "localhost" || part.contains(char::is_uppercase)
    };
    let (registry, repository) = match name.split_once('/') {
        Some((registry, repository)) if is_registry(registry) => (registry, repository),
        Some(_) | None => (DOCKER_HUB, name),
    };
    let registry = if registry == DOCKER_HUB_LEGACY {
        DOCKER_HUB
    } else {
        registry
    };
    let is_valid = is_host(registry)
        && repository.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    let repository = if registry == DOCKER_HUB && !repository.contains('/') {
        format!("{OFFICIAL}/{repository}")
    } else {
        repository.to_owned()
    };
    // Docker takes it for the ID of an image.
    let is_id = text.len() == 64 && is_hex(text);
    if !is_valid || is_id || repository.len() > MAX_NAME {
        return None;
    }
    let (registry, tag) = (registry.to_owned(), tag.map(ToOwned::to_owned));
    let digest = digest.map(ToOwned::to_owned);
    Some(match (tag, digest) {
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag, digest)
        }
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest),
        (tag, None) => {
            let tag = tag.unwrap_or_else(|| DEFAULT_TAG.to_owned());
            Reference::with_tag(registry, repository, tag)
        }
    })
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    let port_of = |rest: &str| rest.strip_prefix(':').map_or(rest.is_empty(), is_number);
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && !address.contains('.') && port_of(rest);
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    name.split('.').all(is_label) && port_of(port)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether this is a component of a repository's name: lower-case letters and digits,
/// separated by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    let mut separators = text.split(is_alphanumeric).filter(|it| !it.is_empty());
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && separators.all(|it| matches!(it, "." | "_" | "__") || it.bytes().all(|it| it == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    let mut bytes = text.bytes();
    text.len() <= MAX_TAG
        && bytes.next().is_some_and(is_word)
        && bytes.all(|it| is_word(it) || matches!(it, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else {
        return false;
    };
    DIGESTS.contains(&(algorithm, digits.len())) && is_hex(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the library's parser, which also takes names for those of hosts that no host
    /// has. Returns whether the name is valid.
    fn check(name: &str) -> bool {
        let ours = parse(name);
        let theirs: Option<Reference> = name.parse().ok();
        let theirs = theirs.filter(|it| is_host(it.registry()));
        assert_eq!(ours, theirs, "{name:?}");
        ours.is_some()
    }

    #[test]
    fn names_are_parsed_as_the_registry_client_parses_them() {
        let digits = |count: usize| "0123456789abcdef".repeat(count / 16);
        let sha256 = format!("@sha256:{}", digits(64));
        for valid in [
            "rust",
            "rust:1.90-slim",
            "library/rust",
            "docker.io/rust",
            "index.docker.io/rust",
            "docker.io/a/rust",
            "localhost/a",
            "localhost:5000/a:1",
            "127.0.0.1:5000/a/b__c/d--e/f.g_h:_1.2-3",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app:v1",
            "host:5000",
            "host.example:5000",
            "a_b.example:1",
            "gcr.io/distroless/static-debian12:nonroot",
            "HOST.example/a",
            "xn--n3h.example/a",
            &format!("a{sha256}"),
            &format!("host:1/a:t{sha256}"),
            &format!("a@sha384:{}", digits(96)),
            &format!("a@sha512:{}", digits(128)),
            &format!("a:{}", "t".repeat(128)),
            &format!("h.example/{}", "n".repeat(255)),
        ] {
            assert!(check(valid), "{valid}");
        }
        for not in [
            "",
            "/",
            ":",
            "@",
            "a/",
            "/a",
            "a//b",
            "A",
            "a:",
            "a:-",
            "a:.b",
            "a@",
            "a@b",
            "a b",
            "-a",
            "a-",
            "a_",
            "a___b",
            "a..b",
            "a.-b",
            "h.:1/a",
            "h.example:/a",
            "h.example:p/a",
            "-h.example/a",
            "h-.example/a",
            "h..example/a",
            "a:t:t",
            "a\n",
            "ä",
            "a:t/b",
            "http://h/a",
            &format!("a{sha256}0"),
            &format!("a@sha256:{}", digits(96)),
            &format!("a@md5:{}", digits(32)),
            &format!("a@sha256:{}", "g".repeat(64)),
            &format!("a:{}", "t".repeat(129)),
            &format!("h.example/{}", "n".repeat(256)),
            &"n".repeat(250),
        ] {
            assert!(!check(not), "{not}");
        }
    }

    #[test]
    fn any_name_is_parsed_as_the_registry_client_parses_it() {
        let parts = ["a", "1", "localhost", "h.example", ":", "/", ".", "_", "-"];
        let digest = format!("@sha256:{}", "0".repeat(64));
        let mut names = vec![String::new()];
        let mut valid = 0;
        for _ in 0..4 {
            names = names
                .iter()
                .flat_map(|it| parts.map(|part| format!("{it}{part}")))
                .collect();
            valid += names.iter().filter(|it| check(it)).count();
        }
        for name in names.iter().step_by(7) {
            valid += usize::from(check(&format!("{name}{digest}")));
            valid += usize::from(check(&format!("h:80/{name}")));
        }
        assert!(valid > 1000, "{valid}");
    }

    /// Names on which the library differs from Docker.
    #[test]
    fn hosts_and_digests_are_those_of_docker() {
        let hub = "docker.io";
        for (text, registry, repository) in [
            ("[::1]:5000/a", "[::1]:5000", "a"),
            ("[2001:db8::7]/team/a", "[2001:db8::7]", "team/a"),
            (
                "[2001:DB8:0:0:0:0:0:7]:80/a",
                "[2001:DB8:0:0:0:0:0:7]:80",
                "a",
            ),
            ("MYHOST/app", "MYHOST", "app"),
            ("myHost/team/app", "myHost", "team/app"),
            ("LOCALHOST/app", "LOCALHOST", "app"),
            ("my-host:80/app", "my-host:80", "app"),
            ("myhost/app", hub, "myhost/app"),
            ("my_host/app", hub, "my_host/app"),
            ("index.docker.io/app", hub, "library/app"),
            ("docker.io/team/app", hub, "team/app"),
            ("192.0.2.1", hub, "library/192.0.2.1"),
        ] {
            let found = parse(&format!("{text}:1"));
            let found = found.as_ref().map(|it| (it.registry(), it.repository()));
            assert_eq!(found, Some((registry, repository)), "{text}");
        }
        let (digits, capitals) = ("0d".repeat(32), "0D".repeat(32));
        for not in [
            "team/App",
            "MYHOST",
            "MYHOST/App",
            "a_b.example/c",
            "MY_HOST/c",
            "a:ä",
            "Ä/a",
            "[::1]",
            "[::1]:5000",
            "[::1/a",
            "::1:5000/a",
            "[]/a",
            "[::1]5000/a",
            "[::1]:/a",
            "[::1]:p/a",
            "[fe80::1%eth0]:5000/a",
            "[::ffff:192.0.2.33]:5000/a",
            "[h.example]/a",
            // The ID of an image.
            &digits,
            &format!("a@sha256:{capitals}"),
            &format!("a@SHA256:{digits}"),
        ] {
            assert_eq!(parse(not), None, "{not}");
        }
        let names = [format!("{digits}:1"), format!("h.example/{digits}")];
        assert!(names.iter().all(|it| parse(it).is_some()));
        let digest = format!("sha256:{digits}");
        let name = format!("[::1]:5000/a:1@{digest}");
        let parsed = parse(&name).unwrap();
        assert_eq!(parsed.tag(), Some("1"));
        assert_eq!(parsed.digest(), Some(digest.as_str()));
        assert_eq!(parsed.whole(), name);
    }
}
