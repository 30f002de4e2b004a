//! Errors of a compilation, and hints to fix them.

use std::path::PathBuf;

use crate::Hint;
use crate::elf::ElfError;
use process::ProcessError;

/// Reason why the program could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cargo or rustc is not installed.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// Name of the missing program.
        program: String,
    },
    /// The standard library of the target is not installed.
    #[error("the compiler cannot make programs for `{target}` yet")]
    NoTarget {
        /// Target triple.
        target: String,
        /// Set if rustup is available, which can install targets.
        has_rustup: bool,
    },
    /// No linker is available for the target.
    #[error("there is no linker for `{target}` on this machine")]
    NoLinker {
        /// Target triple.
        target: String,
    },
    /// The compiler reported errors.
    #[error("`{package}` does not compile")]
    DoesNotCompile {
        /// Package that was compiled.
        package: String,
        /// Target triple.
        target: String,
        /// Output of the compiler from the first error on, at most 40 lines.
        diagnostics: Vec<String>,
    },
    /// Cargo failed before or after the compilation: for example, the lock file is outdated, or a
    /// crate cannot be downloaded.
    #[error("cargo cannot build `{package}`")]
    Cargo {
        /// Package that was compiled.
        package: String,
        /// Output of cargo from the first error on, at most 40 lines.
        diagnostics: Vec<String>,
    },
    /// Cargo cannot read the manifests.
    #[error("cargo cannot read the project")]
    Project {
        /// Lines that cargo printed.
        diagnostics: Vec<String>,
    },
    /// Cargo succeeded without producing the program.
    #[error("cargo made no program `{binary}` of `{package}`")]
    NoExecutable {
        /// Package that was compiled.
        package: String,
        /// Binary that was expected.
        binary: String,
    },
    /// The program cannot run in an empty image.
    #[error("`{}` cannot run in an empty image", path.display())]
    Unusable {
        /// Path of the program.
        path: PathBuf,
        /// Result of the ELF check.
        #[source]
        problem: ElfError,
    },
    /// The folder of the workspace cannot be read.
    #[error("cannot read `{}`", path.display())]
    Workspace {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Cargo or rustc could not be run.
    #[error(transparent)]
    Process(ProcessError),
}

impl CompileError {
    /// Returns whether the project may compile elsewhere: this machine lacks Rust or the project's
    /// toolchain, or Cargo runs in a folder without a project.
    pub fn is_of_this_machine(&self) -> bool {
        let is_missing = |line: &String| {
            line.contains("toolchain '") && line.contains("is not installed")
                || line.contains("could not download")
                || line.contains("could not find `Cargo.toml`")
        };
        match self {
            Self::NotInstalled { .. } => true,
            Self::Project { diagnostics } => diagnostics.iter().any(is_missing),
            Self::NoTarget { .. }
            | Self::NoLinker { .. }
            | Self::DoesNotCompile { .. }
            | Self::Cargo { .. }
            | Self::NoExecutable { .. }
            | Self::Unusable { .. }
            | Self::Workspace { .. }
            | Self::Process(_) => false,
        }
    }
}

