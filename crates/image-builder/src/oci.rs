//! Packs the image: a layer for each `COPY`, a configuration from the other instructions of the
//! final stage, and a manifest.
//!
//! The result is complete and in memory; nothing is sent.

mod packing;
mod start;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::Architecture;
use crate::base::{BaseImage, Bases};
use crate::cache::LayerCache;
use crate::dockerfile::{DEFAULT_PATH, FinalStage};
use crate::image::{BuiltImage, Notice};
use crate::layer::{self, Layer};
use crate::pack_error::PackError;
use packing::{PackedLayer, Packing};

/// Inputs of an image.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// Evaluated final stage of the Dockerfile.
    pub stage: &'a FinalStage,
    /// Name of the program.
    pub program: &'a str,
    /// Path of the compiled program; `None` in a dry run, or if no `COPY` takes it.
    pub program_path: Option<&'a Path>,
    /// Base images by reference.
    pub bases: &'a Bases,
    /// Build context: the folder of the Dockerfile.
    pub context: &'a Path,
    /// Ignore file, which need not exist; see [`crate::ignore_file`].
    pub ignore_file: &'a Path,
    /// Folder of the builder's own files, which are never copied.
    pub own_folder: Option<&'a Path>,
    /// Processor architecture of the image.
    pub architecture: Architecture,
    /// Creation time in the configuration; see [`crate::provenance`].
    pub created: DateTime<Utc>,
    /// Labels in addition to those of the Dockerfile, which take precedence.
    pub labels: &'a BTreeMap<String, String>,
    /// Files for the folder [`crate::image::NOTICES_FOLDER`]; see [`crate::notices`].
    pub notices: &'a [Notice],
    /// Cache of compressed layers.
    pub cache: &'a LayerCache,
}

impl<'a> Recipe<'a> {
    /// Returns the base image of the stage, if it was fetched.
    fn base(&self) -> Option<&'a BaseImage> {
        let name = self.stage.base.as_ref()?;
        self.bases.get(name).map(Arc::as_ref)
    }
}

/// Packs the image. Blocks, since it reads and compresses files.
pub fn build(recipe: &Recipe<'_>) -> Result<BuiltImage, PackError> {
    let mut packed = Packing::open(recipe)?.pack();
    if !packed.errors.is_empty() {
        // Only the first error is returned; `check` reports all of them.
        return Err(packed.errors.swap_remove(0));
    }
    let layers = packed.layers.iter();
    let layers = layers.map(|layer| layer::pack(&layer.entries, recipe.cache));
    let own = layers.collect::<Result<Vec<_>, _>>()?;
    let base = recipe.base();
    // Unchanged, so that registries can recognize the base's layers by their digests.
    let below = base.map_or_else(Vec::new, |base| base.layers.clone());
    let layers: Vec<Layer> = below.into_iter().chain(own).collect();
    let config = config(recipe, base, &packed.layers, &layers);
    Ok(BuiltImage::assemble(config, layers))
}

/// Finds all reasons why the image cannot be packed or started, without the program and without
/// packing.
pub fn check(recipe: &Recipe<'_>) -> Vec<PackError> {
    let dry = Recipe {
        program_path: None,
        ..*recipe
    };
    match Packing::open(&dry) {
        Ok(packing) => packing.pack().errors,
        Err(error) => vec![error],
    }
}

fn config(
    recipe: &Recipe<'_>,
    base: Option<&BaseImage>,
    own: &[PackedLayer],
    layers: &[Layer],
) -> Value {
    let created = recipe.created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let below = base.and_then(|base| base.config["history"].as_array());
    let own = own
        .iter()
        .map(|layer| json!({ "created": created, "created_by": layer.created_by }));
    // The specification orders the history like the layers, the lowest first.
    let history: Vec<Value> = below.into_iter().flatten().cloned().chain(own).collect();
    let mut config = json!({
        "created": created,
        "architecture": recipe.architecture.oci_name(),
        "os": "linux",
        "config": runtime(recipe, base),
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
        },
        "history": history,
    });
    if let Some(author) = &recipe.stage.author {
        config["author"] = json!(author);
    }
    config
}

/// Returns the runtime configuration. Fields that the Dockerfile does not set are omitted.
fn runtime(recipe: &Recipe<'_>, base: Option<&BaseImage>) -> Value {
    let stage = recipe.stage;
    let mut labels = recipe.labels.clone();
    let inherited = base.map(|base| &base.settings.labels);
    let is_inherited = |(name, value): &(&String, &String)| {
        inherited.is_some_and(|labels| labels.get(*name) == Some(*value))
    };
    // Labels of the base, such as its revision, must not override those of this image.
    let own = stage.labels.iter().filter(|label| !is_inherited(label));
    let own: Vec<_> = own
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(inherited) = inherited {
        for (name, value) in inherited {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    labels.extend(own);
    let has_path = stage.env.iter().any(|(name, _)| name == "PATH");
    // Docker sets `PATH` as well, even for `scratch`.
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
    let volumes = stage.volumes.iter().map(|path| (path.clone(), json!({})));
    let volumes: serde_json::Map<String, Value> = volumes.collect();
    // Omitted as by `docker build`, since `/` is the default.
    let working_dir = stage.working_dir.as_ref().filter(|folder| *folder != "/");
    let mut config = serde_json::Map::new();
    config.insert("Env".to_owned(), json!(env));
    let optional = [
        ("User", stage.user.as_ref().map(|user| json!(user))),
        ("ExposedPorts", (!ports.is_empty()).then(|| json!(ports))),
        ("Entrypoint", stage.entrypoint.as_ref().map(|it| json!(it))),
        ("Cmd", stage.cmd.as_ref().map(|it| json!(it))),
        ("WorkingDir", working_dir.map(|it| json!(it))),
        ("Labels", (!labels.is_empty()).then(|| json!(labels))),
        ("StopSignal", stage.stop_signal.as_ref().map(|it| json!(it))),
        (
            // A field of Docker, which the OCI specification only reserves.
            "Healthcheck",
            stage.health_check.as_ref().map(|it| it.0.clone()),
        ),
        ("Shell", stage.shell.as_ref().map(|it| json!(it))),
        (
            "Volumes",
            (!stage.volumes.is_empty()).then(|| json!(volumes)),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    }
    Value::Object(config)
}

#[cfg(test)]
mod tests;
