//! Reading of files that somebody else wrote, up to a limit.

use std::io::ErrorKind;
use std::path::Path;

use support::input;

/// Reads a file of at most so many bytes; `None` where there is none.
pub(super) async fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let path = path.to_owned();
    // A pipe that nobody writes to may not keep Ctrl-C from ending the program.
    match tokio::task::spawn_blocking(move || input::bytes(&path, limit)).await {
        Ok(Ok(None)) => Err(format!("it is larger than {limit} bytes")),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
