//! `deployer image`, and how an image is made wherever one is.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

/// Settings of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with the image. Each makes it first, as `up` does; what is unchanged is not compiled or compressed again.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Make the image, and put it into a file or into Docker if told to.
    Build(ImageBuild),
    /// Make the image, and send it to a registry: as far as it is not there.
    Push(ImagePush),
    /// Make the image, and show what it is: settings, layers, files.
    Inspect(ImageSource),
}

/// Where the image comes from.
#[derive(Debug, Default, Args)]
pub struct ImageSource {
    /// How it is made.
    #[command(flatten)]
    pub making: Making,

    /// Take this program instead of compiling it: a static one for the right processor.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}

/// Settings of `image build`.
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Write it to this file, which `docker load`, `podman load` and skopeo take (`oci-archive:`, `docker-archive:`).
    #[arg(long, value_name = "FILE", conflicts_with = "load")]
    pub archive: Option<PathBuf>,

    /// Put it into Docker or podman on this machine.
    #[arg(long)]
    pub load: bool,
}

/// Settings of `image push`.
#[derive(Debug, Args)]
pub struct ImagePush {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Repository in the registry (`--registry`, otherwise ECR). Default: that of the stack.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REPOSITORY")]
    pub repository: Option<String>,

    /// Tag. Default: `sha256-` and the first 12 digits of the digest, so that one tag is never two images.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,

    /// User of the registry that `--registry` names; the password is taken from `DEPLOYER_REGISTRY_PASSWORD`.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REGISTRY_USER")]
    pub user: Option<String>,
}

impl ImageCommand {
    /// Where the image comes from.
    pub const fn source(&self) -> &ImageSource {
        match self {
            Self::Build(build) => &build.source,
            Self::Push(push) => &push.source,
            Self::Inspect(source) => source,
        }
    }

    /// As it is typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Build(_) => "image build",
            Self::Push(_) => "image push",
            Self::Inspect(_) => "image inspect",
        }
    }
}

/// How the image is made; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Clone, Default, Args)]
pub struct Making {
    /// Processor of the tasks: X86_64 or ARM64. Default: the one of this machine.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_ARCHITECTURE")]
    pub architecture: Option<String>,

    /// Who makes the image: the deployer itself from the Dockerfile's final stage, or Docker (or podman) from all of it.
    #[arg(long, value_enum, value_name = "WHO", env = "DEPLOYER_BUILDER")]
    pub builder: Option<Builder>,
}

/// Who makes the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// The deployer: cargo compiles, the Dockerfile's final stage says the rest. Needs neither Docker nor root.
    #[default]
    Native,
    /// Docker or podman, whichever is there: all stages of the Dockerfile, whatever they do.
    Docker,
}
