//! Parses a Dockerfile as far as an image can be built without Docker: the final stage, the stages
//! it copies from, and the options for cargo.
//!
//! Build stages are not run: [`crate::cargo`] compiles instead, with the options of their
//! `cargo build`. Anything that cannot be adopted yields a note, or a [`Problem`] with line and
//! hint; nothing is ignored silently. Pure functions.

mod error;
mod flow;
mod health;
mod lines;
mod shell;
mod stage;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

pub use error::{DockerfileError, DockerfileErrors, Problem};
pub use health::HealthCheck;
pub use stage::CargoBuild;
pub(crate) use stage::without_crt_static;

use crate::Architecture;

/// Value of `PATH` that Docker sets if the Dockerfile does not.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Size limit for a Dockerfile, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Parameters for the evaluation of a Dockerfile.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Processor architecture of the image, for `TARGETARCH`.
    pub architecture: Architecture,
    /// Cargo package of the program.
    pub package: &'a str,
    /// Name of the binary.
    pub program: &'a str,
    /// Stage that becomes the image, instead of the last one.
    pub stage: Option<&'a str>,
    /// Values for `ARG`s, which override their defaults.
    pub args: &'a BTreeMap<String, String>,
    /// Settings of the base images that were fetched, by reference.
    pub bases: &'a BTreeMap<String, Arc<FinalStage>>,
}

/// Dockerfile that can be built without Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Final stage, which becomes the image.
    pub stage: FinalStage,
    /// Options for cargo, from the build stage.
    pub build: CargoBuild,
    /// Deviations from Docker, each with a hint.
    pub notes: Vec<Note>,
}

/// Deviation of the native builder from Docker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Line number of the instruction, from 1.
    pub line: usize,
    /// Description, with a hint.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.text)
    }
}

/// Settings of an image, and the steps that create its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStage {
    /// Reference of the base image; `None` for `scratch`.
    pub base: Option<String>,
    /// Set if the base image has instructions for whoever builds on it, from `ONBUILD`.
    pub has_triggers: bool,
    /// Steps in the order of the file. Each becomes a layer.
    pub steps: Vec<Step>,
    /// `USER`, as written.
    pub user: Option<String>,
    /// `EXPOSE`, in the order of the file, without duplicates.
    pub exposed_ports: Vec<ExposedPort>,
    /// `ENV`, in the order of first appearance.
    pub env: Vec<(String, String)>,
    /// Labels from `LABEL`.
    pub labels: BTreeMap<String, String>,
    /// Paths from `VOLUME`.
    pub volumes: BTreeSet<String>,
    /// Health check from `HEALTHCHECK`.
    pub health_check: Option<HealthCheck>,
    /// Author from `MAINTAINER`.
    pub author: Option<String>,
    /// Signal from `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// Command line from `SHELL`.
    pub shell: Option<Vec<String>>,
    /// `ENTRYPOINT` in its exec form.
    pub entrypoint: Option<Vec<String>>,
    /// `CMD` in its exec form.
    pub cmd: Option<Vec<String>>,
    /// `WORKDIR` as an absolute path.
    pub working_dir: Option<String>,
}

/// Step that adds to the image's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `COPY` instruction, with its flags and paths.
    Copy(CopyInstruction),
    /// `WORKDIR` instruction, which creates its folder.
    Folder(WorkFolder),
}

/// Folder that a `WORKDIR` creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkFolder {
    /// Line number, from 1.
    pub line: usize,
    /// Absolute path of the folder.
    pub path: String,
    /// Current `USER`, who owns the folders that are created.
    pub owner: Option<Account>,
}

/// `COPY` instruction, with its flags and paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInstruction {
    /// Line number of its start, from 1.
    pub line: usize,
    /// Source of the files.
    pub from: CopySource,
    /// Source paths, with variables expanded.
    pub sources: Vec<String>,
    /// Files from heredocs, with their contents. They come after `sources`, as in BuildKit.
    pub inline: Vec<(String, String)>,
    /// Absolute destination path. A trailing `/` marks a folder.
    pub destination: String,
    /// Owner from `--chown`.
    pub owner: Option<Account>,
    /// Permission bits from `--chmod`.
    pub mode: Option<u32>,
    /// Set for `ADD`, which unpacks archives.
    pub unpacks: bool,
}

