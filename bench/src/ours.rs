//! Packing and pushing as `deployer up` does. No other file uses the library of the image builder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image_builder::base::{BaseSource, Bases, DockerCredentials, fetch};
use image_builder::cache::LayerCache;
use image_builder::cargo::{CompileRequest, Surroundings, compile};
use image_builder::dockerfile::{CargoBuild, Dockerfile, Request};
use image_builder::image::BuiltImage;
use image_builder::oci::{self, Recipe};
use image_builder::provenance::Provenance;
use image_builder::push::{Credentials, Repository, push};
use image_builder::{Architecture, Hint as _};

use crate::process::Error;

/// Converts an error with its causes.
fn failed(what: &str, error: &dyn std::error::Error) -> Error {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Error::Failed(text)
}

/// Returns the architecture of this machine, on which the image runs.
fn architecture() -> Result<Architecture, Error> {
    let unknown = || Error::Failed("this machine's processor is no target of images".to_owned());
    Architecture::of_this_machine().ok_or_else(unknown)
}

/// Compiles a program as for the image: same profile, same flags, static.
pub(crate) async fn program(
    workspace: &Path,
    (package, binary): (&str, &str),
    target_dir: &Path,
) -> Result<PathBuf, Error> {
    let request = CompileRequest {
        folder: workspace,
        package,
        binary,
        architecture: architecture()?,
        target: None,
        target_dir,
        build: &CargoBuild::default(),
    };
    let compiled = compile(&request, &Surroundings::from_env(), |_| {}).await;
    let compiled = compiled.map_err(|error| {
        let diagnostics = error.evidence().join("\n");
        failed(&format!("cannot compile `{binary}`\n{diagnostics}"), &error)
    })?;
    Ok(compiled.executable.path)
}

/// Returns the cache of compressed layers beside the folder, which later runs reuse, as in a target
/// folder.
fn kept_layers(folder: &Path) -> LayerCache {
    LayerCache::in_folder(folder.with_file_name("layers"))
}

fn parse(dockerfile: &Path, bases: &Bases) -> Result<Dockerfile, Error> {
    let text = std::fs::read_to_string(dockerfile).map_err(Error::at(dockerfile.display()))?;
    let settings = bases.iter();
    let settings = settings.map(|(name, base)| (name.clone(), Arc::clone(&base.settings)));
    let request = Request {
        architecture: architecture()?,
        package: "app",
        program: "app",
        stage: None,
        args: &BTreeMap::new(),
        bases: &settings.collect(),
    };
    Dockerfile::parse(&text, &request).map_err(|error| failed("cannot read the Dockerfile", &error))
}

/// Fetches the base images that the Dockerfile names, as far as they are not in the cache beside the
/// folder.
async fn bases(dockerfile: &Path, folder: &Path) -> Result<Bases, Error> {
    let source = BaseSource {
        folder: folder.with_file_name("bases"),
        architecture: architecture()?,
        roots: Vec::new(),
        credentials: DockerCredentials::in_files([]),
    };
    let mut bases = Bases::new();
    for name in parse(dockerfile, &bases)?.stage.base_images() {
        let base = fetch(name, &source).await;
        let base = base.map_err(|error| failed("cannot fetch the base image", &error))?;
        bases.insert(name.to_owned(), Arc::new(base));
    }
    Ok(bases)
}

/// Packs `app` in this folder as the Dockerfile says.
pub(crate) fn pack(
    dockerfile: &Path,
    folder: &Path,
    bases: &Bases,
    cache: &LayerCache,
) -> Result<BuiltImage, Error> {
    let architecture = architecture()?;
    let dockerfile_read = parse(dockerfile, bases)?;
    let provenance = Provenance::new(None, None).map_err(|error| failed("cannot pack", &error))?;
    let recipe = Recipe {
        stage: &dockerfile_read.stage,
        program: "app",
        program_path: Some(&folder.join("app")),
        bases,
        own_folder: None,
        context: folder,
        ignore_file: &image_builder::ignore_file(dockerfile, folder),
        architecture,
        created: provenance.created,
        labels: &provenance.labels,
        notices: &[],
        cache,
    };
    oci::build(&recipe).map_err(|error| failed("cannot pack", &error))
}

/// Packs, pushes to `HOST:PORT/NAME` and returns the digest.
pub(crate) async fn pack_and_push(
    dockerfile: &Path,
    folder: &Path,
    address: &str,
) -> Result<String, Error> {
    let (registry, name) = address
        .split_once('/')
        .ok_or_else(|| Error::Failed(format!("`{address}` is not HOST:PORT/NAME")))?;
    let bases = bases(dockerfile, folder).await?;
    let image = pack(dockerfile, folder, &bases, &kept_layers(folder))?;
    let repository = Repository {
        registry: registry.to_owned(),
        name: name.to_owned(),
        credentials: Credentials::Anonymous,
        roots: Vec::new(),
    };
    let pushed = push(&image, &repository, &image.tag(), Arc::new(|_| {})).await;
    let pushed = pushed.map_err(|error| failed("cannot push", &error))?;
    Ok(pushed.digest().to_owned())
}
