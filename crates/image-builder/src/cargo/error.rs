//! Why there is no program, and what to do about it.

use std::path::PathBuf;

use crate::Hint;
use crate::elf::ElfError;
use process::ProcessError;

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
        /// Whether rustup is there, which installs targets.
        has_rustup: bool,
    },
    /// The compiler could, but nothing links what it makes.
    #[error("there is no linker for `{target}` on this machine")]
    NoLinker {
        /// The target, by the compiler's name for it.
        target: String,
    },
    /// The compiler found something wrong.
    #[error("`{package}` does not compile")]
    DoesNotCompile {
        /// What was to be compiled.
        package: String,
        /// What for, by the compiler's name for it.
        target: String,
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
    /// Cargo cannot read the manifests.
    #[error("cargo cannot read the project")]
    Project {
        /// What cargo said.
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
    Unusable {
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

/// What the crate `cc` says when there is no C compiler for the target, or none at all.
fn lacks_c_compiler(line: &str) -> bool {
    line.contains("failed to find tool") || line.contains("Failed to find tool")
}

/// The linker that the compiler has not found: ``error: linker `cc` not found``.
fn missing_linker(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("linker `")?;
    let (name, rest) = rest.split_once('`')?;
    rest.starts_with(" not found").then_some(name)
}

/// The command that installs a linker, by Debian's names.
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

/// What `ld` says where the C library is there in its dynamic form only.
fn lacks_static_libc(line: &str) -> bool {
    line.split_once("cannot find -lc")
        .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

/// What `cargo zigbuild` says.
fn lacks_zig(line: &str) -> bool {
    line.contains("Failed to find zig")
}