impl Hint for CompileError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { .. } => {
                Some("install Rust with rustup: https://rustup.rs".to_owned())
            }
            Self::NoTarget {
                target,
                has_rustup: true,
            } => Some(format!("run `rustup target add {target}`")),
            Self::NoTarget { target, .. } => Some(format!(
                "this Rust cannot be extended: install one with rustup (https://rustup.rs), then run `rustup target add {target}`"
            )),
            // Rust's musl target includes the C library, so `rust-lld` can link it.
            Self::NoLinker { target } => Some(format!(
                "run `rustup target add {}`, which needs none; or, for programs with C in them, `cargo install --locked cargo-zigbuild` and `pip install ziglang`",
                target.replace("-gnu", "-musl")
            )),
            Self::DoesNotCompile { diagnostics, .. }
                if let Some(linker) = diagnostics.iter().find_map(|line| missing_linker(line)) =>
            {
                Some(what_brings(linker))
            }
            Self::DoesNotCompile {
                target,
                diagnostics,
                ..
            } if diagnostics.iter().any(|line| lacks_static_libc(line)) => Some(format!(
                "the C library of this machine cannot be linked statically: `rustup target add {}` brings one that can; or install its static form, on Fedora `sudo dnf install glibc-static`",
                target.replace("-gnu", "-musl")
            )),
            Self::DoesNotCompile { diagnostics, .. } | Self::Cargo { diagnostics, .. }
                if diagnostics.iter().any(|line| lacks_zig(line)) =>
            {
                Some("cargo-zigbuild is there, and zig is not: `pip install ziglang`".to_owned())
            }
            Self::DoesNotCompile { diagnostics, .. } | Self::Cargo { diagnostics, .. }
                if diagnostics.iter().any(|line| lacks_c_compiler(line)) =>
            {
                Some("a dependency is not Rust alone: `cargo install --locked cargo-zigbuild` and `pip install ziglang` bring a C compiler for any processor".to_owned())
            }
            // Cargo names this option if the lock file is outdated.
            Self::Cargo { diagnostics, .. } | Self::Project { diagnostics }
                if diagnostics.iter().any(|line| line.contains("--locked")) =>
            {
                Some("run `cargo update --workspace` and commit `Cargo.lock`".to_owned())
            }
            Self::Project { diagnostics }
                if diagnostics.iter().any(|line| line.contains("could not find `Cargo.toml`")) =>
            {
                Some("run it in the folder of a cargo project, or create one: `cargo init`".to_owned())
            }
            Self::NoExecutable { .. } => {
                Some("look at the names of package and program in the settings".to_owned())
            }
            Self::Unusable {
                problem: ElfError::Dynamic { .. },
                ..
            } => {
                Some("a flag in `RUSTFLAGS`, or a library, makes it dynamic: remove it".to_owned())
            }
            Self::DoesNotCompile { .. }
            | Self::Cargo { .. }
            | Self::Project { .. }
            | Self::Unusable { .. }
            | Self::Workspace { .. }
            | Self::Process(_) => None,
        }
    }

    fn evidence(&self) -> &[String] {
        match self {
            Self::DoesNotCompile { diagnostics, .. }
            | Self::Cargo { diagnostics, .. }
            | Self::Project { diagnostics } => diagnostics,
            Self::NotInstalled { .. }
            | Self::NoTarget { .. }
            | Self::NoLinker { .. }
            | Self::NoExecutable { .. }
            | Self::Unusable { .. }
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

/// Returns whether the `cc` crate reports that a C compiler is missing.
fn lacks_c_compiler(line: &str) -> bool {
    // The first letter depends on the version of `cc`.
    line.contains("failed to find tool") || line.contains("Failed to find tool")
}

/// Returns the linker that rustc did not find: ``error: linker `cc` not found``.
fn missing_linker(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("linker `")?;
    let (name, rest) = rest.split_once('`')?;
    rest.starts_with(" not found").then_some(name)
}

/// Returns a hint that installs a linker, with Debian's package names.
fn what_brings(linker: &str) -> String {
    if linker == "cc" {
        "install a C compiler, which links programs: `sudo apt-get install gcc`".to_owned()
    } else if let Some(processor) = linker.strip_suffix("-linux-gnu-gcc") {
        format!("install this compiler: `sudo apt-get install gcc-{processor}-linux-gnu`")
    } else {
        format!(
            "install `{linker}`, or remove the setting that names it: the usual linker is `cc`, which `sudo apt-get install gcc` installs"
        )
    }
}

/// Returns whether `ld` reports that there is no static C library.
fn lacks_static_libc(line: &str) -> bool {
    // `-lc` is a prefix of other libraries, such as `-lcrypto`.
    line.split_once("cannot find -lc")
        .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

/// Returns whether `cargo zigbuild` reports that zig is missing.
fn lacks_zig(line: &str) -> bool {
    line.contains("Failed to find zig")
}
