//! Packs the image: a layer for each `COPY`, a configuration from the rest of the Dockerfile's final stage, a manifest over
//! both. The result is in memory and complete; nothing has been sent anywhere.

mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::Architecture;
use super::cache::LayerCache;
use super::context::{Context, Destination, base_name};
use super::dockerfile::{CopyInstruction, FinalStage, Owner};
use super::layer::{self, Content, Entries, Entry, Layer};
use super::notices::{self, Notice};
use super::pack_error::PackError;
use start::Files;

/// What Docker sets when the Dockerfile does not.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image is made from.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// What it shall be.
    pub stage: &'a FinalStage,
    /// What is copied from an earlier stage.
    pub program: &'a Executable,
    /// The folder that other files are copied from: that of the Dockerfile.
    pub context: &'a Path,
    /// What says which of them are kept out; see [`super::ignore_file`]. Need not be there.
    pub ignore_file: &'a Path,
    /// What it runs on.
    pub architecture: Architecture,
    /// The time it says it was made at; see [`super::provenance`].
    pub created: DateTime<Utc>,
    /// Labels beside those of the Dockerfile, which win.
    pub labels: &'a BTreeMap<String, String>,
    /// Files for the folder [`super::notices::FOLDER`]: see [`super::notices`].
    pub notices: &'a [Notice],
    /// Layers that were compressed before.
    pub cache: &'a LayerCache,
}

/// The compiled program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// As the package calls it. The last part of the path in `COPY --from` has to be this.
    pub name: String,
    /// Where it is.
    pub path: std::path::PathBuf,
}

/// A JSON document of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// As it is sent.
    pub content: Bytes,
    /// What it is.
    pub media_type: String,
    /// `sha256:…`
    pub digest: String,
}

/// A complete image that is nowhere but here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Names all the rest. Its digest is the image's.
    pub manifest: Document,
    /// How it is started.
    pub config: Document,
    /// What is in it, the lowest first.
    pub layers: Vec<Layer>,
    /// What the program was made of, for the registry to keep beside the image; see [`super::bill`].
    pub bill: Option<Document>,
}

impl BuiltImage {
    /// Puts the parts together.
    pub(super) fn assemble(config: Value, layers: Vec<Layer>) -> Self {
        let config = document(&MediaType::ImageConfig, config);
        let manifest = document(&MediaType::ImageManifest, manifest(&config, &layers));
        Self {
            manifest,
            config,
            layers,
            bill: None,
        }
    }

    /// The image's digest, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// A tag that says no more than the digest does, so that one tag is never two images: `sha256-` and twelve digits.
    pub fn tag(&self) -> String {
        let digits = self.manifest.digest.trim_start_matches("sha256:");
        format!("sha256-{}", digits.get(..12).unwrap_or(digits))
    }

    /// What has to be in the registry, in bytes, manifest included.
    pub fn size(&self) -> u64 {
        let layers: usize = self.layers.iter().map(|layer| layer.content.len()).sum();
        (layers + self.config.content.len() + self.manifest.content.len()) as u64
    }
}

/// Packs the image. Reads files and compresses: not for a thread that has other things to do.
pub fn build(recipe: &Recipe<'_>) -> Result<BuiltImage, PackError> {
    let mut image = Packing {
        recipe,
        context: Context::open(recipe.context, recipe.ignore_file)?,
        folders: BTreeSet::new(),
        files: Files::new(),
        has_links: false,
        programs: BTreeSet::new(),
    };
    let mut layers = recipe
        .stage
        .copies
        .iter()
        .map(|copy| image.layer(copy))
        .collect::<Result<Vec<_>, _>>()?;
    image.check()?;
    layers.extend(image.notices()?);
    Ok(BuiltImage::assemble(config(recipe, &layers), layers))
}

