//! Why an image cannot be packed.

use std::io;
use std::path::PathBuf;

use crate::Hint;
use crate::elf::ElfError;

/// Why an image cannot be packed. Lines are those of the Dockerfile, from 1.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The program does not get into the image.
    #[error(
        "the program `{program}` would not be in the image: no `COPY --from=…` takes it, or a later `COPY` replaces it"
    )]
    NoProgram {
        /// What cargo builds.
        program: String,
    },
    /// What is to be started is not in the image.
    #[error("`{path}` is to be started, but it is not in the image")]
    NothingAtEntrypoint {
        /// The first word of `ENTRYPOINT` or `CMD`.
        path: String,
    },
    /// What is to be started may not be.
    #[error(
        "`{path}` is to be started, but its mode {mode:04o} does not let the user of the image execute it"
    )]
    NotExecutable {
        /// The first word of `ENTRYPOINT` or `CMD`.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that is to be started is no program that runs here.
    #[error("`{path}` is to be started, but {problem}")]
    NoOtherProgram {
        /// The first word of `ENTRYPOINT` or `CMD`.
        path: String,
        /// Why not.
        problem: ElfError,
    },
    /// A user or a group that the image does not know.
    #[error("`{name}` is not known: it is not in `/{list}` of the image")]
    UnknownName {
        /// A user or a group.
        name: String,
        /// Where it is looked up, without the `/` in front.
        list: &'static str,
    },
    /// A number that engines refuse.
    #[error("`{0}` is out of the range of users and groups, 0 to 2147483647")]
    OutOfRange(String),
    /// Nothing is started.
    #[error("the first word of `ENTRYPOINT` or `CMD` is empty")]
    EmptyCommand,
    /// What is to be started is hidden by what the runtime mounts there.
    #[error("`{path}` is to be started, but the runtime mounts something else over that folder")]
    Hidden {
        /// The program.
        path: String,
    },
    /// A dynamic program without its libraries.
    #[error("`{path}` is to be started, but the image has no `{library}`, which it needs")]
    NoLibrary {
        /// The program.
        path: String,
        /// File name of the library.
        library: String,
    },
    /// A base image could not be read.
    #[error("the base image `{image}` cannot be used: {reason}")]
    Base {
        /// Its reference.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `..`, or a link, leads out of the build context.
    #[error("line {line}: `{source_path}` is outside of the build context")]
    Outside {
        /// Where.
        line: usize,
        /// What was to be copied.
        source_path: String,
    },
    /// There is no such file.
    #[error("line {line}: there is no `{source_path}`")]
    Absent {
        /// Where.
        line: usize,
        /// What was to be copied.
        source_path: String,
    },
    /// `.dockerignore` keeps it out.
    #[error("line {line}: `{source_path}` is excluded by `{}`", file.display())]
    Ignored {
        /// Where.
        line: usize,
        /// What was to be copied.
        source_path: String,
        /// The file that says so.
        file: PathBuf,
    },
    /// `.dockerignore` cannot be understood.
    #[error("`{}`, line {line}: `{pattern}` is not a pattern", file.display())]
    BadPattern {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What stands there.
        pattern: String,
    },
    /// A name that is reserved: in a layer it deletes a file of the layers below.
    #[error(
        "line {line}: the name of `/{path}` is reserved in images: it would delete another file"
    )]
    Whiteout {
        /// Where.
        line: usize,
        /// In the image.
        path: String,
    },
    /// The path leads nowhere.
    #[error("line {line}: `/{path}` leads to a file, or in a circle")]
    Nowhere {
        /// Where.
        line: usize,
        /// In the image.
        path: String,
    },
    /// A folder where a file is, or the other way round.
    #[error("line {line}: `/{path}` is a file and a folder at the same time")]
    InTheWay {
        /// Where.
        line: usize,
        /// In the image.
        path: String,
    },
    /// A socket, a pipe, a device, or a name that is not UTF-8.
    #[error("line {line}: `{}` cannot be put into an image", path.display())]
    Special {
        /// Where.
        line: usize,
        /// The file.
        path: PathBuf,
    },
    /// More than the packer takes.
    #[error("line {line}: the image would have more than {limit} bytes")]
    TooLarge {
        /// Where the limit is passed.
        line: usize,
        /// In bytes.
        limit: u64,
    },
    /// What another builder made has more than is taken: compressed, it is in memory.
    #[error("the layers of the image have more than {limit} bytes together")]
    LayersTooLarge {
        /// In bytes, before they are compressed.
        limit: u64,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has another size than a moment ago.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file of a large layer is another one than a moment ago.
    #[error("a file changed while the image was packed")]
    Unsteady,
    /// What another builder made cannot be read.
    #[error("the builder's archive cannot be used: {0}")]
    Archive(String),
    /// What another builder made is for another processor.
    #[error("the image is made for `{found}`, not for `{wanted}`")]
    OtherArchitecture {
        /// What it says.
        found: String,
        /// What is deployed to.
        wanted: &'static str,
    },
    /// What is to be started would not run.
    #[error("`{path}` of the image would not start: {problem}")]
    Unusable {
        /// The program's path in the image.
        path: String,
        /// Why.
        problem: ElfError,
    },
    /// The archive cannot be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// `SOURCE_DATE_EPOCH` is not a number of seconds.
    #[error("`SOURCE_DATE_EPOCH` is `{0}`, which is not a time")]
    Created(String),
}

impl Hint for PackError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram { program } => {
                Some(format!("add `COPY --from=build /out/{program} /{program}`"))
            }
            Self::NothingAtEntrypoint { .. } => {
                Some("make the path the destination of a `COPY`".to_owned())
            }
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
            Self::Absent { .. } => Some("paths start at the folder of the Dockerfile".to_owned()),
            Self::Ignored { source_path, .. } => Some(format!("add `!{source_path}` to it")),
            Self::BadPattern { .. } => {
                Some("close each `[` with a `]`; a `\\` needs a character behind it".to_owned())
            }
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
            Self::Archive(_) | Self::Read { .. } | Self::Write(_) => None,
        }
    }
}
