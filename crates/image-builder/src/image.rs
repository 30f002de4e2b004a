//! A built image and its parts, as other modules make and send them.

use std::path::PathBuf;

use bytes::Bytes;
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use crate::digest::digest;
use crate::layer::Layer;

/// Folder of the image that holds the notices.
pub const NOTICES_FOLDER: &str = "licenses";

/// The compiled program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// As the package calls it. The last part of the path in `COPY --from` has to be this.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A file with licences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of the file in [`NOTICES_FOLDER`].
    pub name: &'static str,
    /// Its content.
    pub text: String,
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
    /// What the program was made of, for the registry to keep beside the image; see [`crate::sbom`].
    pub sbom: Option<Document>,
}

impl BuiltImage {
    /// Puts the parts together.
    pub(crate) fn assemble(config: Value, layers: Vec<Layer>) -> Self {
        let config = document(&MediaType::ImageConfig, config);
        let manifest = document(&MediaType::ImageManifest, manifest(&config, &layers));
        Self {
            manifest,
            config,
            layers,
            sbom: None,
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
        let layers: u64 = self.layers.iter().map(|layer| layer.content.size()).sum();
        layers + (self.config.content.len() + self.manifest.content.len()) as u64
    }
}

fn manifest(config: &Document, layers: &[Layer]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| descriptor(&layer.media_type, &layer.digest, layer.content.size()))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config.descriptor(),
        "layers": layers,
    })
}

pub(crate) fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// Names sorted, no white space: the same bytes each time, whatever features `serde_json` is built with.
pub(crate) fn document(media_type: &MediaType, mut value: Value) -> Document {
    value.sort_all_objects();
    Document::new(media_type.as_ref(), value.to_string())
}

impl Document {
    pub(crate) fn new(media_type: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            digest: digest(&content),
            content,
            media_type: media_type.to_owned(),
        }
    }

    /// As other documents name this one.
    pub(crate) fn descriptor(&self) -> Value {
        descriptor(&self.media_type, &self.digest, self.content.len() as u64)
    }
}
