//! SLSA provenance of an image that is built here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image_builder::cargo::Compiled;
use image_builder::image::{BuiltImage, Document};
use image_builder::provenance::{Revision, Unknown};
use image_builder::slsa::{Build, BuildType, Parameters, Source};

use super::plan::NativePlan;
use super::{image_folder, surroundings};
use crate::config::Config;
use crate::context::Context;

impl Context<'_> {
    /// Returns the provenance of an image that is compiled here.
    pub(super) fn native_build(
        &self,
        plan: &NativePlan,
        compiled: &Compiled,
        revision: &Result<Revision, Unknown>,
    ) -> Build {
        let build = &plan.build;
        let parameters = Parameters {
            package: Some(plan.program.package.clone()),
            binary: Some(plan.program.binary.clone()),
            target: Some(compiled.linked.target.clone()),
            profile: build.profile.clone(),
            features: build.features.clone(),
            no_default_features: build.no_default_features,
            all_features: build.all_features,
            rustflags: surroundings(self.config).rustflags,
            ..self.parameters(top(self.config, revision))
        };
        let bases = plan.bases.values();
        Build {
            bases: bases
                .map(|base| (base.reference.clone(), base.digest.clone()))
                .collect(),
            lock_file: digits_of(&compiled.lock_file),
            rust: Some(compiled.linked.rust.clone()),
            ..build_of(BuildType::Native, parameters, revision)
        }
    }

    /// Returns the provenance of an image that Docker builds, which does not say what it used.
    pub(super) fn docker_build(&self, revision: &Result<Revision, Unknown>) -> Build {
        let parameters = self.parameters(top(self.config, revision));
        build_of(BuildType::Docker, parameters, revision)
    }

    /// Returns the parameters that all builders have. Paths are relative to `top`.
    pub(crate) fn parameters(&self, top: &Path) -> Parameters {
        let config = self.config;
        let image = &config.image;
        Parameters {
            folder: below(top, &config.root),
            dockerfile: below(top, &image.dockerfile),
            context: below(top, &self.build_context()),
            stage: image.stage.clone(),
            args: public_args(config),
            architecture: image.architecture.oci_name().to_owned(),
            source_date_epoch: super::source_date_epoch(config),
            ..Parameters::default()
        }
    }

    /// Adds the provenance to the image, and writes it next to the image's other files.
    pub(super) fn record(&self, built: &mut BuiltImage, build: &Build, program: &str) {
        let document = build.statement().document(program, built.digest());
        self.keep(&document, &provenance_file(self.config, program));
        built.statements = vec![document];
    }

    /// Writes a document about the image. A failure is only a warning, because the document is also
    /// kept in memory for the push.
    pub(super) fn keep(&self, document: &Document, file: &Path) {
        let folder = file.parent().unwrap_or(Path::new("."));
        let written =
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(file, &document.content));
        if let Err(error) = written {
            self.sink
                .warn(format!("cannot write `{}`: {error}", file.display()));
        }
    }
}

/// Returns the folder that paths are relative to.
fn top<'a>(config: &'a Config, revision: &'a Result<Revision, Unknown>) -> &'a Path {
    revision.as_ref().map_or(&config.root, |it| &it.top)
}

/// Returns the values of the Dockerfile's `ARG`s, without those that may be secret.
pub(crate) fn public_args(config: &Config) -> BTreeMap<String, String> {
    let args = config.image.args.iter();
    let public = args.filter(|(name, value)| !process::is_secret(name.as_ref(), value.as_ref()));
    public
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn build_of(
    build_type: BuildType,
    parameters: Parameters,
    revision: &Result<Revision, Unknown>,
) -> Build {
    let source = revision.as_ref().map(|it| Source {
        url: it.url.clone(),
        commit: it.commit.clone(),
    });
    Build {
        build_type,
        parameters,
        source: source.map_err(|unknown| unknown.reason().to_owned()),
        lock_file: None,
        rust: None,
        bases: Vec::new(),
    }
}

/// Returns the path of the provenance file of this program.
pub(crate) fn provenance_file(config: &Config, program: &str) -> PathBuf {
    image_folder(config).join(format!("{program}.provenance.json"))
}

/// Returns the SHA-256 digits of a file, if it can be read.
fn digits_of(file: &Path) -> Option<String> {
    use sha2::{Digest as _, Sha256};
    use std::fmt::Write as _;
    let hash = Sha256::digest(std::fs::read(file).ok()?);
    Some(hash.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        write!(digits, "{byte:02x}").ok();
        digits
    }))
}

/// Returns a path relative to a folder. Of a path outside of it, only the name is kept: the rest is
/// about this machine.
fn below(folder: &Path, path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let relative = match path.strip_prefix(folder) {
        Ok(relative) if relative.as_os_str().is_empty() => Path::new("."),
        Ok(relative) => relative,
        Err(_) => path.file_name().map_or(Path::new("."), Path::new),
    };
    relative.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_nothing_about_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("app")).unwrap();
        assert_eq!(below(&root, &root), ".");
        assert_eq!(below(&root, &root.join("app")), "app");
        assert_eq!(below(&root, &root.join("app/../app")), "app");
        assert_eq!(
            below(&root.join("app"), &root.join("Dockerfile")),
            "Dockerfile"
        );
    }
}
