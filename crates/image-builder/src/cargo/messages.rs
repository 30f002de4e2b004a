//! What cargo says while it works: JSON on standard output, text on standard error.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CompileError;
use process::ProcessError;

/// How much of what the compiler says is kept: the first error, and enough around it.
const KEPT_LINES: usize = 40;

/// One message of `--message-format json`. See "External tools" in the Cargo book.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason")]
pub(super) enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact(Artifact),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    pub(super) package_id: String,
    pub(super) manifest_path: PathBuf,
    #[serde(default)]
    pub(super) filenames: Vec<PathBuf>,
    pub(super) target: Target,
    pub(super) executable: Option<PathBuf>,
    #[serde(default)]
    pub(super) fresh: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: Vec<String>,
}

impl Artifact {
    pub(super) fn is_program(&self, name: &str) -> bool {
        self.is("bin") && self.target.name == name
    }

    pub(super) fn is_build_script(&self) -> bool {
        self.is("custom-build")
    }

    /// Whether it was made for the target, and not for a build script or a macro: those run on this machine.
    pub(super) fn is_for(&self, target_folder: &Path) -> bool {
        self.filenames
            .iter()
            .any(|file| file.starts_with(target_folder))
    }

    fn is(&self, kind: &str) -> bool {
        self.target.kind.iter().any(|it| it == kind)
    }
}

/// `None` for what is no message: build scripts may print whatever they like.
pub(super) fn parse(line: &str) -> Option<Message> {
    serde_json::from_str(line).ok()
}

/// Returns what cargo says it waits for: the build directory, or the package cache, which all projects share.
pub(super) fn waiting_for(line: &str) -> Option<&str> {
    line.trim().strip_prefix("Blocking waiting for ")
}

/// What went wrong, from standard error. The *first* error is kept: later ones often follow from it.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    lines: Vec<String>,
    is_compilers: bool,
}

impl Diagnostics {
    pub(super) fn push(&mut self, line: &str) {
        self.is_compilers |= line.starts_with("error: could not compile");
        let is_wanted = !self.lines.is_empty() || line.starts_with("error");
        if is_wanted && self.lines.len() < KEPT_LINES && !is_status(line) {
            self.lines.push(line.to_owned());
        }
    }

    /// Turns cargo's failure into one that says what to fix.
    pub(super) fn explain(self, package: &str, target: &str, error: ProcessError) -> CompileError {
        let ProcessError::Failed { tail, .. } = error else {
            return error.into();
        };
        let package = package.to_owned();
        let diagnostics = if self.lines.is_empty() {
            tail
        } else {
            self.lines
        };
        if self.is_compilers {
            CompileError::DoesNotCompile {
                package,
                target: target.to_owned(),
                diagnostics,
            }
        } else {
            CompileError::Cargo {
                package,
                diagnostics,
            }
        }
    }
}

/// What cargo does meanwhile: the word is right-aligned to twelve columns.
fn is_status(line: &str) -> bool {
    let words = ["Compiling", "Downloaded", "Downloading", "Blocking"];
    line.starts_with(' ')
        && words
            .iter()
            .any(|word| line.trim_start().starts_with(&format!("{word} ")))
}
