//! Submodules of the git repository that are not checked out: their folders are empty.
//!
//! Read from `.gitmodules`, since git may be absent, or refuse to read the repository.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use support::input;

use crate::provenance::top_of;

/// Levels of submodules within submodules that are searched.
const DEPTH: u8 = 8;

/// Submodule that is not checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// Empty or absent folder.
    pub folder: PathBuf,
    /// Its path in the repository.
    pub path: String,
    /// Set if git can check it out here, unlike in an archive of the sources.
    is_in_clone: bool,
}

/// Returns the submodules that are not checked out, of the repository that contains `folder`.
pub fn not_checked_out(folder: &Path) -> Vec<Submodule> {
    let mut above = folder.ancestors();
    // An archive of the sources has no `.git`.
    let archive = above.find(|folder| folder.join(GITMODULES).exists());
    let top = top_of(folder);
    let is_in_clone = top.join(".git").exists();
    let top = if is_in_clone { Some(&*top) } else { archive };
    let folders = top.map(|top| empty(top, DEPTH, &mut BTreeSet::new()));
    let folders = folders.unwrap_or_default();
    let relative = |folder: &PathBuf| {
        let path = folder.strip_prefix(top?).ok()?;
        Some(path.to_string_lossy().into_owned())
    };
    let found = folders.into_iter();
    found
        .filter_map(|folder| {
            let path = relative(&folder)?;
            Some(Submodule {
                folder,
                path,
                is_in_clone,
            })
        })
        .collect()
}

/// File that lists the submodules of a repository.
const GITMODULES: &str = ".gitmodules";

/// Returns the empty folders of submodules, including those within submodules. Each is `searched` once,
/// however often links and lists lead to it.
fn empty(top: &Path, depth: u8, searched: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let is_new = top.canonicalize().is_ok_and(|it| searched.insert(it));
    if !is_new {
        return Vec::new();
    }
    let listed = input::text(&top.join(GITMODULES), input::WRITTEN_BY_HAND).unwrap_or_default();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let paths = listed.lines().filter_map(path_of);
    for path in paths.filter(|path| seen.insert(*path)) {
        let folder = top.join(path);
        let has_files = std::fs::read_dir(&folder).is_ok_and(|mut it| it.next().is_some());
        if !has_files {
            found.push(folder);
        } else if depth > 0 {
            found.extend(empty(&folder, depth - 1, searched));
        }
    }
    found
}

/// Parses a line `path = NAME`. A path that leaves the repository is none of git's.
fn path_of(line: &str) -> Option<&Path> {
    let (key, value) = line.split_once('=')?;
    let path = Path::new(value.trim().trim_matches('"'));
    let is_inner = path
        .components()
        .all(|it| matches!(it, Component::Normal(_)));
    (key.trim() == "path" && is_inner && path.file_name().is_some()).then_some(path)
}

impl Submodule {
    /// Returns whether the text names a path to its folder, or into it.
    pub fn is_named_in(&self, text: &str) -> bool {
        let name = self.folder.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        text.match_indices(&*name).any(|(start, _)| {
            let before = text.get(..start).unwrap_or_default().chars().next_back();
            let rest = text.get(start + name.len()..).unwrap_or_default();
            let after = rest.chars().next();
            // The name alone may be an ordinary word, and not a part of a longer one.
            let starts = before == Some('/') || before.is_none_or(is_around);
            let ends = after == Some('/') || after.is_none_or(is_around);
            let is_path = before == Some('/')
                || after == Some('/')
                || (before, after) == (Some('`'), Some('`'));
            starts && ends && is_path
        })
    }

    /// Returns how to get its files.
    pub fn hint(&self) -> String {
        let remedy = if self.is_in_clone {
            "run `git submodule update --init --recursive`; in GitHub Actions, set `submodules: recursive` of actions/checkout"
        } else {
            "an archive lacks its files, so clone the repository with `git clone --recurse-submodules`"
        };
        format!(
            "`{}` is a git submodule that is not checked out: {remedy}",
            self.path
        )
    }
}

/// Returns whether a character may stand beside a path.
fn is_around(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '`' | '"' | '\'' | ':' | ',' | '(' | ')')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn empty_folders_of_submodules_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let found = || {
            let found = not_checked_out(&folder.path().join("app"));
            let paths = found.iter().map(|it| it.path.clone());
            paths.collect::<Vec<_>>()
        };
        fs::create_dir(folder.path().join("app")).unwrap();
        assert_eq!(found(), [""; 0]);
        write(
            ".gitmodules",
            "[submodule \"a\"]\n\tpath = vendor/a\n\turl = ../a.git\n[submodule \"b c\"]\n  path=\"b c\"\n\
             [submodule \"out\"]\n\tpath = ../out\n[submodule \"self\"]\n\tpath = .\n\tpath =\n",
        );
        assert_eq!(found(), ["vendor/a", "b c"]);
        let in_archive = &not_checked_out(folder.path())[0];
        assert!(in_archive.hint().contains("git clone --recurse-submodules"));
        fs::create_dir_all(folder.path().join("b c")).unwrap();
        write(
            "vendor/a/.gitmodules",
            "[submodule \"x\"]\n\tpath = inner/x\n",
        );
        write(".git", "gitdir: elsewhere\n");
        assert_eq!(found(), ["vendor/a/inner/x", "b c"]);
        let in_clone = &not_checked_out(folder.path())[0];
        assert!(in_clone.hint().contains("git submodule update --init"));
        // Neither links nor repetitions are followed without end.
        std::os::unix::fs::symlink("..", folder.path().join("vendor/a/up")).unwrap();
        write(
            "vendor/a/.gitmodules",
            &"\tpath = inner/x\n\tpath = up\n".repeat(1000),
        );
        write("vendor/.gitmodules", &"\tpath = a\n".repeat(1000));
        assert!(found().contains(&"vendor/a/inner/x".to_owned()));
        // Another repository's are not this one's.
        write("app/.git", "gitdir: elsewhere\n");
        assert_eq!(found(), [""; 0]);
    }

    #[test]
    fn a_message_names_a_submodule_by_its_path() {
        let submodule = Submodule {
            folder: "/src/vendor/common".into(),
            path: "vendor/common".to_owned(),
            is_in_clone: true,
        };
        for (text, expected) in [
            ("failed to read `/src/vendor/common/Cargo.toml`", true),
            (
                "couldn't read `src/../../common/a.html`: No such file",
                true,
            ),
            ("line 3: there is no `common`", true),
            ("there is no vendor/common", true),
            ("COPY common/a /a", true),
            ("cannot find module common", false),
            ("in `common-words/a`, or `un/common-words`", false),
            ("uncommon/a", false),
            ("", false),
        ] {
            assert_eq!(submodule.is_named_in(text), expected, "{text}");
        }
    }
}
