//! Compiles the program: static, small, and with nothing of this machine in it.
//!
//! What is decided here is pure (`plan`) and tested as such; cargo itself is asked where the program is, never guessed. The
//! compiler flags of `RUSTFLAGS` are kept and stand last, so that they win; flags of a `.cargo/config.toml` do not apply,
//! since cargo takes either the one or the other.

mod messages;
mod plan;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Architecture;
use super::elf::{self, ElfError};
use super::oci::Executable;
use crate::process::{Line, ProcessError, Program};
use messages::{Diagnostics, Message};
pub use plan::Surroundings;

/// Asking the compiler where it lives takes a moment, unless a proxy for it first downloads it.
const SYSROOT_LIMIT: Duration = Duration::from_mins(5);

/// What shall be compiled.
#[derive(Debug, Clone, Copy)]
pub struct CompileRequest<'a> {
    /// The folder of the workspace's `Cargo.toml`.
    pub workspace: &'a Path,
    /// The package.
    pub package: &'a str,
    /// One of its programs.
    pub binary: &'a str,
    /// What it shall run on.
    pub architecture: Architecture,
    /// The workspace's target folder, relative to it or absolute; what is made here goes to `image` in it, so that it does not wait for other builds.
    pub target_dir: &'a Path,
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
    /// Another cargo is at work in the same folder.
    Waiting,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No cargo, or no compiler.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// Which.
        program: String,
    },
    /// The compiler has no standard library for it.
    #[error("the compiler cannot make programs for `{target}` yet")]
    NoTarget {
        /// The target, by the compiler's name for it.
        target: String,
    },
    /// The compiler found something wrong.
    #[error("`{package}` does not compile")]
    DoesNotCompile {
        /// What was to be compiled.
        package: String,
        /// What the compiler said, from the first error on; cut after 40 lines.
        diagnostics: Vec<String>,
    },
    /// Cargo did not get as far as that, or not through: a lock file that is out of date, a crate that cannot be fetched.
    #[error("cargo cannot build `{package}`")]
    Cargo {
        /// What was to be compiled.
        package: String,
        /// What cargo said, from the first error on; cut after 40 lines.
        diagnostics: Vec<String>,
    },
    /// Cargo is content and has made no program.
    #[error("cargo made no program `{binary}` of `{package}`")]
    NoExecutable {
        /// What was compiled.
        package: String,
        /// What was to come out.
        binary: String,
    },
    /// The program would not run in an empty image.
    #[error("`{}` cannot run in an empty image", path.display())]
    Unfit {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        problem: ElfError,
    },
    /// The folder of the workspace cannot be used.
    #[error("cannot read `{}`", path.display())]
    Workspace {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Cargo or the compiler cannot be run.
    #[error(transparent)]
    Process(ProcessError),
}

impl CompileError {
    /// The remedy.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { .. } => {
                Some("install Rust with rustup: https://rustup.rs".to_owned())
            }
            Self::NoTarget { target } => Some(format!("run `rustup target add {target}`")),
            Self::Cargo { diagnostics, .. }
                if diagnostics.iter().any(|line| line.contains("--locked")) =>
            {
                Some("run `cargo update --workspace` and commit `Cargo.lock`".to_owned())
            }
            Self::NoExecutable { .. } => {
                Some("look at the names of package and program in the settings".to_owned())
            }
            Self::Unfit {
                problem: ElfError::Dynamic { .. },
                ..
            } => {
                Some("a flag in `RUSTFLAGS`, or a library, makes it dynamic: remove it".to_owned())
            }
            Self::DoesNotCompile { .. }
            | Self::Cargo { .. }
            | Self::Unfit { .. }
            | Self::Workspace { .. }
            | Self::Process(_) => None,
        }
    }

    /// What compiler or cargo said, line by line; empty for other errors.
    pub fn diagnostics(&self) -> &[String] {
        match self {
            Self::DoesNotCompile { diagnostics, .. } | Self::Cargo { diagnostics, .. } => {
                diagnostics
            }
            Self::NotInstalled { .. }
            | Self::NoTarget { .. }
            | Self::NoExecutable { .. }
            | Self::Unfit { .. }
            | Self::Workspace { .. }
            | Self::Process(_) => &[],
        }
    }
}

