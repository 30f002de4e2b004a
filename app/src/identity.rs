//! Name and version of this process in its answers, which tell instances and versions apart from
//! outside.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Digits of the image digest in the version: as many as container tools show.
const SHORT_DIGEST_LENGTH: usize = 12;

/// SHA-256 digest of the image the service runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDigest(String);

impl ImageDigest {
    /// Parses 64 lower-case hex digits, with or without `sha256:` before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 64 && digits.bytes().all(hex)).then(|| Self(digits.to_owned()))
    }

    fn short(&self) -> &str {
        &self.0[..SHORT_DIGEST_LENGTH]
    }
}

/// Name and version of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Version of this crate, and after `+` the start of the image digest if that is known
    /// (build metadata of Semantic Versioning), as in `0.1.0+3f2a9c0b1d2e`.
    pub version: String,
    /// ECS task id, or 16 random hex digits.
    pub instance: String,
}

impl Identity {
    /// Combines both. Without an instance, generates a random one.
    pub fn new(digest: Option<&ImageDigest>, instance: Option<String>) -> Self {
        Self {
            version: compose_version(env!("CARGO_PKG_VERSION"), digest),
            instance: instance.unwrap_or_else(random_instance),
        }
    }
}

fn compose_version(package: &str, digest: Option<&ImageDigest>) -> String {
    match digest {
        None => package.to_owned(),
        Some(digest) => format!("{package}+{}", digest.short()),
    }
}

/// Returns a random name. The standard library seeds its hashers from the operating system's random
/// source, which is enough to tell instances apart.
fn random_instance() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "3f2a9c0b1d2e4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde";

    #[test]
    fn digest_has_64_lower_case_hex_digits() {
        assert_eq!(
            ImageDigest::parse(DIGITS),
            ImageDigest::parse(&format!("sha256:{DIGITS}"))
        );
        assert!(ImageDigest::parse(DIGITS).is_some());
        let wrong = [
            String::new(),
            "sha256:".to_owned(),
            DIGITS[1..].to_owned(),
            format!("{DIGITS}0"),
            DIGITS.to_uppercase(),
            format!("sha512:{DIGITS}"),
            format!("sha256:sha256:{DIGITS}"),
            format!(" {DIGITS}"),
            DIGITS.replace('3', "g"),
            "é".repeat(32),
        ];
        for text in wrong {
            assert_eq!(ImageDigest::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn version_carries_the_first_12_digits() {
        let digest = ImageDigest::parse(DIGITS);
        assert_eq!(compose_version("0.1.0", None), "0.1.0");
        assert_eq!(
            compose_version("0.1.0", digest.as_ref()),
            "0.1.0+3f2a9c0b1d2e"
        );
    }

    #[test]
    fn a_known_instance_is_kept() {
        assert_eq!(
            Identity::new(None, Some("task".to_owned())).instance,
            "task"
        );
    }

    #[test]
    fn random_instances_differ_and_have_16_hex_digits() {
        let (first, second) = (
            Identity::new(None, None).instance,
            Identity::new(None, None).instance,
        );
        assert_ne!(first, second);
        assert_eq!(first.len(), 16);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
