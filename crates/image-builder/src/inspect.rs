//! Description of an image from its documents and layers, whichever builder created them.

use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::image::BuiltImage;
use crate::layer::Layer;

/// Description of an image.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Inspection {
    /// Name on this machine.
    pub name: String,
    /// Digest of the manifest, `sha256:…`.
    pub digest: String,
    /// Size in a registry, in bytes.
    pub bytes: u64,
    /// Image configuration: architecture, time, and under `config` the runtime settings.
    pub config: Value,
    /// Layers, lowest first.
    pub layers: Vec<InspectedLayer>,
    /// Number of packages in the SBOM; absent without an SBOM.
    pub packages: Option<usize>,
}

/// Description of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct InspectedLayer {
    /// Digest of the compressed content.
    pub digest: String,
    /// Media type, usually `application/vnd.oci.image.layer.v1.tar+gzip`.
    pub media_type: String,
    /// Compressed size in bytes.
    pub bytes: u64,
    /// Uncompressed size in bytes.
    pub uncompressed_bytes: u64,
    /// Files in the order of the archive.
    pub files: Vec<InspectedFile>,
}

/// Description of a file, folder or link.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct InspectedFile {
    /// Path with a leading `/`.
    pub path: String,
    /// Permission bits in octal.
    pub mode: String,
    /// Numeric owner as `user:group`.
    pub owner: String,
    /// Size in bytes; 0 for a folder or a link.
    pub bytes: u64,
    /// Target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Inspects an image. Blocks, since it decompresses the layers.
pub fn inspect(image: &BuiltImage, name: &str) -> io::Result<Inspection> {
    let sbom = image.sbom.as_ref();
    // The number of packages is optional, so an invalid SBOM is not an error.
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
    let mut archive = tar::Archive::new(layer.archive()?);
    let files = archive.entries()?.map(|entry| file(&entry?));
    Ok(InspectedLayer {
        digest: layer.digest.clone(),
        media_type: layer.media_type.clone(),
        bytes: layer.content.size(),
        uncompressed_bytes: layer.uncompressed_size,
        files: files.collect::<io::Result<_>>()?,
    })
}

/// Returns a path of an archive with one leading `/`. Builders differ: some write `./` or `/`
/// before each path.
fn shown(path: &str) -> String {
    let mut rest = path;
    while let Some(shorter) = rest.strip_prefix("./").or_else(|| rest.strip_prefix('/')) {
        rest = shorter;
    }
    format!("/{}", if rest == "." { "" } else { rest })
}

fn file<R: io::Read>(entry: &tar::Entry<'_, R>) -> io::Result<InspectedFile> {
    let header = entry.header();
    let path = entry.path()?;
    let link = entry.link_name()?;
    Ok(InspectedFile {
        path: shown(&path.to_string_lossy()),
        // Some archives store the file type in the mode as well.
        mode: format!("{:04o}", header.mode()? & 0o7777),
        owner: format!("{}:{}", header.uid()?, header.gid()?),
        bytes: entry.size(),
        link: link.map(|link| link.to_string_lossy().into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_slash_in_front_and_keeps_its_dots() {
        let table = [
            ("etc/x", "/etc/x"),
            ("./etc/x", "/etc/x"),
            ("/etc/x", "/etc/x"),
            (".env", "/.env"),
            ("./.env", "/.env"),
            ("..data/x", "/..data/x"),
            ("./", "/"),
            (".", "/"),
        ];
        for (path, expected) in table {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
