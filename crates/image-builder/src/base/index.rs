//! Cached index of a base image's files: reading it is much faster than inflating all layers.
//!
//! The file is named after the manifest's digest, and starts with the digest of its own content, so
//! that a damaged one is noticed. Fields end in NUL, which no path contains.

use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::write;
use crate::digest::digest;
use crate::layer::{Content, Entry, LowerFile, Owner};
use crate::root::Root;

/// Version of the format and of what is read from layers. Must change with both.
const VERSION: &str = "1";

/// Index of the files, and the uncompressed size of each layer.
type Index = (Root, Vec<u64>);

/// Reads the index of an image, if it is there and intact.
pub(super) fn load(path: &Path, image: &str) -> Option<Index> {
    let text = std::fs::read_to_string(path).ok()?;
    let (found, content) = text.split_once('\n')?;
    if digest(content.as_bytes()) != found {
        tracing::debug!(path = %path.display(), "a kept index is damaged");
        return None;
    }
    parse(content, image)
}

/// Stores an index. An error only costs time, and so does a name that cannot be stored.
pub(super) fn keep(path: &Path, (root, sizes): (&Root, &[u64])) -> io::Result<()> {
    if let Some(content) = format(root, sizes) {
        let found = digest(content.as_bytes());
        write(path, |file| write!(file, "{found}\n{content}"))?;
    }
    Ok(())
}

fn format(root: &Root, sizes: &[u64]) -> Option<String> {
    let mut text = String::new();
    let mut field = |value: &str| {
        text.push_str(value);
        text.push('\0');
        (!value.contains('\0')).then_some(())
    };
    field(VERSION)?;
    field(&sizes.len().to_string())?;
    for size in sizes {
        field(&size.to_string())?;
    }
    field(&root.lists.len().to_string())?;
    for (name, list) in &root.lists {
        field(name)?;
        field(list)?;
    }
    for (path, entry) in root.entries() {
        let Entry {
            content,
            owner,
            mode,
        } = entry;
        let (kind, target) = match content {
            Content::Folder => ("folder".to_owned(), ""),
            Content::Link { target } => ("link".to_owned(), target.to_str()?),
            Content::Lower(file) => (format!("{} {}", file.layer, file.size), file.path.as_str()),
            // Not of a base image.
            Content::File { .. } | Content::Blob(_) => return None,
        };
        field(path)?;
        field(&format!("{mode} {} {} {kind}", owner.user, owner.group))?;
        field(target)?;
    }
    Some(text)
}

fn parse(content: &str, image: &str) -> Option<Index> {
    let mut fields = content.split_terminator('\0');
    if fields.next()? != VERSION {
        return None;
    }
    let mut sizes = Vec::new();
    for _ in 0..number::<usize>(fields.next())? {
        sizes.push(number(fields.next())?);
    }
    let mut root = Root::default();
    for _ in 0..number::<usize>(fields.next())? {
        let (name, list) = (fields.next()?, fields.next()?);
        root.lists.insert(name.to_owned(), list.to_owned());
    }
    let image: Arc<str> = image.into();
    let mut entries = Vec::new();
    while let Some(path) = fields.next() {
        let (properties, target) = (fields.next()?, fields.next()?);
        let mut words = properties.split(' ');
        let mode = number(words.next())?;
        let owner = Owner {
            user: number(words.next())?,
            group: number(words.next())?,
        };
        let content = match words.next()? {
            "folder" => Content::Folder,
            "link" => Content::Link {
                target: target.into(),
            },
            layer => Content::Lower(LowerFile {
                image: Arc::clone(&image),
                layer: number(Some(layer))?,
                path: target.to_owned(),
                size: number(words.next())?,
            }),
        };
        let entry = Entry {
            content,
            owner,
            mode,
        };
        entries.push((path.to_owned(), entry));
    }
    root.set_entries(entries.into_iter().collect());
    Some((root, sizes))
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut root = Root::default();
        let mut add = |path: &str, content| {
            let owner = Owner { user: 7, group: 8 };
            let mode = 0o4755;
            let entry = Entry {
                content,
                owner,
                mode,
            };
            root.insert(path.to_owned(), entry);
        };
        add("etc", Content::Folder);
        add(
            "etc/a name\nof two lines",
            Content::Link {
                target: "../x y".into(),
            },
        );
        let file = LowerFile {
            image: "debian:12".into(),
            layer: 1,
            path: "bin/ä".to_owned(),
            size: 5_000_000_000,
        };
        add("bin/link", Content::Lower(file));
        root.lists.insert("etc/passwd".to_owned(), String::new());
        (root, vec![80 << 20, 0])
    }

    #[test]
    fn an_index_is_read_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of/an/image.files");
        let (root, sizes) = index();
        keep(&path, (&root, &sizes)).unwrap();
        assert_eq!(load(&path, "debian:12"), Some((root, sizes)));

        // Damaged, cut, of another version, or not there.
        let text = std::fs::read_to_string(&path).unwrap();
        let other = format(&index().0, &[]).unwrap().replacen('1', "0", 1);
        let other = std::format!("{}\n{other}", digest(other.as_bytes()));
        for damaged in [
            text.replace("5000000000", "5000000001"),
            text[..100].to_owned(),
            other,
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(load(&path, "debian:12"), None);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(load(&path, "debian:12"), None);
    }

    #[test]
    fn what_cannot_be_kept_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.files");
        let (mut root, sizes) = index();
        root.lists.insert("etc/group".to_owned(), "a\0b".to_owned());
        keep(&path, (&root, &sizes)).unwrap();
        assert!(!path.exists());
    }
}
