//! Starting other programs. No other file does: here is decided, once, how a program is started, what of our environment it
//! gets, how it is heard, ended with us, and how its failure is told. Three forms: [`Program::run`] for a long one whose lines are followed, [`Program::output`] for a
//! short one whose answer is wanted, [`Program::spawn_detached`] for one that outlives us.

mod environment;
mod lines;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

pub use environment::{is_secret, withheld};
use lines::Lines;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// How many of the last lines of standard error a failure carries.
pub const TAIL_LINES: usize = 40;
/// The most that [`Program::output`] keeps of each stream, in bytes.
const MAX_OUTPUT: u64 = 64 << 20;
/// How long to go on reading once the program itself has ended. A daemon which it left behind (a compiler cache, say) may
/// hold the pipes open for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program on the `PATH`.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// As it was called.
        program: String,
    },
    /// It is there, but it does not start: no permission, no such working folder.
    #[error("cannot start `{program}`")]
    Start {
        /// As it was called.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ran, and said that it failed.
    #[error("`{program}` failed ({status})")]
    Failed {
        /// As it was called.
        program: String,
        /// Its exit code or signal.
        status: ExitStatus,
        /// The last lines of its standard error, at most [`TAIL_LINES`].
        tail: Vec<String>,
    },
    /// It took longer than it was given, and was killed.
    #[error("`{program}` did not end within {} s", limit.as_secs_f64())]
    TimedOut {
        /// As it was called.
        program: String,
        /// The time it was given.
        limit: Duration,
    },
    /// Its output cannot be read.
    #[error("cannot read the output of `{program}`")]
    Read {
        /// As it was called.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log file of a detached program cannot be opened.
    #[error("cannot write `{}`", path.display())]
    LogFile {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ProcessError {
    /// True when the remedy is to install the program.
    pub const fn is_not_installed(&self) -> bool {
        matches!(self, Self::NotInstalled { .. })
    }
}

/// One line of a running program, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// From standard output.
    Output(&'a str),
    /// From standard error.
    Error(&'a str),
}

/// What a short program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended: also failures are an answer.
    pub status: ExitStatus,
    /// Standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// A program, its arguments and its surroundings, not yet started.
#[derive(Debug, Clone)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    env_removed: Vec<OsString>,
    allowed: Vec<String>,
    working_folder: Option<PathBuf>,
    input: Option<String>,
}

impl Program {
    /// A program by its name on the `PATH`, or by its path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            name: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            env_removed: Vec::new(),
            allowed: Vec::new(),
            working_folder: None,
            input: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable; all others are inherited, except for secrets.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Keeps one environment variable from being inherited.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env_removed.push(name.as_ref().to_owned());
        self
    }

    /// Lets the program inherit these variables although they are secrets: names, or beginnings of names that end in `*`.
    #[must_use]
    pub fn allow<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.allowed
            .extend(names.into_iter().map(|name| name.as_ref().to_owned()));
        self
    }

    /// Runs it in this folder instead of ours.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.working_folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Gives it a short text to read from standard input, which [`Program::output`] sends; else there is none.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs it to its end and hands over each line as it comes. Dropping the future kills the program and its children.
    pub async fn run(&self, mut on_line: impl FnMut(Line<'_>)) -> Result<(), ProcessError> {
        let (mut child, mut group) = self.spawn()?;
        let mut output = Lines::new(child.stdout.take());
        let mut error = Lines::new(child.stderr.take());
        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        let mut ended = None;
        // Armed when the program has ended; until then the branch is switched off.
        let drained = tokio::time::sleep(DRAIN);
        tokio::pin!(drained);
        while ended.is_none() || !(output.is_at_end() && error.is_at_end()) {
            tokio::select! {
                line = output.next(), if !output.is_at_end() => {
                    if let Some(line) = line.map_err(|source| self.unreadable(source))? {
                        on_line(Line::Output(&line));
                    }
                }
                line = error.next(), if !error.is_at_end() => {
                    if let Some(line) = line.map_err(|source| self.unreadable(source))? {
                        on_line(Line::Error(&line));
                        if tail.len() == TAIL_LINES {
                            tail.pop_front();
                        }
                        tail.push_back(line);
                    }
                }
                status = child.wait(), if ended.is_none() => {
                    ended = Some(status.map_err(|source| self.unreadable(source))?);
                    group.defuse();
                    drained.as_mut().reset(tokio::time::Instant::now() + DRAIN);
                }
                () = &mut drained, if ended.is_some() => break,
            }
        }
        match ended {
            Some(status) if !status.success() => Err(ProcessError::Failed {
                program: self.label(),
                status,
                tail: tail.into(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Runs a short program and captures what it says. A status other than success is an answer, not an error.
    pub async fn output(&self, limit: Duration) -> Result<Output, ProcessError> {
        let (mut child, mut group) = self.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let all = async {
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // A program that does not read it says what it lacks.
                stdin.write_all(input.as_bytes()).await.ok();
            }
            let (stdout, stderr) = tokio::try_join!(read_all(stdout), read_all(stderr))?;
            let status = child.wait().await?;
            Ok(Output {
                status,
                stdout,
                stderr,
            })
        };
        let output = tokio::time::timeout(limit, all)
            .await
            .map_err(|_elapsed| ProcessError::TimedOut {
                program: self.label(),
                limit,
            })?
            .map_err(|source| self.unreadable(source))?;
        group.defuse();
        Ok(output)
    }

    /// Starts a program that goes on when we end: a process group of its own (no Ctrl-C of ours reaches it), nothing to
    /// read, everything it says appended to `log_file`.
    pub fn spawn_detached(&self, log_file: &Path) -> Result<Detached, ProcessError> {
        let unwritable = |source| ProcessError::LogFile {
            path: log_file.to_owned(),
            source,
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_file)
            .map_err(unwritable)?;
        let both = log.try_clone().map_err(unwritable)?;
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            .spawn()
            .map_err(|source| self.not_started(source))?;
        Ok(Detached { child })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts programs"
    )]
    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.name);
        command.args(&self.args).process_group(0);
        for name in withheld(std::env::vars_os(), &self.allowed) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        for name in &self.env_removed {
            command.env_remove(name);
        }
        if let Some(folder) = &self.working_folder {
            command.current_dir(folder);
        }
        command
    }

    fn spawn(&self) -> Result<(tokio::process::Child, Group), ProcessError> {
        let child = tokio::process::Command::from(self.command())
            .stdin(if self.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| self.not_started(source))?;
        let group = Group {
            leader: child.id().and_then(to_pid),
        };
        Ok((child, group))
    }

    fn not_started(&self, source: io::Error) -> ProcessError {
        // "Not found" is also what the system says about a working folder that is not there.
        let folder_is_there = self.working_folder.as_ref().is_none_or(|it| it.is_dir());
        if source.kind() == io::ErrorKind::NotFound && folder_is_there {
            ProcessError::NotInstalled {
                program: self.label(),
            }
        } else {
            ProcessError::Start {
                program: self.label(),
                source,
            }
        }
    }

    fn unreadable(&self, source: io::Error) -> ProcessError {
        ProcessError::Read {
            program: self.label(),
            source,
        }
    }

    fn label(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// A program that runs on without us. Dropping this does not end it.
#[derive(Debug)]
pub struct Detached {
    child: std::process::Child,
}

impl Detached {
    /// Its process id, also that of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its status if it has ended already: a daemon that did not come up.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

/// Asks a program started by [`Program::spawn_detached`], and its children, to end (SIGTERM). False when it is not there.
pub fn terminate(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| kill_process_group(pid, Signal::TERM).is_ok())
}

/// Process 0 and 1 are never ours: as a group they would mean everyone.
fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

/// Kills a program *with its children* when the future that runs it is dropped.
struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// The program has ended by itself: its id may soon be another's.
    fn defuse(&mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It may have ended this moment: then there is nothing to kill, and nothing to tell.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