/// What is in the image so far.
struct Packing<'a> {
    recipe: &'a Recipe<'a>,
    context: Context,
    folders: BTreeSet<String>,
    /// Links among them.
    files: Files,
    has_links: bool,
    /// Where the program is.
    programs: BTreeSet<String>,
}

impl Packing<'_> {
    fn layer(&mut self, copy: &CopyInstruction) -> Result<Layer, PackError> {
        let destination = self.destination(copy);
        let mut entries = Entries::new();
        for source in &copy.sources {
            if copy.from.is_some() {
                self.program(copy, source, &destination, &mut entries)?;
            } else {
                self.context
                    .collect(copy, source, &destination, &mut entries)?;
            }
        }
        // A folder of a lower layer stays as it was made there.
        entries.retain(|path, entry| !(entry.is_folder() && self.folders.contains(path)));
        self.check_for_room(copy, &entries)?;
        layer::add_parents(&mut entries, &self.folders);
        for (path, entry) in &entries {
            self.programs.remove(path);
            match &entry.content {
                Content::Folder => {
                    self.folders.insert(path.clone());
                    continue;
                }
                Content::File { path: source, .. } => {
                    if *source == self.recipe.program.path {
                        self.programs.insert(path.clone());
                    }
                }
                Content::Bytes(_) => {}
                Content::Link { .. } => self.has_links = true,
            }
            self.files.insert(path.clone(), entry.clone());
        }
        layer::pack(&entries, self.recipe.cache)
    }

    /// A layer with the notices. What the Dockerfile puts in their place is left there.
    fn notices(&self) -> Result<Option<Layer>, PackError> {
        if self.has_links || self.files.contains_key(notices::FOLDER) {
            return Ok(None);
        }
        let mut entries = Entries::new();
        for notice in self.recipe.notices {
            let in_image = format!("{}/{}", notices::FOLDER, notice.name);
            if self.files.contains_key(&in_image) || self.folders.contains(&in_image) {
                continue;
            }
            let entry = Entry {
                content: Content::Bytes(notice.text.clone().into()),
                owner: Owner::default(),
                mode: 0o644,
            };
            entries.insert(in_image, entry);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        layer::add_parents(&mut entries, &self.folders);
        layer::pack(&entries, self.recipe.cache).map(Some)
    }

    /// Nothing may be in the way of a folder, and no folder in the way of anything else.
    fn check_for_room(&self, copy: &CopyInstruction, entries: &Entries) -> Result<(), PackError> {
        let is_file = |path: &str| {
            let entry = entries.get(path);
            self.files.contains_key(path) || entry.is_some_and(|entry| !entry.is_folder())
        };
        for (path, entry) in entries {
            let blocked = if entry.is_folder() {
                self.files.contains_key(path)
            } else {
                self.folders.contains(path)
            };
            let in_the_way = blocked.then_some(path.as_str());
            if let Some(path) = in_the_way.or_else(|| layer::parents(path).find(|it| is_file(it))) {
                return Err(PackError::InTheWay {
                    line: copy.line,
                    path: path.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn destination(&self, copy: &CopyInstruction) -> Destination {
        let path = copy.destination.trim_matches('/').to_owned();
        if copy.destination.ends_with('/') || self.folders.contains(&path) {
            Destination::Folder(path)
        } else {
            Destination::Exactly(path)
        }
    }

    fn program(
        &mut self,
        copy: &CopyInstruction,
        source: &str,
        destination: &Destination,
        entries: &mut Entries,
    ) -> Result<(), PackError> {
        let program = self.recipe.program;
        if base_name(source) != program.name {
            return Err(PackError::NotTheProgram {
                line: copy.line,
                source_path: source.to_owned(),
                program: program.name.clone(),
            });
        }
        let metadata = std::fs::metadata(&program.path).map_err(|source| PackError::Read {
            path: program.path.clone(),
            source,
        })?;
        self.context.take(copy.line, metadata.len())?;
        let entry = Entry {
            content: Content::File {
                path: program.path.clone(),
                size: metadata.len(),
            },
            owner: copy.owner.unwrap_or_default(),
            mode: copy.mode.unwrap_or(0o755),
        };
        layer::put(entries, copy.line, destination.file(&program.name), entry)
    }

    /// Finds now what would otherwise be found when the service does not start.
    fn check(&self) -> Result<(), PackError> {
        if self.programs.is_empty() {
            return Err(PackError::NoProgram {
                program: self.recipe.program.name.clone(),
            });
        }
        if self.has_links {
            // Through a link any path may be another one.
            return Ok(());
        }
        let Recipe {
            stage,
            architecture,
            ..
        } = *self.recipe;
        start::check(stage, &self.files, &self.programs, architecture)
    }
}

fn config(recipe: &Recipe<'_>, layers: &[Layer]) -> Value {
    let stage = recipe.stage;
    let created = recipe.created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut history: Vec<Value> = stage
        .copies
        .iter()
        .map(|copy| json!({ "created": created, "created_by": created_by(copy) }))
        .collect();
    if layers.len() > history.len() {
        history.push(json!({ "created": created, "created_by": "licences of what is linked" }));
    }
    json!({
        "created": created,
        "architecture": recipe.architecture.oci_name(),
        "os": "linux",
        "config": runtime(recipe),
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
        },
        "history": history,
    })
}

/// How the image is started. What the Dockerfile does not say is left out, not null.
fn runtime(recipe: &Recipe<'_>) -> Value {
    let stage = recipe.stage;
    let mut labels = recipe.labels.clone();
    labels.extend(stage.labels.clone());
    let has_path = stage.env.iter().any(|(name, _)| name == "PATH");
    let default_path = (!has_path).then(|| format!("PATH={DEFAULT_PATH}"));
    let stated = stage
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let env: Vec<String> = default_path.into_iter().chain(stated).collect();
    let ports: serde_json::Map<String, Value> = stage
        .exposed_ports
        .iter()
        .map(|port| (port.to_string(), json!({})))
        .collect();
    let mut config = serde_json::Map::new();
    config.insert("Env".to_owned(), json!(env));
    let optional = [
        ("User", stage.user.as_ref().map(|user| json!(user))),
        ("ExposedPorts", (!ports.is_empty()).then(|| json!(ports))),
        ("Entrypoint", stage.entrypoint.as_ref().map(|it| json!(it))),
        ("Cmd", stage.cmd.as_ref().map(|it| json!(it))),
        ("WorkingDir", stage.working_dir.as_ref().map(|it| json!(it))),
        ("Labels", (!labels.is_empty()).then(|| json!(labels))),
        ("StopSignal", stage.stop_signal.as_ref().map(|it| json!(it))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    }
    Value::Object(config)
}

fn created_by(copy: &CopyInstruction) -> String {
    let from = copy
        .from
        .as_ref()
        .map(|stage| format!(" --from={stage}"))
        .unwrap_or_default();
    let sources = copy.sources.join(" ");
    format!("COPY{from} {sources} {}", copy.destination)
}

fn manifest(config: &Document, layers: &[Layer]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(&layer.media_type, &layer.digest, layer.content.len()))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config.descriptor(),
        "layers": layers,
    })
}

pub(super) fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// Names sorted, no white space: the same bytes each time, whatever features `serde_json` is built with.
pub(super) fn document(media_type: &MediaType, mut value: Value) -> Document {
    value.sort_all_objects();
    Document::new(media_type.as_ref(), value.to_string())
}

impl Document {
    pub(super) fn new(media_type: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            digest: layer::digest(&content),
            content,
            media_type: media_type.to_owned(),
        }
    }

    /// As other documents name this one.
    pub(super) fn descriptor(&self) -> Value {
        descriptor(&self.media_type, &self.digest, self.content.len())
    }
}

#[cfg(test)]
mod tests;
