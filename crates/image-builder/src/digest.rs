//! SHA-256 digests in the format of registries.

use std::io::{self, Write};

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

/// Writer that hashes the data on its way to the compressor.
pub(crate) struct Hashing<W> {
    pub(crate) inner: W,
    hash: Sha256,
    /// Number of bytes written so far.
    pub(crate) size: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Returns the digest of the data written so far, `sha256:…`.
    pub(crate) fn digest(&self) -> String {
        digest_of(self.hash.clone())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        // The caller writes the rest again, so it must not be hashed yet.
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
