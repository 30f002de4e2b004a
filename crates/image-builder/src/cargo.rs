//! Compiles the program: static, small, and with nothing of this machine in it.
//!
//! What is decided here is pure (`plan`) and tested as such; cargo itself is asked where the program is, never guessed. The
//! compiler flags of `RUSTFLAGS` are kept and stand last, so that they win; flags of a `.cargo/config.toml` do not apply,
//! since cargo takes either the one or the other.

mod error;
mod messages;
mod plan;
mod project;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dockerfile::CargoBuild;
use crate::elf::{self, ElfError};
use crate::image::Executable;
use serde::Deserialize;
use support::input;

use crate::{Architecture, provenance};
pub use error::CompileError;
use messages::{Diagnostics, Message};
pub use plan::Surroundings;
use plan::{Choice, NoChoice, Tools};
use process::{Line, ProcessError, Program};
pub use project::{BinaryTarget, Project, ProjectError, check_profile, project};
use project::{Dependency, Package};

/// Limit for a question to cargo or the compiler: a moment, unless a proxy first downloads them.
const QUESTION_LIMIT: Duration = Duration::from_mins(5);

/// What shall be compiled.
#[derive(Debug, Clone, Copy)]
pub struct CompileRequest<'a> {
    /// The folder of the workspace's `Cargo.toml`, or of one of its members.
    pub folder: &'a Path,
    /// The package.
    pub package: &'a str,
    /// One of its programs.
    pub binary: &'a str,
    /// What it shall run on.
    pub architecture: Architecture,
    /// The target to compile for, by the compiler's name for it, instead of the usual one.
    pub target: Option<&'a str>,
    /// The target folder, relative to that folder or absolute; what is made here goes to `image` in it, so that it does not wait for other builds.
    pub target_dir: &'a Path,
    /// What the Dockerfile, or the settings, tell cargo besides.
    pub build: &'a CargoBuild,
}

/// What happens while it is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileEvent<'a> {
    /// A crate is done.
    Crate {
        /// How many are, with this one.
        done: usize,
        /// Its name.
        name: &'a str,
        /// It was done already.
        fresh: bool,
    },
    /// Another cargo holds a lock.
    Waiting {
        /// Which one, in cargo's words: `file lock on package cache`.
        lock: &'a str,
    },
    /// Nothing says yet which versions of the dependencies are used: two clones may get different ones.
    NoLockFile {
        /// Where it would be.
        path: &'a Path,
    },
}

/// A program that was compiled, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The program.
    pub executable: Executable,
    /// The crates that were compiled for it: those of build scripts and macros are not among them.
    pub parts: Vec<Part>,
    /// The files of this workspace that it was compiled from: sources, what they include, manifests, the lock file.
    pub sources: Vec<PathBuf>,
    /// The workspace's `Cargo.lock`.
    pub lock_file: PathBuf,
    /// What it is linked to.
    pub linked: Linked,
}

/// What is in a program beside its crates: Rust's standard library, and the C library of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Where the compiler and the standard library are.
    pub sysroot: PathBuf,
    /// The target, by the compiler's name for it.
    pub target: String,
    /// The version of Rust; empty where the compiler does not say it.
    pub rust: String,
}

/// A crate in the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// By cargo's name for it: `registry+https://…#name@version`.
    pub package_id: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
}

