//! A run that is interrupted in any step leaves nothing behind: at once after SIGINT and SIGTERM, and after the next start if it
//! was killed.
//!
//! What is left is seen from outside: from the Docker engine, the emulator's port, the process table and the records.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_acceptance");
/// Delay between the start of a step and the interruption, by round.
const DELAYS: [u64; 4] = [100, 1500, 400, 4000];

/// Folders and port of one run.
struct Surroundings {
    port: u16,
    folder: tempfile::TempDir,
}

impl Surroundings {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self {
            port: listener.local_addr().expect("an address").port(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        println!("$ acceptance {}", arguments.join(" "));
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env("XDG_STATE_HOME", self.folder.path())
            .env_remove("AWS_ENDPOINT_URL");
        command
    }

    fn start(&self, step: &str) -> Child {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let images = images();
        let report = self.folder.path().join("report");
        let mut command = self.command(&[
            "run",
            "--local",
            "--endpoint-url",
            &endpoint,
            "--only",
            step,
        ]);
        command
            .arg("--images")
            .arg(images)
            .arg("--report")
            .arg(report);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    fn records(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("deployer-acceptance")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }

    /// Containers of the emulator, running or not.
    fn containers(&self) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
        let label = format!("label=ministack.instance={}:{}", host.trim(), self.port);
        output(Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &label]))
    }

    /// Images that Docker pulled from the emulator.
    fn images(&self) -> String {
        let reference = format!("reference=localhost:{}/*", self.port);
        output(Command::new("docker").args(["image", "ls", "--quiet", "--filter", &reference]))
    }

    fn assert_nothing_is_left(&self, case: &str) {
        assert_eq!(self.records(), Vec::<PathBuf>::new(), "{case}");
        assert_eq!(programs(self.folder.path()), Vec::<String>::new(), "{case}");
        assert_eq!(self.containers(), "", "{case}");
        assert_eq!(self.images(), "", "{case}");
        let emulator = TcpStream::connect(("127.0.0.1", self.port));
        assert!(emulator.is_err(), "{case}: the emulator still runs");
    }
}

/// Programs that use this folder for their state.
fn programs(folder: &Path) -> Vec<String> {
    let wanted = format!("XDG_STATE_HOME={}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")
        .expect("a process table")
        .flatten()
    {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let variables = read("environ");
        if variables
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
        {
            found.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    found
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Images of all runs, built once.
fn images() -> PathBuf {
    let target = Path::new(PROGRAM)
        .ancestors()
        .nth(2)
        .expect("a target folder");
    target.join("acceptance/images")
}

/// Names of all steps, as the program says them.
fn steps() -> Vec<String> {
    let help = output(Command::new(PROGRAM).args(["run", "--help"]));
    let (_, values) = help.split_once("[possible values: ").expect("the steps");
    let (values, _) = values.split_once(']').expect("their end");
    values
        .split(',')
        .map(|step| step.trim().to_owned())
        .collect()
}

/// Starts a run, sends the signal in this step, and returns the exit code.
fn interrupt(
    surroundings: &Surroundings,
    step: &str,
    signal: &str,
    delay: Duration,
) -> Option<i32> {
    let mut child = surroundings.start(step);
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let is_reached = lines.by_ref().map_while(Result::ok).any(|line| {
        println!("{line}");
        line.contains(&format!(", {step}: "))
    });
    assert!(is_reached, "step `{step}` was not reached");
    std::thread::sleep(delay);
    let pid = child.id().to_string();
    println!("$ kill -{signal} (step `{step}`, after {delay:?})");
    output(Command::new("kill").args([&format!("-{signal}"), &pid]));
    for line in lines.map_while(Result::ok) {
        println!("{line}");
    }
    child.wait().expect("it ends").code()
}

#[test]
fn nothing_is_left_whenever_it_is_interrupted() {
    let images = images();
    let status = Command::new(PROGRAM).arg("images").arg(&images).status();
    assert!(status.expect("the program starts").success());
    let only = std::env::var("ACCEPTANCE_STEP").ok();
    let steps = steps();
    assert_eq!(steps.len(), 17, "{steps:?}");
    let selected = steps.iter().enumerate();
    let selected = selected.filter(|(_, step)| only.as_ref().is_none_or(|only| only == *step));
    for (number, step) in selected {
        // Every third one is killed; in a step that the others would reach as well.
        let signal = ["INT", "KILL", "TERM"][number % 3];
        // The first step ends soon, and the last one leaves soon nothing to be interrupted.
        let is_short = step == "doctor" || step == "delete";
        let delay = if is_short {
            0
        } else {
            DELAYS[number % DELAYS.len()]
        };
        let case = format!("{signal} in step {step}");
        println!("\n==== {case}");
        let surroundings = Surroundings::new();
        let code = interrupt(&surroundings, step, signal, Duration::from_millis(delay));
        if signal == "KILL" {
            assert_eq!(code, None, "{case}");
            assert_eq!(surroundings.records().len(), 1, "{case}: no record");
            let clean = surroundings.command(&["clean"]).status();
            assert!(clean.expect("the program starts").success(), "{case}");
        } else {
            assert_eq!(code, Some(130), "{case}");
        }
        surroundings.assert_nothing_is_left(&case);
    }
}
