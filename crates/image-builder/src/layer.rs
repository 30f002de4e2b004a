//! Layers: compressed tar archives whose bytes depend only on names and content.
//!
//! Times, owners and the order of files on disk have no effect, nor have permissions other than the
//! executable bit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libdeflater::{CompressionLvl, Compressor};
use oci_spec::image::MediaType;

pub use crate::blob::Blob;
use crate::blob::Spool;
use crate::cache::LayerCache;
use crate::compression::decompressed;
use crate::digest::Hashing;
use crate::pack_error::PackError;

/// Compression level, a compromise between speed and size. The digest depends on it.
const LEVEL: i32 = 6;
/// Smallest part that is compressed on its own, in bytes, and the largest number of parts. Each
/// cannot refer to the content before it, which costs about 500 bytes. The digest depends on both.
const MIN_PART: u64 = 512 << 10;
const MAX_PARTS: u64 = 16;
/// Largest part, in bytes, of which an archive has as many as it needs. The digest depends on it.
pub(crate) const MAX_PART: u64 = 1 << 20;
/// Size of the parts that are in memory at the same time, in bytes.
const MAX_BUFFER: usize = 4 << 20;
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
    /// Content that the builder generates, or that it read from a base image.
    Blob(Blob),
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

impl Layer {
    /// Opens the archive of the layer for reading, decompressed.
    pub(crate) fn archive(&self) -> io::Result<Box<dyn Read>> {
        decompressed(self.content.open())
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
    let (diff_id, uncompressed_size) = (archive.digest(), archive.size);
    // Hashed once: for an unchanged layer, hashing is most of the work.
    let (content, digest) = if let Some(found) = cache.find(&diff_id) {
        found
    } else {
        let size = uncompressed_size;
        let (content, digest) = compressed(&diff_id, size, cache.folder(), write)?;
        cache.keep(&diff_id, &content, &digest);
        (content, digest)
    };
    Ok(Layer {
        digest,
        content,
        media_type: MediaType::ImageLayerGzip.to_string(),
        diff_id,
        uncompressed_size,
        origin: None,
    })
}

/// Compresses an archive of this size as it is written, so that a large one is never in memory as a
/// whole. Returns the content and its digest.
fn compressed(
    diff_id: &str,
    size: u64,
    folder: Option<&Path>,
    write: impl Fn(&mut dyn Write) -> Result<(), PackError>,
) -> Result<(Blob, String), PackError> {
    let output = Hashing::new(Spool::new(folder));
    let mut archive = Hashing::new(Compressing::new(size, output));
    let written = write(&mut archive);
    let diff_id_now = archive.digest();
    let mut compressing = archive.inner;
    // `write` may take it for an error of what it reads.
    if let Some(error) = compressing.failure.take() {
        return Err(PackError::Write(error));
    }
    written?;
    // A file may change between the two runs of `write`; the diff ID shows that.
    if diff_id_now != diff_id {
        return Err(PackError::Unsteady);
    }
    let output = compressing.finish().map_err(PackError::Write)?;
    let digest = output.digest();
    let content = output.inner.finish().map_err(PackError::Write)?;
    Ok((content, digest))
}

/// Writer that compresses an archive: on all processors, in parts that are gzip members. Their
/// number depends on the size alone, and is a power of two for small archives, so that processors
/// have equal shares.
struct Compressing<W> {
    output: W,
    part_size: usize,
    buffer: Vec<u8>,
    is_empty: bool,
    failure: Option<io::Error>,
}

impl<W: Write> Compressing<W> {
    fn new(size: u64, output: W) -> Self {
        let count = (size / MIN_PART).clamp(1, MAX_PARTS);
        let part_size = size.div_ceil(1 << count.ilog2()).clamp(1, MAX_PART);
        Self {
            output,
            part_size: usize::try_from(part_size).unwrap_or(MAX_BUFFER),
            buffer: Vec::new(),
            is_empty: true,
            failure: None,
        }
    }

    /// Compresses what is in the buffer.
    fn compress(&mut self) -> io::Result<()> {
        let parts: Vec<&[u8]> = if self.buffer.is_empty() {
            vec![&[]]
        } else {
            self.buffer.chunks(self.part_size).collect()
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = parts.chunks(parts.len().div_ceil(threads));
        let compressed = std::thread::scope(|scope| {
            let shares: Vec<_> = shares
                .map(|share| {
                    let work = || share.iter().map(|part| compress_part(part)).collect();
                    std::thread::Builder::new().spawn_scoped(scope, work)
                })
                .collect();
            let joined = shares.into_iter().map(|share| {
                let broken = |_| io::Error::other("a thread was broken off");
                share?.join().map_err(broken)?
            });
            joined.collect::<io::Result<Vec<Vec<Vec<u8>>>>>()
        })?;
        for part in compressed.iter().flatten() {
            self.output.write_all(part)?;
        }
        self.buffer.clear();
        self.is_empty = false;
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        if self.is_empty || !self.buffer.is_empty() {
            self.compress()?;
        }
        Ok(self.output)
    }
}

impl<W: Write> Write for Compressing<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let room = self.part_size * (MAX_BUFFER / self.part_size) - self.buffer.len();
        let taken = content.len().min(room);
        self.buffer.extend_from_slice(&content[..taken]);
        if taken == room {
            self.compress().map_err(|error| {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                told
            })?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses a part of an archive, as a whole gzip file.
fn compress_part(archive: &[u8]) -> io::Result<Vec<u8>> {
    let level = CompressionLvl::new(LEVEL);
    let level = level.map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut compressor = Compressor::new(level);
    // The output must have room for the worst case, which is content that does not compress.
    let mut content = vec![0; compressor.gzip_compress_bound(archive.len())];
    let size = compressor
        .gzip_compress(archive, &mut content)
        .map_err(io::Error::other)?;
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
            // Packing reads such files first, so this is an internal error.
            let error = format!("`/{}` of a base image was not read", file.path);
            Err(PackError::Write(io::Error::other(error)))
        }
        Content::Blob(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.size());
            archive
                .append_data(&mut header, path, content.open())
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
        let small = MIN_PART;
        for (size, expected) in [
            (0, 1),
            (1, 1),
            (2 * small - 1, 1),
            (3 * small + 1, 2),
            (9 << 20, 16),
            (16 << 20, 16),
            ((16 << 20) + 1, 17),
        ] {
            let mut archive = Hashing::new(Compressing::new(size, Vec::new()));
            let mut content = io::repeat(b'c').take(size);
            io::copy(&mut content, &mut archive).unwrap();
            let digest = archive.digest();
            let content = archive.inner.finish().unwrap();
            let mut read = Hashing::new(io::sink());
            io::copy(&mut decompressed(content.as_slice()).unwrap(), &mut read).unwrap();
            assert_eq!((read.digest(), read.size), (digest, size));
            // As many parts as the size says, whatever the processors.
            let parts = content.windows(4).filter(|it| *it == [0x1f, 0x8b, 8, 0]);
            assert_eq!(parts.count(), expected, "{size}");
        }
    }

    #[test]
    fn a_full_disk_is_no_error_of_what_is_read() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut archive = Compressing::new(100 << 20, Full);
        let error = io::copy(&mut io::repeat(0).take(100 << 20), &mut archive).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let failure = archive.failure.unwrap();
        assert_eq!(failure.kind(), io::ErrorKind::StorageFull);
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
