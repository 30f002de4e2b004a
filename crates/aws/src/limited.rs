//! Reading of files that somebody else wrote, up to a limit.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// Reads a file of at most so many bytes; `None` where there is none.
pub(super) async fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let path = path.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(limit + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    // A pipe that nobody writes to may not keep Ctrl-C from ending the program.
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(bytes)) if bytes.len() as u64 > limit => {
            Err(format!("it is larger than {limit} bytes"))
        }
        Ok(Ok(bytes)) => Ok(Some(bytes)),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