/// Compiles the program and makes sure that it can run in an empty image. Dropping the future ends cargo and the compilers.
pub async fn compile(
    request: &CompileRequest<'_>,
    surroundings: &Surroundings,
    mut on_event: impl FnMut(CompileEvent<'_>),
) -> Result<Compiled, CompileError> {
    let folder = real(request.folder)?;
    let (found, workspace) = tokio::join!(
        find_target(&folder, request.architecture, request.target, surroundings),
        workspace(&folder, surroundings),
    );
    let (sysroot, choice) = found?;
    let Workspace {
        root: workspace,
        outside,
    } = workspace?;
    let lock_file = workspace.join("Cargo.lock");
    let has_lock_file = lock_file.exists();
    if !has_lock_file {
        on_event(CompileEvent::NoLockFile { path: &lock_file });
    }
    let invocation = plan::invocation(
        request,
        surroundings,
        &plan::Found {
            has_lock_file,
            has_profile: has_profile(&workspace),
            outside: &outside,
            folder: &folder,
            workspace: &workspace,
            sysroot: &sysroot,
            choice: &choice,
        },
    );

    let mut executable = None;
    let mut parts = BTreeSet::new();
    let mut done = 0;
    let mut diagnostics = Diagnostics::default();
    let variables = request.build.environment.iter();
    let cargo = Program::new(&surroundings.cargo);
    let cargo = variables
        .fold(cargo, |cargo, (name, value)| cargo.env(name, value))
        .args(&invocation.arguments)
        .allow(&surroundings.allowed)
        .current_dir(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", &invocation.encoded_rustflags)
        // Left over in one profile or another, either would make another program.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TERM_COLOR", "never");
    let compiling = cargo.run(|line| match line {
        Line::Output(line) => {
            if let Some(Message::Artifact(artifact)) = messages::parse(line) {
                if artifact.is_program(request.binary) {
                    executable.clone_from(&artifact.executable);
                }
                if artifact.is_for(&invocation.target_folder) {
                    parts.insert(Part {
                        package_id: artifact.package_id.clone(),
                        manifest: artifact.manifest_path.clone(),
                    });
                }
                if !artifact.is_build_script() {
                    done += 1;
                    on_event(CompileEvent::Crate {
                        done,
                        name: &artifact.target.name,
                        fresh: artifact.fresh,
                    });
                }
            }
        }
        Line::Error(line) => {
            if let Some(lock) = messages::waiting_for(line) {
                on_event(CompileEvent::Waiting { lock });
            }
            diagnostics.push(line);
        }
    });
    let (outcome, rust) = tokio::join!(compiling, release(&folder, surroundings));
    if let Err(error) = outcome {
        return Err(diagnostics.explain(request.package, &choice.target, error));
    }
    let path = executable.ok_or_else(|| CompileError::NoExecutable {
        package: request.package.to_owned(),
        binary: request.binary.to_owned(),
    })?;
    check(&path, request.architecture)?;
    Ok(Compiled {
        sources: sources(&folder, &workspace, &path, &parts),
        lock_file,
        linked: Linked {
            rust: rust?,
            target: choice.target,
            sysroot,
        },
        parts: parts.into_iter().collect(),
        executable: Executable {
            name: request.binary.to_owned(),
            path,
        },
    })
}

/// A folder without links.
fn real(folder: &Path) -> Result<PathBuf, CompileError> {
    folder
        .canonicalize()
        .map_err(|source| CompileError::Workspace {
            path: folder.to_owned(),
            source,
        })
}

/// A workspace, as cargo sees it.
struct Workspace {
    /// Its folder, where the lock file and the profiles are.
    root: PathBuf,
    /// Folders of path dependencies outside of it.
    outside: Vec<PathBuf>,
}

/// What `cargo metadata` tells.
#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
}

/// Finds the workspace that a folder belongs to. Cargo knows, also where the folder is that of a member.
async fn workspace(folder: &Path, surroundings: &Surroundings) -> Result<Workspace, CompileError> {
    let members = metadata(folder, surroundings, &["--no-deps"]).await?;
    let root = real(&members.workspace_root)?;
    let leads_out = |dependency: &Dependency| {
        dependency
            .path
            .as_ref()
            .is_some_and(|path| !path.starts_with(&members.workspace_root))
    };
    let patches = manifest(&root).is_some_and(|it| it.contains_key("patch"));
    let mut of_members = members.packages.iter().flat_map(|it| &it.dependencies);
    if !patches && !of_members.any(leads_out) {
        return Ok(Workspace {
            root,
            outside: Vec::new(),
        });
    }
    // Only now all manifests have to be read. What is locked stays as it is.
    let has_lock_file = root.join("Cargo.lock").exists();
    let options = ["--all-features", "--locked"];
    let options = if has_lock_file {
        &options[..]
    } else {
        &options[..1]
    };
    let all = metadata(folder, surroundings, options).await?;
    let own = all
        .packages
        .iter()
        .filter(|package| package.source.is_none());
    let folders = own.filter_map(|package| package.manifest_path.parent());
    let outside = folders.filter(|it| !it.starts_with(&members.workspace_root));
    let mut outside: Vec<PathBuf> = outside.map(ToOwned::to_owned).collect();
    outside.sort();
    Ok(Workspace { root, outside })
}

async fn metadata(
    folder: &Path,
    surroundings: &Surroundings,
    options: &[&str],
) -> Result<Metadata, CompileError> {
    let cargo = Program::new(&surroundings.cargo)
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .allow(&surroundings.allowed)
        .current_dir(folder);
    let output = cargo.output(QUESTION_LIMIT).await?;
    let failed = |said: String| CompileError::Project {
        diagnostics: said.lines().map(ToOwned::to_owned).collect(),
    };
    if !output.status.success() {
        return Err(failed(output.stderr));
    }
    serde_json::from_str(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Reads the workspace's manifest. What is wrong with it, cargo tells.
fn manifest(workspace: &Path) -> Option<toml::Table> {
    let text = input::text(&workspace.join("Cargo.toml"), input::WRITTEN_BY_HAND);
    toml::from_str(&text.ok()?).ok()
}

/// Returns whether the workspace has a profile for images.
fn has_profile(workspace: &Path) -> bool {
    let manifest = manifest(workspace);
    let profiles = manifest
        .as_ref()
        .and_then(|it| it.get("profile")?.as_table());
    profiles.is_some_and(|profiles| profiles.contains_key("image"))
}

/// What the program was compiled from, as far as it is not in the registry's crates.
fn sources(
    folder: &Path,
    workspace: &Path,
    program: &Path,
    parts: &BTreeSet<Part>,
) -> Vec<PathBuf> {
    let dependencies =
        input::text(&program.with_extension("d"), input::WRITTEN_BY_PROGRAMS).unwrap_or_default();
    let compiled = provenance::sources(&dependencies).into_iter();
    let manifests = parts
        .iter()
        .filter(|part| part.package_id.starts_with("path+"))
        .map(|part| part.manifest.clone());
    let of_the_workspace = ["Cargo.toml", "Cargo.lock"].map(|name| workspace.join(name));
    // These are looked for from the folder upwards.
    let settings = [
        "rust-toolchain",
        "rust-toolchain.toml",
        ".cargo/config.toml",
    ];
    let settings = folder
        .ancestors()
        .take_while(|above| above.starts_with(workspace))
        .chain([workspace])
        .flat_map(|above| settings.map(|name| above.join(name)));
    let settings = settings.chain(of_the_workspace);
    let all: BTreeSet<PathBuf> = compiled
        .chain(manifests)
        .chain(settings.filter(|file| file.exists()))
        .collect();
    all.into_iter().collect()
}

/// What there is to compile with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// What cargo says of itself: `cargo 1.94.1 (…)`.
    pub cargo: String,
    /// The target that is compiled for.
    pub target: String,
}

/// Checks that everything compiling needs is in place, without compiling anything.
pub async fn toolchain(
    workspace: &Path,
    architecture: Architecture,
    target: Option<&str>,
    surroundings: &Surroundings,
) -> Result<Toolchain, CompileError> {
    let cargo = Program::new(&surroundings.cargo)
        .arg("--version")
        .current_dir(workspace);
    let cargo = answer(&surroundings.cargo, &cargo).await?;
    let (_sysroot, choice) = find_target(workspace, architecture, target, surroundings).await?;
    Ok(Toolchain {
        cargo,
        target: choice.target,
    })
}

/// Where compiler and standard libraries are, and which of these to compile for.
async fn find_target(
    workspace: &Path,
    architecture: Architecture,
    target: Option<&str>,
    surroundings: &Surroundings,
) -> Result<(PathBuf, Choice), CompileError> {
    let sysroot = sysroot(workspace, surroundings).await?;
    let found = OnDisk {
        sysroot: &sysroot,
        surroundings,
    };
    let choice = plan::choose(architecture, target, surroundings, &found);
    let choice = choice.map_err(|none| match none {
        NoChoice::NoTarget(target) => CompileError::NoTarget {
            target,
            has_rustup: surroundings.finds("rustup"),
        },
        NoChoice::NoLinker(target) => CompileError::NoLinker { target },
    })?;
    Ok((sysroot, choice))
}

/// Looks on the disk.
struct OnDisk<'a> {
    sysroot: &'a Path,
    surroundings: &'a Surroundings,
}

impl Tools for OnDisk<'_> {
    fn has_target(&self, target: &str) -> bool {
        let library = self.sysroot.join("lib/rustlib").join(target).join("lib");
        library.is_dir()
    }

    fn has_program(&self, name: &str) -> bool {
        self.surroundings.finds(name)
    }

    fn has_linker_for(&self, target: &str) -> bool {
        self.surroundings.has_linker_for(target)
    }
}

