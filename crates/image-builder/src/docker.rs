//! Docker builder: builds with Docker (with or without buildx) or podman, which support the whole
//! Dockerfile syntax.
//!
//! [`crate::unpack`] converts the result into the form that the native builder produces.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dockerfile::read_text;
use crate::ignore::{CONTAINERIGNORE, DOCKERIGNORE};
use crate::{Architecture, Hint, ignore_file};
use process::{Line, ProcessError, Program};

/// Time limit for an engine to report its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);
/// Time limit to save, load or remove an image, which may have gigabytes.
const COPY_LIMIT: Duration = Duration::from_mins(10);
/// Number of output lines that are kept for an error message.
const KEPT_LINES: usize = 40;

/// Engine that builds images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Docker with buildx: `docker buildx build`.
    Buildx {
        /// Version of the Docker server.
        version: String,
    },
    /// Docker without buildx: `docker build`.
    Docker {
        /// Version of the Docker server.
        version: String,
        /// Client, by name or by path.
        client: String,
        /// Set if the client builds with BuildKit by itself, otherwise with the classic builder.
        has_buildkit: bool,
    },
    /// Podman, which needs no daemon: `podman build`.
    Podman {
        /// Version of the podman client.
        version: String,
    },
}

/// Reason why the engine built no image.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Neither engine is available.
    #[error("neither Docker nor podman answers")]
    NoEngine {
        /// Error message of each engine.
        said: Vec<String>,
    },
    /// The classic Docker builder cannot build for another architecture; buildx and podman can.
    #[error("this Docker builds for its own processor only, not for {wanted}")]
    OtherArchitecture {
        /// Architecture that was requested.
        wanted: Architecture,
    },
    /// The classic Docker builder ignores `<Dockerfile>.dockerignore`, and no Docker reads
    /// `.containerignore`, so excluded files would get into the image.
    #[error("this Docker does not read `{}`", file.display())]
    OwnIgnoreFile {
        /// Path of the ignore file.
        file: PathBuf,
    },
    /// The command failed.
    #[error("`{command}` failed")]
    Failed {
        /// Command that was run.
        command: String,
        /// Last lines of its output.
        said: Vec<String>,
        /// Set if the Dockerfile needs BuildKit, which this engine lacks.
        lacks_buildkit: bool,
    },
    /// The engine cannot be started.
    #[error(transparent)]
    Process(ProcessError),
}

impl Hint for DockerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoEngine { .. } => Some(
                "start Docker (`sudo systemctl start docker`), or install it or podman; `--builder native` needs none of them".to_owned(),
            ),
            Self::OtherArchitecture { .. } => Some(
                "install buildx (on Debian and Ubuntu `docker-buildx` or `docker-buildx-plugin`), or use `--builder native`".to_owned(),
            ),
            Self::OwnIgnoreFile { file } if is_podmans(file) => Some(
                "call the file `.dockerignore`, which podman reads as well, or use `--builder native`".to_owned(),
            ),
            Self::OwnIgnoreFile { .. } => Some(
                "install buildx (on Debian and Ubuntu `docker-buildx` or `docker-buildx-plugin`), or use `--builder native`, or call the file `.dockerignore`".to_owned(),
            ),
            Self::Failed { lacks_buildkit: true, .. } => Some(
                "install buildx, with which Docker builds with BuildKit (on Debian and Ubuntu `docker-buildx` or `docker-buildx-plugin`)".to_owned(),
            ),
            Self::Failed { .. } | Self::Process(_) => None,
        }
    }

    fn evidence(&self) -> &[String] {
        match self {
            Self::NoEngine { said } | Self::Failed { said, .. } => said,
            Self::OtherArchitecture { .. } | Self::OwnIgnoreFile { .. } | Self::Process(_) => &[],
        }
    }
}

/// Parameters of a build.
#[derive(Debug, Clone, Copy)]
pub struct DockerRequest<'a> {
    /// Path of the Dockerfile.
    pub dockerfile: &'a Path,
    /// Folder of the build context.
    pub context: &'a Path,
    /// Processor architecture to build for.
    pub architecture: Architecture,
    /// Tag that lets the next build find cached layers. The last build gets this name.
    pub name: &'a str,
    /// Unique tag of this build (`NAME:TAG`), by which the image is found even if other builds run
    /// concurrently. With the containerd image store, several versions of buildx write an ID to
    /// `--iidfile` that the engine does not know.
    pub own_name: &'a str,
    /// Stage that becomes the image, instead of the last one.
    pub stage: Option<&'a str>,
    /// Values of the Dockerfile's `ARG`s.
    pub args: &'a BTreeMap<String, String>,
    /// Variables with secrets that the engine inherits anyway: see [`Program::allow`].
    pub allowed: &'a [String],
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buildx { version } => write!(formatter, "Docker {version} with buildx"),
            Self::Docker { version, .. } => write!(formatter, "Docker {version}"),
            Self::Podman { version } => write!(formatter, "podman {version}"),
        }
    }
}

