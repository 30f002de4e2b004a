//! Starts other programs, and is the only place that does. It decides which variables they inherit,
//! how their output is read, when they are killed, and how a failure is reported.
//!
//! There are three forms. [`Program::run`] is for a long program whose lines are followed,
//! [`Program::output`] for a short one whose output is needed, and [`Program::spawn_detached`] for
//! one that keeps running after this process.

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

/// Number of the last lines of standard error that a failure contains.
pub const TAIL_LINES: usize = 40;
/// Size limit for each stream in [`Program::output`], in bytes.
const MAX_OUTPUT: u64 = 64 << 20;
/// Time to continue reading after the program has ended. A daemon that it started, such as a
/// compiler cache, may keep the pipes open forever.
const DRAIN: Duration = Duration::from_secs(1);

/// Reason why a program did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not on the `PATH`.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// Name or path of the program.
        program: String,
    },
    /// The program cannot be started: for example, it is not executable, or the working folder does
    /// not exist.
    #[error("cannot start `{program}`")]
    Start {
        /// Name or path of the program.
        program: String,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The program reported a failure.
    #[error("`{program}` failed ({status})")]
    Failed {
        /// Name or path of the program.
        program: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// Last lines of standard error, at most [`TAIL_LINES`].
        tail: Vec<String>,
    },
    /// The program exceeded its time limit and was killed.
    #[error("`{program}` did not end within {} s", limit.as_secs_f64())]
    TimedOut {
        /// Name or path of the program.
        program: String,
        /// Time limit that it exceeded.
        limit: Duration,
    },
    /// The output of the program cannot be read.
    #[error("cannot read the output of `{program}`")]
    Read {
        /// Name or path of the program.
        program: String,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The log file of a detached program cannot be opened.
    #[error("cannot write `{}`", path.display())]
    LogFile {
        /// Path of the log file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl ProcessError {
    /// Returns whether the program is not installed.
    pub const fn is_not_installed(&self) -> bool {
        matches!(self, Self::NotInstalled { .. })
    }
}

/// Line of a running program, without its line ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// Line from standard output.
    Output(&'a str),
    /// Line from standard error.
    Error(&'a str),
}

/// Result of a short program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status, which may be a failure.
    pub status: ExitStatus,
    /// Standard output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, with invalid UTF-8 replaced.
    pub stderr: String,
}

/// Program to start, with its arguments and environment.
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
    /// Creates a program from its name on the `PATH`, or from its path.
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

    /// Adds one argument to the command line.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments to the command line.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable. All others are inherited, except for secrets.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Excludes one environment variable from inheritance.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env_removed.push(name.as_ref().to_owned());
        self
    }

    /// Allows the program to inherit these variables although they are secrets. Each is a name, or
    /// a prefix that ends in `*`.
    #[must_use]
    pub fn allow<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.allowed
            .extend(names.into_iter().map(|name| name.as_ref().to_owned()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.working_folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets the text that [`Program::output`] writes to standard input, which is otherwise empty.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs the program to its end, and passes on each line as it arrives. Dropping the future
    /// kills the program and its children.
    pub async fn run(&self, mut on_line: impl FnMut(Line<'_>)) -> Result<(), ProcessError> {
        let (mut child, mut group) = self.spawn()?;
        let mut output = Lines::new(child.stdout.take());
        let mut error = Lines::new(child.stderr.take());
        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        let mut ended = None;
        // Reset when the program ends; until then the condition disables this branch.
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

    /// Runs a short program and captures its output. A failure status is a result, not an error.
    pub async fn output(&self, limit: Duration) -> Result<Output, ProcessError> {
        let (mut child, mut group) = self.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let all = async {
            // Standard input is closed at the end of this block, as programs may read to its end.
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // An error is ignored: a program that does not read its input reports what it
                // lacks.
                stdin.write_all(input.as_bytes()).await.ok();
            }
            // Both streams are read concurrently: a program blocks once a pipe that nobody reads is
            // full.
            let (stdout, stderr) = tokio::try_join!(read_all(stdout), read_all(stderr))?;
            let status = child.wait().await?;
            Ok(Output {
                status,
                stdout,
                stderr,
            })
        };
        // If the limit expires, dropping `group` kills the program and its children.
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

    /// Starts a program that keeps running when this process ends. It has its own process group, so
    /// no Ctrl-C reaches it. Its standard input is empty, and its output is appended to `log_file`.
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
        // Unlike a child of tokio with `kill_on_drop`, this one survives its handle.
        Ok(Detached { child })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that starts programs"
    )]
    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.name);
        // Its own process group, so that its children can be killed with it and no Ctrl-C reaches
        // it.
        command.args(&self.args).process_group(0);
        for name in withheld(std::env::vars_os(), &self.allowed) {
            command.env_remove(name);
        }
        // After the removal, so that a secret can still be passed on explicitly.
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
            // Kills only the program itself; `Group` also kills its children.
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| self.not_started(source))?;
        let group = Group {
            leader: child.id().and_then(to_pid),
        };
        Ok((child, group))
    }

    fn not_started(&self, source: io::Error) -> ProcessError {
        // The system also reports "not found" if the working folder does not exist.
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

/// Program that runs independently. Dropping this value does not end it.
#[derive(Debug)]
pub struct Detached {
    child: std::process::Child,
}

impl Detached {
    /// Returns the process ID, which is also that of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the exit status if the program has ended, as a daemon that failed to start has.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

/// Sends SIGTERM to a program from [`Program::spawn_detached`] and to its children. Returns whether
/// the signal was sent.
pub fn terminate(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| kill_process_group(pid, Signal::TERM).is_ok())
}

/// Converts a process ID. IDs 0 and 1 are rejected: as a group, they would address other processes.
fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .and_then(Pid::from_raw)
}

/// Guard that kills a program *with its children* when the future that runs it is dropped.
struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// Disarms the guard once the program has ended, since its ID may be reused.
    fn defuse(&mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // The program may have ended just now, so an error is ignored.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // Beyond the limit, the pipe is closed: writing more fails and does not block the program.
        stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
