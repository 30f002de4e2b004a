//! Runs the programs under test by their public command line, and reads their JSON Lines.
//!
//! Each program has its own process group, so that Ctrl-C reaches only this one. It carries the
//! run's mark in its environment, by which a later run finds it if this one is killed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

/// Variable that marks programs of a run. The emulator inherits it.
const MARK: &str = "ACCEPTANCE_RUN";
/// Variable that marks other programs that a run needs, and what they start: nothing of theirs is to
/// stay.
const HELPER_MARK: &str = "ACCEPTANCE_HELPER";
/// Maximum time that a program may take to end after each signal.
const GRACE: Duration = Duration::from_secs(3);
/// Maximum time that a pipe may stay open after its program has ended.
const PIPE_GRACE: Duration = Duration::from_secs(10);

/// Program that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    /// Lines of standard output that are JSON.
    pub(crate) lines: Vec<Value>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Finished {
    /// Returns the last JSON line.
    pub(crate) fn last(&self) -> &Value {
        self.lines.last().unwrap_or(&Value::Null)
    }

    /// Returns the events with this name.
    pub(crate) fn events<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == name)
    }

    /// Describes the end in one line, without anything that only this machine knows.
    pub(crate) fn end(&self) -> String {
        let failure = &self.last()["failure"];
        let code = match self.code {
            Some(code) => format!("exit code {code}"),
            None => "killed".to_owned(),
        };
        match (failure["message"].as_str(), failure["cause"].as_str()) {
            (Some(message), Some(cause)) => format!("{code}: {message}: {cause}"),
            (Some(message), None) => format!("{code}: {message}"),
            _ => match self.stderr.trim().lines().last() {
                Some(line) => format!("{code}: {line}"),
                None => code,
            },
        }
    }
}

/// Finds a program that was built beside this one.
pub(crate) fn sibling(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
    let program = this.with_file_name(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("`{name}` is not built: run `make build`"))
    }
}

/// Prepares a program of the run with this mark.
#[expect(
    clippy::disallowed_methods,
    reason = "the programs under test are called as a user does"
)]
pub(crate) fn command(program: impl AsRef<OsStr>, mark: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .env(MARK, mark);
    command
}

/// Prepares another program that the run with this mark needs.
pub(crate) fn helper(program: impl AsRef<OsStr>, mark: &str) -> Command {
    let mut command = command(program, mark);
    command.env(HELPER_MARK, mark);
    command
}

/// Runs a program. `on_line` sees each JSON line and may return a signal to send.
pub(crate) async fn run(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&Value) -> Option<Signal> + Send,
) -> Result<Finished, String> {
    let started = Instant::now();
    let name = command.as_std().get_program().display().to_string();
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start `{name}`: {error}"))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(Pid::from_raw);
    let (Some(pid), Some(stdout), Some(mut stderr)) =
        (pid, child.stdout.take(), child.stderr.take())
    else {
        return Err(format!("`{name}` has no output"));
    };
    let errors = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let mut lines = Vec::new();
    let mut stdout = BufReader::new(stdout).lines();
    let reading = async {
        while let Ok(Some(line)) = stdout.next_line().await {
            let Ok(line) = serde_json::from_str(&line) else {
                continue;
            };
            if let Some(signal) = on_line(&line) {
                let _ = kill_process(pid, signal);
            }
            lines.push(line);
        }
        child.wait().await
    };
    let Ok(status) = tokio::time::timeout(limit, reading).await else {
        let _ = kill_process(pid, Signal::TERM);
        return Err(format!("`{name}` did not end within {} s", limit.as_secs()));
    };
    let status = status.map_err(|error| format!("cannot wait for `{name}`: {error}"))?;
    Ok(Finished {
        code: status.code(),
        lines,
        // A grandchild that was started in the background may keep the pipe open.
        stderr: match tokio::time::timeout(PIPE_GRACE, errors).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        },
        took: started.elapsed(),
    })
}

/// Ends the programs of a run: asks twice, then kills. Returns how many had to be killed.
///
/// The second SIGTERM makes the deployer exit at once; what it started continues on AWS and is
/// deleted afterwards.
pub(crate) async fn end_all(mark: &str) -> usize {
    for signal in [Signal::TERM, Signal::TERM] {
        let found = of_run(mark);
        if found.is_empty() {
            return 0;
        }
        for pid in found {
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + GRACE;
        while !of_run(mark).is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let found = of_run(mark);
    for pid in &found {
        let _ = kill_process(*pid, Signal::KILL);
    }
    found.len()
}

/// Returns the programs under test that carry this mark, and its helpers. The emulator is neither.
fn of_run(mark: &str) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        is_ours(&read("cmdline"), &read("environ"), mark)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Returns whether a process is a program under test with this mark, or comes from a helper with it.
fn is_ours(arguments: &[u8], variables: &[u8], mark: &str) -> bool {
    // A script has its interpreter in front.
    let names = arguments.split(|byte| *byte == 0).take(2);
    let mut names = names.map(|argument| Path::new(OsStr::from_bytes(argument)).file_name());
    let is_program =
        names.any(|name| name.is_some_and(|name| name == "deployer" || name == "checker"));
    let has = |name: &str| {
        let wanted = format!("{name}={mark}");
        variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    };
    has(HELPER_MARK) || (is_program && has(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_the_run_are_ended() {
        let variables = b"HOME=/\0ACCEPTANCE_RUN=one\0";
        assert!(is_ours(b"/x/deployer\0up\0", variables, "one"));
        assert!(!is_ours(b"/x/python3\0ministack\0", variables, "one"));
        assert!(!is_ours(b"/x/deployer\0up\0", variables, "other"));
        assert!(!is_ours(b"", variables, "one"));
        // What a helper starts has another name.
        let helper = b"ACCEPTANCE_HELPER=one\0ACCEPTANCE_RUN=one\0";
        assert!(is_ours(b"/x/python3\0-m\0pip\0", helper, "one"));
        assert!(!is_ours(b"/x/python3\0-m\0pip\0", helper, "other"));
    }

    #[test]
    fn the_end_names_code_message_and_cause() {
        let finished = |line| Finished {
            code: Some(6),
            lines: vec![line],
            stderr: String::new(),
            took: Duration::ZERO,
        };
        let failed = serde_json::json!({ "event": "failed", "failure": { "message": "no", "cause": "clock" } });
        assert_eq!(finished(failed).end(), "exit code 6: no: clock");
        assert_eq!(finished(Value::Null).end(), "exit code 6");
    }
}
