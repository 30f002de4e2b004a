//! Execution of a stage's steps: the files and layers that each of them adds to the image.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::{Context, Destination, Rights, base_name, join};
use crate::dockerfile::{CopyInstruction, CopySource, FinalStage, Step, WorkFolder};
use crate::image::NOTICES_FOLDER;
use crate::layer::{self, Content, Entries, Entry, LowerFile, Owner};
use crate::pack_error::PackError;
use crate::paths::{components, is_pattern};
use crate::root::Root;

use super::{Recipe, start};

/// Layer that a step adds.
pub(super) struct PackedLayer {
    pub(super) created_by: String,
    pub(super) entries: Entries,
}

/// Layers and errors of an image.
#[derive(Default)]
pub(super) struct Packed {
    pub(super) layers: Vec<PackedLayer>,
    pub(super) errors: Vec<PackError>,
}

/// State while one image is packed.
pub(super) struct Packing<'a> {
    recipe: &'a Recipe<'a>,
    context: Context,
    packed: Packed,
    /// Set once a `COPY` took the program.
    takes_program: bool,
}

impl<'a> Packing<'a> {
    pub(super) fn open(recipe: &'a Recipe<'a>) -> Result<Self, PackError> {
        Ok(Self {
            recipe,
            context: Context::open(recipe.context, recipe.ignore_file, recipe.own_folder)?,
            packed: Packed::default(),
            takes_program: false,
        })
    }

    /// Runs all steps, and detects defects that would otherwise only show when the service fails to
    /// start.
    pub(super) fn pack(mut self) -> Packed {
        let stage = self.recipe.stage;
        let (root, layers) = self.fill(stage);
        self.packed.layers = layers;
        let is_known = stage.base.is_none() || self.recipe.base().is_some();
        if !is_known {
            let image = stage.base.clone().unwrap_or_default();
            let reason = "it was not fetched".to_owned();
            self.packed.errors.push(PackError::Base { image, reason });
        }
        // Errors in the steps would only cause further errors here.
        if self.packed.errors.is_empty() && is_known {
            self.check(&root);
            self.notices(&root);
        }
        self.packed
    }

    fn check(&mut self, root: &Root) {
        let recipe = self.recipe;
        // A later `COPY` may have replaced the program, so the final files are checked as well.
        let has_program =
            self.takes_program && root.own_files().any(|path| self.is_program(root, path));
        // If no stage compiles, the image may start another file that it copies.
        let starts_a_file = || {
            let started = start::started(recipe, root);
            recipe.program_path.is_none()
                && !self.takes_program
                && started
                    .is_some_and(|it| matches!(it.content, Content::File { .. } | Content::Blob(_)))
        };
        if !has_program && !starts_a_file() {
            self.packed.errors.push(PackError::NoProgram {
                program: recipe.program.to_owned(),
            });
        } else if let Err(error) = start::check(recipe, root, |path| self.is_program(root, path)) {
            self.packed.errors.push(error);
        }
    }

    fn is_program(&self, root: &Root, path: &str) -> bool {
        match (
            root.get(path).map(|entry| &entry.content),
            self.recipe.program_path,
        ) {
            (Some(Content::File { path, .. }), Some(program)) => path == program,
            // In a dry run the program is not compiled yet: an empty file takes its place.
            (Some(Content::Blob(content)), None) => content.size() == 0,
            _ => false,
        }
    }

    /// Adds a layer with the license notices. Files that the Dockerfile puts there are kept.
    fn notices(&mut self, root: &Root) {
        // If a file or a cycle of links is in the way, the image has no notices and still works.
        let Some(folder) = root.resolve(NOTICES_FOLDER).filter(|it| !root.is_file(it)) else {
            return;
        };
        let mut entries = Entries::new();
        for notice in self.recipe.notices {
            let path = join(&folder, notice.name);
            if root.get(&path).is_none() {
                let content = Content::Blob(Bytes::from(notice.text.clone()).into());
                entries.insert(path, plain(content, Owner::default(), 0o644));
            }
        }
        if !entries.is_empty() {
            layer::add_parents(&mut entries, Owner::default(), |path| root.is_folder(path));
            self.packed.layers.push(PackedLayer {
                created_by: "licences of what is linked".to_owned(),
                entries,
            });
        }
    }

