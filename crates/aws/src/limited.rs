//! Size-limited reading of files from outside.

use std::io::ErrorKind;
use std::path::Path;

use support::input;

/// Reads a file of at most `limit` bytes; `None` if it does not exist.
pub(super) async fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let path = path.to_owned();
    // Opening a pipe without a writer blocks. On a separate thread, it does not delay Ctrl-C.
    match tokio::task::spawn_blocking(move || input::bytes(&path, limit)).await {
        Ok(Ok(None)) => Err(format!("it is larger than {limit} bytes")),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
