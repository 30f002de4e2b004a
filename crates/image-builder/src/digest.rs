//! SHA-256 digests as registries write them.

use sha2::{Digest as _, Sha256};

/// Returns `sha256:…` of the content.
pub(crate) fn digest(content: &[u8]) -> String {
    digest_of(Sha256::new_with_prefix(content))
}

/// Returns `sha256:…` of what was hashed.
pub(crate) fn digest_of(hash: Sha256) -> String {
    use std::fmt::Write as _;
    let start = "sha256:".to_owned();
    hash.finalize().iter().fold(start, |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
