//! Build context: the folder that `COPY` takes files from, without access to anything outside of
//! it.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::compression::decompressed;
use crate::ignore::{Ignore, Pattern};
use crate::layer::{self, Content, Entries, Entry, Owner};
use crate::pack_error::PackError;
use crate::paths::{components, is_pattern, split_pattern};

/// Size limit for all files of an image together, in bytes.
pub(crate) const MAX_CONTENT: u64 = 1 << 30;

/// First bytes of compressed files that are taken for archives: bzip2 and xz.
const COMPRESSED: [&[u8]; 2] = [b"BZh", &[0xfd, b'7', b'z', b'X', b'Z']];

/// Permissions that a `COPY` sets on each file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    /// Line number in the Dockerfile.
    pub(crate) line: usize,
    /// Owner from `--chown`, or root.
    pub(crate) owner: Owner,
    /// Mode from `--chmod`.
    pub(crate) mode: Option<u32>,
    /// Set for `ADD`, which unpacks archives.
    pub(crate) unpacks: bool,
}

/// Returns the paths that a source of a `COPY` reads from the build context.
pub fn context_paths(context: &Path, source: &str) -> Vec<PathBuf> {
    // An absolute source is relative to the context, as in Docker.
    let path = |source: &str| context.join(source.trim_start_matches('/'));
    if !is_pattern(source) {
        return vec![path(source)];
    }
    let opened = Context::open(context, Path::new(""), None);
    // What cannot be listed was reported when the image was packed.
    let matching = opened.and_then(|it| it.matching(0, source));
    matching.iter().flatten().map(|it| path(it)).collect()
}

/// Returns whether sources of a `COPY` take a folder along, which need not exist.
pub fn takes_folder(context: &Path, ignore_file: &Path, sources: &[String], folder: &Path) -> bool {
    let takes = || {
        let context = Context::open(context, ignore_file, None).ok()?;
        let parent = folder.parent()?.canonicalize().ok()?;
        let path = parent.join(folder.file_name()?);
        let path = path.strip_prefix(&context.root).ok()?.to_str()?;
        let is_within = |source: &String| {
            let (_, parts) = components(source);
            Path::new(path).starts_with(parts.join("/"))
        };
        Some(sources.iter().any(is_within) && !context.ignore.excludes(path))
    };
    takes().unwrap_or(false)
}

/// Folder of the build context, with the rules of its `.dockerignore`.
#[derive(Debug)]
pub(crate) struct Context {
    /// Canonical path, without symbolic links.
    root: PathBuf,
    ignore: Ignore,
    ignore_file: PathBuf,
    /// Folder of the builder's own files, which is never copied.
    own: Option<PathBuf>,
    /// Bytes left until the limit.
    left: u64,
}

