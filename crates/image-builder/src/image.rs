//! Types for a built image and its parts.

use std::path::PathBuf;

use bytes::Bytes;
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use crate::digest::digest;
use crate::layer::Layer;

/// Folder of the image with the license notices.
pub const NOTICES_FOLDER: &str = "licenses";

/// Media types of manifests that are accepted: an image, or an index of images by platform.
pub(crate) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Size limit for a manifest or a configuration, in bytes.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;

/// Compiled program, with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Name of the binary. The path in `COPY --from` must end with it.
    pub name: String,
    /// Path of the file.
    pub path: PathBuf,
}

/// File with license notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Name of the file in [`NOTICES_FOLDER`].
    pub name: &'static str,
    /// Text of the notice.
    pub text: String,
}

/// JSON document of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Content as it is sent.
    pub content: Bytes,
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content, `sha256:…`.
    pub digest: String,
}

/// Complete image, not yet pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Image manifest. Its digest is that of the image.
    pub manifest: Document,
    /// Image configuration.
    pub config: Document,
    /// Layers, lowest first.
    pub layers: Vec<Layer>,
    /// SBOM of the program, for the registry to store with the image; see [`crate::sbom`].
    pub sbom: Option<Document>,
    /// in-toto statements for the registry to store with the image; see [`crate::attestation`].
    pub statements: Vec<Document>,
}

impl BuiltImage {
    /// Creates an image from its configuration and layers.
    pub(crate) fn assemble(config: Value, layers: Vec<Layer>) -> Self {
        let config = document(&MediaType::ImageConfig, config);
        let manifest = document(&MediaType::ImageManifest, manifest(&config, &layers));
        Self {
            manifest,
            config,
            layers,
            // Added by the caller, since only a compilation knows the crates.
            sbom: None,
            statements: Vec::new(),
        }
    }

    /// Returns the digest of the image, `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Returns a tag derived from the digest, so that a tag never refers to two images: `sha256-`
    /// and twelve digits.
    pub fn tag(&self) -> String {
        let digits = self.manifest.digest.trim_start_matches("sha256:");
        // A tag must not contain the colon of a digest.
        format!("sha256-{}", digits.get(..12).unwrap_or(digits))
    }

    /// Returns the size of all blobs and the manifest, in bytes.
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
        // Fixed by the OCI image specification, for compatibility with Docker.
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config.descriptor(),
        "layers": layers,
    })
}

pub(crate) fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// Serializes a document with sorted keys and without white space. The bytes do not depend on the
/// features of `serde_json`.
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

    /// Returns the descriptor that refers to this document.
    pub(crate) fn descriptor(&self) -> Value {
        descriptor(&self.media_type, &self.digest, self.content.len() as u64)
    }
}
