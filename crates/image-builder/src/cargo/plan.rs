//! Command line and compiler flags for cargo, as pure functions without access to the disk.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::CompileRequest;
use crate::Architecture;
use process::Program;

/// Separator in `CARGO_ENCODED_RUSTFLAGS`, which allows flags with spaces.
const FLAG_SEPARATOR: char = '\u{1f}';

/// Settings of this machine that affect the compilation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Cargo executable: `CARGO`, which cargo itself sets, or else `cargo`.
    pub cargo: OsString,
    /// Compiler: `RUSTC`, or else `rustc`.
    pub rustc: OsString,
    /// Flags from `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`.
    pub rustflags: Vec<String>,
    /// Folder that holds the sources of dependencies.
    pub cargo_home: Option<PathBuf>,
    /// Operating system of the host, by Rust's name.
    pub host_system: String,
    /// Processor architecture of the host, by Rust's name.
    pub host_architecture: String,
    /// Search path for programs.
    pub path: OsString,
    /// Names of the variables `CARGO_TARGET_…_LINKER` that are set.
    pub linkers: Vec<String>,
    /// Toolchain of rustup to use, instead of the one that the folder chooses.
    pub toolchain: Option<String>,
    /// Variables with secrets that cargo and the compiler inherit anyway: see
    /// [`process::Program::allow`].
    pub allowed: Vec<String>,
    /// Answers of cargo and the compiler so far, which clones share.
    pub answers: Answers,
}

/// Answers of cargo and the compiler about a folder, so that planning and compiling ask once.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Mutex<BTreeMap<Question, String>>>);

/// Toolchain, arguments of the program, and the folder that it runs in.
type Question = (Option<String>, String, PathBuf);

/// What is known makes no difference.
impl PartialEq for Answers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Answers {}

impl Surroundings {
    /// Reads the settings of this process.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let rustflags = match (variable("CARGO_ENCODED_RUSTFLAGS"), variable("RUSTFLAGS")) {
            (Some(encoded), _) => divide(&encoded, FLAG_SEPARATOR),
            (None, Some(plain)) => divide(&plain, ' '),
            (None, None) => Vec::new(),
        };
        Self {
            cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            rustc: std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()),
            rustflags,
            cargo_home: cargo_home(std::env::var_os("CARGO_HOME")),
            host_system: std::env::consts::OS.to_owned(),
            host_architecture: std::env::consts::ARCH.to_owned(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            linkers: std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER"))
                .collect(),
            toolchain: None,
            allowed: Vec::new(),
            answers: Answers::default(),
        }
    }

    /// Returns cargo or the compiler, of the toolchain to use.
    pub(super) fn program(&self, name: &OsStr) -> Program {
        let program = Program::new(name);
        match &self.toolchain {
            Some(toolchain) => program.env("RUSTUP_TOOLCHAIN", toolchain),
            None => program,
        }
    }

    fn question(&self, arguments: &str, folder: &Path) -> Question {
        let toolchain = self.toolchain.clone();
        (toolchain, arguments.to_owned(), folder.to_owned())
    }

    /// Returns what cargo or the compiler answered to these arguments before.
    pub(super) fn known(&self, arguments: &str, folder: &Path) -> Option<String> {
        let known = self.answers.0.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.get(&self.question(arguments, folder)).cloned()
    }

    /// Keeps an answer for the next time.
    pub(super) fn keep(&self, arguments: &str, folder: &Path, answer: &str) {
        let known = self.answers.0.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert(self.question(arguments, folder), answer.to_owned());
    }

    /// Returns whether a program of this name is on the `PATH`.
    pub(super) fn finds(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| {
            let metadata = folder.join(program).metadata();
            metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        })
    }

    /// Returns whether the user has set a linker for this target.
    pub(super) fn has_linker_for(&self, target: &str) -> bool {
        let target = target.to_uppercase().replace('-', "_");
        self.linkers
            .contains(&format!("CARGO_TARGET_{target}_LINKER"))
    }

    fn runs(&self, architecture: Architecture) -> bool {
        self.host_system == "linux" && self.host_architecture == architecture.rust_name()
    }
}

