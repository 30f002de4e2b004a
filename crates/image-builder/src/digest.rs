//! SHA-256 digests in the format of registries.

use sha2::{Digest as _, Sha256};

/// Returns the digest of the content, `sha256:…`.
pub(crate) fn digest(content: &[u8]) -> String {
    digest_of(Sha256::new_with_prefix(content))
}

/// Returns the digest of the hashed data, `sha256:…`.
pub(crate) fn digest_of(hash: Sha256) -> String {
    use std::fmt::Write as _;
    let start = "sha256:".to_owned();
    hash.finalize().iter().fold(start, |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
