//! Credentials of the emulator, generated at each start and readable only by this user.
//!
//! The file has the format of AWS's shared credentials file, so that every AWS client can use it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use aws::access::AccessKey;
use sha2::{Digest as _, Sha256};
use url::Url;

use support::input;
use support::private;

/// Placeholder for emulators without credentials, which accept any value but an empty one.
const DUMMY: &str = "test";

/// Access key of the emulator.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

// Not derived, so that the secret never appears in logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Generates new credentials from 128 and 256 random bits.
    pub(super) fn generate() -> Self {
        Self {
            key_id: format!("LOCAL{}", hex(&rand::random::<[u8; 16]>()).to_uppercase()),
            secret: hex(&rand::random::<[u8; 32]>()),
        }
    }

    /// Reads the credentials; returns `None` if the file is missing or incomplete.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = input::text(path, input::WRITTEN_BY_HAND).ok()?;
        let value = |name: &str| {
            let of_name = |line: &str| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            };
            text.lines().find_map(of_name)
        };
        Some(Self {
            key_id: value("aws_access_key_id")?,
            secret: value("aws_secret_access_key")?,
        })
    }

    /// Writes the credentials atomically.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let partial = path.with_extension("credentials-partial");
        let text = format!(
            "# Of the emulator that `deployer up --local` started; each start makes new ones.\n[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            self.key_id, self.secret
        );
        private::create(&partial)?.write_all(text.as_bytes())?;
        // Readers see either the old or the new file, because a rename is atomic.
        std::fs::rename(&partial, path)
    }

    /// Returns the expected proof for this nonce, which shows that the server knows the secret
    /// without revealing it.
    pub(super) fn proof(&self, nonce: &str) -> String {
        let text = format!("health:{nonce}:{}", self.secret);
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// Returns the access key of the emulator at this address, from its latest start by this user.
pub(crate) fn access_key(endpoint: Option<&Url>) -> AccessKey {
    let port = endpoint.and_then(Url::port_or_known_default);
    let file = super::cache_folder()
        .ok()
        .zip(port)
        .map(|(folder, port)| super::file_of(&folder, port, "credentials"));
    let (id, secret) = match file.and_then(|file| Credentials::read(&file)) {
        Some(ours) => (ours.key_id, ours.secret),
        // An emulator that another program started has no such file.
        None => (DUMMY.to_owned(), DUMMY.to_owned()),
    };
    AccessKey { id, secret }
}

/// Returns a random value that was not used before.
pub(super) fn nonce() -> String {
    hex(&rand::random::<[u8; 16]>())
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use support::private::mode;

    #[test]
    fn they_are_kept_for_the_user_alone_and_new_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("emulator-1.credentials");
        let (first, second) = (Credentials::generate(), Credentials::generate());
        assert_ne!(first.key_id, second.key_id);
        assert_ne!(first.secret, second.secret);
        for credentials in [first, second] {
            credentials.write(&path).unwrap();
            assert_eq!(Credentials::read(&path), Some(credentials));
            assert_eq!(mode(&path).unwrap(), 0o600);
        }
    }

    #[test]
    fn half_a_file_is_none_and_nothing_shows_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("emulator-1.credentials");
        assert_eq!(Credentials::read(&path), None);
        std::fs::write(&path, "[default]\naws_access_key_id = x\n").unwrap();
        assert_eq!(Credentials::read(&path), None);
        let credentials = Credentials::generate();
        let shown = format!("{credentials:?}");
        assert!(!shown.contains(&credentials.secret), "{shown}");
        assert!(!shown.contains(&credentials.key_id), "{shown}");
    }
}
