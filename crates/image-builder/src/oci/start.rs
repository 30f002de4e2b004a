//! What of an image cannot start, found before it is sent: afterwards it would be a task that ends again and again.
//!
//! Only what is certain is refused. Nothing but the copied files is in the image, so that much is; not what links lead to, what is
//! found through `PATH` or from the working folder, and what lists of users and groups say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use crate::Architecture;
use crate::dockerfile::FinalStage;
use crate::elf::{self, ElfError, SCRIPT};
use crate::layer::{Content, Entry};
use crate::pack_error::PackError;

/// In which users are looked for, and groups.
const USERS: &str = "etc/passwd";
const GROUPS: &str = "etc/group";

/// All files of an image without links, by their paths without the `/` in front.
pub(super) type Files = BTreeMap<String, Entry>;

/// Refuses what cannot start. `programs` are the files that have been looked at when they were compiled.
pub(super) fn check(
    stage: &FinalStage,
    files: &Files,
    programs: &BTreeSet<String>,
    architecture: Architecture,
) -> Result<(), PackError> {
    let user = User::find(stage.user.as_deref().unwrap_or_default(), files)?;
    let words = stage.entrypoint.as_ref().or(stage.cmd.as_ref());
    let first = words.and_then(|words| words.first());
    let Some(path) = first.and_then(|path| path.strip_prefix('/')) else {
        return Ok(());
    };
    let in_the_image = || format!("/{path}");
    let entry = files
        .get(path)
        .ok_or_else(|| PackError::NothingAtEntrypoint {
            path: in_the_image(),
        })?;
    if !user.may_execute(entry) {
        return Err(PackError::NotExecutable {
            path: in_the_image(),
            mode: entry.mode,
        });
    }
    match &entry.content {
        Content::File { path: source, .. } if !programs.contains(path) => {
            check_content(source, files, architecture).map_err(|problem| {
                PackError::NoOtherProgram {
                    path: in_the_image(),
                    problem,
                }
            })
        }
        Content::File { .. } | Content::Bytes(_) | Content::Folder | Content::Link { .. } => Ok(()),
    }
}

/// Who the program is run as.
enum User {
    /// These numbers.
    Known { user: u32, group: u32 },
    /// Whatever the lists of users and groups in the image make of it.
    Listed,
}

impl User {
    /// By what `USER` says: a user, and perhaps a group behind a `:`.
    fn find(text: &str, files: &Files) -> Result<Self, PackError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let find = |name: &str, list: &'static str| match number(name) {
            None if !files.contains_key(list) => Err(PackError::UnknownName {
                name: name.to_owned(),
                list,
            }),
            number => Ok(number),
        };
        let (user, group) = (find(user, USERS)?, find(group, GROUPS)?);
        // The lists may also give a number further groups.
        let has_lists = files.contains_key(USERS) || files.contains_key(GROUPS);
        Ok(match (user, group) {
            (Some(user), Some(group)) if !has_lists => Self::Known { user, group },
            _ => Self::Listed,
        })
    }

    fn may_execute(&self, entry: &Entry) -> bool {
        let wanted = match *self {
            // Root may execute what anybody may.
            Self::Known { user: 0, .. } | Self::Listed => 0o111,
            Self::Known { user, .. } if user == entry.owner.user => 0o100,
            Self::Known { group, .. } if group == entry.owner.group => 0o010,
            Self::Known { .. } => 0o001,
        };
        entry.mode & wanted != 0
    }
}

/// Without a name it is root.
fn number(name: &str) -> Option<u32> {
    if name.is_empty() {
        Some(0)
    } else {
        name.parse().ok()
    }
}

/// Whether a file is a script, or a program that has here what it needs.
fn check_content(source: &Path, files: &Files, architecture: Architecture) -> Result<(), ElfError> {
    let mut file = File::open(source)?;
    let mut beginning = Vec::new();
    let size = SCRIPT.len() as u64;
    file.by_ref().take(size).read_to_end(&mut beginning)?;
    if beginning == SCRIPT {
        return Ok(());
    }
    file.seek(io::SeekFrom::Start(0))?;
    match elf::check(&mut file, architecture) {
        Err(ElfError::Dynamic { interpreter })
            if files.contains_key(interpreter.trim_start_matches('/')) =>
        {
            Ok(())
        }
        verdict => verdict,
    }
}
