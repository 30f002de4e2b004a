//! What several tests need: a Dockerfile's beginning, and an image of it.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::DateTime;
use support::architecture::Architecture;

use crate::base::Bases;
use crate::cache::LayerCache;
use crate::dockerfile::{Dockerfile, DockerfileErrors, Request};
use crate::image::BuiltImage;
use crate::layer::Layer;
use crate::oci::{Recipe, build};
use crate::pack_error::PackError;

/// A stage that compiles `app` and puts it at `/out/app`.
pub(crate) const BUILD: &str = "FROM rust AS build\n\
    RUN cargo build --release && mkdir /out && cp target/release/app /out/app\n";

pub(crate) fn parse(text: &str) -> Result<Dockerfile, DockerfileErrors> {
    parse_with(text, &Bases::new())
}

pub(crate) fn parse_with(text: &str, bases: &Bases) -> Result<Dockerfile, DockerfileErrors> {
    let settings = bases
        .iter()
        .map(|(name, base)| (name.clone(), base.settings.clone()))
        .collect();
    Dockerfile::parse(
        text,
        &Request {
            architecture: Architecture::X86_64,
            package: "app",
            program: "app",
            stage: None,
            args: &BTreeMap::new(),
            bases: &settings,
        },
    )
}

/// Packs the program `app` of a folder, with that folder as build context.
pub(crate) fn pack(text: &str, folder: &Path, program: &Path) -> Result<BuiltImage, PackError> {
    pack_on(text, folder, program, &Bases::new())
}

pub(crate) fn pack_on(
    text: &str,
    folder: &Path,
    program: &Path,
    bases: &Bases,
) -> Result<BuiltImage, PackError> {
    let dockerfile = parse_with(text, bases).unwrap();
    build(&Recipe {
        stage: &dockerfile.stage,
        program: "app",
        program_path: Some(program),
        bases,
        context: folder,
        ignore_file: &folder.join(".dockerignore"),
        own_folder: None,
        architecture: Architecture::X86_64,
        created: DateTime::UNIX_EPOCH,
        labels: &BTreeMap::new(),
        notices: &[],
        cache: &LayerCache::default(),
    })
}

/// The compressed content of a layer.
pub(crate) fn bytes(layer: &Layer) -> Vec<u8> {
    layer.content.part(0, usize::MAX).unwrap().to_vec()
}

/// A program for x86_64 (62) or arm64 (183) with program headers of these types: 3 names a loader.
pub(crate) fn elf(machine: u8, kinds: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (bytes[18], bytes[20], bytes[32], bytes[54]) = (machine, 1, 64, 56);
    bytes[56] = u8::try_from(kinds.len()).unwrap();
    for kind in kinds {
        let mut entry = [0; 56];
        entry[0] = *kind;
        bytes.extend(entry);
    }
    bytes
}

/// A statement about the image with this digest.
pub(crate) fn statement(image: &str) -> crate::image::Document {
    let statement = crate::attestation::Statement {
        predicate_type: crate::slsa::PREDICATE.to_owned(),
        predicate: serde_json::json!({}),
    };
    statement.document("app", image)
}
