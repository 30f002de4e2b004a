//! Layers: compressed tar archives whose bytes depend only on names and content.
//!
//! Times, owners and the order of files on disk have no effect, nor have permissions other than the
//! executable bit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use libdeflater::{CompressionLvl, Compressor};
use oci_spec::image::MediaType;
use sha2::{Digest as _, Sha256};

use crate::cache::LayerCache;
use crate::compression::decompressed;
use crate::digest::{digest, digest_of};
use crate::pack_error::PackError;

/// Compression level, a compromise between speed and size. The digest depends on it.
const LEVEL: i32 = 6;
/// Smallest part that is compressed on its own, in bytes, and the largest number of parts. Each
/// cannot refer to the content before it, which costs about 500 bytes. The digest depends on both.
const MIN_PART: usize = 512 << 10;
const MAX_PARTS: usize = 16;
/// Largest archive that is compressed in memory at once, in bytes. The digest depends on it.
pub(crate) const MAX_BUFFER: usize = 64 << 20;
/// Value for "unknown" in the gzip header's OS field, so that the digest does not depend on the
/// host.
const GZIP_SYSTEM: u8 = 255;
const FOLDER_MODE: u32 = 0o755;

/// Numeric owner of a file. Root by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user ID (UID).
    pub user: u32,
    /// Numeric group ID (GID).
    pub group: u32,
}

/// Reference to a file of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LowerFile {
    /// Reference of the image, shared by all its files.
    pub(crate) image: Arc<str>,
    /// Index of the layer that contains the file, from 0.
    pub(crate) layer: usize,
    /// Path in the image, without the leading `/`.
    pub(crate) path: String,
    /// Size of the file in bytes.
    pub(crate) size: u64,
}

/// Entry of a layer: a file, folder or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    pub(crate) owner: Owner,
    /// Permission bits of the entry.
    pub(crate) mode: u32,
}

impl Entry {
    /// Returns a folder that only its owner may change.
    pub(crate) const fn folder(owner: Owner) -> Self {
        Self {
            content: Content::Folder,
            owner,
            mode: FOLDER_MODE,
        }
    }

    pub(crate) const fn is_folder(&self) -> bool {
        matches!(self.content, Content::Folder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Folder,
    /// File on disk that is read when the layer is written. `size` in bytes is that of the first
    /// look-up.
    File {
        path: PathBuf,
        size: u64,
    },
    /// Content that the builder generates.
    Bytes(Bytes),
    /// Symbolic link, kept as it is.
    Link {
        target: PathBuf,
    },
    /// File of a base image. Such files are in a lower layer, so never in one that is packed here.
    Lower(LowerFile),
}

/// Entries of a `COPY` by path in the image, without the leading `/`. Sorted as in the archive: a
/// folder precedes its content.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// Content to send: in memory, or a file for layers of base images, which may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// Content that is kept in memory.
    Memory(Bytes),
    /// Content of a file that never changes, since its name is its digest.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Size of the file in bytes.
        size: u64,
    },
}

impl Blob {
    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(content) => content.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Opens the content for reading.
    pub fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(match self {
            Self::Memory(content) => Box::new(content.as_ref()),
            Self::File { path, .. } => Box::new(io::BufReader::new(File::open(path)?)),
        })
    }

    /// Reads up to `size` bytes from position `start`.
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
                // Opened for each part, so that no file stays open between the attempts of an
                // upload.
                File::open(path)?.read_exact_at(&mut part, start)?;
                Ok(part.into())
            }
        }
    }
}

impl Layer {
    /// Opens the archive of the layer for reading, decompressed.
    pub(crate) fn archive(&self) -> io::Result<Box<dyn Read + '_>> {
        decompressed(self.content.open()?)
    }
}

impl From<Bytes> for Blob {
    fn from(content: Bytes) -> Self {
        Self::Memory(content)
    }
}

/// Compressed layer, with the metadata for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Compressed content of the layer.
    pub content: Blob,
    /// Media type, usually `application/vnd.oci.image.layer.v1.tar+gzip`.
    pub media_type: String,
    /// Digest of the compressed content, `sha256:…`.
    pub digest: String,
    /// Digest of the archive before compression, `sha256:…`.
    pub diff_id: String,
    /// Size of the archive before compression, in bytes.
    pub uncompressed_size: u64,
    /// Repository that the layer of a base image comes from: `REGISTRY/NAME`.
    pub origin: Option<String>,
}

/// Adds an entry or replaces one. A folder cannot replace a file, nor the other way round: Docker
/// rejects that as well.
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
        // A name with this prefix deletes a file of lower layers (OCI image specification,
        // "Whiteouts").
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

/// Returns the folders above a path, topmost first.
pub(crate) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(index, _)| &path[..index])
}

/// Adds the missing parent folders of the entries. Their owner is that of `--chown`, or root, as in
/// Docker.
pub(crate) fn add_parents(entries: &mut Entries, owner: Owner, is_there: impl Fn(&str) -> bool) {
    let mut missing = Entries::new();
    for path in entries.keys() {
        for parent in parents(path) {
            if !is_there(parent) && !entries.contains_key(parent) {
                missing
                    .entry(parent.to_owned())
                    .or_insert_with(|| Entry::folder(owner));
            }
        }
    }
    entries.append(&mut missing);
}

