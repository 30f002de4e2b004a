//! Errors of packing an image.

use std::io;
use std::path::PathBuf;

use crate::Hint;
use crate::elf::ElfError;

/// Reason why an image cannot be packed. Line numbers are those of the Dockerfile, from 1.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The program is not in the image.
    #[error(
        "the program `{program}` would not be in the image: no `COPY --from=…` takes it, or a later `COPY` replaces it"
    )]
    NoProgram {
        /// Name of the program.
        program: String,
    },
    /// The file to start is not in the image.
    #[error("`{path}` is to be started, but it is not in the image")]
    NothingAtEntrypoint {
        /// First word of `ENTRYPOINT` or `CMD`.
        path: String,
    },
    /// The shell form is used, but the image has no shell.
    #[error("`{shell}` is to run `{command}`, but the image has no such shell")]
    NoShell {
        /// First word of `SHELL`.
        shell: String,
        /// Text of `ENTRYPOINT` or `CMD`.
        command: String,
    },
    /// The file to start is not executable for the user.
    #[error(
        "`{path}` is to be started, but its mode {mode:04o} does not let the user of the image execute it"
    )]
    NotExecutable {
        /// First word of `ENTRYPOINT` or `CMD`.
        path: String,
        /// Permission bits of the file.
        mode: u32,
    },
    /// The file to start is not a program for this platform.
    #[error("`{path}` is to be started, but {problem}")]
    NoOtherProgram {
        /// First word of `ENTRYPOINT` or `CMD`.
        path: String,
        /// Result of the ELF check.
        problem: ElfError,
    },
    /// The image does not define this user or group.
    #[error("`{name}` is not known: it is not in `/{list}` of the image")]
    UnknownName {
        /// Name of the user or group.
        name: String,
        /// File that was searched, without the leading `/`.
        list: &'static str,
    },
    /// The number is out of the range that container engines accept.
    #[error("`{0}` is out of the range of users and groups, 0 to 2147483647")]
    OutOfRange(String),
    /// The command is empty.
    #[error("the first word of `ENTRYPOINT` or `CMD` is empty")]
    EmptyCommand,
    /// The file to start is below a folder that the runtime mounts over.
    #[error("`{path}` is to be started, but the runtime mounts something else over that folder")]
    Hidden {
        /// Path of the program.
        path: String,
    },
    /// The image lacks a shared library that the program needs.
    #[error("`{path}` is to be started, but the image has no `{library}`, which it needs")]
    NoLibrary {
        /// Path of the program.
        path: String,
        /// File name of the library.
        library: String,
    },
    /// A base image cannot be read.
    #[error("the base image `{image}` cannot be used: {reason}")]
    Base {
        /// Reference of the image.
        image: String,
        /// Description of the defect.
        reason: String,
    },
    /// The path leaves the build context by `..` or by a symbolic link.
    #[error("line {line}: `{source_path}` is outside of the build context")]
    Outside {
        /// Line number of the instruction.
        line: usize,
        /// Source path of the `COPY`.
        source_path: String,
    },
    /// The file does not exist.
    #[error("line {line}: there is no `{source_path}`")]
    Absent {
        /// Line number of the instruction.
        line: usize,
        /// Source path of the `COPY`.
        source_path: String,
    },
    /// The other image or stage has no such file.
    #[error("line {line}: there is no `{source_path}` in `{from}`")]
    AbsentThere {
        /// Line number of the instruction.
        line: usize,
        /// Source path of the `COPY`.
        source_path: String,
        /// Name of the stage, or reference of the image.
        from: String,
    },
    /// `.dockerignore` excludes the file.
    #[error("line {line}: `{source_path}` is excluded by `{}`", file.display())]
    Ignored {
        /// Line number of the instruction.
        line: usize,
        /// Source path of the `COPY`.
        source_path: String,
        /// Path of the ignore file.
        file: PathBuf,
    },
    /// `.dockerignore` has an invalid pattern.
    #[error("`{}`, line {line}: `{pattern}` is not a pattern", file.display())]
    BadPattern {
        /// Path of the ignore file.
        file: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Pattern as written.
        pattern: String,
    },
    /// The pattern of a `COPY` is invalid.
    #[error("line {line}: `{pattern}` is not a pattern")]
    Pattern {
        /// Line number of the instruction.
        line: usize,
        /// Pattern as written.
        pattern: String,
    },
    /// The pattern of a `COPY` matches several files, but its destination is no folder.
    #[error("line {line}: `{pattern}` matches several files, and the destination is not a folder")]
    SeveralToOne {
        /// Line number of the instruction.
        line: usize,
        /// Pattern as written.
        pattern: String,
    },
    /// `ADD` would unpack the file.
    #[error("line {line}: `ADD` unpacks `{source_path}`, which needs Docker")]
    Unpacked {
        /// Line number of the instruction.
        line: usize,
        /// Source path of the `ADD`.
        source_path: String,
    },
    /// The name is reserved: in a layer, it deletes a file of a lower one.
    #[error(
        "line {line}: the name of `/{path}` is reserved in images: it would delete another file"
    )]
    Whiteout {
        /// Line number of the instruction.
        line: usize,
        /// Path in the image.
        path: String,
    },
    /// The destination cannot be resolved.
    #[error("line {line}: `/{path}` leads to a file, or in a circle")]
    Nowhere {
        /// Line number of the instruction.
        line: usize,
        /// Path in the image.
        path: String,
    },
    /// A folder would replace a file, or the other way round.
    #[error("line {line}: `/{path}` is a file and a folder at the same time")]
    InTheWay {
        /// Line number of the instruction.
        line: usize,
        /// Path in the image.
        path: String,
    },
    /// The file is a socket, pipe or device, or its name is not UTF-8.
    #[error("line {line}: `{}` cannot be put into an image", path.display())]
    Special {
        /// Line number of the instruction.
        line: usize,
        /// Path of the file.
        path: PathBuf,
    },
    /// The files exceed the size limit.
    #[error("line {line}: the image would have more than {limit} bytes")]
    TooLarge {
        /// Line number where the limit is exceeded.
        line: usize,
        /// Limit in bytes.
        limit: u64,
    },
    /// The layers of another builder's image exceed the size limit, since they are kept in memory.
    #[error("the layers of the image have more than {limit} bytes together")]
    LayersTooLarge {
        /// Limit in bytes, before compression.
        limit: u64,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file changed its size while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// Path of the file.
        path: PathBuf,
    },
    /// A file of a large layer changed between two reads.
    #[error("a file changed while the image was packed")]
    Unsteady,
    /// The archive of another builder is invalid.
    #[error("the builder's archive cannot be used: {0}")]
    Archive(String),
    /// The image of another builder is for another architecture.
    #[error("the image is made for `{found}`, not for `{wanted}`")]
    OtherArchitecture {
        /// Architecture of the image.
        found: String,
        /// Architecture that is required.
        wanted: &'static str,
    },
    /// The program in the image of another builder cannot start.
    #[error("`{path}` of the image would not start: {problem}")]
    Unusable {
        /// Path of the program in the image.
        path: String,
        /// Result of the ELF check.
        problem: ElfError,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// `SOURCE_DATE_EPOCH` is not a number of seconds.
    #[error("`SOURCE_DATE_EPOCH` is `{0}`, which is not a time")]
    Created(String),
}

