//! Content of layers and files, which may be large: in memory, or else in a file.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::digest::Hashing;

/// Largest content that a [`Spool`] keeps in memory, in bytes.
const MAX_MEMORY: usize = 4 << 20;
/// Size of the buffer of a reader, in bytes.
const BUFFER: usize = 64 << 10;

/// Content to read, as often as needed. A clone shares it.
#[derive(Debug, Clone)]
pub enum Blob {
    /// Content that is kept in memory.
    Memory(Bytes),
    /// Content of a part of a file. The file is open, so that it can be read even if another
    /// process removes its name.
    File {
        /// Open file.
        file: Arc<File>,
        /// Position of the first byte in the file.
        start: u64,
        /// Size of the content in bytes.
        size: u64,
    },
}

impl Blob {
    /// Creates a blob of a whole file.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self::File {
            file: Arc::new(file),
            start: 0,
            size,
        })
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(content) => content.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Returns a reader of the content.
    pub fn open(&self) -> impl BufRead + Seek + use<> {
        let reader = Reader {
            blob: self.clone(),
            position: 0,
        };
        BufReader::with_capacity(BUFFER, reader)
    }

    /// Returns up to `size` bytes from position `start`, without reading them.
    pub(crate) fn slice(&self, start: u64, size: u64) -> Self {
        let start = start.min(self.size());
        let size = size.min(self.size() - start);
        match self {
            Self::Memory(content) => {
                let within = |it| usize::try_from(it).unwrap_or(content.len());
                Self::Memory(content.slice(within(start)..within(start + size)))
            }
            Self::File {
                file, start: from, ..
            } => Self::File {
                file: Arc::clone(file),
                start: from + start,
                size,
            },
        }
    }

    /// Reads up to `size` bytes from position `start`.
    pub(crate) fn part(&self, start: u64, size: usize) -> io::Result<Bytes> {
        match self.slice(start, size as u64) {
            Self::Memory(content) => Ok(content),
            Self::File { file, start, size } => {
                let size = usize::try_from(size).map_err(io::Error::other)?;
                let mut part = vec![0; size];
                file.read_exact_at(&mut part, start)?;
                Ok(part.into())
            }
        }
    }

    /// Returns the digest of the content, `sha256:…`.
    pub(crate) fn digest(&self) -> io::Result<String> {
        let mut hash = Hashing::new(io::sink());
        io::copy(&mut self.open(), &mut hash)?;
        Ok(hash.digest())
    }
}

impl From<Bytes> for Blob {
    fn from(content: Bytes) -> Self {
        Self::Memory(content)
    }
}

/// Equal is what has the same content, wherever it is.
impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size()
            && matches!((self.digest(), other.digest()), (Ok(one), Ok(two)) if one == two)
    }
}

impl Eq for Blob {}

/// Reader of a blob, with a position of its own.
struct Reader {
    blob: Blob,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.blob.slice(self.position, buffer.len() as u64) {
            Blob::Memory(content) => content.as_ref().read(buffer)?,
            Blob::File { file, start, size } => {
                let size = usize::try_from(size).unwrap_or(buffer.len());
                file.read_at(&mut buffer[..size], start)?
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.blob.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Writer of a blob: in memory, or in a temporary file if it becomes large. The file has no name,
/// so that nothing is left of it when the process ends.
pub(crate) struct Spool<'a> {
    /// Preferred folder of the file. Other than the system's, it is never in memory.
    folder: Option<&'a Path>,
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
}

impl<'a> Spool<'a> {
    pub(crate) const fn new(folder: Option<&'a Path>) -> Self {
        Self {
            folder,
            memory: Vec::new(),
            file: None,
            size: 0,
        }
    }

    /// Returns the number of bytes that were written.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> io::Result<Blob> {
        match self.file {
            Some(file) => Blob::of_file(file),
            None => Ok(Bytes::from(self.memory).into()),
        }
    }

    fn temporary(&self) -> io::Result<File> {
        let within =
            |folder| fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        match self.folder.map(within) {
            Some(Ok(file)) => Ok(file),
            Some(Err(_)) | None => tempfile::tempfile(),
        }
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + buffer.len() > MAX_MEMORY {
            let mut file = self.temporary()?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        let written = match &mut self.file {
            Some(file) => file.write(buffer)?,
            None => self.memory.write(buffer)?,
        };
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_content_is_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for size in [0, 10, MAX_MEMORY, MAX_MEMORY + 1] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            // A folder that is created, and one that cannot be.
            for place in [folder.path().join("new"), file.join("none")] {
                let mut spool = Spool::new(Some(&place));
                for part in content.chunks(1 << 20) {
                    spool.write_all(part).unwrap();
                }
                assert_eq!(spool.size(), size as u64);
                let blob = spool.finish().unwrap();
                assert_eq!(matches!(blob, Blob::File { .. }), size > MAX_MEMORY);
                assert_eq!(blob, Bytes::from(content.clone()).into());
                let part = blob.slice(5, 100).slice(2, 3);
                assert_eq!(part.part(1, 9).unwrap(), content[size.min(8)..size.min(10)]);
                assert_eq!(part.digest().is_ok(), blob.digest().is_ok());
                let mut reader = blob.open();
                let mut rest = Vec::new();
                let last = if size == 0 { 0 } else { 4 };
                reader.seek(SeekFrom::End(-last)).unwrap();
                reader.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, content[size.saturating_sub(4)..]);
            }
        }
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
    }
}
