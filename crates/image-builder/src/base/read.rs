//! Reads the files of a base image from its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use super::BaseImage;
use crate::blob::{Blob, Spool};
use crate::compression::{Limited, MAX_UNPACKED};
use crate::layer::{Content, Entry, Layer, LowerFile, Owner, parents};
use crate::pack_error::PackError;
use crate::root::{GROUPS, Root, USERS};

/// Prefix of names that delete a file of lower layers (OCI image specification, "Whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Size limit for a path, in bytes.
const PATH_MAX: usize = 4096;
/// Size limit for a list of users, in bytes.
const MAX_LIST: u64 = 1 << 20;

/// Returns the index of an image's files, and the uncompressed size of each layer.
pub(super) fn root(image: &str, layers: &[Layer]) -> io::Result<(Root, Vec<u64>)> {
    let mut root = Root::default();
    let image: Arc<str> = image.into();
    let mut lists: BTreeMap<String, String> = BTreeMap::new();
    let mut sizes = Vec::new();
    let mut left = MAX_UNPACKED;
    for (index, layer) in layers.iter().enumerate() {
        let mut counted = Limited {
            inner: layer.archive()?,
            left,
        };
        let mut archive = tar::Archive::new(&mut counted);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = path_of(&entry.path_bytes())?;
            // Some builders add an entry `./` for the root folder itself.
            if path.is_empty() {
                continue;
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            // An opaque whiteout deletes the content of its folder in lower layers, but not the
            // folder.
            if name == OPAQUE {
                let below: Vec<String> = root.below(folder).map(|(path, _)| path.clone()).collect();
                for path in &below {
                    root.remove(path);
                }
                continue;
            }
            if let Some(name) = name.strip_prefix(WHITEOUT) {
                root.remove(&crate::context::join(folder, name));
                continue;
            }
            let header = entry.header();
            let owner = Owner {
                // GNU headers can store larger numbers than Linux has for users.
                user: u32::try_from(header.uid()?).unwrap_or(u32::MAX),
                group: u32::try_from(header.gid()?).unwrap_or(u32::MAX),
            };
            let kind = header.entry_type();
            let mode = match header.mode()? & 0o7777 {
                // Linux gives every link this mode, whatever the archive says.
                _ if kind.is_symlink() => 0o777,
                mode => mode,
            };
            let content = if kind.is_dir() {
                Content::Folder
            } else if kind.is_symlink() {
                path_of(&entry.link_name_bytes().unwrap_or_default())?;
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                Content::Link { target }
            } else if kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default();
                // A hard link has the content of its target, which precedes it in the archive.
                match root.get(&path_of(&target)?) {
                    Some(target) => target.content.clone(),
                    None => continue,
                }
            } else if kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous() {
                Content::Lower(LowerFile {
                    image: Arc::clone(&image),
                    layer: index,
                    path: path.clone(),
                    size: entry.size(),
                })
            } else {
                // Devices and the like can be neither copied nor started.
                continue;
            };
            // Kept now, since `USER` and `--chown` may need the lists and no other content is kept.
            if path == USERS || path == GROUPS {
                let mut text = Vec::new();
                entry.by_ref().take(MAX_LIST).read_to_end(&mut text)?;
                lists.insert(path.clone(), String::from_utf8_lossy(&text).into_owned());
            }
            // A file or link replaces a folder with all its content, whereas folders are merged.
            if !matches!(content, Content::Folder) {
                root.remove(&path);
            }
            // Some archives lack the folders above a file. Engines create them for root.
            let missing: Vec<String> = parents(&path)
                .filter(|above| root.get(above).is_none())
                .map(ToOwned::to_owned)
                .collect();
            for above in missing {
                root.insert(above, Entry::folder(Owner::default()));
            }
            root.insert(
                path,
                Entry {
                    content,
                    owner,
                    mode,
                },
            );
        }
        // Reads the rest after the end of the archive, so that the size is that of the whole layer.
        io::copy(&mut counted, &mut io::sink())?;
        sizes.push(left - counted.left);
        left = counted.left;
    }
    // A later layer may have deleted a list.
    lists.retain(|path, _| root.is_file(path));
    root.lists = lists;
    Ok((root.into_base(), sizes))
}

/// Contents of files by layer and path.
pub(crate) type Contents = BTreeMap<(usize, String), Blob>;

impl BaseImage {
    /// Gives the image the name by which the Dockerfile refers to it.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.root.set_image(name);
        name.clone_into(&mut self.reference);
        self
    }

    /// Reads files, with one pass over each layer that has some of them. Large ones go to a
    /// temporary file, in this folder if there is one.
    pub(crate) fn read(
        &self,
        files: &[LowerFile],
        folder: Option<&Path>,
    ) -> Result<Contents, PackError> {
        let unreadable = |reason: String| PackError::Base {
            image: self.reference.clone(),
            reason,
        };
        let mut wanted: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for file in files {
            wanted.entry(file.layer).or_default().insert(&file.path);
        }
        let mut spool = Spool::new(folder);
        let mut places = Vec::new();
        for (index, paths) in wanted {
            let layer = self.layers.get(index);
            let layer = layer.ok_or_else(|| unreadable("a layer is missing".to_owned()))?;
            let found = read_layer(layer, &paths, &mut spool);
            let found = found.map_err(|error| unreadable(error.to_string()))?;
            places.extend(found.into_iter().map(|(path, it)| ((index, path), it)));
        }
        let all = spool.finish().map_err(PackError::Write)?;
        let contents = places.into_iter();
        Ok(contents
            .map(|(key, (start, size))| (key, all.slice(start, size)))
            .collect())
    }
}

/// Copies files of a layer to the spool. Returns the position and size of each.
fn read_layer(
    layer: &Layer,
    wanted: &BTreeSet<&str>,
    spool: &mut Spool<'_>,
) -> io::Result<BTreeMap<String, (u64, u64)>> {
    let mut archive = tar::Archive::new(layer.archive()?);
    let mut found = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = path_of(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        if wanted.contains(path.as_str()) && !kind.is_dir() && !kind.is_hard_link() {
            let start = spool.size();
            let size = io::copy(&mut entry, spool)?;
            found.insert(path, (start, size));
        }
    }
    Ok(found)
}

fn path_of(bytes: &[u8]) -> io::Result<String> {
    if bytes.len() > PATH_MAX {
        let length = bytes.len();
        let message = format!("a path in it has {length} bytes; Linux has at most {PATH_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let text = String::from_utf8_lossy(bytes);
    let (_, parts) = crate::paths::components(&text);
    Ok(parts.join("/"))
}
