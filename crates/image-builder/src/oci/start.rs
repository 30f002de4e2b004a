//! Checks that an image can start before it is pushed. Otherwise, ECS would restart a failing task
//! again and again.
//!
//! Only certain defects are errors. All files of the image are known, including those of its base
//! and symbolic links.

use std::fs::File;
use std::io::{self, Read, Seek};

use crate::Architecture;
use crate::dockerfile::{Account, DEFAULT_PATH};
use crate::elf::{self, ElfError, Needs, SCRIPT};
use crate::layer::{Content, Entry};
use crate::pack_error::PackError;
use crate::root::{GROUPS, Root, USERS};

use super::Recipe;

/// Folders that the runtime mounts over.
const MOUNTED: [&str; 3] = ["proc", "sys", "dev"];

/// Checks that the image can start. `is_program` identifies the compiled program, which was checked
/// already.
pub(super) fn check(
    recipe: &Recipe<'_>,
    root: &Root,
    is_program: impl Fn(&str) -> bool,
) -> Result<(), PackError> {
    let stage = recipe.stage;
    let user = User::find(stage.user.as_deref().unwrap_or_default(), root)?;
    // If there is an `ENTRYPOINT`, `CMD` only holds its arguments.
    let words = stage.entrypoint.as_ref().or(stage.cmd.as_ref());
    // A missing command was reported when the Dockerfile was evaluated.
    let Some(first) = words.and_then(|words| words.first()) else {
        return Ok(());
    };
    if first.is_empty() {
        return Err(PackError::EmptyCommand);
    }
    let path = find(recipe, root, first);
    let path = path.ok_or_else(|| match words.map(Vec::as_slice) {
        // The shell form, or an exec form that is the same.
        Some([shell, option, command]) if option == "-c" => PackError::NoShell {
            shell: shell.clone(),
            command: command.clone(),
        },
        Some(_) | None => PackError::NothingAtEntrypoint {
            path: first.clone(),
        },
    })?;
    let in_the_image = || format!("/{path}");
    if MOUNTED.contains(&path.split('/').next().unwrap_or_default()) {
        return Err(PackError::Hidden {
            path: in_the_image(),
        });
    }
    let Some(entry) = root.get(&path) else {
        return Ok(());
    };
    if !user.may_execute(entry) {
        return Err(PackError::NotExecutable {
            path: in_the_image(),
            mode: entry.mode,
        });
    }
    match &entry.content {
        // A static program needs no other file of the image.
        Content::File { .. } if is_program(&path) && stage.base.is_none() => Ok(()),
        // In a dry run, this is the program that cargo has yet to compile.
        Content::Blob(_) if is_program(&path) => Ok(()),
        Content::File { path: source, .. } => {
            let content = || File::open(source);
            check_content(content, root, recipe.architecture, &in_the_image())
        }
        Content::Blob(content) => check_content(
            || Ok(content.open()),
            root,
            recipe.architecture,
            &in_the_image(),
        ),
        // A file of the base image is not on disk: reading it would decompress the layers again.
        Content::Folder | Content::Link { .. } | Content::Lower(_) => Ok(()),
    }
}

/// Returns the file that the image starts.
pub(super) fn started<'r>(recipe: &Recipe<'_>, root: &'r Root) -> Option<&'r Entry> {
    let stage = recipe.stage;
    let words = stage.entrypoint.as_ref().or(stage.cmd.as_ref())?;
    root.get(&find(recipe, root, words.first()?)?)
}

/// Finds the file to start as the runtime does: by its path relative to the working folder, or on
/// `PATH`.
fn find(recipe: &Recipe<'_>, root: &Root, word: &str) -> Option<String> {
    let stage = recipe.stage;
    let within = |folder: &str| {
        let path = root.resolve(&format!("{folder}/{word}"))?;
        root.is_file(&path).then_some(path)
    };
    if word.starts_with('/') {
        return within("");
    }
    if word.contains('/') {
        return within(stage.working_dir.as_deref().unwrap_or("/"));
    }
    let path = stage.env.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, path)| path);
    path.split(':').find_map(within)
}

/// User that the program runs as.
enum User {
    /// User and group by number.
    Known { user: u32, group: u32 },
    /// User who may be a member of further groups, since the image lists users.
    Listed,
}

impl User {
    /// Finds the user and group of `USER`. Without a group, it is that of the user in the image, or
    /// else root.
    fn find(text: &str, root: &Root) -> Result<Self, PackError> {
        let account = Account::parse(text);
        let owner = root.owner(&account)?;
        let has_lists = [USERS, GROUPS].iter().any(|list| {
            let path = root.resolve(list);
            path.is_some_and(|path| root.get(&path).is_some())
        });
        if has_lists {
            return Ok(Self::Listed);
        }
        let group = match account.group {
            Some(_) => owner.group,
            None => root.group_of(owner.user).unwrap_or(0),
        };
        let user = owner.user;
        Ok(Self::Known { user, group })
    }

    fn may_execute(&self, entry: &Entry) -> bool {
        let wanted = match *self {
            // Root can execute a file if anyone can. `Listed` is treated alike, as its groups are
            // not known.
            Self::Known { user: 0, .. } | Self::Listed => 0o111,
            Self::Known { user, .. } if user == entry.owner.user => 0o100,
            Self::Known { group, .. } if group == entry.owner.group => 0o010,
            Self::Known { .. } => 0o001,
        };
        entry.mode & wanted != 0
    }
}

/// Checks that a file is a script, or a program whose loader and libraries are in the image.
fn check_content<R: Read + Seek>(
    open: impl Fn() -> io::Result<R>,
    root: &Root,
    architecture: Architecture,
    path: &str,
) -> Result<(), PackError> {
    let unusable = |problem| PackError::NoOtherProgram {
        path: path.to_owned(),
        problem,
    };
    let Needs {
        interpreter,
        libraries,
    } = match read_needs(open, architecture) {
        Ok(Some(needs)) => needs,
        Ok(None) => return Ok(()),
        Err(problem) => return Err(unusable(problem)),
    };
    let Some(interpreter) = interpreter else {
        return Ok(());
    };
    let has = |path: &str| root.resolve(path).is_some_and(|path| root.is_file(&path));
    if !has(&interpreter) {
        return Err(unusable(ElfError::Dynamic { interpreter }));
    }
    // Only the file name is compared: the loader's search path depends on its configuration.
    let is_there = |library: &String| {
        let end = format!("/{library}");
        root.files().any(|path| path.ends_with(&end))
    };
    match libraries.into_iter().find(|library| !is_there(library)) {
        None => Ok(()),
        Some(library) => Err(PackError::NoLibrary {
            path: path.to_owned(),
            library,
        }),
    }
}

/// Returns the requirements of a program; `None` for a script.
fn read_needs<R: Read + Seek>(
    open: impl Fn() -> io::Result<R>,
    architecture: Architecture,
) -> Result<Option<Needs>, ElfError> {
    let mut file = open()?;
    let mut beginning = Vec::new();
    let size = SCRIPT.len() as u64;
    file.by_ref().take(size).read_to_end(&mut beginning)?;
    if beginning == SCRIPT {
        return Ok(None);
    }
    file.seek(io::SeekFrom::Start(0))?;
    elf::needs(&mut file, architecture).map(Some)
}
