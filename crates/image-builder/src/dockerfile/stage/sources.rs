//! Files that a build stage puts where cargo reads them, and that the build context has elsewhere,
//! or not at all. Cargo compiles the context as it is, so each of them is a note.

use std::collections::BTreeMap;

use super::super::lines::Instruction;
use super::super::{Note, Step};
use super::{Reader, copy};
use crate::paths::components;

/// Endings of archives that `ADD` unpacks.
const ARCHIVES: [&str; 8] = [
    ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst",
];

/// Path as its components.
type Parts = Vec<String>;
/// Folders of the stage, each with the folder of the context that it holds.
type Homes = BTreeMap<Parts, Parts>;

/// Files and folders of a stage, in the order of its instructions.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    placed: Vec<Placed>,
    /// Number of those that were there when cargo last compiled the program.
    compiled: usize,
}

/// File or folder that an instruction puts into a stage.
#[derive(Debug, Clone)]
struct Placed {
    line: usize,
    /// Instruction or command, for the note.
    text: String,
    /// Path in the build context; `None` for one that is downloaded, unpacked or made.
    from: Option<Parts>,
    /// Path in the stage; `None` if only Docker could tell.
    to: Option<Parts>,
    /// Set if the destination is an absolute path.
    is_absolute: bool,
}

impl Placed {
    /// Returns a folder of the stage, and the folder of the context that it holds.
    fn home(&self) -> Option<(Parts, Parts)> {
        let (from, to) = (self.from.as_ref()?, self.to.as_ref()?);
        let common = common(from, to);
        let is_manifest = |path: &Parts| path.last().is_some_and(|name| name == "Cargo.toml");
        let is_folder = from.last().is_none_or(|name| !name.contains('.'));
        match common {
            // Another manifest takes the place of that of the project.
            0 if is_manifest(to) => Some((to[..to.len() - 1].to_vec(), Parts::new())),
            0 if !is_folder => None,
            0 => Some((to.clone(), from.clone())),
            _ if is_manifest(from) => Some((
                to[..to.len() - common].to_vec(),
                from[..from.len() - common].to_vec(),
            )),
            _ => None,
        }
    }

    /// Returns whether the build context has something else, or nothing, at the place of this file.
    fn deviates(&self, homes: &Homes) -> bool {
        let Some(to) = &self.to else {
            return true;
        };
        // Sorted, so the outermost folder comes first.
        let home = homes.iter().find(|(of_stage, _)| {
            to.starts_with(of_stage) && !(of_stage.is_empty() && self.is_absolute)
        });
        match (home, &self.from) {
            (Some((of_stage, of_context)), Some(from)) => {
                *from != [of_context.as_slice(), &to[of_stage.len()..]].concat()
            }
            (Some(_), None) => true,
            // Settings in cargo's home folder. Those of the project apply here as well.
            (None, from) => {
                let is_same = from.as_ref().is_some_and(|it| common(it, to) == it.len());
                is_of_cargo(&to.join("/")) && !is_same
            }
        }
    }

    /// Returns whether a later instruction puts the file of the build context there. Placeholder
    /// sources, with which the dependencies are compiled first, are replaced so.
    fn is_replaced(&self, later: &[Self], homes: &Homes) -> bool {
        let to = self.to.as_deref().unwrap_or_default();
        let replaces = |it: &Self| {
            let folder = it.to.as_ref().filter(|_| it.from.is_some());
            folder.is_some_and(|folder| to.starts_with(folder)) && !it.deviates(homes)
        };
        matches!(to.last().map(String::as_str), Some("main.rs" | "lib.rs"))
            && later.iter().any(replaces)
    }
}

impl Sources {
    /// Marks that cargo compiles the program: what comes later has no effect on it.
    pub(super) const fn compile(&mut self) {
        self.compiled = self.placed.len();
    }

    /// Adds the files of a `COPY` or `ADD` without `--from`.
    pub(super) fn copy(&mut self, instruction: &Instruction, reader: &mut Reader<'_>) {
        let arguments = &instruction.arguments;
        let keyword = match instruction.keyword.as_str() {
            "ADD" => "ADD",
            _ => "COPY",
        };
        let last = arguments
            .split(['"', ' ', '\t', ']'])
            .rfind(|word| !word.is_empty());
        let placed = |from, to: Option<&str>| Placed {
            line: instruction.line,
            text: format!("{keyword} {arguments}"),
            from,
            to: to.map(parts),
            is_absolute: last.is_some_and(|word| word.starts_with('/')),
        };
        if copy::is_remote(instruction) {
            self.placed.push(placed(None, None));
            return;
        }
        // Errors are left to Docker, which would run the stage.
        reader.copy(instruction, keyword).unwrap_or_default();
        let copied = reader.result.steps.pop_if(|it| matches!(it, Step::Copy(_)));
        let Some(Step::Copy(copy)) = copied else {
            return;
        };
        let within = |path: &str| match path.rsplit('/').next() {
            Some(name) if copy.destination.ends_with('/') => format!("{}{name}", copy.destination),
            Some(_) | None => copy.destination.clone(),
        };
        for source in &copy.sources {
            let from = parts(source);
            if copy.unpacks && ARCHIVES.iter().any(|ending| source.ends_with(ending)) {
                self.placed.push(placed(None, None));
            } else if from.is_empty() || source.ends_with('/') {
                self.placed
                    .push(placed(Some(from), Some(&copy.destination)));
            } else {
                self.placed.push(placed(Some(from), Some(&within(source))));
            }
        }
        let inline = copy.inline.iter();
        let inline = inline.map(|(name, _)| placed(None, Some(&within(name))));
        self.placed.extend(inline);
    }

    /// Adds a file that a command puts somewhere.
    pub(super) fn made(&mut self, line: usize, text: String, to: &str, is_absolute: bool) {
        self.placed.push(Placed {
            line,
            text,
            from: None,
            to: Some(parts(to)),
            is_absolute,
        });
    }

    /// Returns a note for each file that cargo would find in the stage only.
    pub(super) fn notes(&self) -> Vec<Note> {
        let mut homes = Homes::new();
        for (of_stage, of_context) in self.placed.iter().filter_map(Placed::home) {
            let known = homes.entry(of_stage).or_insert_with(|| of_context.clone());
            // If folders of the context are mixed, cargo compiles in the outermost one.
            if of_context.is_empty() {
                known.clear();
            }
        }
        let placed = &self.placed[..self.compiled];
        let deviating = placed.iter().enumerate().filter(|(index, it)| {
            it.deviates(&homes) && !it.is_replaced(&placed[index + 1..], &homes)
        });
        deviating
            .map(|(_, it)| Note {
                line: it.line,
                text: format!("`{}` is not done here: cargo compiles what is in this folder. If the program needs it, use `--builder docker`", it.text),
            })
            .collect()
    }
}

/// Returns the number of names that both paths end in.
fn common(a: &[String], b: &[String]) -> usize {
    let both = a.iter().rev().zip(b.iter().rev());
    both.take_while(|(a, b)| a == b).count()
}

fn parts(path: &str) -> Parts {
    let (_above, parts) = components(path);
    parts.into_iter().map(ToOwned::to_owned).collect()
}

/// Returns whether cargo reads its settings from this file.
pub(super) fn is_of_cargo(file: &str) -> bool {
    let (_, parts) = components(file);
    matches!(parts.as_slice(), [.., folder, "config" | "config.toml"] if folder.contains("cargo") || folder.contains("CARGO"))
}
