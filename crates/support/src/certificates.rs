//! Certificates that this machine trusts, found as OpenSSL does.
//!
//! Without any, some HTTP clients cannot be made at all, not even for plain HTTP on this machine.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::{input, private};

/// Variable with the file that replaces the system's.
pub const FILE_VARIABLE: &str = "SSL_CERT_FILE";
/// Variable with the folders that replace the system's, separated by colons.
const FOLDERS_VARIABLE: &str = "SSL_CERT_DIR";
/// Beginning of each certificate in a file.
const BEGIN: &[u8] = b"-----BEGIN ";
/// Number of bytes at the beginning of a file in which the first certificate is expected.
const HEAD: u64 = 64 << 10;

/// Certificate whose key does not exist: whoever trusts it trusts nobody.
const NOBODY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBczCCARqgAwIBAgIUe05gRyaXrN0Yd0oaVrg61sjDWZAwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MB4XDTI2MTEyODE5NTAwM1oXDTI2MTEyOTE5NTAw
M1owETEPMA0GA1UEAwwGbm9ib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
GXy39s5PdNv70E80jLjJDq/r1UjxvELp2/eqePmwbp7seTufW6hFvfouS+mM0naU
nlDInwKgPIedLpvgSb4zo6NQME4wHQYDVR0OBBYEFEqSEFGbLPzzEaqqiOii5S5Q
B4+1MB8GA1UdIwQYMBaAFEqSEFGbLPzzEaqqiOii5S5QB4+1MAwGA1UdEwEB/wQC
MAAwCgYIKoZIzj0EAwIDRwAwRAIgKMKWVOCPdDEdY7YSLM9vAyA9aU8p2GkucbqV
5KRrF/0CIFQSrZS/OE1IZcPyB2Fyj2e2hCPamEsVF9L2aGpVqwIL
-----END CERTIFICATE-----
";

/// Returns whether there is any certificate to trust, that of nobody included.
pub fn has_any() -> bool {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let (file, folders) = match (variable(FILE_VARIABLE), variable(FOLDERS_VARIABLE)) {
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
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .into_iter()
                .any(|entry| has_certificate(&entry.path()))
        })
}

fn has_certificate(file: &Path) -> bool {
    let mut head = Vec::new();
    // A pipe would wait for whoever writes to it.
    file.is_file()
        && File::open(file).is_ok_and(|file| file.take(HEAD).read_to_end(&mut head).is_ok())
        && head.windows(BEGIN.len()).any(|bytes| bytes == BEGIN)
}

fn is_nobody(file: &Path) -> bool {
    input::bytes(file, NOBODY.len() as u64)
        .is_ok_and(|found| found.as_deref() == Some(NOBODY.as_bytes()))
}

/// Returns the file in `folder` with a certificate of nobody; writes it unless it is there.
pub fn of_nobody(folder: &Path) -> io::Result<PathBuf> {
    let file = folder.join("trust-nobody.pem");
    if !is_nobody(&file) {
        private::folder(folder)?;
        private::create(&file)?.write_all(NOBODY.as_bytes())?;
    }
    Ok(file)
}

/// Returns whether this process trusts nobody because of [`of_nobody`].
pub fn trusts_nobody() -> bool {
    std::env::var_os(FILE_VARIABLE).is_some_and(|file| is_nobody(Path::new(&file)))
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

    #[test]
    fn the_certificate_of_nobody_is_written_once_and_repaired() {
        let folder = tempfile::tempdir().unwrap();
        let file = of_nobody(folder.path()).unwrap();
        assert!(is_nobody(&file) && has_certificate(&file));
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(of_nobody(folder.path()).unwrap(), file);
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
        fs::write(&file, &NOBODY[..40]).unwrap();
        assert!(!is_nobody(&file));
        of_nobody(folder.path()).unwrap();
        assert!(is_nobody(&file));
    }
}
