//! One layer: a tar archive, compressed, whose bytes depend on names and content alone. Not on the time, the owner or the
//! order of files on the disk, nor on the permissions beyond "can be executed".

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use libdeflater::{CompressionLvl, Compressor};
use oci_spec::image::MediaType;
use sha2::{Digest as _, Sha256};

use crate::cache::LayerCache;
use crate::digest::{digest, digest_of};
use crate::pack_error::PackError;

/// Between speed and size; the digest depends on it.
const LEVEL: i32 = 6;
/// An archive of at most this size is compressed in one go, bytes; the digest depends on it.
pub(crate) const MAX_BUFFER: usize = 64 << 20;
/// "Unknown" in gzip's header, whatever system it is made on.
const GZIP_SYSTEM: u8 = 255;
const FOLDER_MODE: u32 = 0o755;

/// Numeric owner of a file. Root by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// A file of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LowerFile {
    /// Reference of the image.
    pub(crate) image: String,
    /// Path in it, without the `/` in front.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// One file, folder or link of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) owner: Owner,
    /// Permission bits.
    pub(crate) mode: u32,
}

impl Entry {
    pub(crate) const fn is_folder(&self) -> bool {
        matches!(self.content, Content::Folder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Folder,
    /// Read when the layer is written; `size` in bytes is what was found before.
    File {
        path: PathBuf,
        size: u64,
    },
    /// Made by the builder itself.
    Bytes(Bytes),
    /// Symbolic, kept as it is.
    Link {
        target: PathBuf,
    },
    /// Of a base image: below the layers that are packed here, so never in one of them.
    Lower(LowerFile),
}

/// What a `COPY` makes, by its path in the image without the `/` in front. The order is that of the archive: a folder comes
/// before what is in it.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// Content that is sent: in memory, or, for layers of base images, a file that may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// In memory.
    Memory(Bytes),
    /// In a file that nobody changes: its name is its digest.
    File {
        /// Where.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
}

impl Blob {
    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(content) => content.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Opens it for reading.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Memory(content) => Box::new(content.as_ref()),
            Self::File { path, .. } => Box::new(io::BufReader::new(File::open(path)?)),
        })
    }

    /// Reads a part of it.
    pub(crate) fn part(&self, start: u64, size: usize) -> io::Result<Bytes> {
        use std::os::unix::fs::FileExt as _;
        match self {
            Self::Memory(content) => {
                let start = usize::try_from(start)
                    .unwrap_or(usize::MAX)
                    .min(content.len());
                Ok(content.slice(start..content.len().min(start.saturating_add(size))))
            }
            Self::File { path, size: whole } => {
                let left = whole.saturating_sub(start);
                let size = usize::try_from(left).unwrap_or(usize::MAX).min(size);
                let mut part = vec![0; size];
                File::open(path)?.read_exact_at(&mut part, start)?;
                Ok(part.into())
            }
        }
    }
}

impl From<Bytes> for Blob {
    fn from(content: Bytes) -> Self {
        Self::Memory(content)
    }
}

/// A compressed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As it is sent.
    pub content: Blob,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    pub media_type: String,
    /// Of the compressed content, `sha256:…`.
    pub digest: String,
    /// Of the archive before compression, `sha256:…`.
    pub diff_id: String,
    /// The size of the archive before compression, in bytes.
    pub uncompressed_size: u64,
    /// Where a base image has it: `REGISTRY/NAME`.
    pub origin: Option<String>,
}

/// Adds an entry. One of the same path is replaced, but no folder by a file or the other way round: Docker refuses that, too.
pub(crate) fn put(
    entries: &mut Entries,
    line: usize,
    path: String,
    entry: Entry,
) -> Result<(), PackError> {
    match entries.get(&path) {
        Some(there) if there.is_folder() != entry.is_folder() => {
            Err(PackError::InTheWay { line, path })
        }
        // Such a name deletes files of lower layers (image specification, "Whiteouts").
        Some(_) | None
            if path
                .rsplit('/')
                .next()
                .is_some_and(|it| it.starts_with(".wh.")) =>
        {
            Err(PackError::Whiteout { line, path })
        }
        Some(_) | None => {
            entries.insert(path, entry);
            Ok(())
        }
    }
}

/// The folders above a path, from the top.
pub(crate) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

/// Adds the folders above the entries that are not there yet. They belong to whom `--chown` says, else to root, as with Docker.
pub(crate) fn add_parents(entries: &mut Entries, owner: Owner, is_there: impl Fn(&str) -> bool) {
    let mut missing = Entries::new();
    for path in entries.keys() {
        for parent in parents(path) {
            if !is_there(parent) && !entries.contains_key(parent) {
                missing.entry(parent.to_owned()).or_insert(Entry {
                    content: Content::Folder,
                    owner,
                    mode: FOLDER_MODE,
                });
            }
        }
    }
    entries.append(&mut missing);
}

/// Reads the files and writes the archive; compresses it, unless the same archive was compressed before.
pub(crate) fn pack(entries: &Entries, cache: &LayerCache) -> Result<Layer, PackError> {
    layer_of(cache, |writer| {
        let mut archive = tar::Builder::new(writer);
        for (path, entry) in entries {
            append(&mut archive, path, entry)?;
        }
        archive.finish().map_err(PackError::Write)
    })
}

