//! How cargo is called: decided here, without a look at the disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::CompileRequest;
use crate::image::Architecture;

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
            cargo_home: std::env::var_os("CARGO_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(std::env::home_dir()?.join(".cargo"))),
            host_system: std::env::consts::OS.to_owned(),
            host_architecture: std::env::consts::ARCH.to_owned(),
        }
    }

    fn runs(&self, architecture: Architecture) -> bool {
        self.host_system == "linux" && self.host_architecture == architecture.rust_name()
    }
}

fn divide(flags: &str, separator: char) -> Vec<String> {
    flags
        .split(separator)
        .filter(|flag| !flag.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// The target to compile for: musl when it is installed, whose C library is made to be linked statically; else gnu. The
/// error is the target to install. For another machine that is musl: it brings its own linker and C library.
pub(super) fn target(
    architecture: Architecture,
    surroundings: &Surroundings,
    is_installed: impl Fn(&str) -> bool,
) -> Result<String, String> {
    let [musl, gnu] =
        ["musl", "gnu"].map(|libc| format!("{}-unknown-linux-{libc}", architecture.rust_name()));
    if is_installed(&musl) {
        Ok(musl)
    } else if is_installed(&gnu) {
        Ok(gnu)
    } else if surroundings.runs(architecture) {
        Err(gnu)
    } else {
        Err(musl)
    }
}

/// What was found on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// The workspace's folder, absolute and without links.
    pub(super) workspace: &'a Path,
    /// It has a `Cargo.lock`.
    pub(super) has_lock_file: bool,
    /// Where the compiler is.
    pub(super) sysroot: &'a Path,
    /// What to compile for.
    pub(super) target: &'a str,
}

/// How cargo is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) arguments: Vec<OsString>,
    pub(super) encoded_rustflags: OsString,
}

pub(super) fn invocation(
    request: &CompileRequest<'_>,
    surroundings: &Surroundings,
    found: &Found<'_>,
) -> Invocation {
    let target_dir = found.workspace.join(request.target_dir).join("image");
    let mut arguments: Vec<OsString> = [
        "build",
        "--profile",
        "image",
        "--package",
        request.package,
        "--bin",
        request.binary,
        "--target",
        found.target,
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
    Invocation {
        arguments,
        encoded_rustflags: encoded_rustflags(request, surroundings, found, &target_dir),
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
    for (path, name) in remaps {
        if let Some(path) = path {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(path);
            flag.push("=");
            flag.push(name);
            flags.push(flag);
        }
    }
    // The C compiler of this machine cannot link for another; the compiler's own linker can, as long as it is musl.
    if found.target.ends_with("-musl") && !surroundings.runs(request.architecture) {
        flags.push("-Clinker=rust-lld".into());
    }
    flags.extend(surroundings.rustflags.iter().map(OsString::from));
    let separator = OsString::from(FLAG_SEPARATOR.to_string());
    flags.join(&separator)
}
