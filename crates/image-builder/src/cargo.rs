//! Compiles the program: statically linked, small, and without paths of this machine in it.
//!
//! The decisions are pure functions in `plan`, with tests of their own. The path of the executable
//! comes from cargo's messages. Flags from `RUSTFLAGS` come last, so that they win.

mod config;
mod error;
mod messages;
mod plan;
mod project;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dockerfile::CargoBuild;
use crate::elf::{self, ElfError};
use crate::image::Executable;
use crate::slsa::Rust;
use memchr::memmem;
use serde::Deserialize;
use support::input;

use crate::{Architecture, provenance};
pub use error::CompileError;
use messages::{Diagnostics, Message};
pub use plan::{Answers, Surroundings};
use plan::{Choice, NoChoice, Tools};
use process::{Line, ProcessError, Program};
pub use project::{BinaryTarget, Project, ProjectError, check_profile, project};
use project::{Dependency, Package};

/// Time limit for a query to cargo or rustc. Usually takes a moment, unless a rustup proxy first
/// downloads the toolchain.
const QUESTION_LIMIT: Duration = Duration::from_mins(5);

/// Size of the parts in which a program is searched, in bytes.
const PART: u64 = 1 << 20;

/// Parameters of a compilation.
#[derive(Debug, Clone, Copy)]
pub struct CompileRequest<'a> {
    /// Folder of the workspace's `Cargo.toml`, or of a member's.
    pub folder: &'a Path,
    /// Name of the package.
    pub package: &'a str,
    /// Name of the binary in the package.
    pub binary: &'a str,
    /// Processor architecture to compile for.
    pub architecture: Architecture,
    /// Target triple to use instead of the default.
    pub target: Option<&'a str>,
    /// Target folder, absolute or relative to `folder`. Output goes to its subfolder `image`, so
    /// that this build does not wait for others.
    pub target_dir: &'a Path,
    /// Further cargo options from the Dockerfile or the configuration.
    pub build: &'a CargoBuild,
}

/// Progress of a compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileEvent<'a> {
    /// A crate is finished.
    Crate {
        /// Number of finished crates, including this one.
        done: usize,
        /// Name of the crate.
        name: &'a str,
        /// Set if cargo had compiled it before.
        fresh: bool,
    },
    /// Cargo waits for a lock that another cargo holds.
    Waiting {
        /// Lock in cargo's words: `file lock on package cache`.
        lock: &'a str,
    },
    /// The workspace has no lock file, so two clones may use different versions of the
    /// dependencies.
    NoLockFile {
        /// Expected path of the lock file.
        path: &'a Path,
    },
}

/// Compiled program, with the inputs it was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// Executable file that cargo produced.
    pub executable: Executable,
    /// Crates that are in the program, without those of build scripts and procedural macros.
    pub parts: Vec<Part>,
    /// Files of the workspace that the program was compiled from: sources, included files,
    /// manifests and lock file.
    pub sources: Vec<PathBuf>,
    /// Path of the workspace's `Cargo.lock`.
    pub lock_file: PathBuf,
    /// Libraries that are linked in besides the crates.
    pub linked: Linked,
    /// Folder of this machine whose path the program contains, if there is one: its digest depends
    /// on it.
    pub embedded: Option<PathBuf>,
}

/// Parts of a program besides its crates: Rust's standard library and the target's C library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Sysroot of the compiler, which holds the standard library.
    pub sysroot: PathBuf,
    /// Target triple.
    pub target: String,
    /// Compiler, whose version is also that of the standard library.
    pub rust: Rust,
}

/// Crate that is part of the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Package ID in cargo's format: `registry+https://…#name@version`.
    pub package_id: String,
    /// Path of its `Cargo.toml`.
    pub manifest: PathBuf,
}