/// Resolves `CARGO_HOME` like cargo: an empty value counts as unset, and a relative path is
/// relative to the working folder.
pub(super) fn cargo_home(variable: Option<OsString>) -> Option<PathBuf> {
    match variable.filter(|it| !it.is_empty()) {
        Some(folder) => std::path::absolute(folder).ok(),
        None => Some(std::env::home_dir()?.join(".cargo")),
    }
}

fn divide(flags: &str, separator: char) -> Vec<String> {
    flags
        .split(separator)
        .filter(|flag| !flag.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Linker of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linker {
    /// Default of the compiler, or of the user's cargo configuration.
    Usual,
    /// Linker that comes with Rust. Suffices for another architecture if everything is Rust and
    /// musl.
    Own,
    /// Program of this name, such as a cross compiler.
    Named(String),
    /// Zig, called by `cargo zigbuild`. Provides a C compiler as well.
    Zig,
}

/// Target to compile for, and its linker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) target: String,
    pub(super) linker: Linker,
}

/// Lookup of tools on this machine.
pub(super) trait Tools {
    /// Returns whether the standard library of this target is installed.
    fn has_target(&self, target: &str) -> bool;
    /// Returns whether this program is on the `PATH`.
    fn has_program(&self, name: &str) -> bool;
    /// Returns whether the user has set a linker for this target.
    fn has_linker_for(&self, target: &str) -> bool;
}

/// Reason why no target can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoChoice {
    /// No standard library is installed; this target would be suitable.
    NoTarget(String),
    /// The standard library is installed, but no linker.
    NoLinker(String),
}

/// Chooses the target: the preferred one; or else musl, whose C library is designed for static
/// linking, if it is installed; or else gnu.
///
/// The host's own architecture uses the default linker. Another architecture uses, in this order:
/// the user's linker, `cargo zigbuild`, a cross compiler of the usual name, and for musl the linker
/// that comes with Rust.
pub(super) fn choose(
    architecture: Architecture,
    preferred: Option<&str>,
    surroundings: &Surroundings,
    tools: &impl Tools,
) -> Result<Choice, NoChoice> {
    let name = architecture.rust_name();
    let [musl, gnu] = ["musl", "gnu"].map(|libc| format!("{name}-unknown-linux-{libc}"));
    let is_native = surroundings.runs(architecture);
    let linker = |target: &str| {
        let libc = if target.contains("musl") {
            "musl"
        } else {
            "gnu"
        };
        let compiler = format!("{name}-linux-{libc}-gcc");
        if is_native || tools.has_linker_for(target) {
            Some(Linker::Usual)
        } else if tools.has_program("cargo-zigbuild") {
            Some(Linker::Zig)
        } else if tools.has_program(&compiler) {
            Some(Linker::Named(compiler))
        } else {
            (libc == "musl").then_some(Linker::Own)
        }
    };
    let preferred = preferred.map(ToOwned::to_owned);
    for target in preferred.as_ref().map_or(vec![&musl, &gnu], |it| vec![it]) {
        if tools.has_target(target)
            && let Some(linker) = linker(target)
        {
            let target = target.clone();
            return Ok(Choice { target, linker });
        }
    }
    Err(if let Some(target) = preferred {
        if tools.has_target(&target) {
            NoChoice::NoLinker(target)
        } else {
            NoChoice::NoTarget(target)
        }
    } else if tools.has_target(&gnu) {
        NoChoice::NoLinker(gnu)
    } else if is_native {
        NoChoice::NoTarget(gnu)
    } else {
        NoChoice::NoTarget(musl)
    })
}

/// Facts about the workspace and the toolchain on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Folder that cargo runs in, absolute and without symbolic links.
    pub(super) folder: &'a Path,
    /// Root folder of the workspace, absolute and without symbolic links.
    pub(super) workspace: &'a Path,
    /// Set if the workspace has a `Cargo.lock`.
    pub(super) has_lock_file: bool,
    /// Set if the workspace defines a profile `image`.
    pub(super) has_profile: bool,
    /// Folders of path dependencies outside of the workspace.
    pub(super) outside: &'a [PathBuf],
    /// Sysroot of the compiler.
    pub(super) sysroot: &'a Path,
    /// Target and linker to use.
    pub(super) choice: &'a Choice,
    /// Flags of the project's `.cargo/config.toml`.
    pub(super) configured: &'a [String],
}

