//! Reads a Dockerfile as far as an image can be made without Docker: the final stage, which has to start from `scratch`.
//!
//! Earlier stages are how *Docker* compiles; without it, [`super::cargo`] does. They are read all the same (names, heredocs,
//! unknown instructions), so that both builders agree on where the final stage begins. What the final stage asks for and the
//! packer cannot do is an error with a line and a remedy: never is anything left out in silence. Pure: text in, value out.

mod error;
mod lines;
mod stage;
mod words;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{DockerfileError, Problem, Undoable};

use super::Architecture;

/// What the final stage says about the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalStage {
    /// Each becomes a layer.
    pub copies: Vec<CopyInstruction>,
    /// `USER`, as it stands there.
    pub user: Option<String>,
    /// `EXPOSE`, in the order of the file, without repetitions.
    pub exposed_ports: Vec<ExposedPort>,
    /// `ENV`, in the order of first mention.
    pub env: Vec<(String, String)>,
    /// `LABEL`
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`
    pub stop_signal: Option<String>,
    /// `ENTRYPOINT` in its exec form.
    pub entrypoint: Option<Vec<String>>,
    /// `CMD` in its exec form.
    pub cmd: Option<Vec<String>>,
    /// `WORKDIR`, absolute.
    pub working_dir: Option<String>,
}

/// One `COPY` of the final stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInstruction {
    /// The line it starts on, from 1.
    pub line: usize,
    /// The earlier stage it takes from; `None` for the build context.
    pub from: Option<String>,
    /// At least one, variables replaced.
    pub sources: Vec<String>,
    /// Absolute. A `/` at its end says that it is a folder.
    pub destination: String,
    /// `--chown`
    pub owner: Option<Owner>,
    /// `--chmod`, the permission bits.
    pub mode: Option<u32>,
}

/// A numeric owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id; as Docker does, the user's number when only that is given.
    pub group: u32,
}

/// A port that the program listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedPort {
    /// From 1.
    pub number: u16,
    /// TCP unless it says otherwise.
    pub protocol: Protocol,
}

/// What may be behind the `/` in `EXPOSE`.
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
    /// Reads the text of a Dockerfile. The architecture is what `TARGETARCH` and its like stand for.
    pub fn parse(text: &str, architecture: Architecture) -> Result<Self, DockerfileError> {
        let source = lines::read(text)?;
        stage::final_stage(&source, architecture)
    }
}

#[cfg(test)]
mod tests;
