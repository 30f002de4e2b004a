//! File system of an image: the files of its base and its layers, including symbolic links and
//! owners.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Bound;

use crate::dockerfile::Account;
use crate::ignore::Pattern;
use crate::layer::{Content, Entries, Entry, Owner, parents};
use crate::pack_error::PackError;
use crate::paths::split_pattern;

/// Files that list users and groups.
pub(crate) const USERS: &str = "etc/passwd";
pub(crate) const GROUPS: &str = "etc/group";
/// Limit for symbolic links in one path, as in the Linux kernel.
const MAX_LINKS: usize = 40;
/// Size limit for a list of users, in bytes.
const MAX_LIST: u64 = 1 << 20;

/// Files and folders of an image by path, without the leading `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Root {
    entries: Entries,
    /// Contents of [`USERS`] and [`GROUPS`] in the base image.
    pub(crate) lists: BTreeMap<String, String>,
}

impl Root {
    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.get(path).is_some_and(Entry::is_folder)
    }

    /// Returns whether the path exists and is not a folder.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.get(path).is_some_and(|entry| !entry.is_folder())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    /// Sets all entries of a base image.
    pub(crate) fn set_entries(&mut self, entries: Entries) {
        self.entries = entries;
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &String> {
        self.entries.keys()
    }

    /// Adds an entry of a higher layer.
    pub(crate) fn insert(&mut self, path: String, entry: Entry) {
        if !entry.is_folder() {
            // The entry replaces the base image's list, so that it is read from the new file.
            self.lists.remove(&path);
        }
        self.entries.insert(path, entry);
    }

    /// Sets the reference of the image that the files are read from.
    pub(crate) fn set_image(&mut self, name: &str) {
        for entry in self.entries.values_mut() {
            if let Content::Lower(file) = &mut entry.content {
                name.clone_into(&mut file.image);
            }
        }
    }

    /// Removes a path and everything below it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.entries.remove(path);
        let below: Vec<String> = self.below(path).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// Returns the content of a folder, at any depth.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&String, &Entry)> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        // The map is sorted, so all paths below a folder are adjacent.
        let from = (Bound::Excluded(prefix.clone()), Bound::Unbounded);
        let range = self.entries.range::<String, _>(from);
        range.take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// Returns the sources that a pattern of `COPY` matches.
    pub(crate) fn matching(&self, pattern: &str) -> Option<Vec<String>> {
        let (folder, pattern, depth) = split_pattern(pattern);
        let matcher = Pattern::of_copy(&pattern)?;
        let folder = self.resolve(&folder)?;
        let start = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        let is_match = |path: &&String| {
            let name = &path[start..];
            // The content of a folder that matches is not listed besides it.
            name.split('/').count() <= depth
                && matcher.covers(name)
                && !parents(name).any(|above| matcher.covers(above))
        };
        let below = self.below(&folder).map(|(path, _)| path);
        Some(below.filter(is_match).cloned().collect())
    }

    /// Resolves all symbolic links in a path, including the last component. Returns `None` for a
    /// cycle or a path through a file.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        // Reversed, since the targets of links are put in front of the remaining components.
        let mut left: Vec<String> = split(path).rev().collect();
        let mut found: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                found.pop();
                continue;
            }
            found.push(part);
            let here = found.join("/");
            match self.get(&here).map(|entry| &entry.content) {
                Some(Content::Link { target }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    found.pop();
                    let target = target.to_str()?;
                    // An absolute link starts at the root of the image.
                    if target.starts_with('/') {
                        found.clear();
                    }
                    left.extend(split(target).rev());
                }
                Some(Content::Folder) | None => {}
                Some(Content::File { .. } | Content::Bytes(_) | Content::Lower(_)) => {
                    if !left.is_empty() {
                        return None;
                    }
                }
            }
        }
        Some(found.join("/"))
    }

    /// Returns the numeric owner. Without a group, it is the user's own; for a numeric user, the
    /// group has the same number, as in BuildKit.
    pub(crate) fn owner(&self, account: &Account) -> Result<Owner, PackError> {
        let (user, own_group) = match number(&account.user)? {
            Some(number) => (number, number),
            None => self.find(USERS, &account.user)?,
        };
        let group = match account.group.as_deref() {
            None => own_group,
            Some(group) => match number(group)? {
                Some(number) => number,
                None => self.find(GROUPS, group)?.0,
            },
        };
        Ok(Owner { user, group })
    }

    /// Returns the number of a name, and for a user also that of the group.
    pub(crate) fn find(&self, list: &'static str, name: &str) -> Result<(u32, u32), PackError> {
        let lines = self.list(list).unwrap_or_default();
        let line = lines.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_it = fields.next() == Some(name);
            let mut numbers = fields
                // Both files have the obsolete password between the name and the first number.
                .skip(1)
                .map(|field| field.trim().parse().unwrap_or(0));
            is_it.then(|| (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
        });
        line.ok_or_else(|| PackError::UnknownName {
            name: name.to_owned(),
            list,
        })
    }

    /// Returns the group of a numeric user, if the image lists it.
    pub(crate) fn group_of(&self, user: u32) -> Option<u32> {
        let lines = self.list(USERS)?;
        lines.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_it = fields.get(2)?.parse() == Ok(user);
            is_it.then(|| fields.get(3)?.parse().ok()).flatten()
        })
    }

    fn list(&self, name: &str) -> Option<String> {
        if let Some(known) = self.lists.get(name) {
            return Some(known.clone());
        }
        let path = self.resolve(name)?;
        let mut text = String::new();
        match &self.get(&path)?.content {
            Content::File { path, .. } => {
                let file = std::fs::File::open(path).ok()?;
                file.take(MAX_LIST).read_to_string(&mut text).ok()?;
            }
            Content::Bytes(content) => text = String::from_utf8_lossy(content).into_owned(),
            Content::Folder | Content::Link { .. } | Content::Lower(_) => return None,
        }
        Some(text)
    }
}

/// Parses a numeric user or group. An empty name means root.
fn number(name: &str) -> Result<Option<u32>, PackError> {
    if name.is_empty() {
        return Ok(Some(0));
    }
    match name.parse::<i64>() {
        // Container engines reject numbers beyond `i32::MAX`.
        Ok(number) => match i32::try_from(number) {
            Ok(number) if number >= 0 => Ok(Some(number.unsigned_abs())),
            Ok(_) | Err(_) => Err(PackError::OutOfRange(name.to_owned())),
        },
        Err(_) => Ok(None),
    }
}

fn split(path: &str) -> impl DoubleEndedIterator<Item = String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.map(ToOwned::to_owned)
}