/// Finds an available engine, preferring Docker.
pub async fn find() -> Result<Engine, DockerError> {
    let mut said = Vec::new();
    // `Server` makes the client contact the daemon: an installed client alone is not enough.
    match version("docker", "{{.Server.Version}} {{.Client.Version}}").await {
        Ok(versions) => {
            let (version, client) = versions.split_once(' ').unwrap_or((&versions, ""));
            let version = version.to_owned();
            // The plugin is optional, and Debian packages it separately.
            let buildx = Program::new("docker").args(["buildx", "version"]);
            let answer = buildx.output(VERSION_LIMIT).await;
            if answer.is_ok_and(|answer| answer.status.success()) {
                return Ok(Engine::Buildx { version });
            }
            let other = if has_buildkit(client) {
                None
            } else {
                other_client().await
            };
            return Ok(Engine::Docker {
                version,
                has_buildkit: other.is_some() || has_buildkit(client),
                client: other.unwrap_or_else(|| "docker".to_owned()),
            });
        }
        Err(why) => said.push(why),
    }
    match version("podman", "{{.Client.Version}}").await {
        Ok(version) => return Ok(Engine::Podman { version }),
        Err(why) => said.push(why),
    }
    Err(DockerError::NoEngine { said })
}

/// Finds a client with BuildKit that the first one on the `PATH` hides, such as Debian's behind a
/// newer one without buildx.
async fn other_client() -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let clients = std::env::split_paths(&path).map(|folder| folder.join("docker"));
    for client in clients.filter(|file| file.is_file()).skip(1) {
        let client = client.to_string_lossy().into_owned();
        let version = version(&client, "{{.Client.Version}}").await;
        if version.is_ok_and(|version| has_buildkit(&version)) {
            return Some(client);
        }
    }
    None
}

/// Flags of instructions that only BuildKit knows.
const BUILDKIT_FLAGS: [&str; 9] = [
    "checksum",
    "exclude",
    "keep-git-dir",
    "link",
    "mount",
    "network",
    "parents",
    "security",
    "start-interval",
];

/// Returns whether the classic builder fails at a feature of BuildKit in this Dockerfile, such as
/// `RUN --mount`, heredocs, or `BUILDPLATFORM`, which is empty there.
fn needs_buildkit(line: &str, dockerfile: &str) -> bool {
    let flag = line.split_once("Unknown flag: ");
    line.contains("requires BuildKit")
        || line.contains("failed to parse platform : \"\"")
        || flag.is_some_and(|(_, flag)| BUILDKIT_FLAGS.contains(&flag.trim()))
        // It takes the lines of a heredoc for instructions.
        || line.contains("unknown instruction") && dockerfile.contains("<<")
}

/// Returns whether a client without buildx can build with BuildKit. Later ones leave it to buildx.
fn has_buildkit(client: &str) -> bool {
    let major = client.split('.').next().and_then(|it| it.parse().ok());
    major.is_some_and(|major: u32| (19..23).contains(&major))
}

