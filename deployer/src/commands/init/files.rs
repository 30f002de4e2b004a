//! Contents of the files that `init` writes. Pure.

use std::fmt::Write as _;

use deployment::error::Failure;
use deployment::names::StackName;
use image_builder::cargo::BinaryTarget;

use super::listen::Port;
use crate::config::DOCKERFILES;

/// Contents of `.dockerignore`, for `docker build`.
pub(super) const DOCKERIGNORE: &str = "/target\n/.git\n";

/// Facts about the project.
pub(super) struct NewProject {
    pub(super) stack: StackName,
    pub(super) program: BinaryTarget,
    /// Set if another package has a program too.
    pub(super) names_package: bool,
    /// Set if the package has other programs.
    pub(super) names_binary: bool,
    /// Features that the program requires and that are not enabled by default.
    pub(super) features: Vec<String>,
    /// All features of the package.
    pub(super) other_features: Vec<String>,
    pub(super) has_lock_file: bool,
    pub(super) port: Port,
    pub(super) health_path: String,
    /// Existing Dockerfile.
    pub(super) dockerfile: Option<String>,
    /// Build context, if it is not the folder of the Dockerfile.
    pub(super) context: Option<String>,
    pub(super) edits: Vec<String>,
}

/// Maximum length of a stack name for which `deployer policy` can name the stack's roles.
const LONGEST_STACK_NAME: usize = 32;

/// Returns a stack name based on the package name.
pub(super) fn stack_name(package: &str) -> Result<StackName, Failure> {
    let sign = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let name: String = package.chars().map(sign).take(LONGEST_STACK_NAME).collect();
    // A stack name starts with a letter, and a truncated name should not end with a hyphen.
    name.trim_matches('-').parse().map_err(|error| {
        Failure::preflight(format!("`{package}` cannot become the name of a stack"))
            .because(error)
            .hint("choose one: `deployer init --stack NAME`")
    })
}

impl NewProject {
    /// Returns `deployer.toml`.
    pub(super) fn settings(&self) -> String {
        let mut text = format!(
            "# What `deployer up` deploys. Flags and variables override it: `deployer up --help`.\n\
             stack = \"{}\"\n\
             # region = \"eu-central-1\"   # default: that of your AWS profile\n\n",
            self.stack
        );
        let mut image = String::new();
        let mut key = |name: &str, value: &str| {
            // Writing to a `String` cannot fail.
            let _ = writeln!(image, "{name} = {value}");
        };
        if self.names_package {
            key("package", &format!("\"{}\"", self.program.package));
        }
        if self.names_binary {
            key("binary", &format!("\"{}\"", self.program.binary));
        }
        if !self.features.is_empty() {
            key("features", &format!("{:?}", self.features));
        }
        // The default context is the Dockerfile's folder, which lacks the rest of the workspace.
        let is_usual = |name: &str| DOCKERFILES.contains(&name);
        if let Some(dockerfile) = self.dockerfile.as_ref().filter(|it| !is_usual(it)) {
            key("dockerfile", &format!("\"{dockerfile}\""));
            key("context", "\".\"");
        } else if let Some(context) = &self.context {
            key(
                "context",
                &format!("\"{context}\"   # the workspace, for `--builder docker`"),
            );
        }
        // Commented out: a suggestion with the names of existing features.
        if self.features.is_empty() && !self.other_features.is_empty() {
            let first = self.other_features.first().map_or("", String::as_str);
            key(
                "# features",
                &format!("[\"{first}\"]   # of: {}", self.other_features.join(", ")),
            );
        }
        if !image.is_empty() {
            let _ = write!(text, "[image]\n{image}\n");
        }
        let _ = write!(
            text,
            "[service]\n\
             port = {}   # TCP port that the program listens on, on 0.0.0.0; it is also in the variable PORT\n\
             health_path = \"{}\"   # a task gets requests as soon as this path answers 200\n\
             # tasks = 2        # 1 is enough for a test environment\n\
             # cpu = 256        # a quarter of a vCPU\n\
             # memory = 512     # MiB\n\
             # writable = [\"/tmp\"]    # all other folders are read-only\n\
             # egress = [443, 5432]   # TCP ports that the program may connect to\n\n\
             # [service.environment]\n\
             # RUST_LOG = \"info\"\n\n\
             # [service.secrets]   # a name in Parameter Store, or an ARN of Secrets Manager\n\
             # DATABASE_URL = \"/{}/database-url\"\n",
            self.port.number, self.health_path, self.stack
        );
        text
    }

    /// Returns a Dockerfile with a static program as the only file of its image.
    pub(super) fn dockerfile_text(&self) -> String {
        let (package, binary) = (&self.program.package, &self.program.binary);
        let locked = if self.has_lock_file { " --locked" } else { "" };
        let features = if self.features.is_empty() {
            String::new()
        } else {
            format!(" --features {}", self.features.join(","))
        };
        format!(
            "# Built by `deployer up`, which needs no Docker for it, and by `docker build`.\n\
             FROM rust:1-slim AS build\n\
             WORKDIR /src\n\
             COPY . .\n\
             # Static: the image below has no C library.\n\
             RUN target=\"$(uname -m)-unknown-linux-gnu\" \\\n \
             && RUSTFLAGS='-C target-feature=+crt-static' \\\n    \
             cargo build --release{locked} --package {package} --bin {binary}{features} --target \"$target\" \\\n \
             && mkdir /out \\\n \
             && cp \"target/$target/release/{binary}\" /out/{binary}\n\n\
             # Nothing but the program. If it needs certificates, a time zone or a shell, start from an image that has them, \
             such as\n\
             # gcr.io/distroless/static-debian12 or debian:12-slim. Copy files of this folder with `COPY`.\n\
             FROM scratch\n\
             COPY --from=build /out/{binary} /{binary}\n\
             USER 65532:65532\n\
             ENV PORT={port}\n\
             EXPOSE {port}\n\
             ENTRYPOINT [\"/{binary}\"]\n",
            port = self.port.number
        )
    }
}
