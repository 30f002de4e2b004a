//! Errors in a Dockerfile, each with its hint.

use std::fmt;

use crate::Hint;

/// Limit for the instructions of a Dockerfile.
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// Error in a Dockerfile, or a feature that needs Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// Line number of the instruction's start, from 1. `None` if the error concerns the whole file.
    pub line: Option<usize>,
    /// Description of the error.
    pub problem: Problem,
}

impl Hint for DockerfileError {
    fn hint(&self) -> Option<String> {
        Some(self.problem.hint())
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.problem),
            None => self.problem.fmt(formatter),
        }
    }
}

impl std::error::Error for DockerfileError {}

/// All errors of a Dockerfile, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileErrors(pub Vec<DockerfileError>);

impl DockerfileErrors {
    /// Returns whether Docker or podman could build this file.
    pub fn need_docker(&self) -> bool {
        // If Docker rejects one of the errors as well, it cannot build the file either.
        self.0.iter().all(|error| error.problem.needs_docker())
    }

    /// Returns the errors that do not depend on which program the image is made for.
    #[must_use]
    pub fn besides_program(&self) -> Self {
        let errors = self.0.iter().filter(|error| {
            !matches!(
                error.problem,
                Problem::NotTheProgram { .. }
                    | Problem::OtherProgram { .. }
                    | Problem::FromRunningStage { .. }
            )
        });
        Self(errors.cloned().collect())
    }
}

impl fmt::Display for DockerfileErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DockerfileErrors {}