/// The layer of an archive, which is written as often as it is needed: once to know it, and once more to compress it, unless the
/// same archive was compressed before.
pub(crate) fn layer_of(
    cache: &LayerCache,
    write: impl Fn(&mut dyn Write) -> Result<(), PackError>,
) -> Result<Layer, PackError> {
    let mut archive = Hashing::new(io::sink());
    write(&mut archive)?;
    let (diff_id, uncompressed_size) = (archive.diff_id(), archive.size);
    let content = if let Some(content) = cache.find(&diff_id) {
        content
    } else {
        let content = compressed(&diff_id, uncompressed_size, write)?;
        cache.keep(&diff_id, &content);
        content
    };
    Ok(Layer {
        digest: digest(&content),
        content: content.into(),
        media_type: MediaType::ImageLayerGzip.to_string(),
        diff_id,
        uncompressed_size,
        origin: None,
    })
}

/// An archive of usual size is compressed in one go, by a library that is faster and better at that than one that compresses a
/// stream; a larger one never is in memory as a whole. Which of the two it is depends on the content alone, and so the digest does.
fn compressed(
    diff_id: &str,
    size: u64,
    write: impl Fn(&mut dyn Write) -> Result<(), PackError>,
) -> Result<Bytes, PackError> {
    let as_before = |found: String| (found == diff_id).then_some(()).ok_or(PackError::Unsteady);
    match usize::try_from(size) {
        Ok(size) if size <= MAX_BUFFER => {
            let mut archive = Hashing::new(Vec::with_capacity(size));
            write(&mut archive)?;
            as_before(archive.diff_id())?;
            compress(&archive.inner)
        }
        Ok(_) | Err(_) => {
            let gzip = GzBuilder::new()
                .mtime(0)
                .operating_system(GZIP_SYSTEM)
                .write(Vec::new(), Compression::new(LEVEL.cast_unsigned()));
            let mut archive = Hashing::new(gzip);
            write(&mut archive)?;
            as_before(archive.diff_id())?;
            let content = archive.inner.finish().map_err(PackError::Write)?;
            Ok(content.into())
        }
    }
}

/// Compresses an archive that is in memory.
fn compress(archive: &[u8]) -> Result<Bytes, PackError> {
    let failed = |error: String| PackError::Write(io::Error::other(error));
    let level = CompressionLvl::new(LEVEL).map_err(|error| failed(format!("{error:?}")))?;
    let mut compressor = Compressor::new(level);
    let mut content = vec![0; compressor.gzip_compress_bound(archive.len())];
    let size = compressor
        .gzip_compress(archive, &mut content)
        .map_err(|error| failed(error.to_string()))?;
    content.truncate(size);
    Ok(content.into())
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    entry: &Entry,
) -> Result<(), PackError> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.user.into());
    header.set_gid(entry.owner.group.into());
    header.set_mtime(0);
    header.set_size(0);
    match &entry.content {
        Content::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            archive
                .append_data(&mut header, format!("{path}/"), io::empty())
                .map_err(PackError::Write)
        }
        Content::Link { target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            archive
                .append_link(&mut header, path, target)
                .map_err(PackError::Write)
        }
        Content::Lower(file) => {
            let error = format!("`/{}` of a base image was not read", file.path);
            Err(PackError::Write(io::Error::other(error)))
        }
        Content::Bytes(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, path, content.as_ref())
                .map_err(PackError::Write)
        }
        Content::File { path: source, size } => {
            let unreadable = |error| PackError::Read {
                path: source.clone(),
                source: error,
            };
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(*size);
            let mut file = Counting {
                // One byte more than expected is enough to see that it has grown.
                inner: File::open(source).map_err(unreadable)?.take(size + 1),
                count: 0,
            };
            archive
                .append_data(&mut header, path, &mut file)
                .map_err(unreadable)?;
            if file.count == *size {
                Ok(())
            } else {
                Err(PackError::Changed {
                    path: source.clone(),
                })
            }
        }
    }
}

/// Hashes what passes through on its way to be compressed.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// The digest of what passed through, `sha256:…`.
    pub(crate) fn diff_id(&self) -> String {
        digest_of(self.hash.clone())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Counts what is read: the header promises a size before.
struct Counting<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_file_and_a_file_no_folder() {
        let entry = |content: Content, mode| Entry {
            content,
            owner: Owner::default(),
            mode,
        };
        let target = PathBuf::from("x");
        let (folder, link) = (Content::Folder, Content::Link { target });
        for (first, second) in [(&folder, &link), (&link, &folder)] {
            let mut entries = Entries::new();
            let mut put = |content: &Content, mode| {
                put(
                    &mut entries,
                    7,
                    "a".to_owned(),
                    entry(content.clone(), mode),
                )
            };
            put(first, 1).unwrap();
            let refused = put(second, 2);
            assert!(
                matches!(&refused, Err(PackError::InTheWay { line: 7, path }) if path == "a"),
                "{refused:?}"
            );
            put(first, 3).unwrap();
            assert_eq!(entries["a"].mode, 3);
        }
    }
}
