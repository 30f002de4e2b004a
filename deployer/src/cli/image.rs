//! Arguments of `deployer image`, and of every command that builds an image.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use super::heading;

/// Settings of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// The subcommand.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// Subcommands of `image`. Each but `verify` builds the image as `up` does; unchanged parts are neither compiled nor compressed again.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build the image, and write it to a file or load it into Docker.
    Build(ImageBuild),
    /// Build the image, and push what the registry lacks.
    Push(ImagePush),
    /// Build the image, and show its settings, layers and files.
    Inspect(ImageSource),
    /// Build the commit of an image in a registry again, and compare the digests. Exit code 11: another image.
    Verify(ImageVerify),
}

/// Where the image comes from.
#[derive(Debug, Default, Args)]
pub struct ImageSource {
    /// How to build it.
    #[command(flatten)]
    pub image_options: ImageOptions,

    /// Use this static program instead of compiling one.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
}

/// Settings of `image build`.
#[derive(Debug, Args)]
pub struct ImageBuild {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Write the image to this file, for `docker load`, `podman load` or skopeo (`oci-archive:`, `docker-archive:`).
    #[arg(long, value_name = "FILE", conflicts_with = "load")]
    pub archive: Option<PathBuf>,

    /// Load the image into Docker or podman on this machine.
    #[arg(long)]
    pub load: bool,
}

/// Settings of `image push`.
#[derive(Debug, Args)]
pub struct ImagePush {
    /// Where it comes from.
    #[command(flatten)]
    pub source: ImageSource,

    /// Repository in the registry (`--registry`, otherwise ECR). Default: the stack's repository.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REPOSITORY", value_parser = repository)]
    pub repository: Option<String>,

    /// Tag. Default: `sha256-` and the first 12 digits of the digest.
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub tag: Option<String>,

    /// User for `--registry`. The password comes from `DEPLOYER_REGISTRY_PASSWORD`.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_REGISTRY_USER")]
    pub user: Option<String>,
}

/// Settings of `image verify`.
#[derive(Debug, Args)]
pub struct ImageVerify {
    /// Image in a registry, or its digest in the stack's repository. Default: what the stack runs.
    #[arg(value_name = "IMAGE|DIGEST")]
    pub image: Option<String>,

    /// CPU architecture of the image, if its tag is for several: X86_64 or ARM64. Default: the service's.
    #[arg(long, value_name = "NAME", env = "DEPLOYER_ARCHITECTURE")]
    pub architecture: Option<String>,
}

/// Parses a tag by the OCI distribution specification ("Pulling manifests"). A `#` or `?` would cut the address short, and
/// another tag would be moved.
fn tag(text: &str) -> Result<String, String> {
    let may_follow = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let may_begin = |c: char| may_follow(c) && c != '.' && c != '-';
    if text.starts_with(may_begin) && text.chars().all(may_follow) && text.len() <= 128 {
        Ok(text.to_owned())
    } else {
        Err("a tag has at most 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two".to_owned())
    }
}

/// Parses a repository's name by the same specification: components with single separators, joined by `/`. Empty means unset,
/// as for every variable.
fn repository(text: &str) -> Result<String, String> {
    if text.is_empty() || text.split('/').all(is_component) {
        Ok(text.to_owned())
    } else {
        Err("a repository has lower-case letters and digits, separated by `.`, `_`, `__`, `-` or `/`, without the registry's host".to_owned())
    }
}

fn is_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // The specification allows any number of hyphens, but at most two underscores.
    let is_separator = |between: &str| {
        matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
    };
    text.starts_with(is_plain) && text.ends_with(is_plain) && text.split(is_plain).all(is_separator)
}

impl ImagePush {
    /// Returns the repository, if one was given.
    // CI systems often set `DEPLOYER_…` variables to the empty string, which means the default.
    pub fn repository(&self) -> Option<&str> {
        self.repository.as_deref().filter(|name| !name.is_empty())
    }
}

impl ImageCommand {
    /// Returns how the image is built.
    pub fn options(&self) -> ImageOptions {
        match self {
            Self::Build(build) => build.source.image_options.clone(),
            Self::Push(push) => push.source.image_options.clone(),
            Self::Inspect(source) => source.image_options.clone(),
            Self::Verify(verify) => ImageOptions {
                architecture: verify.architecture.clone(),
                builder: None,
            },
        }
    }

    /// Returns the subcommand as typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Build(_) => "image build",
            Self::Push(_) => "image push",
            Self::Inspect(_) => "image inspect",
            Self::Verify(_) => "image verify",
        }
    }
}

/// How to build the image; each overrides its counterpart in `deployer.toml`.
#[derive(Debug, Clone, Default, Args)]
pub struct ImageOptions {
    /// CPU architecture of the tasks: X86_64 or ARM64. Default: this machine's.
    #[arg(long, help_heading = heading::IMAGE, value_name = "NAME", env = "DEPLOYER_ARCHITECTURE")]
    pub architecture: Option<String>,

    /// Image builder.
    #[arg(long, help_heading = heading::IMAGE, value_enum, value_name = "WHO", env = "DEPLOYER_BUILDER")]
    pub builder: Option<Builder>,
}

/// Image builders.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// The deployer, or Docker for what only that can do, if it answers.
    #[default]
    Auto,
    /// The deployer: cargo compiles, the Dockerfile's final stage defines the image. Needs neither Docker nor root.
    Native,
    /// Docker or podman: builds all stages of the Dockerfile.
    Docker,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind;

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn tags() {
        let longest = "a".repeat(128);
        for good in ["v1", "V1.2-rc_3", "_x", "0", "sha256-0123", &longest] {
            assert_eq!(tag(good).as_deref(), Ok(good));
        }
        let too_long = "a".repeat(129);
        let bad = [
            "", ".v1", "-v1", "v1#2", "v1?x", "v1/2", "a:b", "a b", "ä", &too_long,
        ];
        for bad in bad {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn repositories() {
        for good in ["app", "team/app", "a/b/c", "a.b_c__d-e---f", "0", "0/1", ""] {
            assert_eq!(repository(good).as_deref(), Ok(good));
        }
        let bad = [
            "App",
            "/app",
            "app/",
            "a//b",
            "-a",
            "a-",
            ".a",
            "a..b",
            "a___b",
            "a._b",
            "a-_b",
            "a:1",
            "a@b",
            "a#b",
            "a?b",
            "a b",
            "localhost:5000/app",
            "..",
            "a/../b",
            "ä",
        ];
        for bad in bad {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_name_is_wrong_usage() {
        let parse = |arguments: &[&str]| {
            Cli::try_parse_from(["deployer", "image", "push"].iter().chain(arguments))
        };
        for arguments in [["--tag", "v1#2"], ["--repository", "Team/app"]] {
            let error = parse(&arguments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation);
            assert_eq!(error.exit_code(), 2);
        }
        let parsed = parse(&["--repository", ""]).unwrap();
        let crate::commands::Command::Image(Image {
            command: ImageCommand::Push(push),
        }) = parsed.command
        else {
            panic!("{:?}", parsed.command);
        };
        assert_eq!(push.repository(), None);
    }
}
