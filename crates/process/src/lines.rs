//! Reader for the lines of a stream, as they arrive.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Length limit for a line in bytes, to bound the memory. The rest of a longer line is dropped.
const MAX_LINE: usize = 1 << 20;

/// Reader for lines of limited length. [`Lines::next`] is cancel-safe: nothing is lost if its
/// future is dropped.
pub(super) struct Lines<R> {
    reader: Option<BufReader<R>>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: Option<R>) -> Self {
        Self {
            reader: stream.map(BufReader::new),
            line: Vec::new(),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_none()
    }

    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            let available = reader.fill_buf().await?;
            if available.is_empty() {
                self.reader = None;
                // The last line may lack its line break.
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(available.len());
            // The rest of a long line is consumed without storing it.
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&available[..length.min(room)]);
            reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.line);
        // Compilers quote paths and sources, which need not be UTF-8.
        String::from_utf8_lossy(&bytes)
            .trim_end_matches('\r')
            .to_owned()
    }
}