    /// Returns the files of a stage, and the layers that its steps add.
    fn fill(&mut self, stage: &FinalStage) -> (Root, Vec<PackedLayer>) {
        let base = stage.base.as_ref().and_then(|it| self.recipe.bases.get(it));
        let mut root = base.map(|base| base.root.clone()).unwrap_or_default();
        let mut layers = Vec::new();
        for step in &stage.steps {
            let added = match step {
                Step::Folder(folder) => work_folder(folder, &root),
                Step::Copy(copy) => self.copy(copy, &root),
            };
            match added {
                Ok(entries) => {
                    for (path, entry) in &entries {
                        root.insert(path.clone(), entry.clone());
                    }
                    // Docker adds a layer for each `COPY`, even an empty one, but none for an
                    // existing `WORKDIR`.
                    if !entries.is_empty() || matches!(step, Step::Copy(_)) {
                        let created_by = created_by(step);
                        layers.push(PackedLayer {
                            created_by,
                            entries,
                        });
                    }
                }
                // Continues with the next step, so that all errors are reported at once.
                Err(error) => self.packed.errors.push(error),
            }
        }
        (root, layers)
    }

    fn copy(&mut self, copy: &CopyInstruction, root: &Root) -> Result<Entries, PackError> {
        let owner = copy
            .owner
            .as_ref()
            .map(|owner| root.owner(owner))
            .transpose()?;
        let rights = Rights {
            line: copy.line,
            owner: owner.unwrap_or_default(),
            mode: copy.mode,
            unpacks: copy.unpacks,
        };
        let destination = destination(copy, root)?;
        let mut entries = Entries::new();
        match &copy.from {
            CopySource::Context => {
                for source in &copy.sources {
                    if !is_pattern(source) {
                        self.context
                            .collect(&rights, source, &destination, &mut entries)?;
                        continue;
                    }
                    let matching = self.context.matching(copy.line, source)?;
                    check_destination(copy, source, &matching, &destination)?;
                    for path in matching {
                        let taken =
                            self.context
                                .collect(&rights, &path, &destination, &mut entries);
                        match taken {
                            // Docker does not see excluded files, so no pattern matches them.
                            Err(PackError::Ignored { .. }) => {}
                            taken => taken?,
                        }
                    }
                }
            }
            CopySource::Program(_) => self.program(&rights, &destination, &mut entries)?,
            CopySource::Stage(_, stage) => {
                let (inner, _) = self.fill(stage);
                entries = self.of_stage(copy, owner, &inner, &destination)?;
            }
        }
        for (name, content) in &copy.inline {
            let content = Content::Blob(Bytes::from(content.clone()).into());
            let entry = plain(content, rights.owner, rights.mode.unwrap_or(0o644));
            layer::put(
                &mut entries,
                copy.line,
                destination.file(base_name(name)),
                entry,
            )?;
        }
        // A folder of a lower layer keeps its owner and mode.
        entries.retain(|path, entry| !(entry.is_folder() && root.is_folder(path)));
        check_for_room(copy.line, root, &entries)?;
        layer::add_parents(&mut entries, rights.owner, |path| root.is_folder(path));
        Ok(entries)
    }

    fn program(
        &mut self,
        rights: &Rights,
        destination: &Destination,
        entries: &mut Entries,
    ) -> Result<(), PackError> {
        self.takes_program = true;
        let content = match self.recipe.program_path {
            None => Content::Blob(Bytes::new().into()),
            Some(path) => {
                let path = path.to_owned();
                let metadata = std::fs::metadata(&path);
                let size = match metadata {
                    Ok(metadata) => metadata.len(),
                    Err(source) => return Err(PackError::Read { path, source }),
                };
                self.context.take(rights.line, size)?;
                Content::File { path, size }
            }
        };
        let entry = plain(content, rights.owner, rights.mode.unwrap_or(0o755));
        layer::put(
            entries,
            rights.line,
            destination.file(self.recipe.program),
            entry,
        )
    }

