//! Reads the archives of [`crate::archive::write`] back, with the same documents, layers and
//! digest.

use std::io::{self, Read as _};

use oci_spec::image::MediaType;

use super::{Archive, MAX_DOCUMENT, MAX_LAYERS, Path, Saved, Value, nonsense, unreadable};
use crate::Architecture;
use crate::archive::{SBOM, blob, statement};
use crate::attestation::{self, Statement};
use crate::compression::{decompressed, is_compressed};
use crate::digest::Hashing;
use crate::image::{BuiltImage, Document};
use crate::layer::Layer;
use crate::pack_error::PackError;
use crate::sbom;

/// Number of bytes that tell the compression of a layer.
const START: usize = 4;

/// Reads an image that was saved before. Every part is checked against its digest.
pub fn restore(file: &Path, architecture: Architecture) -> Result<BuiltImage, PackError> {
    let archive = Archive::open(file)?;
    let index: Value = archive.document("index.json")?;
    let named = match index["manifests"].as_array().map(Vec::as_slice) {
        Some([named]) => named,
        other => {
            let count = other.map_or(0, <[Value]>::len);
            return Err(nonsense(format!("it holds {count} images")));
        }
    };
    let manifest = archive.named(named)?;
    let contents: Value = parsed(&manifest)?;
    let config = archive.named(&contents["config"])?;
    let settings: Value = parsed(&config)?;
    let found = settings["architecture"].as_str().unwrap_or_default();
    if found != architecture.oci_name() {
        return Err(PackError::OtherArchitecture {
            found: found.to_owned(),
            wanted: architecture.oci_name(),
        });
    }
    let layers = contents["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let diff_ids = super::strings(&settings["rootfs"]["diff_ids"]);
    if layers.len() != diff_ids.len() {
        return Err(nonsense("its layers are not those of its configuration"));
    }
    let mut left = MAX_LAYERS;
    let layers = layers
        .iter()
        .zip(diff_ids)
        .map(|(named, diff_id)| {
            // The limit applies to all layers together.
            let layer = archive.layer(named, left)?;
            left -= layer.uncompressed_size;
            if layer.diff_id != diff_id {
                return Err(nonsense(format!("its layer {diff_id} is damaged")));
            }
            Ok(layer)
        })
        .collect::<Result<Vec<_>, _>>()?;
    // The check of the program reads the layers by the paths in this list.
    let saved: Vec<Saved> = archive.document("manifest.json")?;
    let [saved] = &saved[..] else {
        return Err(nonsense(format!("it holds {} images", saved.len())));
    };
    archive.check_program(&settings, saved, architecture)?;
    let statements = archive.statements(&manifest.digest)?;
    Ok(BuiltImage {
        manifest,
        config,
        layers,
        sbom: archive.optional(SBOM, sbom::MEDIA_TYPE)?,
        statements,
    })
}

fn parsed(document: &Document) -> Result<Value, PackError> {
    serde_json::from_slice(&document.content)
        .map_err(|error| nonsense(format!("{}: {error}", document.digest)))
}

impl Archive {
    /// Returns a layer. Its compressed content stays in the archive, and is read to compute the
    /// digests.
    fn layer(&self, descriptor: &Value, limit: u64) -> Result<Layer, PackError> {
        let field = |name: &str| descriptor[name].as_str().unwrap_or_default();
        let (digest, media_type) = (field("digest"), field("mediaType"));
        let content = self.content(&blob(digest))?;
        if content.digest().map_err(unreadable)? != digest {
            return Err(nonsense(format!("{digest} is damaged")));
        }
        let start = content.part(0, START).map_err(unreadable)?;
        let is_plain = media_type == MediaType::ImageLayer.as_ref();
        if !is_plain && !is_compressed(&start) {
            return Err(nonsense(format!("{digest} is not compressed")));
        }
        let archive = decompressed(content.open()).map_err(unreadable)?;
        let mut hash = Hashing::new(io::sink());
        // One byte more than the limit shows that the layer is too large.
        let size = io::copy(&mut archive.take(limit.saturating_add(1)), &mut hash);
        let size = size.map_err(unreadable)?;
        if size > limit {
            return Err(PackError::LayersTooLarge { limit: MAX_LAYERS });
        }
        Ok(Layer {
            content,
            origin: None,
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            diff_id: hash.digest(),
            uncompressed_size: size,
        })
    }

    /// Reads the document that a descriptor refers to.
    fn named(&self, descriptor: &Value) -> Result<Document, PackError> {
        let field = |name: &str| descriptor[name].as_str().unwrap_or_default();
        // Content beyond the limit is cut off, so its digest differs.
        let document = self.whole(&blob(field("digest")), field("mediaType"))?;
        if document.digest == field("digest") {
            Ok(document)
        } else {
            Err(nonsense(format!("{} is damaged", field("digest"))))
        }
    }

    /// Reads a document, if the archive has it.
    fn optional(&self, name: &str, media_type: &str) -> Result<Option<Document>, PackError> {
        if !self.files.contains_key(name) {
            return Ok(None);
        }
        self.whole(name, media_type).map(Some)
    }

    /// Reads the statements about the image with this digest.
    fn statements(&self, image: &str) -> Result<Vec<Document>, PackError> {
        let mut statements = Vec::new();
        let next = |number| self.optional(&statement(number), attestation::MEDIA_TYPE);
        while let Some(document) = next(statements.len())? {
            if Statement::parse(&document.content, image).is_none() {
                return Err(nonsense("a statement in it is about another image"));
            }
            statements.push(document);
        }
        Ok(statements)
    }

    fn whole(&self, name: &str, media_type: &str) -> Result<Document, PackError> {
        let content = self.content(name)?.part(0, MAX_DOCUMENT);
        Ok(Document::new(media_type, content.map_err(unreadable)?))
    }
}
