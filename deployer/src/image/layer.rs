//! One layer: a tar archive, compressed, whose bytes depend on names and content alone. Not on the time, the owner or the
//! order of files on the disk, nor on the permissions beyond "can be executed".

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use oci_spec::image::MediaType;
use sha2::{Digest as _, Sha256};

use super::dockerfile::Owner;
use super::pack_error::PackError;

/// Between speed and size; the digest depends on it.
const GZIP_LEVEL: u32 = 6;
/// "Unknown" in gzip's header, whatever system it is made on.
const GZIP_SYSTEM: u8 = 255;
const FOLDER_MODE: u32 = 0o755;

/// One file, folder or link of a layer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) content: Content,
    pub(super) owner: Owner,
    /// Permission bits.
    pub(super) mode: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Folder,
    /// Read when the layer is written; `size` in bytes is what was found before.
    File {
        path: PathBuf,
        size: u64,
    },
    /// Symbolic, kept as it is.
    Link {
        target: PathBuf,
    },
}

/// What a `COPY` makes, by its path in the image without the `/` in front. The order is that of the archive: a folder comes
/// before what is in it.
pub(super) type Entries = BTreeMap<String, Entry>;

/// A compressed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// As it is sent.
    pub content: Bytes,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    pub media_type: String,
    /// Of the compressed content, `sha256:…`.
    pub digest: String,
    /// Of the archive before compression, `sha256:…`.
    pub diff_id: String,
    /// The size of the archive before compression, in bytes.
    pub uncompressed_size: u64,
}

/// `sha256:…`
pub(super) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Adds the folders above the entries that are not in `known` yet. Their owner is that of what is in them, as with Docker.
pub(super) fn add_parents(entries: &mut Entries, known: &BTreeSet<String>) {
    let mut parents = Entries::new();
    for (path, entry) in &*entries {
        for (index, _) in path.match_indices('/') {
            let parent = &path[..index];
            if !known.contains(parent) && !entries.contains_key(parent) {
                parents.entry(parent.to_owned()).or_insert(Entry {
                    content: Content::Folder,
                    owner: entry.owner,
                    mode: FOLDER_MODE,
                });
            }
        }
    }
    entries.append(&mut parents);
}

/// Reads the files and writes the archive.
pub(super) fn pack(entries: &Entries) -> Result<Layer, PackError> {
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(GZIP_SYSTEM)
        .write(Vec::new(), Compression::new(GZIP_LEVEL));
    let mut archive = tar::Builder::new(Hashing {
        inner: gzip,
        hash: Sha256::new(),
        size: 0,
    });
    for (path, entry) in entries {
        append(&mut archive, path, entry)?;
    }
    let hashing = archive.into_inner().map_err(PackError::Write)?;
    let (hash, uncompressed_size) = (hashing.hash, hashing.size);
    let content = Bytes::from(hashing.inner.finish().map_err(PackError::Write)?);
    Ok(Layer {
        digest: digest(&content),
        content,
        media_type: MediaType::ImageLayerGzip.to_string(),
        diff_id: format!("sha256:{}", hex(&hash.finalize())),
        uncompressed_size,
    })
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
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
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
