//! Reads a Dockerfile as far as an image can be built without Docker: the final stage, the stages
//! that it takes files from, and how the program is compiled.
//!
//! Stages that compile are not run: [`crate::cargo`] compiles instead, with the options of their
//! `cargo build`. What cannot be taken over is a note or a [`Problem`] with line and remedy; nothing
//! is ignored silently. Pure: text in, value out.

mod error;
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

use crate::Architecture;

/// What Docker sets when the Dockerfile does not.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Largest Dockerfile, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// What a Dockerfile is read for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Processor that the image is for: `TARGETARCH`.
    pub architecture: Architecture,
    /// Cargo package that the program is built from.
    pub package: &'a str,
    /// Name of the program, as cargo calls it.
    pub program: &'a str,
    /// Values for `ARG`s, instead of their defaults.
    pub args: &'a BTreeMap<String, String>,
    /// Settings of the base images that are known, by their reference.
    pub bases: &'a BTreeMap<String, Arc<FinalStage>>,
}

/// A Dockerfile that can be built without Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The image.
    pub stage: FinalStage,
    /// How the Dockerfile compiles the program.
    pub build: CargoBuild,
    /// What is not done as in Docker.
    pub notes: Vec<Note>,
}

/// Something that the native builder does not do as Docker does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Line of the instruction, from 1.
    pub line: usize,
    /// What, and the remedy.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.text)
    }
}

/// Settings of an image, and the steps that fill it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStage {
    /// Reference of the base image; `None` for `scratch`.
    pub base: Option<String>,
    /// In the order of the file. Each becomes a layer.
    pub steps: Vec<Step>,
    /// `USER`, as written.
    pub user: Option<String>,
    /// `EXPOSE`, in the order of the file, without repetitions.
    pub exposed_ports: Vec<ExposedPort>,
    /// `ENV`, in the order of first mention.
    pub env: Vec<(String, String)>,
    /// `LABEL`
    pub labels: BTreeMap<String, String>,
    /// `VOLUME`
    pub volumes: BTreeSet<String>,
    /// `HEALTHCHECK`
    pub health_check: Option<HealthCheck>,
    /// `MAINTAINER`
    pub author: Option<String>,
    /// `STOPSIGNAL`
    pub stop_signal: Option<String>,
    /// `SHELL`
    pub shell: Option<Vec<String>>,
    /// `ENTRYPOINT` in its exec form.
    pub entrypoint: Option<Vec<String>>,
    /// `CMD` in its exec form.
    pub cmd: Option<Vec<String>>,
    /// `WORKDIR`, absolute.
    pub working_dir: Option<String>,
}

/// A step that adds to the image's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `COPY`
    Copy(CopyInstruction),
    /// `WORKDIR`, which creates its folder.
    Folder(WorkFolder),
}

/// The folder of a `WORKDIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkFolder {
    /// Line, from 1.
    pub line: usize,
    /// Absolute.
    pub path: String,
    /// `USER` in force there, who becomes the owner of the folders that are created.
    pub owner: Option<Account>,
}

/// One `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInstruction {
    /// Line it starts on, from 1.
    pub line: usize,
    /// Where it takes from.
    pub from: CopySource,
    /// At least one, variables replaced.
    pub sources: Vec<String>,
    /// Absolute. A `/` at its end marks a folder.
    pub destination: String,
    /// `--chown`
    pub owner: Option<Account>,
    /// `--chmod`, the permission bits.
    pub mode: Option<u32>,
}

/// Where a `COPY` takes its files from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// The build context.
    Context,
    /// The program, from this stage that compiles it.
    Program(String),
    /// A stage that only copies, or an image, with its name.
    Stage(String, Arc<FinalStage>),
}

/// A user and perhaps a group, each by number or by name.
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

/// A port that the program listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedPort {
    /// From 1.
    pub number: u16,
    /// TCP unless it says otherwise.
    pub protocol: Protocol,
}

/// What may follow the `/` in `EXPOSE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `tcp`
    #[default]
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
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
    /// Returns its `COPY` instructions.
    pub fn copies(&self) -> impl Iterator<Item = &CopyInstruction> {
        self.steps.iter().filter_map(|step| match step {
            Step::Copy(copy) => Some(copy),
            Step::Folder(_) => None,
        })
    }

    /// Returns the base images that it needs, those of the stages it copies from included.
    pub fn base_images(&self) -> BTreeSet<&str> {
        let copied = self.copies().filter_map(|copy| match &copy.from {
            CopySource::Stage(_, stage) => Some(stage.base_images()),
            CopySource::Context | CopySource::Program(_) => None,
        });
        copied.flatten().chain(self.base.as_deref()).collect()
    }
}

impl Dockerfile {
    /// Reads the text of a Dockerfile, and reports all that is wrong with it at once.
    pub fn parse(text: &str, request: &Request<'_>) -> Result<Self, DockerfileErrors> {
        let source = lines::read(text).map_err(|error| DockerfileErrors(vec![error]))?;
        stage::read(&source, request)
    }
}

/// Reads the file. Bytes that are not UTF-8 matter in instructions only, not in comments.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    // One byte more tells that there is more.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let reason = format!("it is larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
