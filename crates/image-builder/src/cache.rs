//! Cache of compressed layers, so that an unchanged program is not compressed again.
//!
//! Each file is a compressed layer. Its name has the diff ID of the archive and its own digest, so
//! that damage is detected when it is read. Files are written under a temporary name first, since
//! several processes may share the folder.
//!
//! Errors, such as a full disk or a read-only folder, only cost time. They never fail a build.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::blob::Blob;

/// Version of the compression method. Must change with the method, which affects the digests.
const WAY: &str = "4";
/// Limits for the cache: number of files, and total size in bytes.
const MAX_FILES: usize = 32;
const MAX_BYTES: u64 = 512 << 20;

/// Folder of compressed layers. Without a folder, nothing is cached.
#[derive(Debug, Clone, Default)]
pub struct LayerCache {
    folder: Option<PathBuf>,
}

impl LayerCache {
    /// Creates a cache in this folder, which need not exist.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// Returns the folder, which may not exist yet.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns the compressed form of an archive and its digest, if it is cached and intact.
    pub(super) fn find(&self, diff_id: &str) -> Option<(Blob, String)> {
        let prefix = prefix(diff_id);
        let files = fs::read_dir(self.folder.as_ref()?).ok()?;
        for file in files.flatten() {
            let name = file.file_name();
            let Some(digest) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else {
                continue;
            };
            let path = file.path();
            let content = Blob::of_file(File::open(&path).ok()?).ok()?;
            let found = content.digest().ok()?;
            if found.strip_prefix("sha256:") == Some(digest) {
                // Marks the layer as recently used, for `prune`. An error only affects that order.
                touch(&path).ok();
                return Some((content, found));
            }
            tracing::debug!(path = %path.display(), "a kept layer is damaged");
            fs::remove_file(&path).ok();
        }
        None
    }

    /// Stores the compressed form of an archive, which has this digest.
    pub(super) fn keep(&self, diff_id: &str, content: &Blob, digest: &str) {
        if content.size() > MAX_BYTES {
            return;
        }
        if let Some(folder) = &self.folder
            && let Err(error) = write(folder, diff_id, content, digest).and_then(|()| prune(folder))
        {
            tracing::debug!(%error, "a layer is not kept");
        }
    }
}

fn prefix(diff_id: &str) -> String {
    format!("{WAY}-{}-", diff_id.trim_start_matches("sha256:"))
}

fn write(folder: &Path, diff_id: &str, content: &Blob, digest: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = prefix(diff_id) + digest.trim_start_matches("sha256:");
    // The temporary file is deleted if an error occurs before it gets its final name.
    let mut file = tempfile::Builder::new()
        .prefix("new-")
        .tempfile_in(folder)?;
    io::copy(&mut content.open(), &mut file)?;
    file.persist(folder.join(name))?;
    Ok(())
}

fn touch(path: &Path) -> io::Result<()> {
    File::options()
        .append(true)
        .open(path)?
        .set_modified(SystemTime::now())
}

/// Removes the least recently used layers, and temporary files of killed processes.
fn prune(folder: &Path) -> io::Result<()> {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|file| {
            let metadata = file.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), file.path()))
        })
        .collect();
    // Newest first, so that the files beyond the limits are the oldest.
    files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let mut bytes = 0;
    for (index, (_, size, path)) in files.iter().enumerate() {
        bytes += size;
        if index >= MAX_FILES || bytes > MAX_BYTES {
            // Errors are ignored: another process may have removed the file.
            fs::remove_file(path).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::digest;

    const DIFF_ID: &str = "sha256:aa";

    fn cache() -> (tempfile::TempDir, LayerCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = LayerCache::in_folder(folder.path().join("layers"));
        (folder, cache)
    }

    fn keep(cache: &LayerCache, diff_id: &str, content: &'static [u8]) {
        cache.keep(diff_id, &blob(content), &digest::digest(content));
    }

    fn blob(content: &'static [u8]) -> Blob {
        Bytes::from_static(content).into()
    }

    fn files(cache: &LayerCache) -> Vec<PathBuf> {
        let folder = fs::read_dir(cache.folder.as_ref().unwrap()).unwrap();
        folder.map(|file| file.unwrap().path()).collect()
    }

    #[test]
    fn what_is_kept_is_found() {
        let (_folder, cache) = cache();
        assert_eq!(cache.find(DIFF_ID), None);
        keep(&cache, DIFF_ID, b"compressed");
        assert_eq!(cache.find(DIFF_ID).unwrap().0, blob(b"compressed"));
        assert_eq!(cache.find("sha256:ab"), None);
        assert_eq!(LayerCache::default().find(DIFF_ID), None);
    }

    #[test]
    fn what_is_damaged_is_not_found_and_goes() {
        let (_folder, cache) = cache();
        keep(&cache, DIFF_ID, b"compressed");
        let file = files(&cache).remove(0);
        for damaged in [&b"compresseD"[..], b"comp", b""] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(cache.find(DIFF_ID), None);
            assert!(!file.exists());
        }
        keep(&cache, DIFF_ID, b"compressed");
        assert!(cache.find(DIFF_ID).is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_in_nobodys_way() {
        let (folder, _) = cache();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = LayerCache::in_folder(file.join("layers"));
        keep(&cache, DIFF_ID, b"compressed");
        assert_eq!(cache.find(DIFF_ID), None);
    }

    #[test]
    fn only_the_last_are_kept() {
        let (_folder, cache) = cache();
        for number in 0..=MAX_FILES {
            keep(&cache, &format!("sha256:{number}"), &[7]);
            // Some file systems count in milliseconds.
            let file = files(&cache)
                .into_iter()
                .find(|path| {
                    path.to_string_lossy()
                        .contains(&format!("/{WAY}-{number}-"))
                })
                .unwrap();
            let age = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            File::options()
                .append(true)
                .open(file)
                .unwrap()
                .set_modified(age)
                .unwrap();
        }
        keep(&cache, "sha256:last", &[7]);
        assert_eq!(files(&cache).len(), MAX_FILES);
        assert!(cache.find("sha256:last").is_some());
        assert_eq!(cache.find("sha256:0"), None);
    }

    #[test]
    fn many_at_once() {
        let (_folder, cache) = cache();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        keep(&cache, DIFF_ID, b"compressed");
                        let found = cache.find(DIFF_ID);
                        assert!(found.is_none_or(|(found, _)| found == blob(b"compressed")));
                    }
                });
            }
        });
        assert_eq!(files(&cache).len(), 1);
    }
}