    /// Copies from another stage or image. Owners and modes are kept, as in BuildKit.
    fn of_stage(
        &mut self,
        copy: &CopyInstruction,
        owner: Option<Owner>,
        inner: &Root,
        destination: &Destination,
    ) -> Result<Entries, PackError> {
        let mut entries = Entries::new();
        let mut sources = Vec::new();
        for source in &copy.sources {
            if is_pattern(source) {
                let matching = inner.matching(source).ok_or_else(|| PackError::Pattern {
                    line: copy.line,
                    pattern: source.clone(),
                })?;
                check_destination(copy, source, &matching, destination)?;
                sources.extend(matching);
            } else {
                sources.push(source.clone());
            }
        }
        for source in &sources {
            let is_folder = inner
                .resolve(source)
                .is_some_and(|path| inner.is_folder(&path));
            // An empty path is the root, which always exists.
            if is_folder && !destination.folder().is_empty() {
                // The destination folder is created with default permissions; only the source's
                // content is copied.
                let made = Entry::folder(owner.unwrap_or_default());
                let path = destination.folder().to_owned();
                layer::put(&mut entries, copy.line, path, made)?;
            }
            for (path, mut entry) in found(copy, source, inner, destination)? {
                // A symbolic link has no mode of its own.
                let is_link = matches!(entry.content, Content::Link { .. });
                entry.owner = owner.unwrap_or(entry.owner);
                entry.mode = copy.mode.filter(|_| !is_link).unwrap_or(entry.mode);
                layer::put(&mut entries, copy.line, path, entry)?;
            }
        }
        self.read(copy, &mut entries)?;
        Ok(entries)
    }

    /// Reads files of base images.
    fn read(&mut self, copy: &CopyInstruction, entries: &mut Entries) -> Result<(), PackError> {
        let mut wanted: BTreeMap<Arc<str>, Vec<LowerFile>> = BTreeMap::new();
        for entry in entries.values() {
            if let Content::Lower(file) = &entry.content {
                self.context.take(copy.line, file.size)?;
                let files = wanted.entry(Arc::clone(&file.image)).or_default();
                files.push(file.clone());
            }
        }
        let mut contents = BTreeMap::new();
        for (image, files) in wanted {
            let absent = |reason: &str| PackError::Base {
                image: image.to_string(),
                reason: reason.to_owned(),
            };
            let base = self.recipe.bases.get(&*image);
            let base = base.ok_or_else(|| absent("it was not fetched"))?;
            contents.insert(image, base.read(&files, self.recipe.cache.folder())?);
        }
        for entry in entries.values_mut() {
            let Content::Lower(LowerFile {
                image, layer, path, ..
            }) = &entry.content
            else {
                continue;
            };
            let found = contents.get(image);
            let found = found.and_then(|it| it.get(&(*layer, path.clone())));
            let found = found.ok_or_else(|| PackError::Base {
                image: image.to_string(),
                reason: format!("`/{path}` is not in its layers"),
            })?;
            entry.content = Content::Blob(found.clone());
        }
        Ok(())
    }
}

/// Checks that several files go into a folder.
fn check_destination(
    copy: &CopyInstruction,
    pattern: &str,
    matching: &[String],
    destination: &Destination,
) -> Result<(), PackError> {
    match destination {
        Destination::Exactly(_) if matching.len() > 1 => Err(PackError::SeveralToOne {
            line: copy.line,
            pattern: pattern.to_owned(),
        }),
        Destination::Exactly(_) | Destination::Folder(_) => Ok(()),
    }
}