/// Where compiler and standard libraries are. Asked in the workspace, which may choose a toolchain of its own.
async fn sysroot(workspace: &Path, surroundings: &Surroundings) -> Result<PathBuf, CompileError> {
    let rustc = Program::new(&surroundings.rustc)
        .args(["--print", "sysroot"])
        .current_dir(workspace);
    answer(&surroundings.rustc, &rustc).await.map(PathBuf::from)
}

/// The version of the compiler, and so of the standard library.
async fn release(workspace: &Path, surroundings: &Surroundings) -> Result<String, CompileError> {
    let rustc = Program::new(&surroundings.rustc)
        .args(["--version", "--verbose"])
        .current_dir(workspace);
    let said = answer(&surroundings.rustc, &rustc).await?;
    let release = said.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.unwrap_or_default().to_owned())
}

/// What a program says to a question.
async fn answer(name: &OsStr, program: &Program) -> Result<String, CompileError> {
    let output = program.output(QUESTION_LIMIT).await?;
    if output.status.success() {
        Ok(output.stdout.trim().to_owned())
    } else {
        Err(CompileError::Process(ProcessError::Failed {
            program: name.to_string_lossy().into_owned(),
            status: output.status,
            tail: output.stderr.lines().map(ToOwned::to_owned).collect(),
        }))
    }
}

/// Makes sure that a program can run in an empty image.
pub fn check(path: &Path, architecture: Architecture) -> Result<(), CompileError> {
    File::open(path)
        .map_err(ElfError::from)
        .and_then(|mut program| elf::check(&mut program, architecture))
        .map_err(|problem| CompileError::Unusable {
            path: path.to_owned(),
            problem,
        })
}

#[cfg(test)]
mod tests;
