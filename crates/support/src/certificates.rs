//! Certificates that this machine trusts, found as OpenSSL does.
//!
//! Without any, some HTTP clients cannot be made at all, not even for plain HTTP on this machine.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Variable with the file that replaces the system's.
const FILE_VARIABLE: &str = "SSL_CERT_FILE";
/// Variable with the folders that replace the system's, separated by colons.
const FOLDERS_VARIABLE: &str = "SSL_CERT_DIR";
/// Beginning of each certificate in a file.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Number of bytes at the beginning of a file in which the first certificate is expected.
const HEAD: u64 = 64 << 10;

/// Returns whether this machine trusts anybody.
pub fn has_any() -> bool {
    // They are in a keychain there.
    if cfg!(target_vendor = "apple") {
        return true;
    }
    // An empty name of a file is one of no file.
    let folders = std::env::var_os(FOLDERS_VARIABLE).filter(|value| !value.is_empty());
    let (file, folders) = match (std::env::var_os(FILE_VARIABLE), folders) {
        (None, None) => {
            let found = openssl_probe::probe();
            (found.cert_file, found.cert_dir)
        }
        (file, folders) => (
            file.map(PathBuf::from),
            folders.iter().flat_map(std::env::split_paths).collect(),
        ),
    };
    file.is_some_and(|file| has_certificate(&file))
        || folders.iter().any(|folder| {
            let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.any(|entry| has_certificate(&entry.path()))
        })
}

fn has_certificate(file: &Path) -> bool {
    let mut head = Vec::new();
    // A pipe would wait for whoever writes to it.
    file.is_file()
        && File::open(file).is_ok_and(|file| file.take(HEAD).read_to_end(&mut head).is_ok())
        && head.windows(BEGIN.len()).any(|bytes| bytes == BEGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_looked_for_in_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(!has_certificate(&file));
        fs::write(&file, "# Some authority\n-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(has_certificate(&file));
        fs::write(&file, "# nothing").unwrap();
        assert!(!has_certificate(&file));
        assert!(!has_certificate(folder.path()));
        assert!(!has_certificate(Path::new("/dev/null")));
    }
}
