//! How cargo is called: decided here, without a look at the disk.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::CompileRequest;
use crate::Architecture;

/// `CARGO_ENCODED_RUSTFLAGS` is divided by this, so that a flag may have spaces.
const FLAG_SEPARATOR: char = '\u{1f}';

/// What of this machine has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The program to call: `CARGO`, which cargo itself sets, else `cargo`.
    pub cargo: OsString,
    /// `RUSTC`, else `rustc`.
    pub rustc: OsString,
    /// Flags from `CARGO_ENCODED_RUSTFLAGS` or `RUSTFLAGS`.
    pub rustflags: Vec<String>,
    /// Where cargo keeps the sources of dependencies.
    pub cargo_home: Option<PathBuf>,
    /// The operating system we run on, by Rust's name.
    pub host_system: String,
    /// The processor we run on, by Rust's name.
    pub host_architecture: String,
    /// Where programs are looked for.
    pub path: OsString,
    /// The variables `CARGO_TARGET_…_LINKER` that are set.
    pub linkers: Vec<String>,
    /// Secrets that cargo and the compiler inherit all the same: see [`process::Program::allow`].
    pub allowed: Vec<String>,
}

impl Surroundings {
    /// As they are for this process.
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
            allowed: Vec::new(),
        }
    }

    /// Is there a program of this name?
    pub(super) fn finds(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| {
            let metadata = folder.join(program).metadata();
            metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        })
    }

    /// Is a linker set for this target?
    pub(super) fn has_linker_for(&self, target: &str) -> bool {
        let target = target.to_uppercase().replace('-', "_");
        self.linkers
            .contains(&format!("CARGO_TARGET_{target}_LINKER"))
    }

    fn runs(&self, architecture: Architecture) -> bool {
        self.host_system == "linux" && self.host_architecture == architecture.rust_name()
    }
}

/// As cargo has it: nothing counts as not set, and a relative path starts at the working folder.
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

/// What links the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linker {
    /// What the compiler, or the user's configuration of cargo, chooses.
    Usual,
    /// The compiler's own: enough for another processor where all is Rust and musl.
    Own,
    /// This program.
    Named(String),
    /// `cargo zigbuild`, which also brings a C compiler.
    Zig,
}

/// What is compiled for, and how it is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) target: String,
    pub(super) linker: Linker,
}

/// What there is on this machine.
pub(super) trait Tools {
    /// Is the standard library for this target there?
    fn has_target(&self, target: &str) -> bool;
    /// Is this program on the `PATH`?
    fn has_program(&self, name: &str) -> bool;
    /// Has the user set a linker for this target?
    fn has_linker_for(&self, target: &str) -> bool;
}

/// Why there is nothing to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoChoice {
    /// Neither standard library is there; this one would do.
    NoTarget(String),
    /// There is a standard library, and nothing that links.
    NoLinker(String),
}

/// The target to compile for: the preferred one; else musl when it is installed, whose C library is made to be linked
/// statically; else gnu.
///
/// For this machine's own processor the compiler's usual linker does. For another one: what the user has set, `cargo zigbuild`, a
/// cross compiler by its usual name, and with musl the compiler's own linker, which needs nothing else.
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

/// What was found on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Where cargo is called, absolute and without links.
    pub(super) folder: &'a Path,
    /// The workspace's folder, absolute and without links.
    pub(super) workspace: &'a Path,
    /// It has a `Cargo.lock`.
    pub(super) has_lock_file: bool,
    /// It has a profile `image`.
    pub(super) has_profile: bool,
    /// Folders of path dependencies outside of the workspace.
    pub(super) outside: &'a [PathBuf],
    /// Where the compiler is.
    pub(super) sysroot: &'a Path,
    /// What to compile for, and how.
    pub(super) choice: &'a Choice,
}

/// How cargo is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) arguments: Vec<OsString>,
    pub(super) encoded_rustflags: OsString,
    /// Where what is made for the target goes.
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
        "json-render-diagnostics",
        "--target-dir",
    ]
    .map(OsString::from)
    .into();
    arguments.push(target_dir.clone().into());
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
    // Static, and at a fixed address: a program without relocations is smaller and starts sooner.
    let mut flags: Vec<OsString> = vec![
        "-Ctarget-feature=+crt-static".into(),
        "-Crelocation-model=static".into(),
    ];
    // Paths of this machine get into messages of panics. The compiler takes the last one that fits: the inner ones come last.
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
        // The C compiler of this machine cannot link for another; the compiler's own linker can, as long as it is musl.
        Linker::Own => flags.push("-Clinker=rust-lld".into()),
        Linker::Named(program) => flags.push(format!("-Clinker={program}").into()),
        Linker::Usual | Linker::Zig => {}
    }
    flags.extend(request.build.rustflags.iter().map(OsString::from));
    flags.extend(surroundings.rustflags.iter().map(OsString::from));
    let separator = OsString::from(FLAG_SEPARATOR.to_string());
    flags.join(&separator)
}
