//! What an image is, in full: read from its documents and layers, whichever builder made them.

use std::io;

use flate2::read::MultiGzDecoder;
use serde::Serialize;
use serde_json::Value;

use crate::image::BuiltImage;
use crate::layer::Layer;

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// What it is called here.
    pub name: String,
    /// Of the manifest, `sha256:…`.
    pub digest: String,
    /// What has to be in a registry, bytes.
    pub bytes: u64,
    /// The configuration: architecture, time, and under `config` how it is started.
    pub config: Value,
    /// The lowest first.
    pub layers: Vec<InspectedLayer>,
    /// How many packages the list of its parts names; absent where there is no list.
    pub packages: Option<usize>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedLayer {
    /// Of the compressed content.
    pub digest: String,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    pub media_type: String,
    /// As it is sent, bytes.
    pub bytes: u64,
    /// Before compression, bytes.
    pub uncompressed_bytes: u64,
    /// What is in it, in the order of the archive.
    pub files: Vec<InspectedFile>,
}

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedFile {
    /// With the `/` in front.
    pub path: String,
    /// Permission bits, octal.
    pub mode: String,
    /// `user:group`
    pub owner: String,
    /// Bytes; of a folder or link 0.
    pub bytes: u64,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Looks at an image. Decompresses: not for a thread that has other things to do.
pub fn inspect(image: &BuiltImage, name: &str) -> io::Result<Inspection> {
    let sbom = image.sbom.as_ref();
    let sbom: Option<Value> = sbom.and_then(|sbom| serde_json::from_slice(&sbom.content).ok());
    Ok(Inspection {
        name: name.to_owned(),
        digest: image.digest().to_owned(),
        bytes: image.size(),
        config: serde_json::from_slice(&image.config.content)?,
        layers: image.layers.iter().map(layer).collect::<io::Result<_>>()?,
        packages: sbom.and_then(|sbom| Some(sbom["components"].as_array()?.len())),
    })
}

pub(crate) fn layer(layer: &Layer) -> io::Result<InspectedLayer> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(layer.content.open()?));
    let files = archive.entries()?.map(|entry| file(&entry?));
    Ok(InspectedLayer {
        digest: layer.digest.clone(),
        media_type: layer.media_type.clone(),
        bytes: layer.content.size(),
        uncompressed_bytes: layer.uncompressed_size,
        files: files.collect::<io::Result<_>>()?,
    })
}

fn file<R: io::Read>(entry: &tar::Entry<'_, R>) -> io::Result<InspectedFile> {
    let header = entry.header();
    let path = entry.path()?;
    let link = entry.link_name()?;
    Ok(InspectedFile {
        path: format!("/{}", path.to_string_lossy().trim_start_matches(['.', '/'])),
        mode: format!("{:04o}", header.mode()? & 0o7777),
        owner: format!("{}:{}", header.uid()?, header.gid()?),
        bytes: entry.size(),
        link: link.map(|link| link.to_string_lossy().into_owned()),
    })
}
