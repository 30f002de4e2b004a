//! File system of an image: the files of its base and its layers, including symbolic links and
//! owners.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

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
const MAX_LIST: usize = 1 << 20;

/// Files and folders of an image by path, without the leading `/`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Root {
    /// Entries of the base image, shared by all stages on it: there may be thousands.
    base: Arc<Entries>,
    /// Entries above it, and `None` for those of it that are gone.
    own: BTreeMap<String, Option<Entry>>,
    /// Contents of [`USERS`] and [`GROUPS`] in the base image.
    pub(crate) lists: BTreeMap<String, String>,
}

impl Root {
    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        match self.own.get(path) {
            Some(own) => own.as_ref(),
            None => self.base.get(path),
        }
    }

    pub(crate) fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.get(path).is_some_and(Entry::is_folder)
    }

    /// Returns whether the path exists and is not a folder.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.get(path).is_some_and(|entry| !entry.is_folder())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.range(..)
    }

    /// Sets all entries of a base image.
    pub(crate) fn set_entries(&mut self, entries: Entries) {
        self.base = Arc::new(entries);
        self.own.clear();
    }

    /// Makes all entries those of a base image.
    pub(crate) fn into_base(mut self) -> Self {
        let entries = self.entries();
        let entries = entries.map(|(path, entry)| (path.clone(), entry.clone()));
        self.set_entries(entries.collect());
        self
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &String> {
        self.entries().map(|(path, _)| path)
    }

    /// Returns the paths that are not of the base image.
    pub(crate) fn own_files(&self) -> impl Iterator<Item = &String> {
        self.own.keys()
    }

    fn range(
        &self,
        bounds: impl RangeBounds<String> + Clone,
    ) -> impl Iterator<Item = (&String, &Entry)> {
        let mut base = self.base.range(bounds.clone()).peekable();
        let mut own = self.own.range(bounds).peekable();
        std::iter::from_fn(move || {
            loop {
                let (in_base, in_own) = (base.peek(), own.peek());
                // Entries of its own precede equal ones of the base image, which they hide.
                if in_own.is_none_or(|(path, _)| in_base.is_some_and(|(other, _)| other < path)) {
                    return base.next();
                }
                let (path, entry) = own.next()?;
                base.next_if(|(other, _)| *other == path);
                if let Some(entry) = entry {
                    return Some((path, entry));
                }
            }
        })
    }

    /// Adds an entry of a higher layer.
    pub(crate) fn insert(&mut self, path: String, entry: Entry) {
        if !entry.is_folder() {
            // The entry replaces the base image's list, so that it is read from the new file.
            self.lists.remove(&path);
        }
        self.own.insert(path, Some(entry));
    }

    /// Sets the reference of the image that the files are read from.
    pub(crate) fn set_image(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        for entry in Arc::make_mut(&mut self.base).values_mut() {
            if let Content::Lower(file) = &mut entry.content {
                file.image = Arc::clone(&name);
            }
        }
    }

    /// Removes a path and everything below it.
    pub(crate) fn remove(&mut self, path: &str) {
        let below: Vec<String> = self.below(path).map(|(path, _)| path.clone()).collect();
        for path in below.into_iter().chain([path.to_owned()]) {
            if self.base.contains_key(&path) {
                self.own.insert(path, None);
            } else {
                self.own.remove(&path);
            }
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
        let range = self.range((Bound::Excluded(prefix.clone()), Bound::Unbounded));
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
                Some(Content::File { .. } | Content::Blob(_) | Content::Lower(_)) => {
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
                file.take(MAX_LIST as u64).read_to_string(&mut text).ok()?;
            }
            Content::Blob(content) => {
                let list = content.part(0, MAX_LIST).ok()?;
                text = String::from_utf8_lossy(&list).into_owned();
            }
            Content::Folder | Content::Link { .. } | Content::Lower(_) => return None,
        }
        Some(text)
    }
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.lists == other.lists && self.entries().eq(other.entries())
    }
}

impl Eq for Root {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_base_hides_what_is_in_it() {
        let entry = |mode| Entry {
            mode,
            ..Entry::folder(Owner::default())
        };
        let mut base = Root::default();
        for path in ["a", "a/b", "a/c", "d", "f"] {
            base.insert(path.to_owned(), entry(1));
        }
        let base = base.into_base();
        let mut root = base.clone();
        root.remove("a");
        root.insert("a/c".to_owned(), entry(2));
        for path in ["a/e", "d", "e", "g"] {
            root.insert(path.to_owned(), entry(2));
        }
        root.remove("e");
        let modes = |root: &Root| -> Vec<_> {
            let all = root.entries();
            all.map(|(path, it)| format!("{path} {}", it.mode))
                .collect()
        };
        assert_eq!(modes(&root), ["a/c 2", "a/e 2", "d 2", "f 1", "g 2"]);
        assert_eq!(modes(&base), ["a 1", "a/b 1", "a/c 1", "d 1", "f 1"]);
        let below: Vec<_> = root.below("a").map(|(path, _)| path.as_str()).collect();
        assert_eq!(below, ["a/c", "a/e"]);
        assert!(root.get("a").is_none() && root.get("a/b").is_none() && root.get("e").is_none());
        assert_eq!(root.get("d").map(|it| it.mode), Some(2));
        // Equal is what has the same entries, wherever they are.
        assert_eq!(root.clone().into_base(), root);
        assert_ne!(root, base);
    }
}