/// Finds the files at a path of another stage, with their destinations.
fn found(
    copy: &CopyInstruction,
    source: &str,
    inner: &Root,
    destination: &Destination,
) -> Result<Vec<(String, Entry)>, PackError> {
    let absent = || PackError::AbsentThere {
        line: copy.line,
        source_path: source.to_owned(),
        from: match &copy.from {
            CopySource::Stage(name, _) | CopySource::Program(name) => name.clone(),
            CopySource::Context => String::new(),
        },
    };
    let found = inner.resolve(source).ok_or_else(absent)?;
    if !inner.is_folder(&found) {
        let entry = inner.get(&found).ok_or_else(absent)?;
        return Ok(vec![(destination.file(base_name(source)), entry.clone())]);
    }
    let from = if found.is_empty() { 0 } else { found.len() + 1 };
    let below = inner.below(&found);
    Ok(below
        .map(|(path, entry)| (join(destination.folder(), &path[from..]), entry.clone()))
        .collect())
}

fn plain(content: Content, owner: Owner, mode: u32) -> Entry {
    Entry {
        content,
        owner,
        mode,
    }
}

/// Creates the missing folders of a `WORKDIR`, owned by the current user.
fn work_folder(folder: &WorkFolder, root: &Root) -> Result<Entries, PackError> {
    let nowhere = || PackError::Nowhere {
        line: folder.line,
        path: folder.path.trim_start_matches('/').to_owned(),
    };
    let path = root.resolve(&folder.path).ok_or_else(nowhere)?;
    if root.is_file(&path) {
        return Err(nowhere());
    }
    let owner = folder.owner.as_ref().map(|owner| root.owner(owner));
    let owner = owner.transpose()?.unwrap_or_default();
    let missing = layer::parents(&path).chain([path.as_str()]);
    let missing = missing.filter(|path| !root.is_folder(path));
    Ok(missing
        .map(|path| (path.to_owned(), Entry::folder(owner)))
        .collect())
}

/// Returns the destination of a `COPY`, with symbolic links followed.
fn destination(copy: &CopyInstruction, root: &Root) -> Result<Destination, PackError> {
    let (_, parts) = components(&copy.destination);
    let nowhere = || PackError::Nowhere {
        line: copy.line,
        path: parts.join("/"),
    };
    let whole = root.resolve(&copy.destination).ok_or_else(nowhere)?;
    if copy.destination.ends_with('/') || root.is_folder(&whole) {
        return Ok(Destination::Folder(whole));
    }
    let Some((name, folders)) = parts.split_last() else {
        return Ok(Destination::Folder(String::new()));
    };
    // Only the folder is resolved: a link of that name is replaced, not followed.
    let folder = root.resolve(&folders.join("/")).ok_or_else(nowhere)?;
    Ok(Destination::Exactly(join(&folder, name)))
}

/// Checks that no file blocks a folder, and no folder blocks a file.
fn check_for_room(line: usize, root: &Root, entries: &Entries) -> Result<(), PackError> {
    let is_file = |path: &str| {
        let entry = entries.get(path);
        root.is_file(path) || entry.is_some_and(|entry| !entry.is_folder())
    };
    for (path, entry) in entries {
        let blocked = if entry.is_folder() {
            root.is_file(path)
        } else {
            root.is_folder(path)
        };
        let in_the_way = blocked.then_some(path.as_str());
        if let Some(path) = in_the_way.or_else(|| layer::parents(path).find(|it| is_file(it))) {
            return Err(PackError::InTheWay {
                line,
                path: path.to_owned(),
            });
        }
    }
    Ok(())
}

fn created_by(step: &Step) -> String {
    match step {
        Step::Folder(folder) => format!("WORKDIR {}", folder.path),
        Step::Copy(copy) => {
            let from = match &copy.from {
                CopySource::Context => String::new(),
                CopySource::Program(from) | CopySource::Stage(from, _) => {
                    format!(" --from={from}")
                }
            };
            let inline = copy.inline.iter().map(|(name, _)| format!("<<{name}"));
            let sources: Vec<String> = copy.sources.iter().cloned().chain(inline).collect();
            let sources = sources.join(" ");
            let keyword = if copy.unpacks { "ADD" } else { "COPY" };
            format!("{keyword}{from} {sources} {}", copy.destination)
        }
    }
}