impl Context {
    pub(crate) fn open(
        folder: &Path,
        ignore_file: &Path,
        own: Option<&Path>,
    ) -> Result<Self, PackError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            |source| PackError::Read { path, source }
        };
        let root = folder.canonicalize().map_err(unreadable(folder))?;
        let ignore = match crate::dockerfile::read_text(ignore_file) {
            Ok(text) => Ignore::parse(&text).map_err(|bad| PackError::BadPattern {
                file: ignore_file.to_owned(),
                line: bad.line,
                pattern: bad.pattern,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
            Err(error) => return Err(unreadable(ignore_file)(error)),
        };
        Ok(Self {
            root,
            ignore,
            ignore_file: ignore_file.to_owned(),
            own: own.and_then(|it| it.canonicalize().ok()),
            left: MAX_CONTENT,
        })
    }

    /// Subtracts `size` bytes from the remaining limit.
    pub(crate) fn take(&mut self, line: usize, size: u64) -> Result<(), PackError> {
        self.left = self.left.checked_sub(size).ok_or(PackError::TooLarge {
            line,
            limit: MAX_CONTENT,
        })?;
        Ok(())
    }

    /// Returns the sources that a pattern of `COPY` matches, in the order of their names. Like
    /// BuildKit, accepts a pattern without a match.
    pub(crate) fn matching(&self, line: usize, source: &str) -> Result<Vec<String>, PackError> {
        let bad = || PackError::Pattern {
            line,
            pattern: source.to_owned(),
        };
        if components(source).0 > 0 {
            return Err(PackError::Outside {
                line,
                source_path: source.to_owned(),
            });
        }
        let (folder, pattern, depth) = split_pattern(source);
        let matcher = Pattern::of_copy(&pattern).ok_or_else(bad)?;
        let (root, _) = self.find(line, if folder.is_empty() { "." } else { &folder })?;
        let mut found = Vec::new();
        let mut left = vec![(root, String::new(), depth)];
        while let Some((path, name, depth)) = left.pop() {
            if !name.is_empty() && matcher.covers(&name) {
                found.push(join(&folder, &name));
            } else if depth > 0 && path.is_dir() {
                let unreadable = |source| PackError::Read {
                    path: path.clone(),
                    source,
                };
                for entry in fs::read_dir(&path).map_err(unreadable)? {
                    let entry = entry.map_err(unreadable)?;
                    // A name that is not UTF-8 matches no pattern of the Dockerfile.
                    if let Some(last) = entry.file_name().to_str() {
                        left.push((entry.path(), join(&name, last), depth - 1));
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Adds one source of a `COPY`. The content of a folder goes to `destination`, a file to it or
    /// into it.
    pub(crate) fn collect(
        &mut self,
        copy: &Rights,
        source: &str,
        destination: &Destination,
        entries: &mut Entries,
    ) -> Result<(), PackError> {
        let (found, is_ignored) = self.find(copy.line, source)?;
        if is_ignored {
            let kept = self.kept(copy, &found, destination)?;
            // Docker reports a source as missing as well if everything in it is excluded.
            if kept.is_empty() {
                return Err(PackError::Ignored {
                    line: copy.line,
                    source_path: source.to_owned(),
                    file: self.ignore_file.clone(),
                });
            }
            let mut kept = kept.into_iter();
            return kept.try_for_each(|(path, entry)| layer::put(entries, copy.line, path, entry));
        }
        let mut walk = Walk {
            context: self,
            copy,
            entries,
        };
        if found.is_dir() {
            // An empty folder is created as well.
            let folder = destination.folder();
            if !folder.is_empty() {
                let made = Entry {
                    mode: 0o755,
                    ..entry(copy, Content::Folder, 0o755)
                };
                layer::put(walk.entries, copy.line, folder.to_owned(), made)?;
            }
            walk.folder(&found, folder)
        } else {
            if copy.unpacks && is_archive(&found) {
                return Err(PackError::Unpacked {
                    line: copy.line,
                    source_path: source.to_owned(),
                });
            }
            // Uses the name from the Dockerfile, even if it is a link to a file of another name.
            walk.file(&found, destination.file(base_name(source)))
        }
    }

    /// Returns the files below an excluded path that a `!` pattern includes again, by path in the
    /// image.
    fn kept(
        &mut self,
        copy: &Rights,
        found: &Path,
        destination: &Destination,
    ) -> Result<Entries, PackError> {
        let mut kept = Entries::new();
        if found.is_dir() && self.ignore.has_exceptions() {
            let mut walk = Walk {
                context: self,
                copy,
                entries: &mut kept,
            };
            walk.folder(found, destination.folder())?;
        }
        Ok(kept)
    }

    /// Returns the canonical path of a source, and whether the ignore file excludes it or its link.
    /// A leading `/` means the context, as in Docker.
    fn find(&self, line: usize, source: &str) -> Result<(PathBuf, bool), PackError> {
        let source_path = || source.to_owned();
        let outside = || PackError::Outside {
            line,
            source_path: source_path(),
        };
        let (above, clean) = components(source);
        if above > 0 {
            return Err(outside());
        }
        let relative = clean.join("/");
        let found = self.root.join(&relative).canonicalize().map_err(|error| {
            let is_absent = matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            );
            if is_absent {
                PackError::Absent {
                    line,
                    source_path: source_path(),
                }
            } else {
                PackError::Read {
                    path: self.root.join(&relative),
                    source: error,
                }
            }
        })?;
        // A symbolic link may lead out of the context.
        if !found.starts_with(&self.root) {
            return Err(outside());
        }
        let real = self.relative(line, &found)?;
        let is_ignored = |path: &str| !path.is_empty() && self.ignore.excludes(path);
        let is_ignored = is_ignored(&relative) || is_ignored(&real);
        Ok((found, is_ignored))
    }

    fn relative(&self, line: usize, path: &Path) -> Result<String, PackError> {
        path.strip_prefix(&self.root)
            .ok()
            .and_then(Path::to_str)
            .map(ToOwned::to_owned)
            .ok_or_else(|| PackError::Special {
                line,
                path: path.to_owned(),
            })
    }
}

/// Destination of a `COPY`, without the leading `/`.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Folder that files are copied into.
    Folder(String),
    /// Name of the new file or folder.
    Exactly(String),
}

impl Destination {
    /// Returns the path of a file whose name in the source is `name`.
    pub(crate) fn file(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => join(folder, name),
            Self::Exactly(path) => path.clone(),
        }
    }

    pub(crate) fn folder(&self) -> &str {
        match self {
            Self::Folder(path) | Self::Exactly(path) => path,
        }
    }
}

/// Returns whether `ADD` would unpack a file: Docker looks at its content, not at its name.
fn is_archive(path: &Path) -> bool {
    // A compressed file that is no archive is copied as it is.
    let content = fs::File::open(path)
        .map(io::BufReader::new)
        .and_then(decompressed);
    let mut start = Vec::new();
    // A file that cannot be read is reported when it is packed.
    content
        .and_then(|it| it.take(512).read_to_end(&mut start))
        .ok();
    COMPRESSED.iter().any(|magic| start.starts_with(magic)) || start.get(257..262) == Some(b"ustar")
}

/// Returns the last component of a path.
pub(crate) fn base_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn entry(copy: &Rights, content: Content, mode: u32) -> Entry {
    Entry {
        content,
        owner: copy.owner,
        mode: copy.mode.unwrap_or(mode),
    }
}

/// Traversal of a folder for one `COPY`.
struct Walk<'a> {
    context: &'a mut Context,
    copy: &'a Rights,
    entries: &'a mut Entries,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, destination: &str) -> Result<(), PackError> {
        let unreadable = |source| PackError::Read {
            path: folder.to_owned(),
            source,
        };
        // The builder's output lies in the context, and would grow with each image.
        if self.context.own.as_deref() == Some(folder) {
            return Ok(());
        }
        for found in fs::read_dir(folder).map_err(unreadable)? {
            let found = found.map_err(unreadable)?;
            let path = found.path();
            let kind = found.file_type().map_err(unreadable)?;
            let relative = self.context.relative(self.copy.line, &path)?;
            let name = join(destination, base_name(&relative));
            let is_excluded = self.context.ignore.excludes(&relative);
            if kind.is_dir() {
                // Of an excluded folder, only files that a `!` pattern includes are added. Their
                // parents are added later.
                if !is_excluded {
                    let made = entry(self.copy, Content::Folder, 0o755);
                    layer::put(self.entries, self.copy.line, name.clone(), made)?;
                }
                if !is_excluded || self.context.ignore.has_exceptions() {
                    self.folder(&path, &name)?;
                }
            } else if is_excluded {
                // Excluded by the user's own rule, so there is nothing to report.
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).map_err(unreadable)?;
                // `--chmod` does not apply to links, which have no permissions of their own.
                let link = Entry {
                    mode: 0o777,
                    ..entry(self.copy, Content::Link { target }, 0o777)
                };
                layer::put(self.entries, self.copy.line, name, link)?;
            } else {
                self.file(&path, name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<(), PackError> {
        let metadata = fs::metadata(path).map_err(|source| PackError::Read {
            path: path.to_owned(),
            source,
        })?;
        if !metadata.is_file() {
            return Err(PackError::Special {
                line: self.copy.line,
                path: path.to_owned(),
            });
        }
        self.context.take(self.copy.line, metadata.len())?;
        // As a checkout by Git: only the executable bit counts, not the umask of whoever cloned.
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        let content = Content::File {
            path: path.to_owned(),
            size: metadata.len(),
        };
        let mode = if is_executable { 0o755 } else { 0o644 };
        let entry = entry(self.copy, content, mode);
        layer::put(self.entries, self.copy.line, name, entry)
    }
}
