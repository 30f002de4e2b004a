//! Native builder: Cargo compiles the program, and the Dockerfile's final stage defines the image.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::plan::NativePlan;
use super::{failure_of, failure_to, image_folder, packed, sbom_file, target_folder};
use crate::context::Context;
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use image_builder::cargo::{CompileEvent, CompileRequest, Compiled, check, compile};
use image_builder::dockerfile::{CopySource, FinalStage};
use image_builder::image::Notice;
use image_builder::image::{BuiltImage, Executable};
use image_builder::notices::notices;
use image_builder::oci::{self, Recipe};
use image_builder::provenance::{BASE_LABEL, Provenance, Revision, Unknown, revision};
use image_builder::sbom::sbom;
use image_builder::{Hint as _, context_paths, ignore_file};
use process::withheld;

impl Context<'_> {
    /// Compiles the program and packs it into an image.
    pub(crate) async fn build_here(&self, plan: &NativePlan) -> Result<BuiltImage, Failure> {
        if !plan.stage.takes_program() {
            return self.build_of_files(plan).await;
        }
        let compiled = self.compile(plan).await?;
        if let Some(folder) = &compiled.embedded {
            self.sink.note(format!(
                "the program contains the path `{}` (`env!(\"CARGO_MANIFEST_DIR\")`, `env!(\"OUT_DIR\")` or a build script): built in another folder, it gets another digest",
                folder.display()
            ));
        }
        let config = self.config;
        let paths = self.built_from(compiled.sources.clone(), &plan.stage);
        let package = plan.program.package.clone();
        let Compiled {
            parts,
            lock_file,
            linked,
            ..
        } = compiled.clone();
        // Reads the licence files of all crates, which would block an async worker.
        let listing = tokio::task::spawn_blocking(move || {
            let sbom = sbom(&package, &parts, &lock_file, &linked);
            (sbom, notices(&parts, &linked))
        });
        let (revision, listed) = tokio::join!(revision(&config.root, &paths), listing);
        let build = self.native_build(plan, &compiled, &revision);
        let provenance = self.provenance(revision)?;
        let (sbom, notices) = listed.map_err(|error| {
            Failure::new(
                FailureKind::Unexpected,
                "listing the licences was broken off",
            )
            .because(error)
        })?;
        let executable = compiled.executable;
        let mut built = self.pack(plan, executable, notices, provenance).await?;
        let program = &plan.program.binary;
        self.keep(&sbom, &sbom_file(config, program));
        built.sbom = Some(sbom);
        self.record(&mut built, &build, program);
        Ok(built)
    }

    /// Packs the files that the Dockerfile names. Nothing is compiled, so there is no SBOM.
    async fn build_of_files(&self, plan: &NativePlan) -> Result<BuiltImage, Failure> {
        let paths = self.built_from(Vec::new(), &plan.stage);
        let revision = revision(&self.config.root, &paths).await;
        let program = Executable {
            name: plan.program.binary.clone(),
            path: PathBuf::new(),
        };
        let provenance = self.provenance(revision)?;
        self.pack(plan, program, Vec::new(), provenance).await
    }

    /// Packs a program that was compiled elsewhere, so that its commit and dependencies are
    /// unknown.
    pub(crate) async fn build_of(
        &self,
        plan: &NativePlan,
        program: &Path,
    ) -> Result<BuiltImage, Failure> {
        let config = self.config;
        // A dynamically linked program may find its libraries in the base image. Packing checks
        // that.
        if plan.stage.base.is_none() {
            let checked = check(program, config.image.architecture);
            checked.map_err(|error| failure_of(&error))?;
        }
        let program = Executable {
            name: plan.program.binary.clone(),
            path: program.to_owned(),
        };
        let built = self
            .pack(
                plan,
                program,
                Vec::new(),
                self.provenance(Err(Unknown::NoRepository))?,
            )
            .await?;
        self.sink.send(&Event::ImagePacked {
            digest: super::digest_of(built.digest())?,
            bytes: built.size(),
        });
        Ok(built)
    }

    async fn compile(&self, plan: &NativePlan) -> Result<Compiled, Failure> {
        let config = self.config;
        let target_dir = target_folder(config);
        let request = CompileRequest {
            folder: &config.root,
            package: &plan.program.package,
            binary: &plan.program.binary,
            architecture: config.image.architecture,
            target: config.image.target.as_deref(),
            target_dir: &target_dir,
            build: &plan.build,
        };
        let mut waiting = BTreeSet::new();
        let on_event = |event: CompileEvent<'_>| match event {
            CompileEvent::Crate { done, name, .. } => self.sink.send(&Event::Compiled {
                crates: done,
                name: name.to_owned(),
            }),
            // Cargo may wait for the same lock several times; one note is enough.
            CompileEvent::Waiting { lock } => {
                if waiting.insert(lock.to_owned()) {
                    self.sink
                        .note(format!("cargo waits for another one: {lock}"));
                }
            }
            CompileEvent::NoLockFile { path } => self.sink.warn(format!(
                "there is no `{}`: commit it, or two clones may get different dependencies",
                path.display()
            )),
        };
        let surroundings = &plan.surroundings;
        compile(&request, surroundings, on_event)
            .await
            .map_err(|error| {
                // A build script that misses a withheld variable fails with an error that names it.
                let withheld = withheld(std::env::vars_os(), &surroundings.allowed);
                failure_of(&error).maybe_hint(missed(error.evidence(), &withheld))
            })
    }

    async fn pack(
        &self,
        plan: &NativePlan,
        program: Executable,
        notices: Vec<Notice>,
        provenance: Provenance,
    ) -> Result<BuiltImage, Failure> {
        let context = self.build_context();
        let ignore_file = ignore_file(&self.config.image.dockerfile, &context);
        let own_folder = image_folder(self.config);
        let architecture = self.config.image.architecture;
        let cache = self.layer_cache();
        let (stage, bases) = (plan.stage.clone(), plan.bases.clone());
        let mut labels = provenance.labels;
        if let Some(base) = stage.base.as_ref().and_then(|name| bases.get(name)) {
            labels.insert(format!("{BASE_LABEL}.name"), base.reference.clone());
            labels.insert(format!("{BASE_LABEL}.digest"), base.digest.clone());
        }
        packed(move || {
            oci::build(&Recipe {
                stage: &stage,
                program: &program.name,
                program_path: stage.takes_program().then_some(&program.path),
                bases: &bases,
                context: &context,
                ignore_file: &ignore_file,
                own_folder: Some(&own_folder),
                architecture,
                created: provenance.created,
                labels: &labels,
                notices: &notices,
                cache: &cache,
            })
        })
        .await
    }

    /// Returns the provenance labels and the creation time of the image.
    pub(crate) fn provenance(
        &self,
        revision: Result<Revision, Unknown>,
    ) -> Result<Provenance, Failure> {
        if let Err(unknown) = &revision
            && let Some(note) = unknown.note()
        {
            self.sink.note(note);
        }
        let epoch = super::source_date_epoch(self.config);
        Provenance::new(epoch.as_deref(), revision.ok().as_ref())
            .map_err(|error| failure_to("cannot pack the image", &error))
    }

    /// Returns all paths that determine the image: the program's sources, the Dockerfile, and the
    /// files that it copies.
    fn built_from(&self, sources: Vec<PathBuf>, stage: &FinalStage) -> Vec<PathBuf> {
        let context = self.build_context();
        let dockerfile = &self.config.image.dockerfile;
        let mut paths = sources;
        copied(stage, &context, &mut paths);
        paths.push(dockerfile.clone());
        let ignore = ignore_file(dockerfile, &context);
        if ignore.exists() {
            paths.push(ignore);
        }
        paths
    }
}

