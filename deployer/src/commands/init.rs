//! `deployer init`: writes the files that a cargo project needs to be deployed.
//!
//! ```text
//! cargo metadata, Dockerfile, sources ─► Project: pure ─► deployer.toml, Dockerfile, .dockerignore
//! ```
//!
//! Nothing is overwritten, nothing is compiled, and AWS is not asked.

mod files;
mod listen;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use clap::Args;
use serde::Serialize;

use super::{CommandResult, Done, Execute};
use crate::cli::Shared;
use crate::config::{self, Config, DOCKERFILES};
use crate::context::Context;
use crate::image::{choose, failure_of, surroundings, with_submodule};
use crate::pollers::LogReader;
use deployment::error::Failure;
use deployment::names::StackName;
use files::NewProject;
use image_builder::cargo::{BinaryTarget, Project, ProjectError, project};
use image_builder::dockerfile::CargoBuild;
use listen::{Found, Port};
use support::input;

/// Settings of `init`.
#[derive(Debug, Default, Args)]
pub struct Init {
    /// Package to deploy, in a workspace with several programs.
    #[arg(long, value_name = "NAME")]
    pub package: Option<String>,

    /// Program of the package. Default: the only one, or the one that `cargo run` starts.
    #[arg(long, value_name = "NAME")]
    pub binary: Option<String>,

    /// TCP port that the program listens on. Default: the Dockerfile's `EXPOSE`, or an address in the sources, or 8080.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Path that the load balancer asks. Default: a usual one that is in the sources, such as `/health`, or `/`.
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub health_path: Option<String>,
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\');
    if text.starts_with('/') && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("a path starts with `/` and has no spaces, quotes or backslashes".to_owned())
    }
}

/// Result of `init`, as one object in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Initialized {
    /// Name of the stack.
    pub stack: StackName,
    /// Package that is deployed.
    pub package: String,
    /// Program of the package that is deployed.
    pub binary: String,
    /// Port that the program listens on.
    pub port: u16,
    /// Source of the port.
    pub port_from: String,
    /// Path of the load balancer's health check.
    pub health_path: String,
    /// Files that were written, relative to the folder of `deployer.toml`.
    pub written: Vec<String>,
    /// Existing files that are used.
    pub kept: Vec<String>,
    /// Edits to make before the first deployment.
    pub edits: Vec<String>,
    /// Commands to run next.
    pub next: Vec<String>,
}

/// Placeholder for the stack name until the package is known.
const UNNAMED: &str = "not-named-yet";

#[async_trait(?Send)]
impl Execute for Init {
    fn settings(&self, shared: &Shared) -> Result<Config, Failure> {
        // `init` writes this file, so it must not require it.
        config::without_file(shared, UNNAMED)
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let initialized = self.run(context.config).await?;
        Ok(Done::with(CommandResult::Initialized(Box::new(
            initialized,
        ))))
    }
}

impl Init {
    async fn run(&self, config: &Config) -> Result<Initialized, Failure> {
        let file = &config.file;
        if file.exists() {
            return Err(exists(file));
        }
        let found = project(&config.root, &surroundings(config)).await;
        let found = found.map_err(|error| with_submodule(config, failure_of(&error)))?;
        let (package, binary) = (self.package.as_deref(), self.binary.as_deref());
        let program = choose(config, &found, (package, binary));
        let program = program.map_err(|error| choose_one(&error))?;
        let project = self.look(config, &found, program)?;
        let mut written = vec![write(file, &project.settings())?];
        let mut kept = Vec::new();
        if let Some(existing) = &project.dockerfile {
            kept.push(existing.clone());
        } else {
            let dockerfile = config.root.join("Dockerfile");
            written.push(write(&dockerfile, &project.dockerfile_text())?);
            // With the workspace as the build context, its own `.dockerignore` applies.
            let ignore = config.root.join(".dockerignore");
            if project.context.is_none() && !ignore.exists() {
                written.push(write(&ignore, files::DOCKERIGNORE)?);
            }
        }
        let config_option = match file.file_name() {
            Some(name) if name != "deployer.toml" => format!(" --config {}", name.display()),
            Some(_) | None => String::new(),
        };
        Ok(Initialized {
            stack: project.stack,
            package: project.program.package,
            binary: project.program.binary,
            port: project.port.number,
            port_from: project.port.from,
            health_path: project.health_path,
            written,
            kept,
            edits: project.edits,
            next: ["up --local", "up"]
                .map(|command| format!("deployer {command}{config_option}"))
                .into(),
        })
    }

