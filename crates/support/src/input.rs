//! Reads files up to a size limit: a device, a pipe or a log that was named by mistake must not
//! fill the memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Size limit for files that people write, such as a configuration, a `Dockerfile` or a template,
/// in bytes.
pub const WRITTEN_BY_HAND: u64 = 4 << 20;
/// Size limit for files that programs write, such as a lock file or a list of sources, in bytes.
pub const WRITTEN_BY_PROGRAMS: u64 = 64 << 20;

/// Reads a text file. More than `limit` bytes, or invalid UTF-8, is an error of the kind
/// `InvalidData`.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let too_large = || invalid(format!("it is larger than {} MiB", limit >> 20));
    let bytes = bytes(path, limit)?.ok_or_else(too_large)?;
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))
}

/// Reads a file; returns `None` if it has more than `limit` bytes.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file is too large.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        let limit = 1 << 20;
        let whole = "é".repeat(limit / 2);
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(text(&path, limit as u64).unwrap(), whole);

        std::fs::write(&path, whole + "x").unwrap();
        let error = text(&path, limit as u64).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1 MiB");

        std::fs::write(&path, [0xff]).unwrap();
        let error = text(&path, limit as u64).unwrap_err();
        assert_eq!(error.to_string(), "it is not UTF-8 text");
        assert_eq!(
            text(&folder.path().join("none"), 1).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = text(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
