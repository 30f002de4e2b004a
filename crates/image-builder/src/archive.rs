//! Writes an image to a file: an OCI layout that also has the format of `docker save`. Thus
//! `docker load` (20.10 and later), podman, containerd and skopeo can read it.
//!
//! The same image yields the same bytes. SBOM and provenance are stored next to the layout.
//! [`crate::unpack::restore`] reads the file back.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::image::{BuiltImage, descriptor};
use crate::layer::Blob;

/// File name of the SBOM in the archive.
pub(super) const SBOM: &str = "sbom.cdx.json";

/// Returns the file name of an in-toto statement in the archive.
pub(super) fn statement(number: usize) -> String {
    format!("attestations/{number}.intoto.json")
}

/// Writes the archive atomically, with the image named `name` (`app:tag`). An existing pipe or
/// device is written to directly and never replaced.
pub fn write(image: &BuiltImage, name: &str, file: &Path) -> io::Result<()> {
    let there = match fs::metadata(file) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_stream = there
        .as_ref()
        .is_some_and(|there| !there.is_file() && !there.is_dir());
    if is_stream {
        let stream = fs::OpenOptions::new().write(true).open(file)?;
        return write_to(image, name, io::BufWriter::new(stream));
    }
    // A symbolic link is kept, and its target replaced.
    let file = if there.is_some() {
        file.canonicalize()?
    } else {
        file.to_owned()
    };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Temporary file in the same folder, so that the final rename is atomic. `tempfile` would use
    // mode 0600.
    let mut unfinished = tempfile::Builder::new()
        .prefix(".deployer-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    write_to(image, name, io::BufWriter::new(unfinished.as_file_mut()))?;
    unfinished.persist(&file)?;
    Ok(())
}

fn write_to(image: &BuiltImage, name: &str, mut writer: impl Write) -> io::Result<()> {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let mut archive = tar::Builder::new(&mut writer);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named(image, repository, tag)],
    });
    let config = blob(&image.config.digest);
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| blob(&layer.digest))
        .collect();
    let for_docker = json!([{
        "Config": config,
        "RepoTags": [format!("{repository}:{tag}")],
        "Layers": layers,
    }]);
    let layout = json!({ "imageLayoutVersion": "1.0.0" });
    let mut entries = vec![
        ("oci-layout".to_owned(), in_memory(&layout)),
        ("index.json".to_owned(), in_memory(&index)),
        ("manifest.json".to_owned(), in_memory(&for_docker)),
        (
            blob(&image.manifest.digest),
            image.manifest.content.clone().into(),
        ),
        (config, image.config.content.clone().into()),
    ];
    for layer in &image.layers {
        let path = blob(&layer.digest);
        // Two layers may be equal.
        if !entries.iter().any(|(other, _)| *other == path) {
            entries.push((path, layer.content.clone()));
        }
    }
    if let Some(sbom) = &image.sbom {
        entries.push((SBOM.to_owned(), sbom.content.clone().into()));
    }
    for (number, document) in image.statements.iter().enumerate() {
        entries.push((statement(number), document.content.clone().into()));
    }
    for (path, content) in entries {
        // No times or owners, so that the same image yields the same bytes.
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(content.size());
        archive.append_data(&mut header, path, content.open())?;
    }
    archive.finish()?;
    drop(archive);
    writer.flush()
}

fn in_memory(document: &serde_json::Value) -> Blob {
    Blob::Memory(document.to_string().into())
}

fn named(image: &BuiltImage, repository: &str, tag: &str) -> serde_json::Value {
    let manifest = &image.manifest;
    let mut named = descriptor(
        &manifest.media_type,
        &manifest.digest,
        manifest.content.len() as u64,
    );
    named["annotations"] = json!({
        "org.opencontainers.image.ref.name": tag,
        // Annotation with the name that containerd, and Docker with the containerd image store,
        // use.
        "io.containerd.image.name": format!("docker.io/library/{repository}:{tag}"),
    });
    named
}

/// Returns the path of a blob in an OCI layout.
pub(super) fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