    /// Reads the Dockerfile and the sources.
    fn look(
        &self,
        config: &Config,
        found: &Project,
        program: BinaryTarget,
    ) -> Result<NewProject, Failure> {
        let root = &config.root;
        let stack = match config.stack.as_str() {
            UNNAMED => files::stack_name(&program.package)?,
            _ => config.stack.clone(),
        };
        // A Dockerfile next to `deployer.toml` takes precedence over the package's own.
        let own = program.folder.strip_prefix(root).unwrap_or(Path::new(""));
        let files = [Path::new(""), own].map(|folder| DOCKERFILES.map(|name| folder.join(name)));
        let dockerfile = files.iter().flatten().find(|file| root.join(file).exists());
        let dockerfile = dockerfile.map(|file| file.to_string_lossy().into_owned());
        let text = dockerfile.as_ref().map(|name| {
            let text = image_builder::dockerfile::read_text(&root.join(name));
            text.map_err(|error| Failure::preflight(format!("cannot read `{name}`")).because(error))
        });
        let text = text.transpose()?;
        let sources = sources(&program.folder);
        let heard = listen::listen(&sources);
        let exposed = text.as_deref().and_then(listen::exposed);
        let port = match (self.port, exposed, &heard.port) {
            (Some(number), ..) => Port::new(number, "--port"),
            (None, Some(number), _) => Port::new(number, "EXPOSE in the Dockerfile"),
            (None, None, Some(port)) => port.clone(),
            (None, None, None) => Port::new(8080, "the default"),
        };
        let health_path = self
            .health_path
            .clone()
            .or_else(|| heard.health_path.clone());
        let edits = edits(&heard, &port, dockerfile.is_none());
        // Cargo needs all members of the workspace, so the build context has to include them.
        let above = root
            .strip_prefix(found.root())
            .map_or(0, |inner| inner.components().count());
        let context = (above > 0).then(|| vec![".."; above].join("/"));
        let named = choose(config, found, (None, None));
        let is_implied =
            named.is_ok_and(|it| (&it.package, &it.binary) == (&program.package, &program.binary));
        let by_package = choose(config, found, (Some(&program.package), None));
        Ok(NewProject {
            stack,
            names_package: !is_implied,
            names_binary: !is_implied && by_package.is_ok_and(|it| it.binary != program.binary),
            features: program.missing_features(&CargoBuild::default()),
            other_features: program.features().map(ToOwned::to_owned).collect(),
            has_lock_file: found.root().join("Cargo.lock").exists(),
            health_path: health_path.unwrap_or_else(|| "/".to_owned()),
            program,
            port,
            dockerfile,
            context,
            edits,
        })
    }
}

/// Returns the edits that the program needs to work in a container.
fn edits(heard: &Found, port: &Port, writes_dockerfile: bool) -> Vec<String> {
    let mut edits = Vec::new();
    if let Some(place) = &heard.loopback {
        edits.push(format!(
            "{place} listens on this machine only: in a container, listen on 0.0.0.0"
        ));
    }
    // An existing Dockerfile may set the port in a way that the sources do not show.
    let is_known = heard.port.is_some() || !writes_dockerfile || port.from == "--port";
    if !is_known {
        edits.push(format!(
            "no address was found in the sources: listen on 0.0.0.0 and the port in the variable PORT ({}), or set `port`",
            port.number
        ));
    }
    edits
}

/// Returns the failure for a file that would be overwritten.
fn exists(file: &Path) -> Failure {
    let shown = file.display();
    Failure::preflight(format!("`{shown}` exists, and is not overwritten")).hint(
        "edit it, or move it away and run `deployer init` again; `--config FILE` writes another one",
    )
}

/// Returns the failure with a hint for this command, since there is no `deployer.toml` yet.
fn choose_one(error: &ProjectError) -> Failure {
    let failure = failure_of(error);
    let command = match error {
        ProjectError::Several {
            package,
            binary: None,
            ..
        } => format!("deployer init --package {package}"),
        ProjectError::Several {
            package,
            binary: Some(binary),
            ..
        } => {
            format!("deployer init --package {package} --binary {binary}")
        }
        ProjectError::NoPackage { .. } | ProjectError::NoBinary { .. } => {
            return Failure {
                hints: vec!["name one of those".to_owned()],
                ..failure
            };
        }
        ProjectError::Cargo(_)
        | ProjectError::NoProgram
        | ProjectError::NoFeature { .. }
        | ProjectError::MissingFeature { .. }
        | ProjectError::NoProfile { .. } => return failure,
    };
    Failure {
        hints: vec![format!("choose one: `{command}`")],
        ..failure
    }
}

/// Writes a new file. Returns its name.
fn write(file: &Path, text: &str) -> Result<String, Failure> {
    let shown = file.display();
    let made = std::fs::OpenOptions::new()
        .write(true)
        // Atomic, so that a file created meanwhile is not overwritten either.
        .create_new(true)
        .open(file);
    let written = made.and_then(|mut made| made.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return exists(file);
        }
        Failure::preflight(format!("cannot write `{shown}`"))
            .because(error)
            .hint("the folder has to be writable")
    })?;
    let name = file.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}

/// Maximum number of files to search for an address.
const MOST_SOURCES: usize = 500;

/// Reads the sources of a package. `src/main.rs` comes first, since it usually listens.
fn sources(package: &Path) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![package.join("src")];
    while let Some(folder) = folders.pop() {
        // `file_type` does not follow symbolic links, so there are no cycles.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && files.len() < MOST_SOURCES {
                files.push(path);
            }
        }
    }
    // `read_dir` has no defined order, and the first address found counts.
    files.sort_by_key(|path| (!path.ends_with("src/main.rs"), path.clone()));
    let text = |path: PathBuf| {
        // A file that cannot be read is skipped: the search only provides defaults.
        let text = input::text(&path, input::WRITTEN_BY_HAND).ok()?;
        let name = path.strip_prefix(package).unwrap_or(&path);
        Some((name.to_string_lossy().into_owned(), text))
    };
    files.into_iter().filter_map(text).collect()
}