/// Arguments and flags for one run of cargo.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) arguments: Vec<OsString>,
    pub(super) encoded_rustflags: OsString,
    /// Output folder for the target.
    pub(super) target_folder: PathBuf,
}

pub(super) fn invocation(
    request: &CompileRequest<'_>,
    surroundings: &Surroundings,
    found: &Found<'_>,
) -> Invocation {
    let target_dir = found.folder.join(request.target_dir).join("image");
    let verb = if found.choice.linker == Linker::Zig {
        "zigbuild"
    } else {
        "build"
    };
    let build = request.build;
    // `release` means the profile `image`, which inherits from `release` unless the workspace
    // defines it.
    let profile = match build.profile.as_deref() {
        None | Some("release" | "image") => "image",
        Some(other) => other,
    };
    let mut arguments: Vec<OsString> = [
        verb,
        "--profile",
        profile,
        "--package",
        request.package,
        "--bin",
        request.binary,
        "--target",
        &found.choice.target,
        "--message-format",
        // Messages as JSON on standard output, diagnostics as text on standard error.
        "json-render-diagnostics",
        "--target-dir",
    ]
    .map(OsString::from)
    .into();
    arguments.push(target_dir.clone().into());
    // An outdated lock file is an error: a build must not change the versions.
    if found.has_lock_file {
        arguments.push("--locked".into());
    }
    if profile == "image" && !found.has_profile {
        arguments.extend(["--config", "profile.image.inherits=\"release\""].map(OsString::from));
    }
    if !build.features.is_empty() {
        arguments.extend(["--features".into(), build.features.join(",").into()]);
    }
    if build.no_default_features {
        arguments.push("--no-default-features".into());
    }
    if build.all_features {
        arguments.push("--all-features".into());
    }
    Invocation {
        arguments,
        encoded_rustflags: encoded_rustflags(request, surroundings, found, &target_dir),
        target_folder: target_dir.join(&found.choice.target),
    }
}

fn encoded_rustflags(
    request: &CompileRequest<'_>,
    surroundings: &Surroundings,
    found: &Found<'_>,
    target_dir: &Path,
) -> OsString {
    // Statically linked at a fixed address: a program without relocations is smaller and starts
    // faster.
    let mut flags: Vec<OsString> = vec![
        "-Ctarget-feature=+crt-static".into(),
        "-Crelocation-model=static".into(),
    ];
    // Paths of this machine would appear in panic messages. The compiler uses the last prefix that
    // matches, so inner folders come last.
    let remaps = [
        (Some(found.workspace), "/src"),
        (Some(target_dir), "/target"),
        (surroundings.cargo_home.as_deref(), "/cargo"),
        (Some(found.sysroot), "/rust"),
    ];
    let outside = found.outside.iter().map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        (Some(folder.as_path()), format!("/src/../{name}"))
    });
    let remaps = remaps.map(|(path, name)| (path, name.to_owned()));
    for (path, name) in outside.chain(remaps) {
        if let Some(path) = path {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(path);
            flag.push("=");
            flag.push(name);
            flags.push(flag);
        }
    }
    match &found.choice.linker {
        // The host's C compiler cannot link for another architecture. `rust-lld` can, as long as
        // the target is musl.
        Linker::Own => flags.push("-Clinker=rust-lld".into()),
        Linker::Named(program) => flags.push(format!("-Clinker={program}").into()),
        Linker::Usual | Linker::Zig => {}
    }
    // Later flags win, so the user's own come after the project's and the Dockerfile's.
    flags.extend(found.configured.iter().map(OsString::from));
    flags.extend(request.build.rustflags.iter().map(OsString::from));
    flags.extend(surroundings.rustflags.iter().map(OsString::from));
    let separator = OsString::from(FLAG_SEPARATOR.to_string());
    flags.join(&separator)
}