/// Compiles the program and checks that it can run in an empty image. Dropping the future ends
/// cargo and the compilers.
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
    let configured =
        configured_flags(request, (&folder, &workspace), &choice.target, surroundings).await?;
    let invocation = plan::invocation(
        request,
        surroundings,
        &plan::Found {
            configured: &configured,
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
    let cargo = surroundings.program(&surroundings.cargo);
    // The Dockerfile's variables come first, so that those below override them.
    let cargo = variables
        .fold(cargo, |cargo, (name, value)| cargo.env(name, value))
        .args(&invocation.arguments)
        .allow(&surroundings.allowed)
        .current_dir(&folder)
        // Cargo prefers this variable to `RUSTFLAGS`, which is inherited.
        .env("CARGO_ENCODED_RUSTFLAGS", &invocation.encoded_rustflags)
        // Fixed, since profiles differ here and incremental compilation changes the program.
        .env("CARGO_INCREMENTAL", "0")
        // Escape sequences would hide the line prefixes that `Diagnostics` compares.
        .env("CARGO_TERM_COLOR", "never");
    let compiling = cargo.run(|line| match line {
        Line::Output(line) => {
            if let Some(Message::Artifact(artifact)) = messages::parse(line) {
                if artifact.is_program(request.binary) {
                    executable.clone_from(&artifact.executable);
                }
                parts.extend(artifact.part(&invocation.target_folder));
                // A build script is compiled in addition to its crate, which would count twice.
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
    // Queried meanwhile, since the version is only needed afterwards.
    let (outcome, rust) = tokio::join!(compiling, self::rust(&folder, surroundings));
    if let Err(error) = outcome {
        return Err(diagnostics.explain(request.package, &choice.target, error));
    }
    let path = executable.ok_or_else(|| CompileError::NoExecutable {
        package: request.package.to_owned(),
        binary: request.binary.to_owned(),
    })?;
    // Cargo also succeeds if a user's flag or a library makes the program dynamic.
    check(&path, request.architecture)?;
    Ok(Compiled {
        embedded: embedded(&path, [&workspace, &folder.join(request.target_dir)]),
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

/// Returns the flags of the project's `.cargo/config.toml`, unless the Dockerfile has its own, which
/// take their place in cargo.
async fn configured_flags(
    request: &CompileRequest<'_>,
    (folder, workspace): (&Path, &Path),
    target: &str,
    surroundings: &Surroundings,
) -> Result<Vec<String>, CompileError> {
    if !request.build.rustflags.is_empty() {
        return Ok(Vec::new());
    }
    let files = config::read(folder, workspace);
    let mut cfgs = Vec::new();
    if config::asks_for_cfg(&files) {
        let rustc = surroundings
            .program(&surroundings.rustc)
            .args(["--print", "cfg", "--target", target])
            .current_dir(workspace);
        cfgs = config::cfgs(&answer(&surroundings.rustc, &rustc).await?);
    }
    Ok(config::rustflags(&files, target, &cfgs))
}

/// Returns the first of these folders whose path is in a file. The compiler replaces those in its own
/// texts, so that it comes from `env!("CARGO_MANIFEST_DIR")`, `env!("OUT_DIR")` or a build script.
fn embedded<const N: usize>(file: &Path, folders: [&Path; N]) -> Option<PathBuf> {
    // The path of a folder at the root, such as `/app`, may be one of the image.
    let folders = folders.map(|it| (it, memmem::Finder::new(it.as_os_str().as_bytes())));
    let folders = folders
        .iter()
        .filter(|(folder, _)| folder.components().count() > 2);
    let longest = folders
        .clone()
        .map(|(_, finder)| finder.needle().len())
        .max()?;
    let mut file = File::open(file).ok()?;
    let mut text = Vec::new();
    loop {
        let read = file.by_ref().take(PART).read_to_end(&mut text).ok()?;
        if let Some((folder, _)) = folders.clone().find(|(_, it)| it.find(&text).is_some()) {
            return Some(folder.to_path_buf());
        }
        if read == 0 {
            return None;
        }
        // A path may go on in the next part.
        text.drain(..text.len().saturating_sub(longest));
    }
}

/// Returns the crates of a program that cargo has compiled for a target, from the JSON messages
/// that it printed. `target_folder` is the folder of that target.
pub fn parts(messages: &str, target_folder: &Path) -> Vec<Part> {
    let mut parts = BTreeSet::new();
    for line in messages.lines() {
        if let Some(Message::Artifact(artifact)) = messages::parse(line) {
            parts.extend(artifact.part(target_folder));
        }
    }
    parts.into_iter().collect()
}

/// Returns what the toolchain links into a program for this target, besides the crates.
pub async fn linked(
    workspace: &Path,
    target: &str,
    surroundings: &Surroundings,
) -> Result<Linked, CompileError> {
    let (sysroot, rust) = tokio::join!(
        sysroot(workspace, surroundings),
        self::rust(workspace, surroundings)
    );
    Ok(Linked {
        sysroot: sysroot?,
        target: target.to_owned(),
        rust: rust?,
    })
}

/// Resolves the symbolic links in a folder's path.
fn real(folder: &Path) -> Result<PathBuf, CompileError> {
    folder
        .canonicalize()
        .map_err(|source| CompileError::Workspace {
            path: folder.to_owned(),
            source,
        })
}

/// Workspace as reported by `cargo metadata`.
struct Workspace {
    /// Root folder, with the lock file and the profiles.
    root: PathBuf,
    /// Folders of path dependencies outside of the root.
    outside: Vec<PathBuf>,
}

/// Output of `cargo metadata`, as far as it is used.
#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
}

/// Finds the workspace of a folder, which may be that of a member, by asking cargo.
async fn workspace(folder: &Path, surroundings: &Surroundings) -> Result<Workspace, CompileError> {
    let members = metadata(folder, surroundings, &["--no-deps"]).await?;
    let root = real(&members.workspace_root)?;
    let leads_out = |dependency: &Dependency| {
        dependency
            .path
            .as_ref()
            .is_some_and(|path| !path.starts_with(&members.workspace_root))
    };
    // A `[patch]` can replace any dependency by a path that no member's manifest names.
    let patches = manifest(&root).is_some_and(|it| it.contains_key("patch"));
    let mut of_members = members.packages.iter().flat_map(|it| &it.dependencies);
    if !patches && !of_members.any(leads_out) {
        return Ok(Workspace {
            root,
            outside: Vec::new(),
        });
    }
    // Without `--no-deps`, cargo reads the manifests of all dependencies, which takes longer.
    // `--locked` keeps it from updating the lock file.
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
    // Sorted, since cargo compiles everything again if the order of the flags changes.
    outside.sort();
    Ok(Workspace { root, outside })
}

async fn metadata(
    folder: &Path,
    surroundings: &Surroundings,
    options: &[&str],
) -> Result<Metadata, CompileError> {
    let failed = |said: String| CompileError::Project {
        diagnostics: said.lines().map(ToOwned::to_owned).collect(),
    };
    let arguments = format!("metadata --format-version 1 {}", options.join(" "));
    let said = if let Some(known) = surroundings.known(&arguments, folder) {
        known
    } else {
        let cargo = surroundings
            .program(&surroundings.cargo)
            .args(arguments.split_whitespace())
            .allow(&surroundings.allowed)
            .current_dir(folder);
        let output = cargo.output(QUESTION_LIMIT).await?;
        if !output.status.success() {
            return Err(failed(output.stderr));
        }
        surroundings.keep(&arguments, folder, &output.stdout);
        output.stdout
    };
    serde_json::from_str(&said).map_err(|error| failed(error.to_string()))
}

/// Reads the workspace's manifest. Errors are ignored here, since cargo reports them better.
fn manifest(workspace: &Path) -> Option<toml::Table> {
    let text = input::text(&workspace.join("Cargo.toml"), input::WRITTEN_BY_HAND);
    toml::from_str(&text.ok()?).ok()
}

/// Returns whether the workspace defines a profile `image`.
fn has_profile(workspace: &Path) -> bool {
    let manifest = manifest(workspace);
    let profiles = manifest
        .as_ref()
        .and_then(|it| it.get("profile")?.as_table());
    profiles.is_some_and(|profiles| profiles.contains_key("image"))
}

/// Returns the files that the program was compiled from, without those of registry crates.
fn sources(
    folder: &Path,
    workspace: &Path,
    program: &Path,
    parts: &BTreeSet<Part>,
) -> Vec<PathBuf> {
    // Cargo writes the dependencies of a program next to it, in a Makefile with the extension `.d`.
    let dependencies =
        input::text(&program.with_extension("d"), input::WRITTEN_BY_PROGRAMS).unwrap_or_default();
    let compiled = provenance::sources(&dependencies).into_iter();
    let manifests = parts
        .iter()
        // Crates from a registry are pinned by the lock file, so only local manifests count.
        .filter(|part| part.package_id.starts_with("path+"))
        .map(|part| part.manifest.clone());
    let of_the_workspace = ["Cargo.toml", "Cargo.lock"].map(|name| workspace.join(name));
    // Cargo and rustup look for these files in the working folder and above.
    let toolchain = ["rust-toolchain", "rust-toolchain.toml"];
    let settings = toolchain.into_iter().chain(config::FILES);
    let settings = folder
        .ancestors()
        .take_while(|above| above.starts_with(workspace))
        // A member may lie outside of the root folder, so the root is added explicitly.
        .chain([workspace])
        .flat_map(|above| settings.clone().map(|name| above.join(name)));
    let settings = settings.chain(of_the_workspace);
    let all: BTreeSet<PathBuf> = compiled
        .chain(manifests)
        .chain(settings.filter(|file| file.exists()))
        .collect();
    all.into_iter().collect()
}

/// Toolchain that is available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Output of `cargo --version`: `cargo 1.94.1 (…)`.
    pub cargo: String,
    /// Target triple that would be used.
    pub target: String,
}

/// Checks that the toolchain is complete, without compiling anything.
pub async fn toolchain(
    workspace: &Path,
    architecture: Architecture,
    target: Option<&str>,
    surroundings: &Surroundings,
) -> Result<Toolchain, CompileError> {
    let workspace = real(workspace)?;
    let cargo = surroundings
        .program(&surroundings.cargo)
        .arg("--version")
        .current_dir(&workspace);
    let (cargo, found) = tokio::join!(
        answer(&surroundings.cargo, &cargo),
        find_target(&workspace, architecture, target, surroundings),
    );
    let (cargo, (_sysroot, choice)) = (cargo?, found?);
    Ok(Toolchain {
        cargo,
        target: choice.target,
    })
}

/// Finds the sysroot, and chooses the target to compile for.
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

/// Lookup of toolchain parts on disk.
struct OnDisk<'a> {
    sysroot: &'a Path,
    surroundings: &'a Surroundings,
}

impl Tools for OnDisk<'_> {
    fn has_target(&self, target: &str) -> bool {
        // Looked up on disk, since a distribution's toolchain has no rustup to ask.
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

/// Returns the compiler's sysroot. Runs in the workspace, whose `rust-toolchain.toml` may choose
/// another toolchain.
async fn sysroot(workspace: &Path, surroundings: &Surroundings) -> Result<PathBuf, CompileError> {
    const ARGUMENTS: &str = "--print sysroot";
    if let Some(known) = surroundings.known(ARGUMENTS, workspace) {
        return Ok(known.into());
    }
    let rustc = surroundings
        .program(&surroundings.rustc)
        .args(ARGUMENTS.split_whitespace())
        .current_dir(workspace);
    let said = answer(&surroundings.rustc, &rustc).await?;
    surroundings.keep(ARGUMENTS, workspace, &said);
    Ok(said.into())
}

/// Returns the compiler's version and commit.
pub async fn rust(workspace: &Path, surroundings: &Surroundings) -> Result<Rust, CompileError> {
    let rustc = surroundings
        .program(&surroundings.rustc)
        .args(["--version", "--verbose"])
        .current_dir(workspace);
    let said = answer(&surroundings.rustc, &rustc).await?;
    let field = |name: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(name));
        // A distribution's compiler says `unknown`.
        found
            .filter(|it| *it != "unknown")
            .unwrap_or_default()
            .to_owned()
    };
    Ok(Rust {
        release: field("release: "),
        commit: field("commit-hash: "),
    })
}

/// Returns the toolchains that rustup has installed, or none without rustup.
pub async fn installed_toolchains(surroundings: &Surroundings) -> Vec<String> {
    if !surroundings.finds("rustup") {
        return Vec::new();
    }
    let rustup = Program::new("rustup").args(["toolchain", "list"]);
    let listed = answer(OsStr::new("rustup"), &rustup)
        .await
        .unwrap_or_default();
    // Each line is a name, and remarks such as `(default)`.
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Returns the trimmed output of a successful command.
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

/// Checks that a program can run in an empty image.
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
