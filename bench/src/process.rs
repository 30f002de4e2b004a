//! Runs and times programs. None outlives the benchmark, even if one hangs or the benchmark is
//! interrupted.
//!
//! Each program has its own process group, so that Ctrl-C only reaches the benchmark, which then
//! ends the others in order.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Polling interval of the watcher.
const LOOK: Duration = Duration::from_millis(100);
/// Maximum time that a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Reason why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// A program that is measured or needed does not work.
    #[error("{0}")]
    Failed(String),
    /// A file cannot be read or written.
    #[error("{what}: {source}")]
    File {
        what: String,
        source: std::io::Error,
    },
}

impl Error {
    /// Returns a function for `map_err` that adds what could not be read, written, or reached.
    pub(crate) fn at(what: impl ToString) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            what: what.to_string(),
            source,
        }
    }
}

/// Set by Ctrl-C or SIGTERM.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Program that the benchmark waits for.
static FOREGROUND: Mutex<Option<Foreground>> = Mutex::new(None);

struct Foreground {
    group: Pid,
    /// Time of SIGTERM, later of SIGKILL.
    deadline: Instant,
    /// Set if an interruption ends the program, which is not the case for cleanup.
    is_interruptible: bool,
    was_asked: bool,
}

/// Fails after an interruption.
pub(crate) fn check() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        Err(Error::Interrupted)
    } else {
        Ok(())
    }
}

/// Handles signals and ends programs that are overdue, for as long as this process lives.
pub(crate) async fn watch() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => INTERRUPTED.store(true, Ordering::SeqCst),
            _ = terminate.recv() => INTERRUPTED.store(true, Ordering::SeqCst),
            () = tokio::time::sleep(LOOK) => {}
        }
        let mut guard = FOREGROUND.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(foreground) = guard.as_mut() else {
            continue;
        };
        let now = Instant::now();
        let is_over = foreground.is_interruptible && INTERRUPTED.load(Ordering::SeqCst);
        if foreground.was_asked && now >= foreground.deadline {
            let _ = kill_process_group(foreground.group, Signal::KILL);
        } else if !foreground.was_asked && (is_over || now >= foreground.deadline) {
            let _ = kill_process_group(foreground.group, Signal::TERM);
            foreground.was_asked = true;
            foreground.deadline = now + GRACE;
        }
    }
}

/// Prepares a program.
#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark starts the programs that it measures"
)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).process_group(0);
    // Debian installs servers such as nginx in `sbin`.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Prepares a program that runs on one core.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut pinned = command("taskset");
    pinned.args(["--cpu-list", &core.to_string()]).arg(program);
    pinned
}

/// Duration and output of a program that succeeded.
pub(crate) struct Finished {
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end. Fails if the program does.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Finished, Error> {
    check()?;
    let result = finish(command, limit, true);
    // A program that failed because of the interruption counts as interrupted.
    check()?;
    result
}

/// Runs a program that cleans up: an interruption does not end it, and a failure is only reported.
pub(crate) fn clean_up(command: &mut Command, limit: Duration) {
    if let Err(error) = finish(command, limit, false) {
        crate::output::note(&format!("cleaning up: {error}"));
    }
}

fn finish(
    command: &mut Command,
    limit: Duration,
    is_interruptible: bool,
) -> Result<Finished, Error> {
    let name = shown(command);
    let started = Instant::now();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::at(format!("cannot start `{name}`")))?;
    set_foreground(group(&child).map(|group| Foreground {
        group,
        deadline: started + limit,
        is_interruptible,
        was_asked: false,
    }));
    let output = child.wait_with_output();
    let took = started.elapsed();
    set_foreground(None);
    let Output {
        status,
        stdout,
        stderr,
    } = output.map_err(Error::at(format!("cannot read the output of `{name}`")))?;
    let finished = Finished {
        took,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    };
    if status.success() {
        return Ok(finished);
    }
    let reason = if took >= limit {
        format!("did not end within {} s", limit.as_secs())
    } else {
        format!("failed ({status})")
    };
    Err(Error::Failed(format!(
        "`{name}` {reason}: {}{}",
        finished.stderr, finished.stdout
    )))
}

fn set_foreground(foreground: Option<Foreground>) {
    *FOREGROUND.lock().unwrap_or_else(PoisonError::into_inner) = foreground;
}

fn group(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Background program. Ended on drop.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts it and discards its output.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        check()?;
        let name = shown(command);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(|child| Self { child })
            .map_err(Error::at(format!("cannot start `{name}`")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(group) = group(&self.child) else {
            return;
        };
        if self.has_ended() {
            return;
        }
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Waits for the process as well, so that no zombie remains.
        if !self.has_ended() {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
