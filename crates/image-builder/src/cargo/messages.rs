//! Parser for cargo's output: JSON messages on standard output, and text on standard error.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{CompileError, Part};
use process::ProcessError;

/// Number of diagnostic lines that are kept: the first error, with some context.
const KEPT_LINES: usize = 40;

/// Message of `--message-format json`. See "External tools" in the Cargo book.
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

    /// Returns the crate if the artifact is for the target. Build scripts and macros are compiled
    /// for the host.
    pub(super) fn part(&self, target_folder: &Path) -> Option<Part> {
        let mut files = self.filenames.iter();
        let is_for_target = files.any(|file| file.starts_with(target_folder));
        is_for_target.then(|| Part {
            package_id: self.package_id.clone(),
            manifest: self.manifest_path.clone(),
        })
    }

    fn is(&self, kind: &str) -> bool {
        self.target.kind.iter().any(|it| it == kind)
    }
}

/// Parses a message. Returns `None` for other output, since build scripts may print anything.
pub(super) fn parse(line: &str) -> Option<Message> {
    serde_json::from_str(line).ok()
}

/// Returns the lock that cargo waits for: the build directory, or the package cache that all
/// projects share.
pub(super) fn waiting_for(line: &str) -> Option<&str> {
    line.trim().strip_prefix("Blocking waiting for ")
}

/// Collector of error messages from standard error.
///
/// Keeps the *first* compiler error, since later ones often follow from it. Of a failing build
/// script it keeps the *last* lines, since the reason comes at the end.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    lines: Vec<String>,
    script: Option<Script>,
    is_compilers: bool,
}

/// Last lines of output from a failed build script.
#[derive(Debug)]
struct Script {
    /// Heading of the stream: `  --- stderr`.
    heading: String,
    lines: VecDeque<String>,
    left_out: usize,
}

impl Diagnostics {
    pub(super) fn push(&mut self, line: &str) {
        // Cargo prints this summary only after an error of the compiler.
        self.is_compilers |= line.starts_with("error: could not compile");
        if is_status(line) {
            return;
        }
        // Cargo indents the output of build scripts by two spaces.
        if !line.is_empty() && !line.starts_with("  ") {
            self.end_script();
        }
        // Warnings come before the first error and would use up the limit.
        let is_wanted = !self.lines.is_empty() || line.starts_with("error");
        if !is_wanted || self.lines.len() >= KEPT_LINES {
            return;
        }
        if line == "  --- stdout" || line == "  --- stderr" {
            self.start_stream(line);
        } else if let Some(script) = &mut self.script {
            if is_instruction(line) {
                return;
            }
            script.lines.push_back(line.to_owned());
            // The limit includes the heading and the line for omitted lines.
            if self.lines.len() + script.lines.len() + 2 > KEPT_LINES {
                script.lines.pop_front();
                script.left_out += 1;
            }
        } else {
            self.lines.push(line.to_owned());
        }
    }

    /// Starts a stream of a build script. Cargo prints standard error last, so standard output is
    /// dropped, except for warnings: the `cc` crate reports the C compiler's errors that way.
    fn start_stream(&mut self, heading: &str) {
        let before = self.script.take().map(|script| script.lines);
        let mut lines = before.unwrap_or_default();
        lines.retain(|line| line.trim_start().starts_with("cargo:"));
        self.script = Some(Script {
            heading: heading.to_owned(),
            lines,
            left_out: 0,
        });
    }

    fn end_script(&mut self) {
        let Some(script) = self.script.take() else {
            return;
        };
        self.lines.push(script.heading);
        if script.left_out > 0 {
            let left_out = script.left_out;
            self.lines
                .push(format!("  ({left_out} lines before these)"));
        }
        self.lines.extend(script.lines);
    }

    /// Returns the lines that are worth showing.
    pub(super) fn kept(mut self) -> Vec<String> {
        self.end_script();
        self.lines
    }

    /// Converts cargo's failure into an error with a hint.
    pub(super) fn explain(self, package: &str, target: &str, error: ProcessError) -> CompileError {
        let ProcessError::Failed { tail, .. } = error else {
            return error.into();
        };
        let package = package.to_owned();
        let is_compilers = self.is_compilers;
        let kept = self.kept();
        // If no line starts with `error`, the end of the output is the best evidence.
        let diagnostics = if kept.is_empty() { tail } else { kept };
        if is_compilers {
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

/// Returns whether the line is an instruction of a build script to cargo, such as a flag. Warnings
/// and errors are not.
fn is_instruction(line: &str) -> bool {
    let said = line.trim_start().strip_prefix("cargo:");
    said.is_some_and(|said| {
        // Newer build scripts write `cargo::` (since Rust 1.77).
        let said = said.trim_start_matches(':');
        !said.starts_with("warning=") && !said.starts_with("error=")
    })
}

/// Returns whether the line is one of cargo's status messages, which are right-aligned to twelve
/// columns.
fn is_status(line: &str) -> bool {
    let words = ["Compiling", "Downloaded", "Downloading", "Blocking"];
    line.starts_with(' ')
        && words
            .iter()
            .any(|word| line.trim_start().starts_with(&format!("{word} ")))
}