/// Kind of an error in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no `FROM`.
    #[error("there is no `FROM`")]
    NoStage,
    /// No stage has the name that the settings give.
    #[error("no stage is called `{0}`")]
    UnknownStage(String),
    /// `# escape=` has a value other than a backslash or a backtick.
    #[error("`{0}` cannot be the escape character")]
    BadEscape(String),
    /// Docker does not know the instruction.
    #[error("`{0}` is not an instruction")]
    UnknownInstruction(String),
    /// An instruction other than `ARG` precedes the first `FROM`.
    #[error("`{0}` stands before the first `FROM`")]
    BeforeFrom(String),
    /// `ONBUILD` is followed by an instruction that Docker accepts at the top only.
    #[error("`{0}` cannot stand behind `ONBUILD`")]
    Trigger(String),
    /// A heredoc has no end.
    #[error("the heredoc `{0}` has no end")]
    EndlessHeredoc(String),
    /// A `"` or `'` is not closed.
    #[error("a quote is not closed in `{0}`")]
    OpenQuote(String),
    /// `${…}` has an unsupported form.
    #[error("the substitution `{0}` needs Docker")]
    Substitution(String),
    /// Expanding variables exceeds the size limit.
    #[error("with its variables replaced, the file is too long")]
    TooLong,
    /// `${NAME:?message}` refers to a variable that is not set.
    #[error("`{name}` is not set: {message}")]
    Required {
        /// Name of the variable.
        name: String,
        /// Message from the Dockerfile.
        message: String,
    },
    /// An instruction lacks an argument.
    #[error("`{0}` lacks an argument")]
    MissingArgument(&'static str),
    /// A word of `ENV` or `LABEL` is not of the form `name=value`.
    #[error("`{word}` in `{keyword}` is not of the form name=value")]
    NotAPair {
        /// Name of the instruction: `ENV` or `LABEL`.
        keyword: &'static str,
        /// Word that is not a pair.
        word: String,
    },
    /// `RUN` or `ADD` in the final stage, which would have to be executed.
    #[error("`{0}` in the final stage needs Docker")]
    Runs(&'static str),
    /// An instruction is not valid UTF-8.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// The shell form is used with `scratch`, which has no shell.
    #[error("`{0}` in its shell form cannot start: there is no shell in `scratch`")]
    ShellForm(&'static str),
    /// The exec form is not valid JSON.
    #[error("the list of `{0}` is not valid JSON, so Docker takes it for a command of the shell")]
    NotJson(&'static str),
    /// The final stage has neither `ENTRYPOINT` nor `CMD`.
    #[error("the final stage has neither `ENTRYPOINT` nor `CMD`")]
    NothingToStart,
    /// The native builder does not support this flag.
    #[error("the flag `{flag}` of `{keyword}` needs Docker")]
    Flag {
        /// Name of the instruction.
        keyword: &'static str,
        /// Flag without its value.
        flag: String,
    },
    /// The base image has `ONBUILD` instructions, which would have to be executed.
    #[error("the `ONBUILD` instructions of `{0}` need Docker")]
    Triggers(String),
    /// `FROM --platform=…` names another platform than that of the image.
    #[error("`--platform={platform}` in `FROM`, but the image is made for {wanted}")]
    Platform {
        /// Platform of the `FROM`.
        platform: String,
        /// Platform of the image.
        wanted: String,
    },
    /// A `COPY` takes something other than the program from a build stage.
    #[error("`{path}` is not where cargo puts the program `{program}`")]
    NotTheProgram {
        /// Path in the build stage.
        path: String,
        /// Name of the program.
        program: String,
    },
    /// A `COPY` takes another program of the build stage.
    #[error("`{path}` is the program `{name}`, but the image is made for `{program}`")]
    OtherProgram {
        /// Path in the build stage.
        path: String,
        /// Name of the program at that path.
        name: String,
        /// Name of the program of the image.
        program: String,
    },
    /// The image takes several programs.
    #[error("the image takes several programs, `{0}`, which needs Docker")]
    SeveralPrograms(String),
    /// A path depends on a variable without a value.
    #[error("`{path}` depends on `{name}`, which has no value here")]
    Unset {
        /// Name of the variable.
        name: String,
        /// Path in the build stage, or the words of the `COPY`.
        path: String,
        /// Set if an `ARG` declares the variable.
        is_declared: bool,
    },
    /// A `COPY` takes a file from a stage that runs commands.
    #[error(
        "`{path}` comes from the stage `{stage}`, which runs commands but does not build the program"
    )]
    FromRunningStage {
        /// Name of the stage.
        stage: String,
        /// Path in the stage.
        path: String,
    },
    /// The file has too many instructions.
    #[error("the Dockerfile has more than {MAX_INSTRUCTIONS} instructions")]
    TooManyInstructions,
    /// The nesting of `COPY --from` exceeds the limit.
    #[error("too many stages copy from one another")]
    TooDeep,
    /// `COPY --from=$STAGE` has a variable.
    #[error("`COPY --from={0}`: no variable may stand there")]
    CopyFromVariable(String),
    /// `COPY a b /file` has several sources and no folder as the destination.
    #[error("`COPY` of several sources to `{0}`, which is not a folder")]
    SeveralToOne(String),
    /// The owner of `--chown` is invalid, such as `1x`.
    #[error("the owner `{0}` is neither a number nor a name")]
    Owner(String),
    /// The mode of `--chmod` is not octal, such as `u+x`.
    #[error("the mode `{0}` is not octal")]
    Mode(String),
    /// The arguments of `HEALTHCHECK` are invalid.
    #[error("`{0}` is not a health check")]
    HealthCheck(String),
    /// `SHELL` is not in the exec form.
    #[error("`SHELL` is not a list of words")]
    Shell,
    /// The value of `STOPSIGNAL` is not a signal.
    #[error("`{0}` is not a signal")]
    Signal(String),
    /// A build argument has a value, but the file does not declare it.
    #[error("no `ARG` declares `{0}`")]
    UnknownArgument(String),
    /// The value of `EXPOSE` is not a port.
    #[error("`{0}` is not a port")]
    Port(String),
}

impl Problem {
    /// Returns whether Docker supports this. All other errors also fail in Docker, or yield an
    /// image that does not start.
    pub const fn needs_docker(&self) -> bool {
        matches!(
            self,
            Self::Runs(_)
                | Self::Substitution(_)
                | Self::Flag { .. }
                | Self::Triggers(_)
                | Self::NotTheProgram { .. }
                | Self::OtherProgram { .. }
                | Self::SeveralPrograms(_)
                | Self::Unset { .. }
                | Self::FromRunningStage { .. }
                | Self::TooDeep
                | Self::TooManyInstructions
                // BuildKit also accepts symbolic modes, such as `u+x`.
                | Self::Mode(_)
        )
    }

    fn hint(&self) -> String {
        match self {
            Self::NoStage => "start with `FROM`".to_owned(),
            Self::UnknownStage(_) => "set `stage` under `[image]` in `deployer.toml` to a name as in `FROM … AS name`, or remove it: the last stage is the default".to_owned(),
            Self::BadEscape(_) => "use `\\` or a backtick".to_owned(),
            Self::UnknownInstruction(_) => "look for a typing error, or for a `\\` missing at the end of the line above".to_owned(),
            Self::BeforeFrom(_) => "only `ARG` may stand there: move it below `FROM`".to_owned(),
            Self::Trigger(_) => "write it into the stages that are built on this one".to_owned(),
            Self::EndlessHeredoc(name) => format!("put `{name}` on a line of its own"),
            Self::OpenQuote(_) => "close it, or escape it".to_owned(),
            Self::Substitution(_) => {
                "use `$NAME`, `${NAME}`, `${NAME:-default}` or `${NAME:+alternative}`".to_owned()
            }
            Self::TooLong => "all values together may have a MiB: put what is longer into a file, and copy that".to_owned(),
            Self::Required { name, .. } => format!("give it a default: `ARG {name}=…`"),
            Self::MissingArgument(keyword) => format!("complete `{keyword}`, or remove it"),
            Self::NotAPair { keyword, .. } => {
                format!("write `{keyword} name=value`; put a value that has spaces in quotes")
            }
            Self::Runs(keyword) => match *keyword {
                "ADD" => "use `COPY` for files of this folder; fetch others before the build".to_owned(),
                _ => "move it to an earlier stage, or build with Docker: `--builder docker`".to_owned(),
            },
            Self::NotUtf8 => "save the file as UTF-8".to_owned(),
            Self::ShellForm(keyword) => format!("use the exec form: `{keyword} [\"/app\"]`"),
            Self::NotJson(keyword) => format!("write `{keyword} [\"/app\"]`: double quotes, a comma between two words, and none behind the last"),
            Self::NothingToStart => "add `ENTRYPOINT [\"/app\"]`".to_owned(),
            Self::Flag { .. } => "remove it, or build with Docker: `--builder docker`".to_owned(),
            Self::Triggers(_) => "start from an image without them, or build with Docker: `--builder docker`".to_owned(),
            Self::Platform { .. } => "remove it, or set `architecture` under `[service]` in `deployer.toml`".to_owned(),
            Self::NotTheProgram { path, program } => elsewhere(path).unwrap_or_else(|| format!("copy the program from where cargo puts it (`target/release/{program}`) or, if that is a cache mount, from where `cp` puts it; and other files from this folder; or build with Docker: `--builder docker`")),
            Self::OtherProgram { name, .. } => format!("if `{name}` is the program, set `binary = \"{name}\"` under `[image]` in `deployer.toml`; or build with Docker: `--builder docker`"),
            Self::SeveralPrograms(_) => "build with Docker: `--builder docker`; or give each program an image of its own".to_owned(),
            Self::Unset { name, is_declared: true, .. } => format!("set `args = {{ {name} = \"…\" }}` under `[image]` in `deployer.toml`"),
            Self::Unset { name, .. } => format!("add `ARG {name}` below the `FROM` of this stage; its value is a default, or one of `args` under `[image]` in `deployer.toml`"),
            Self::FromRunningStage { path, .. } => elsewhere(path).unwrap_or_else(|| {
                "copy it from this folder or from an image, or build with Docker: `--builder docker`".to_owned()
            }),
            Self::TooDeep => "copy from the first of them".to_owned(),
            Self::TooManyInstructions => "join some, such as several `ENV`, or build with Docker: `--builder docker`".to_owned(),
            Self::CopyFromVariable(_) => "name the stage".to_owned(),
            Self::SeveralToOne(destination) => format!("write `{destination}/`"),
            Self::Owner(_) => "write `--chown=65532:65532`, or names that the image knows".to_owned(),
            Self::Mode(_) => "use an octal number, as in `--chmod=0755`".to_owned(),
            Self::HealthCheck(_) => "write `HEALTHCHECK CMD [\"/app\", \"health\"]`, with `--interval=30s` and the like before `CMD`, or `HEALTHCHECK NONE`".to_owned(),
            Self::Shell => "write `SHELL [\"/bin/sh\", \"-c\"]`".to_owned(),
            Self::Signal(_) => "use a name such as `SIGTERM`, or a number".to_owned(),
            Self::UnknownArgument(name) => format!("add `ARG {name}` to the stage that uses it, or remove it from `args` under `[image]` in `deployer.toml`"),
            Self::Port(_) => "use a number from 1 to 65535, with `/tcp` or `/udp` if you like".to_owned(),
        }
    }
}

/// Returns where to get a file that many Dockerfiles take from the stage that compiles.
fn elsewhere(path: &str) -> Option<String> {
    let of_an_image = |path: &str| {
        format!(
            "take it from an image: `COPY --from=gcr.io/distroless/static-debian12 {path} {path}`; or build with Docker: `--builder docker`"
        )
    };
    if path.contains("ca-certificates") || path.starts_with("/etc/ssl/certs") {
        return Some(of_an_image("/etc/ssl/certs/ca-certificates.crt"));
    }
    match path.trim_end_matches('/') {
        "/usr/share/zoneinfo" => Some(of_an_image("/usr/share/zoneinfo")),
        "/etc/passwd" | "/etc/group" => Some(
            "say the user by number (`USER 65532:65532`), or copy such a file from this folder; or build with Docker: `--builder docker`".to_owned(),
        ),
        _ => None,
    }
}