/// Adds the paths that a stage, and the stages it copies from, read from the build context.
fn copied(stage: &FinalStage, context: &Path, paths: &mut Vec<PathBuf>) {
    for copy in stage.copies() {
        match &copy.from {
            CopySource::Context => {
                let sources = copy.sources.iter();
                paths.extend(sources.flat_map(|it| context_paths(context, it)));
            }
            CopySource::Stage(_, stage) => copied(stage, context, paths),
            CopySource::Program(_) => {}
        }
    }
}

/// Returns a hint if the compiler's output names a variable that was withheld from the build.
fn missed(diagnostics: &[String], withheld: &BTreeSet<OsString>) -> Option<String> {
    let name = withheld.iter().find_map(|name| {
        let name = name.to_str()?;
        let is_named = |line: &String| {
            line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .any(|word| word == name)
        };
        diagnostics.iter().any(is_named).then_some(name)
    })?;
    Some(format!(
        "`{name}` looks like a secret and is kept from the build: if it needs it, set `build_environment = [\"{name}\"]` under `[image]` in `deployer.toml`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_the_build_misses_is_named() {
        let withheld = BTreeSet::from(["API_KEY".into(), "GITHUB_TOKEN".into()]);
        let hint = |line: &str| missed(&[line.to_owned()], &withheld);
        let said = "error: environment variable `API_KEY` not defined at compile time";
        assert!(
            hint(said)
                .unwrap()
                .contains("build_environment = [\"API_KEY\"]")
        );
        assert_eq!(hint("error: cannot find `MY_API_KEY`"), None);
    }
}