impl PackError {
    /// Returns whether Docker supports this. All other errors also fail in Docker, or yield an
    /// image that does not start.
    pub const fn needs_docker(&self) -> bool {
        matches!(self, Self::Unpacked { .. })
    }
}

impl Hint for PackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram { program } => {
                Some(format!("let the final stage take it, as in `COPY --from=STAGE /src/target/release/{program} /{program}`, from the stage that compiles"))
            }
            Self::NothingAtEntrypoint { .. } => {
                Some("make the path the destination of a `COPY`".to_owned())
            }
            Self::NoShell { command, .. } if command.starts_with('[') => Some(
                "the list is not valid JSON: write it with double quotes and no comma at the end, as in `ENTRYPOINT [\"/app\"]`".to_owned(),
            ),
            Self::NoShell { .. } => Some(
                "use the exec form, as in `ENTRYPOINT [\"/app\"]`, or start from an image with a shell".to_owned(),
            ),
            Self::NotExecutable { .. } => Some(
                "make it executable (`chmod +x`, or `COPY --chmod=0755`), or give it to the user (`COPY --chown`)".to_owned(),
            ),
            Self::NoOtherProgram { .. } => Some(
                "start the program that cargo builds; or copy a static program for this processor, or a script that begins with `#!` and what runs it".to_owned(),
            ),
            Self::OutOfRange(_) => Some("choose a number in that range, such as 65532".to_owned()),
            Self::EmptyCommand => Some("write `ENTRYPOINT [\"/app\"]`".to_owned()),
            Self::Hidden { .. } => Some("copy it elsewhere, such as `/app`".to_owned()),
            Self::NoLibrary { .. } => Some("start from an image that has it, or let cargo build the program, which is static then".to_owned()),
            Self::Base { .. } => Some("check the reference; `--builder docker` builds on any image that Docker can pull".to_owned()),
            Self::UnknownName { list, .. } => Some(format!(
                "say its number, as in `USER 65532:65532`, or copy a `/{list}` in which it is"
            )),
            Self::Outside { .. } => Some(
                "move it into the folder of the Dockerfile; links must stay within it".to_owned(),
            ),
            Self::Absent { .. } => Some(
                "paths start at the folder of the Dockerfile, or at `context` under `[image]`; make it before, if another command makes it".to_owned(),
            ),
            Self::AbsentThere { from, .. } => Some(format!(
                "the path starts at `/` of `{from}`, not at the folder of the Dockerfile: look for the file in there"
            )),
            Self::Ignored { source_path, .. } => Some(format!("add `!{source_path}` to it")),
            Self::BadPattern { .. } => {
                Some("close each `[` with a `]`; a `\\` needs a character behind it".to_owned())
            }
            Self::Pattern { .. } => Some("close each `[` with a `]`".to_owned()),
            Self::SeveralToOne { .. } => Some("let the destination end in `/`".to_owned()),
            Self::Unpacked { .. } => Some("unpack it and `COPY` the folder, or build with Docker: `--builder docker`".to_owned()),
            Self::Whiteout { .. } => Some("rename it".to_owned()),
            Self::InTheWay { .. } | Self::Nowhere { .. } => Some("copy to different paths".to_owned()),
            Self::Special { .. } => Some("exclude it in `.dockerignore`".to_owned()),
            Self::TooLarge { .. } => {
                Some("exclude what the service does not need in `.dockerignore`".to_owned())
            }
            Self::LayersTooLarge { .. } => Some(
                "let the Dockerfile's final stage start from a smaller image, and copy only what the service needs".to_owned(),
            ),
            Self::Changed { .. } | Self::Unsteady => Some("try again when nothing writes to it".to_owned()),
            Self::Created(_) => Some("use whole seconds since 1970".to_owned()),
            Self::OtherArchitecture { .. } => Some(
                "let the Dockerfile build for the platform that it is given, or set `architecture` under `[service]`".to_owned(),
            ),
            Self::Unusable { .. } => Some(
                "in the Dockerfile, compile for the right target and with `-C target-feature=+crt-static`, or start from an image that has what the program needs".to_owned(),
            ),
            // The cause is specific to the machine or the file, so no general hint applies.
            Self::Archive(_) | Self::Read { .. } | Self::Write(_) => None,
        }
    }
}
