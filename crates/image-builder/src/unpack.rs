//! Converts the output of `docker save` and `podman save` into an image of the native builder's
//! form, with the same media types, compression and configuration fields.
//!
//! The layers keep their content. Their digests differ from the native builder's, since they
//! contain the times of the build. Each layer is checked against the configuration's diff ID.

mod program;
mod restore;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Architecture;
use crate::blob::Blob;
use crate::cache::LayerCache;
use crate::compression::decompressed;
use crate::image::BuiltImage;
use crate::layer;
use crate::pack_error::PackError;
pub use restore::restore;

/// Fields of the configuration that affect the runtime. All others are specific to the builder.
const FIELDS: [&str; 10] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];
/// Label that podman adds on its own.
const BUILDAH: &str = "io.buildah.version";
/// Size limit for all layers of an image before compression, in bytes.
const MAX_LAYERS: u64 = 4 << 30;
/// Size limit for a JSON document, in bytes.
const MAX_DOCUMENT: usize = 8 << 20;

/// Requirements for an image of another builder.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Processor architecture that the image must have.
    pub architecture: Architecture,
    /// Creation time to set.
    pub created: DateTime<Utc>,
    /// Labels to add. The image's own take precedence.
    pub labels: &'a BTreeMap<String, String>,
    /// Cache of compressed layers.
    pub cache: &'a LayerCache,
}

/// Entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

/// Reads an archive. Blocks, since it compresses the layers.
pub fn unpack(file: &Path, wanted: &Wanted<'_>) -> Result<BuiltImage, PackError> {
    unpack_within(MAX_LAYERS, file, wanted)
}

fn unpack_within(limit: u64, file: &Path, wanted: &Wanted<'_>) -> Result<BuiltImage, PackError> {
    let archive = Archive::open(file)?;
    let saved: Vec<Saved> = archive.document("manifest.json")?;
    let [saved] = &saved[..] else {
        return Err(nonsense(format!("it holds {} images", saved.len())));
    };
    let config: Value = archive.document(&saved.config)?;
    let diff_ids: Vec<&str> = strings(&config["rootfs"]["diff_ids"]);
    if diff_ids.len() != saved.layers.len() {
        return Err(nonsense("its layers are not those of its configuration"));
    }
    let mut layers = Vec::new();
    let mut left = limit;
    for (path, diff_id) in saved.layers.iter().zip(diff_ids) {
        let layer = layer::layer_of(wanted.cache, |writer| {
            // One byte more than the limit shows that the layer is too large.
            let mut content = archive.uncompressed(path)?.take(left.saturating_add(1));
            let size = io::copy(&mut content, writer).map_err(unreadable)?;
            if size > left {
                return Err(PackError::LayersTooLarge { limit });
            }
            Ok(())
        })?;
        left = left.saturating_sub(layer.uncompressed_size);
        if layer.diff_id != diff_id {
            return Err(nonsense(format!("its layer {diff_id} is damaged")));
        }
        layers.push(layer);
    }
    let found = config["architecture"].as_str().unwrap_or_default();
    if found != wanted.architecture.oci_name() {
        return Err(PackError::OtherArchitecture {
            found: found.to_owned(),
            wanted: wanted.architecture.oci_name(),
        });
    }
    archive.check_program(&config, saved, wanted.architecture)?;
    Ok(BuiltImage::assemble(rewritten(&config, wanted), layers))
}

fn nonsense(what: impl Into<String>) -> PackError {
    PackError::Archive(what.into())
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn unreadable(error: io::Error) -> PackError {
    nonsense(error.to_string())
}

fn strings(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

/// Returns the configuration, reduced to the fields that the native builder writes.
fn rewritten(config: &Value, wanted: &Wanted<'_>) -> Value {
    let created = wanted.created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let history: Vec<Value> = config["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            // Replaces the time of the build, so that the configuration does not depend on it.
            let mut kept = json!({ "created": created });
            for field in ["created_by", "empty_layer"] {
                if let Some(value) = step.get(field) {
                    kept[field] = value.clone();
                }
            }
            kept
        })
        .collect();
    let mut runtime = Map::new();
    for field in FIELDS {
        let value = &config["config"][field];
        if !is_empty(value) {
            runtime.insert(field.to_owned(), value.clone());
        }
    }
    // The native builder omits the default.
    if runtime
        .get("WorkingDir")
        .is_some_and(|folder| folder == "/")
    {
        runtime.remove("WorkingDir");
    }
    let mut labels: BTreeMap<String, Value> = wanted
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let own = runtime.remove("Labels");
    let own = own.as_ref().and_then(Value::as_object);
    labels.extend(
        own.into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    labels.remove(BUILDAH);
    if !labels.is_empty() {
        runtime.insert("Labels".to_owned(), json!(labels));
    }
    json!({
        "created": created,
        "architecture": config["architecture"],
        "os": "linux",
        "config": runtime,
        "rootfs": { "type": "layers", "diff_ids": config["rootfs"]["diff_ids"] },
        "history": history,
    })
}

/// Returns whether a field is not set. Builders write that as null, as an empty value, or not at
/// all.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Archive on disk, with an index of its files.
struct Archive {
    file: Blob,
    /// Position and size in bytes, by name.
    files: BTreeMap<String, (u64, u64)>,
    /// Targets of links, by name. `docker save` links layers that are equal.
    links: BTreeMap<String, String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, PackError> {
        let file = File::open(path).and_then(Blob::of_file);
        let file = file.map_err(|source| PackError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut reader = tar::Archive::new(file.open());
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        // Builds an index and seeks over the content, which may have gigabytes.
        for entry in reader.entries_with_seek().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.path().map_err(unreadable)?.into_owned();
            let name = clean(&name);
            if let Ok(Some(target)) = entry.link_name() {
                let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
                links.insert(name.clone(), clean(&folder.join(target)));
            } else {
                files.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        Ok(Self { file, files, links })
    }

    /// Returns the content of a file of the archive.
    fn content(&self, name: &str) -> Result<Blob, PackError> {
        let name = clean(Path::new(name));
        let name = self.links.get(&name).unwrap_or(&name);
        let place = self.files.get(name);
        let (start, size) = place.ok_or_else(|| nonsense(format!("there is no `{name}` in it")))?;
        Ok(self.file.slice(*start, *size))
    }

    fn document<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, PackError> {
        // A larger document is cut off, and then is not valid JSON.
        let content = self.content(name)?.part(0, MAX_DOCUMENT);
        let content = content.map_err(unreadable)?;
        serde_json::from_slice(&content).map_err(|error| nonsense(format!("`{name}`: {error}")))
    }

    /// Opens the uncompressed tar archive of a layer.
    fn uncompressed(&self, name: &str) -> Result<Box<dyn Read>, PackError> {
        // Docker saves layers with or without compression, depending on the image store.
        decompressed(self.content(name)?.open()).map_err(unreadable)
    }
}

/// Normalizes a path within the archive, without `.` and `..`.
fn clean(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => {
                parts.pop();
            }
            // Tools differ in the start of a path: `/`, `./` or nothing.
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