async fn version(program: &str, format: &str) -> Result<String, String> {
    let question = Program::new(program).args(["version", "--format", format]);
    match question.output(VERSION_LIMIT).await {
        Ok(answer) if answer.status.success() => Ok(answer.stdout.trim().to_owned()),
        Ok(answer) => {
            // Warnings may come before the error.
            let line = answer.stderr.lines().last().unwrap_or_default();
            Err(format!("{program}: {line}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

impl Engine {
    fn program(&self) -> Program {
        match self {
            Self::Buildx { .. } => Program::new("docker"),
            Self::Docker {
                has_buildkit: true,
                client,
                ..
            } => Program::new(client).env("DOCKER_BUILDKIT", "1"),
            // Without buildx, a newer client refuses to build unless BuildKit is disabled. The
            // engine still has the classic builder.
            Self::Docker { .. } => Program::new("docker").env("DOCKER_BUILDKIT", "0"),
            Self::Podman { .. } => Program::new("podman"),
        }
    }

    /// Returns whether the engine has this image, for this architecture.
    pub async fn has(&self, image: &str, architecture: Architecture) -> bool {
        let question = ["image", "inspect", "--format", "{{.Architecture}}", image];
        let answer = self.program().args(question).output(VERSION_LIMIT).await;
        answer.is_ok_and(|answer| answer.stdout.trim() == architecture.oci_name())
    }

    /// Builds all stages, and reports each step.
    pub async fn build(
        &self,
        request: &DockerRequest<'_>,
        mut on_step: impl FnMut(&str),
    ) -> Result<(), DockerError> {
        let arguments = self.build_arguments(request)?;
        self.check_ignore_file(request)?;
        let mut said = VecDeque::new();
        let result = self
            .program()
            // Registry credentials that pull base images. Processes within the build do not see
            // them.
            .allow(["DOCKER_AUTH_CONFIG"])
            .allow(request.allowed)
            .args(&arguments)
            .run(|line| {
                // BuildKit reports its progress on standard error, the classic builder on standard
                // output.
                let (Line::Output(line) | Line::Error(line)) = line;
                if let Some(step) = step(line) {
                    on_step(step);
                }
                // Keeps the end of the output, where the failing step reports its error.
                if said.len() == KEPT_LINES {
                    said.pop_front();
                }
                if !line.trim().is_empty() {
                    said.push_back(line.to_owned());
                }
            })
            .await;
        match result {
            Ok(()) => Ok(()),
            Err(ProcessError::Failed { program, .. }) => {
                // What cannot be read was reported before.
                let dockerfile = read_text(request.dockerfile).unwrap_or_default();
                Err(self.failed(format!("{program} build"), said.into(), &dockerfile))
            }
            Err(error) => Err(DockerError::Process(error)),
        }
    }

    /// Returns the error of a command that said this.
    fn failed(&self, command: String, said: Vec<String>, dockerfile: &str) -> DockerError {
        let is_classic = matches!(
            self,
            Self::Docker {
                has_buildkit: false,
                ..
            }
        );
        let lacks_buildkit = is_classic && said.iter().any(|line| needs_buildkit(line, dockerfile));
        DockerError::Failed {
            command,
            said,
            lacks_buildkit,
        }
    }

    /// Rejects an ignore file that this engine does not read, since it may exclude secrets.
    fn check_ignore_file(&self, request: &DockerRequest<'_>) -> Result<(), DockerError> {
        let file = ignore_file(request.dockerfile, request.context);
        let is_shared = file.file_name() == Some(OsStr::new(DOCKERIGNORE));
        let is_read = match self {
            Self::Docker {
                has_buildkit: false,
                ..
            } => is_shared,
            Self::Docker { .. } | Self::Buildx { .. } => !is_podmans(&file),
            Self::Podman { .. } => true,
        };
        if is_read {
            Ok(())
        } else {
            Err(DockerError::OwnIgnoreFile { file })
        }
    }

    /// Returns the arguments of the build command.
    fn build_arguments(&self, request: &DockerRequest<'_>) -> Result<Vec<String>, DockerError> {
        let platform = format!("linux/{}", request.architecture.oci_name());
        let is_native = Architecture::of_this_machine() == Some(request.architecture);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = match self {
            Self::Buildx { .. } => vec![
                "buildx",
                "build",
                // Without it, drivers other than `docker` leave the image in their build cache.
                "--load",
                "--progress",
                "plain",
                // An attestation would turn the image into an index.
                "--provenance=false",
                "--platform",
                &platform,
            ],
            // Podman's default format, OCI, has no health check and drops `HEALTHCHECK`.
            Self::Podman { .. } => vec!["build", "--format", "docker", "--platform", &platform],
            Self::Docker {
                has_buildkit: true, ..
            } => vec!["build", "--progress", "plain", "--platform", &platform],
            Self::Docker { .. } if is_native => vec!["build"],
            Self::Docker { .. } => {
                return Err(DockerError::OtherArchitecture {
                    wanted: request.architecture,
                });
            }
        };
        let (dockerfile, context) = (text(request.dockerfile), text(request.context));
        arguments.extend(["--tag", request.name, "--tag", request.own_name]);
        if let Some(stage) = request.stage {
            arguments.extend(["--target", stage]);
        }
        let given = request.args.iter();
        let given: Vec<String> = given
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for argument in &given {
            arguments.extend(["--build-arg", argument]);
        }
        arguments.extend(["--file", &dockerfile, &context]);
        Ok(arguments.into_iter().map(ToOwned::to_owned).collect())
    }

    /// Saves an image to a file.
    pub async fn save(&self, name: &str, file: &Path) -> Result<(), DockerError> {
        let mut arguments = vec!["save"];
        if matches!(self, Self::Podman { .. }) {
            arguments.extend(["--format", "docker-archive"]);
        }
        let file = file.to_string_lossy();
        arguments.extend(["--output", &file, name]);
        self.command("save", &arguments).await
    }

    /// Removes a tag. The image remains as long as it has another one.
    pub async fn forget(&self, name: &str) -> Result<(), DockerError> {
        self.command("rmi", &["rmi", name]).await
    }

    /// Loads the images of a file.
    pub async fn load(&self, file: &Path) -> Result<(), DockerError> {
        let file = file.to_string_lossy();
        self.command("load", &["load", "--input", &file]).await
    }

    async fn command(&self, verb: &str, arguments: &[&str]) -> Result<(), DockerError> {
        let answer = self.program().args(arguments).output(COPY_LIMIT).await;
        let answer = answer.map_err(DockerError::Process)?;
        if answer.status.success() {
            return Ok(());
        }
        let program = match self {
            Self::Buildx { .. } | Self::Docker { .. } => "docker",
            Self::Podman { .. } => "podman",
        };
        let said = answer.stderr.lines().map(ToOwned::to_owned).collect();
        Err(self.failed(format!("{program} {verb}"), said, ""))
    }
}

/// Returns whether only podman reads this ignore file.
fn is_podmans(file: &Path) -> bool {
    file.file_name() == Some(OsStr::new(CONTAINERIGNORE))
}

/// Parses the instruction from a progress line, such as `Step 2/9 : RUN …`, `STEP 2/9: RUN …` or
/// `#7 [build 2/4] RUN …`.
fn step(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("Step ").or(line.strip_prefix("STEP ")) {
        return rest.split_once(':').map(|(_, step)| step.trim());
    }
    let rest = line.strip_prefix('#')?;
    let (_, step) = rest.split_once(" [")?;
    let (place, step) = step.split_once("] ")?;
    // Steps without a number, such as `[internal]`, are BuildKit's own.
    (place.contains('/') && !step.is_empty()).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let table = [
            ("Step 2/9 : RUN cargo build", Some("RUN cargo build")),
            ("STEP 2/9: FROM scratch", Some("FROM scratch")),
            ("[1/2] STEP 2/9: FROM scratch", None),
            ("#7 [build 2/4] RUN cargo build", Some("RUN cargo build")),
            ("#7 [internal] load build context", None),
            ("#7 0.512 Compiling app", None),
            (" ---> Running in 0123", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(step(line), expected, "{line}");
        }
    }

    #[test]
    fn how_engines_are_called() {
        let here = Architecture::of_this_machine().unwrap();
        let args = [("A".to_owned(), "b c".to_owned())].into();
        let request = |architecture| DockerRequest {
            dockerfile: Path::new("/src/Dockerfile"),
            context: Path::new("/src"),
            architecture,
            name: "deployer/app",
            own_name: "deployer/app:mine",
            stage: Some("web"),
            args: &args,
            allowed: &[],
        };
        let version = || "1".to_owned();
        let call = |engine: Engine, architecture| {
            let arguments = engine.build_arguments(&request(architecture));
            arguments.map_or_else(|error| error.to_string(), |arguments| arguments.join(" "))
        };
        let end = "--tag deployer/app --tag deployer/app:mine --target web --build-arg A=b c --file /src/Dockerfile /src";
        let docker = |has_buildkit| Engine::Docker {
            version: version(),
            client: "docker".to_owned(),
            has_buildkit,
        };
        let buildx = Engine::Buildx { version: version() };
        assert_eq!(call(docker(false), here), format!("build {end}"));
        assert_eq!(
            call(docker(true), Architecture::Arm64),
            format!("build --progress plain --platform linux/arm64 {end}")
        );
        let with = ["20.10.24+dfsg1", "19.03.0", "22.06"].map(has_buildkit);
        let without = ["23.0.1", "28.2.2", "4.3.1", "18.09.1", ""].map(has_buildkit);
        assert_eq!((with, without), ([true; 3], [false; 5]));
        assert_eq!(
            call(buildx, Architecture::Arm64),
            format!(
                "buildx build --load --progress plain --provenance=false --platform linux/arm64 {end}"
            )
        );
        assert_eq!(
            call(Engine::Podman { version: version() }, Architecture::X86_64),
            format!("build --format docker --platform linux/amd64 {end}")
        );
        let other = match here {
            Architecture::X86_64 => Architecture::Arm64,
            Architecture::Arm64 => Architecture::X86_64,
        };
        assert_eq!(
            call(docker(false), other),
            format!("this Docker builds for its own processor only, not for {other}")
        );
    }

    #[test]
    fn what_needs_buildkit_is_told_with_its_remedy() {
        let classic = Engine::Docker {
            version: "28.2.2".to_owned(),
            client: "docker".to_owned(),
            has_buildkit: false,
        };
        let heredoc = "RUN <<END\napt-get update\nEND\n";
        let hint = |engine: &Engine, line: &str, dockerfile: &str| {
            let said = vec!["Step 2/3 : RUN x".to_owned(), line.to_owned()];
            let failed = engine.failed("docker build".to_owned(), said, dockerfile);
            failed.hint()
        };
        let others = [
            Engine::Buildx {
                version: "28.2.2".to_owned(),
            },
            Engine::Docker {
                version: "20.10.24".to_owned(),
                client: "docker".to_owned(),
                has_buildkit: true,
            },
            Engine::Podman {
                version: "5.4.2".to_owned(),
            },
        ];
        for (line, dockerfile) in [
            (
                "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/",
                "",
            ),
            (
                "failed to parse platform : \"\" is an invalid component of \"\"",
                "",
            ),
            (
                "dockerfile parse error line 3: unknown instruction: APT-GET",
                heredoc,
            ),
            ("dockerfile parse error line 2: Unknown flag: link", ""),
        ] {
            let told = hint(&classic, line, dockerfile).unwrap();
            assert!(told.contains("docker-buildx"), "{line}");
            for engine in &others {
                assert_eq!(hint(engine, line, dockerfile), None, "{engine}: {line}");
            }
        }
        for line in [
            "exit code: 1",
            "dockerfile parse error line 2: unknown instruction: CPOY",
            "dockerfile parse error line 2: Unknown flag: form",
            "failed to parse platform linux/none: invalid",
        ] {
            assert_eq!(hint(&classic, line, "CPOY a /a"), None, "{line}");
        }
    }

    #[tokio::test]
    async fn a_list_that_the_engine_does_not_read_stops_it() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("Dockerfile");
        let own = folder.path().join("Dockerfile.dockerignore");
        let args = BTreeMap::new();
        let request = DockerRequest {
            dockerfile: &dockerfile,
            context: folder.path(),
            architecture: Architecture::of_this_machine().unwrap(),
            name: "deployer/app",
            own_name: "deployer/app:mine",
            stage: None,
            args: &args,
            allowed: &[],
        };
        let version = || "1".to_owned();
        let docker = |has_buildkit| Engine::Docker {
            version: version(),
            client: "docker".to_owned(),
            has_buildkit,
        };
        std::fs::write(folder.path().join(".dockerignore"), "secret").unwrap();
        assert!(docker(false).check_ignore_file(&request).is_ok());
        std::fs::write(&own, "secret").unwrap();
        let error = docker(false).build(&request, |_| ()).await.unwrap_err();
        let expected = format!("this Docker does not read `{}`", own.display());
        assert_eq!(error.to_string(), expected);
        let hint = error.hint().unwrap();
        assert!(hint.contains("buildx") && hint.contains("--builder native"));
        for reads_it in [
            Engine::Buildx { version: version() },
            docker(true),
            Engine::Podman { version: version() },
        ] {
            assert!(reads_it.check_ignore_file(&request).is_ok());
        }
        // Only podman reads its own.
        std::fs::remove_file(&own).unwrap();
        let shared = folder.path().join(DOCKERIGNORE);
        std::fs::rename(shared, folder.path().join(CONTAINERIGNORE)).unwrap();
        let podman = Engine::Podman { version: version() };
        assert!(podman.check_ignore_file(&request).is_ok());
        let buildx = Engine::Buildx { version: version() };
        for does_not in [buildx, docker(true), docker(false)] {
            let error = does_not.check_ignore_file(&request).unwrap_err();
            assert!(
                error
                    .hint()
                    .unwrap()
                    .starts_with("call the file `.dockerignore`")
            );
        }
    }
}