impl From<ProcessError> for CompileError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::NotInstalled { program } => Self::NotInstalled { program },
            error @ (ProcessError::Start { .. }
            | ProcessError::Failed { .. }
            | ProcessError::TimedOut { .. }
            | ProcessError::Read { .. }
            | ProcessError::LogFile { .. }) => Self::Process(error),
        }
    }
}

/// Compiles the program and makes sure that it can run in an empty image. Dropping the future ends cargo and the compilers.
pub async fn compile(
    request: &CompileRequest<'_>,
    surroundings: &Surroundings,
    mut on_event: impl FnMut(CompileEvent<'_>),
) -> Result<Executable, CompileError> {
    let workspace = request
        .workspace
        .canonicalize()
        .map_err(|source| CompileError::Workspace {
            path: request.workspace.to_owned(),
            source,
        })?;
    let (sysroot, target) = find_target(&workspace, request.architecture, surroundings).await?;
    let invocation = plan::invocation(
        request,
        surroundings,
        &plan::Found {
            has_lock_file: workspace.join("Cargo.lock").exists(),
            workspace: &workspace,
            sysroot: &sysroot,
            target: &target,
        },
    );

    let mut executable = None;
    let mut done = 0;
    let mut diagnostics = Diagnostics::default();
    let outcome = Program::new(&surroundings.cargo)
        .args(&invocation.arguments)
        .current_dir(&workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", &invocation.encoded_rustflags)
        // Left over in one profile or another, either would make another program.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TERM_COLOR", "never")
        .run(|line| match line {
            Line::Output(line) => {
                if let Some(Message::Artifact(artifact)) = messages::parse(line) {
                    if artifact.is_program(request.binary) {
                        executable.clone_from(&artifact.executable);
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
                if messages::is_waiting(line) {
                    on_event(CompileEvent::Waiting);
                }
                diagnostics.push(line);
            }
        })
        .await;
    if let Err(error) = outcome {
        return Err(diagnostics.explain(request.package, error));
    }
    let path = executable.ok_or_else(|| CompileError::NoExecutable {
        package: request.package.to_owned(),
        binary: request.binary.to_owned(),
    })?;
    check(&path, request.architecture)?;
    Ok(Executable {
        name: request.binary.to_owned(),
        path,
    })
}

/// What there is to compile with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// What cargo says of itself: `cargo 1.94.1 (…)`.
    pub cargo: String,
    /// The target that is compiled for.
    pub target: String,
}

/// Looks whether there is what compiling needs, without compiling anything.
pub async fn toolchain(
    workspace: &Path,
    architecture: Architecture,
    surroundings: &Surroundings,
) -> Result<Toolchain, CompileError> {
    let cargo = Program::new(&surroundings.cargo)
        .arg("--version")
        .current_dir(workspace);
    let cargo = answer(&surroundings.cargo, &cargo).await?;
    let (_sysroot, target) = find_target(workspace, architecture, surroundings).await?;
    Ok(Toolchain { cargo, target })
}

/// Where compiler and standard libraries are, and which of these to compile for.
async fn find_target(
    workspace: &Path,
    architecture: Architecture,
    surroundings: &Surroundings,
) -> Result<(PathBuf, String), CompileError> {
    let sysroot = sysroot(workspace, surroundings).await?;
    let installed = |target: &str| {
        sysroot
            .join("lib/rustlib")
            .join(target)
            .join("lib")
            .is_dir()
    };
    let target = plan::target(architecture, surroundings, installed)
        .map_err(|target| CompileError::NoTarget { target })?;
    Ok((sysroot, target))
}

/// Where compiler and standard libraries are. Asked in the workspace, which may choose a toolchain of its own.
async fn sysroot(workspace: &Path, surroundings: &Surroundings) -> Result<PathBuf, CompileError> {
    let rustc = Program::new(&surroundings.rustc)
        .args(["--print", "sysroot"])
        .current_dir(workspace);
    answer(&surroundings.rustc, &rustc).await.map(PathBuf::from)
}

/// What a program says to a question.
async fn answer(name: &OsStr, program: &Program) -> Result<String, CompileError> {
    let output = program.output(SYSROOT_LIMIT).await?;
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

fn check(path: &Path, architecture: Architecture) -> Result<(), CompileError> {
    File::open(path)
        .map_err(ElfError::from)
        .and_then(|mut program| elf::check(&mut program, architecture))
        .map_err(|problem| CompileError::Unfit {
            path: path.to_owned(),
            problem,
        })
}

#[cfg(test)]
mod tests;
