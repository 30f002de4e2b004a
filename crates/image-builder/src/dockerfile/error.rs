//! Everything that can be wrong with a Dockerfile, each with its remedy: the whole table in one place.

use std::fmt;

/// Something in the Dockerfile that is wrong, or that cannot be done without Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerfileError {
    /// The line the instruction starts on, from 1. `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

impl DockerfileError {
    /// The remedy.
    pub fn hint(&self) -> Option<String> {
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

/// An instruction which Docker does by running or fetching something, so that the packer cannot do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoable {
    /// `ADD`
    Add,
    /// `HEALTHCHECK`
    HealthCheck,
    /// `MAINTAINER`
    Maintainer,
    /// `ONBUILD`
    OnBuild,
    /// `RUN`
    Run,
    /// `SHELL`
    Shell,
    /// `VOLUME`
    Volume,
}

impl Undoable {
    /// Its keyword.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::HealthCheck => "HEALTHCHECK",
            Self::Maintainer => "MAINTAINER",
            Self::OnBuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::Volume => "VOLUME",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Add => "use `COPY` for files of this folder; fetch others before the build",
            Self::HealthCheck => {
                "remove it: ECS does not read it, the load balancer checks the health"
            }
            Self::Maintainer => "use `LABEL org.opencontainers.image.authors=…`",
            Self::OnBuild => "remove it: nothing is built on this image",
            Self::Run => {
                "move it to an earlier stage (there is no shell in `scratch` anyway), or build with Docker"
            }
            Self::Shell => "remove it: there is no shell in `scratch`",
            Self::Volume => "remove it: mount volumes in the task definition instead",
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No `FROM` at all.
    #[error("there is no `FROM`")]
    NoStage,
    /// `# escape=` with something other than a backslash or a backtick.
    #[error("`{0}` cannot be the escape character")]
    BadEscape(String),
    /// Not an instruction Docker knows.
    #[error("`{0}` is not an instruction")]
    UnknownInstruction(String),
    /// Only `ARG` may stand before the first `FROM`.
    #[error("`{0}` stands before the first `FROM`")]
    BeforeFrom(String),
    /// A heredoc whose end is not there.
    #[error("the heredoc `{0}` has no end")]
    EndlessHeredoc(String),
    /// `"` or `'` without its partner.
    #[error("a quote is not closed in `{0}`")]
    OpenQuote(String),
    /// `${…}` in a form that is not known.
    #[error("the substitution `{0}` cannot be done")]
    Substitution(String),
    /// Variables made of variables.
    #[error("with its variables replaced, the file is too long")]
    TooLong,
    /// `${NAME:?message}` and NAME is not set.
    #[error("`{name}` is not set: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says about it.
        message: String,
    },
    /// Nothing behind the keyword, or not enough.
    #[error("`{0}` lacks an argument")]
    MissingArgument(&'static str),
    /// `ENV` and `LABEL` want `name=value`.
    #[error("`{word}` in `{keyword}` is not of the form name=value")]
    NotAPair {
        /// `ENV` or `LABEL`.
        keyword: &'static str,
        /// What stands there.
        word: String,
    },
    /// The final stage has a base with content, which nobody could fetch here.
    #[error("the final stage starts from `{0}`, which cannot be done without Docker")]
    NotScratch(String),
    /// An instruction that runs or fetches something.
    #[error("`{}` in the final stage cannot be done without Docker", .0.keyword())]
    Undoable(Undoable),
    /// There is no shell in `scratch` to read it.
    #[error("`{0}` in its shell form cannot start: there is no shell in `scratch`")]
    ShellForm(&'static str),
    /// Neither `ENTRYPOINT` nor `CMD`.
    #[error("the final stage has neither `ENTRYPOINT` nor `CMD`")]
    NothingToStart,
    /// A flag the packer does not know.
    #[error("the flag `{flag}` of `{keyword}` cannot be done without Docker")]
    Flag {
        /// The instruction.
        keyword: &'static str,
        /// The flag without its value.
        flag: String,
    },
    /// `COPY <<EOF`
    #[error("a heredoc in `COPY` cannot be done without Docker")]
    CopyHeredoc,
    /// `COPY *.txt /`
    #[error("the pattern `{0}` in `COPY` cannot be done without Docker")]
    Pattern(String),
    /// `COPY --from=image`
    #[error(
        "`COPY --from={0}` names no earlier stage, and an image cannot be fetched without Docker"
    )]
    CopyFromImage(String),
    /// `COPY --from=$STAGE`
    #[error("`COPY --from={0}`: no variable may stand there")]
    CopyFromVariable(String),
    /// `COPY a b /file`
    #[error("`COPY` of several sources to `{0}`, which is not a folder")]
    SeveralToOne(String),
    /// `--chown=name`
    #[error("the owner `{0}` is not numeric: there is no `/etc/passwd` to look it up in")]
    Owner(String),
    /// `--chmod=u+x`
    #[error("the mode `{0}` is not octal")]
    Mode(String),
    /// `EXPOSE http`
    #[error("`{0}` is not a port")]
    Port(String),
}

impl Problem {
    fn hint(&self) -> String {
        match self {
            Self::NoStage => "start the final stage with `FROM scratch`".to_owned(),
            Self::BadEscape(_) => "use `\\` or a backtick".to_owned(),
            Self::UnknownInstruction(_) => "look for a typing error, or for a `\\` missing at the end of the line above".to_owned(),
            Self::BeforeFrom(_) => "only `ARG` may stand there: move it below `FROM`".to_owned(),
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
            Self::NotScratch(_) => {
                "use `FROM scratch`: the program is static and needs nothing else; or build with Docker".to_owned()
            }
            Self::Undoable(instruction) => instruction.remedy().to_owned(),
            Self::ShellForm(keyword) => format!("use the exec form: `{keyword} [\"/app\"]`"),
            Self::NothingToStart => "add `ENTRYPOINT [\"/app\"]`".to_owned(),
            Self::Flag { .. } => "remove it, or build with Docker".to_owned(),
            Self::CopyHeredoc => "put the content into a file and copy that".to_owned(),
            Self::Pattern(_) => "name the files one by one, or copy their folder".to_owned(),
            Self::CopyFromImage(_) => {
                "take the program from a stage of this file, and other files from this folder; or build with Docker".to_owned()
            }
            Self::CopyFromVariable(_) => "name the stage".to_owned(),
            Self::SeveralToOne(destination) => format!("write `{destination}/`"),
            Self::Owner(_) => "use numbers, as in `--chown=65532:65532`".to_owned(),
            Self::Mode(_) => "use an octal number, as in `--chmod=0755`".to_owned(),
            Self::Port(_) => "use a number from 1 to 65535, with `/tcp` or `/udp` if you like".to_owned(),
        }
    }
}
