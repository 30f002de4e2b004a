//! The native builder: cargo compiles, the final stage says the rest.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{bill_file, compile_failure, pack_failure, packed, target_folder};
use crate::commands::Context;
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use image_builder::bill::bill;
use image_builder::cargo::{CompileEvent, CompileRequest, Compiled, Surroundings, check, compile};
use image_builder::dockerfile::FinalStage;
use image_builder::notices::{Notice, notices};
use image_builder::oci::{self, BuiltImage, Document, Executable, Recipe};
use image_builder::provenance::{Provenance, revision};
use process::withheld;

impl Context<'_> {
    /// Compiles the program and packs it.
    pub(super) async fn build_here(&self, stage: &FinalStage) -> Result<BuiltImage, Failure> {
        let Compiled {
            executable,
            parts,
            sources,
            lock_file,
            linked,
        } = self.compile().await?;
        let config = self.config;
        let paths = built_from(sources, stage, &config.image.dockerfile);
        let package = config.image.package.clone();
        let listing = tokio::task::spawn_blocking(move || {
            let bill = bill(&package, &parts, &lock_file, &linked);
            (bill, notices(&parts, &linked))
        });
        let (revision, listed) = tokio::join!(revision(&config.root, &paths), listing);
        let provenance = provenance(revision.as_ref())?;
        let (bill, notices) = listed.map_err(|error| {
            Failure::new(
                FailureKind::Unexpected,
                "listing the licences was broken off",
            )
            .because(error)
        })?;
        let mut built = self
            .pack(stage.clone(), executable, notices, provenance)
            .await?;
        built.bill = Some(bill);
        if let Some(bill) = &built.bill {
            self.keep(bill);
        }
        Ok(built)
    }

    /// Packs a program that was compiled elsewhere: of which commit and of which parts, nobody knows.
    pub(super) async fn build_of(
        &self,
        stage: &FinalStage,
        program: &Path,
    ) -> Result<BuiltImage, Failure> {
        let config = self.config;
        check(program, config.image.architecture).map_err(|error| compile_failure(&error))?;
        let program = Executable {
            name: config.image.binary.clone(),
            path: program.to_owned(),
        };
        let built = self
            .pack(stage.clone(), program, Vec::new(), provenance(None)?)
            .await?;
        self.sink.send(&Event::ImagePacked {
            digest: super::digest_of(built.digest())?,
            bytes: built.size(),
        });
        Ok(built)
    }

    async fn compile(&self) -> Result<Compiled, Failure> {
        let config = self.config;
        let target_dir = target_folder(config);
        let request = CompileRequest {
            folder: &config.root,
            package: &config.image.package,
            binary: &config.image.binary,
            architecture: config.image.architecture,
            target_dir: &target_dir,
        };
        let mut waiting = BTreeSet::new();
        let on_event = |event: CompileEvent<'_>| match event {
            CompileEvent::Crate { done, name, .. } => self.sink.send(&Event::Compiled {
                crates: done,
                name: name.to_owned(),
            }),
            // Once for each of cargo's locks.
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
        let surroundings = Surroundings {
            allowed: config.image.build_environment.clone(),
            ..Surroundings::from_env()
        };
        compile(&request, &surroundings, on_event)
            .await
            .map_err(|error| {
                let withheld = withheld(std::env::vars_os(), &surroundings.allowed);
                compile_failure(&error).maybe_hint(missed(error.diagnostics(), &withheld))
            })
    }

    async fn pack(
        &self,
        stage: FinalStage,
        program: Executable,
        notices: Vec<Notice>,
        provenance: Provenance,
    ) -> Result<BuiltImage, Failure> {
        let context = self.build_context();
        let ignore_file = image_builder::ignore_file(&self.config.image.dockerfile);
        let architecture = self.config.image.architecture;
        let cache = self.layer_cache();
        packed(move || {
            oci::build(&Recipe {
                stage: &stage,
                program: &program,
                context: &context,
                ignore_file: &ignore_file,
                architecture,
                created: provenance.created,
                labels: &provenance.labels,
                notices: &notices,
                cache: &cache,
            })
        })
        .await
    }

    /// Writes the list beside the program. It is in the image's memory all the same.
    fn keep(&self, bill: &Document) {
        let file = bill_file(self.config);
        if let Err(error) = std::fs::write(&file, &bill.content) {
            self.sink
                .warn(format!("cannot write `{}`: {error}", file.display()));
        }
    }
}

/// Returns a remedy for a build that asked for a variable which is kept from it.
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

/// What the image says about where it comes from.
pub(super) fn provenance(
    revision: Option<&image_builder::provenance::Revision>,
) -> Result<Provenance, Failure> {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    Provenance::new(epoch.as_deref(), revision).map_err(|error| pack_failure(&error))
}

/// All that decides what the image is: what the program is compiled from, the Dockerfile, and what that copies.
fn built_from(sources: Vec<PathBuf>, stage: &FinalStage, dockerfile: &Path) -> Vec<PathBuf> {
    let context = dockerfile.parent().unwrap_or(Path::new("."));
    let copied = stage
        .copies
        .iter()
        .filter(|copy| copy.from.is_none())
        .flat_map(|copy| &copy.sources)
        .map(|source| context.join(source.trim_start_matches('/')));
    let mut paths = sources;
    paths.extend(copied);
    paths.push(dockerfile.to_owned());
    let ignore = image_builder::ignore_file(dockerfile);
    if ignore.exists() {
        paths.push(ignore);
    }
    paths
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