/// Writes the entries as an archive and compresses it, unless the cache has it.
pub(crate) fn pack(entries: &Entries, cache: &LayerCache) -> Result<Layer, PackError> {
    layer_of(cache, |writer| {
        let mut archive = tar::Builder::new(writer);
        for (path, entry) in entries {
            append(&mut archive, path, entry)?;
        }
        archive.finish().map_err(PackError::Write)
    })
}

/// Creates the layer of an archive. `write` runs once to compute the diff ID, and again to compress
/// if the cache has no such archive.
pub(crate) fn layer_of(
    cache: &LayerCache,
    write: impl Fn(&mut dyn Write) -> Result<(), PackError>,
) -> Result<Layer, PackError> {
    // Only hashes: compression takes most of the time, and a cached layer needs none.
    let mut archive = Hashing::new(io::sink());
    write(&mut archive)?;
    let (diff_id, uncompressed_size) = (archive.diff_id(), archive.size);
    // Hashed once: for an unchanged layer, hashing is most of the work.
    let (content, digest) = if let Some(found) = cache.find(&diff_id) {
        found
    } else {
        let content = compressed(&diff_id, uncompressed_size, write)?;
        let digest = digest(&content);
        cache.keep(&diff_id, &content, &digest);
        (content, digest)
    };
    Ok(Layer {
        digest,
        content: content.into(),
        media_type: MediaType::ImageLayerGzip.to_string(),
        diff_id,
        uncompressed_size,
        origin: None,
    })
}

/// Compresses an archive. Up to `MAX_BUFFER` bytes, libdeflate compresses it in memory, which is
/// faster and smaller. A larger archive is streamed and is never in memory as a whole.
///
/// The choice depends on the size alone, so that the digest is reproducible.
fn compressed(
    diff_id: &str,
    size: u64,
    write: impl Fn(&mut dyn Write) -> Result<(), PackError>,
) -> Result<Bytes, PackError> {
    // A file may change between the two runs of `write`; the diff ID shows that.
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

/// Compresses an archive that is in memory: on all processors, in parts that are gzip members. Their
/// number depends on the size alone, and is a power of two, so that processors have equal shares.
fn compress(archive: &[u8]) -> Result<Bytes, PackError> {
    let count = (archive.len() / MIN_PART).clamp(1, MAX_PARTS);
    let count = 1 << count.ilog2();
    let parts: Vec<&[u8]> = match archive.len().div_ceil(count) {
        0 => vec![archive],
        size => archive.chunks(size).collect(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares = parts.chunks(count.div_ceil(threads));
    let compressed = std::thread::scope(|scope| {
        let shares: Vec<_> = shares
            .map(|share| {
                let work = || share.iter().map(|part| compress_part(part)).collect();
                std::thread::Builder::new().spawn_scoped(scope, work)
            })
            .collect();
        let joined = shares.into_iter().map(|share| {
            let broken = |_| PackError::Write(io::Error::other("a thread was broken off"));
            share.map_err(PackError::Write)?.join().map_err(broken)?
        });
        joined.collect::<Result<Vec<Vec<Vec<u8>>>, PackError>>()
    })?;
    Ok(compressed.concat().concat().into())
}

/// Compresses a part of an archive, as a whole gzip file.
fn compress_part(archive: &[u8]) -> Result<Vec<u8>, PackError> {
    let failed = |error: String| PackError::Write(io::Error::other(error));
    let level = CompressionLvl::new(LEVEL).map_err(|error| failed(format!("{error:?}")))?;
    let mut compressor = Compressor::new(level);
    // The output must have room for the worst case, which is content that does not compress.
    let mut content = vec![0; compressor.gzip_compress_bound(archive.len())];
    let size = compressor
        .gzip_compress(archive, &mut content)
        .map_err(|error| failed(error.to_string()))?;
    content.truncate(size);
    Ok(content)
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    entry: &Entry,
) -> Result<(), PackError> {
    // In GNU format, in which `append_data` also stores paths of more than 100 bytes.
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.user.into());
    header.set_gid(entry.owner.group.into());
    // Fixed, since the digest must not depend on the time.
    header.set_mtime(0);
    header.set_size(0);
    match &entry.content {
        Content::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            archive
                // By convention, the path of a folder ends in `/`.
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
            // Packing reads such files into memory first, so this is an internal error.
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
                // Reads at most one byte more than expected, which suffices to notice that the file
                // has grown.
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

/// Writer that hashes the data on its way to the compressor.
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

    /// Returns the digest of the data written so far, `sha256:…`.
    pub(crate) fn diff_id(&self) -> String {
        digest_of(self.hash.clone())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        // The caller writes the rest again, so it must not be hashed yet.
        self.hash.update(&buffer[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reader that counts bytes, to compare them with the size in the tar header.
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
    fn every_size_is_compressed_and_read_again() {
        for (size, expected) in [
            (0, 1),
            (1, 1),
            (2 * MIN_PART - 1, 1),
            (3 * MIN_PART + 1, 2),
            (9 << 20, 16),
        ] {
            let archive: Vec<u8> = b"content".iter().copied().cycle().take(size).collect();
            let content = compress(&archive).unwrap();
            let mut read = Vec::new();
            let mut reader = decompressed(content.as_ref()).unwrap();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == archive, "{size}");
            // As many parts as the size says, whatever the processors.
            let parts = content.windows(4).filter(|it| *it == [0x1f, 0x8b, 8, 0]);
            assert_eq!(parts.count(), expected, "{size}");
        }
    }

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