/// Source that a `COPY` takes its files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// Files of the build context.
    Context,
    /// Program, from the build stage of this name.
    Program(String),
    /// Stage without `RUN`, or an image, with its name.
    Stage(String, Arc<FinalStage>),
}

/// User with an optional group, each by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Number or name; empty for root.
    pub user: String,
    /// Number or name.
    pub group: Option<String>,
}

impl Account {
    /// Parses `user[:group]`.
    pub fn parse(text: &str) -> Self {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        Self {
            user: user.to_owned(),
            group: group.map(ToOwned::to_owned),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.user)?;
        match &self.group {
            Some(group) => write!(formatter, ":{group}"),
            None => Ok(()),
        }
    }
}

/// Port that the program listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedPort {
    /// Port number, from 1.
    pub number: u16,
    /// Protocol, TCP by default.
    pub protocol: Protocol,
}

/// Protocol of a port in `EXPOSE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `/tcp` in `EXPOSE`, the default.
    #[default]
    Tcp,
    /// `/udp` in `EXPOSE`.
    Udp,
    /// `/sctp` in `EXPOSE`.
    Sctp,
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(formatter, "{}/{protocol}", self.number)
    }
}

impl FinalStage {
    /// Returns the `COPY` instructions.
    pub fn copies(&self) -> impl Iterator<Item = &CopyInstruction> {
        self.steps.iter().filter_map(|step| match step {
            Step::Copy(copy) => Some(copy),
            Step::Folder(_) => None,
        })
    }

    /// Returns whether the stage, or one that it copies from, takes a program that cargo compiles.
    pub fn takes_program(&self) -> bool {
        self.copies().any(|copy| match &copy.from {
            CopySource::Program(_) => true,
            CopySource::Stage(_, stage) => stage.takes_program(),
            CopySource::Context => false,
        })
    }

    /// Returns whether the start command names a program, or the path that the program is copied to.
    fn starts(&self, program: &str) -> bool {
        let copied = self.copies().filter_map(|copy| match &copy.from {
            CopySource::Program(_) => copy.destination.rsplit('/').next(),
            CopySource::Context | CopySource::Stage(..) => None,
        });
        let names: BTreeSet<&str> = copied.chain([program]).collect();
        let commands = [&self.entrypoint, &self.cmd].into_iter().flatten();
        // The shell form is one word, and a wrapper such as `tini` gets the program as an argument.
        let mut words = commands.flatten().flat_map(|it| it.split_whitespace());
        words.any(|word| names.contains(word.rsplit('/').next().unwrap_or(word)))
    }

    /// Returns all base images, including those of the stages it copies from.
    pub fn base_images(&self) -> BTreeSet<&str> {
        let copied = self.copies().filter_map(|copy| match &copy.from {
            // Stages copy from one another only up to `MAX_DEPTH`, so the recursion is bounded.
            CopySource::Stage(_, stage) => Some(stage.base_images()),
            CopySource::Context | CopySource::Program(_) => None,
        });
        copied.flatten().chain(self.base.as_deref()).collect()
    }
}

/// Degree to which a program does not match a Dockerfile. The least belongs to the program that is
/// meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Misfit {
    /// Number of errors. Of the wrong program, the Dockerfile has at least one error more.
    errors: usize,
    /// Set if the image starts something else.
    is_not_started: bool,
}

impl Dockerfile {
    /// Rates a program as the one that the image is made for.
    pub fn misfit(text: &str, request: &Request<'_>) -> Option<Misfit> {
        let source = lines::read(text).ok()?;
        Some(stage::misfit(&source, request))
    }

    /// Parses a Dockerfile, and reports all errors at once.
    pub fn parse(text: &str, request: &Request<'_>) -> Result<Self, DockerfileErrors> {
        // Such an error ends the splitting into instructions, so nothing can be evaluated.
        let source = lines::read(text).map_err(|error| DockerfileErrors(vec![error]))?;
        stage::read(&source, request)
    }
}

/// Reads a Dockerfile. Invalid UTF-8 is replaced, and later rejected in instructions, but not in
/// comments.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    // One byte more than the limit shows that the file is too large.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let reason = format!("it is larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
