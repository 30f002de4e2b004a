//! The programs under test, as this run calls them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::process::{self, Finished, command, helper};
use crate::record::Run;

/// Settings of the caller that say how the service is reached. All others of the deployer would
/// change what is tested.
const KEPT: [&str; 3] = [
    "DEPLOYER_CONNECT_TO",
    "DEPLOYER_REGISTRY",
    "DEPLOYER_CHECK_PROXY",
];
/// Maximum time of a command that only reads.
const READ_LIMIT: Duration = Duration::from_mins(5);
/// Maximum time of a deployment or deletion: above the deployer's own limits.
pub(crate) const LIMIT: Duration = Duration::from_hours(1);

/// The programs under test.
pub(crate) struct Programs {
    /// Folder of the project.
    pub(crate) root: PathBuf,
    pub(crate) run: Run,
    deployer: PathBuf,
    checker: PathBuf,
    /// Events of all commands, for whoever has to find out more.
    log: Mutex<Option<File>>,
    /// Set from the start of a deletion until one has proved that nothing is left.
    is_deletion_unproven: AtomicBool,
}

impl Programs {
    /// Finds the programs beside this one.
    pub(crate) fn find(run: Run) -> Result<Self, String> {
        Ok(Self {
            root: root(),
            run,
            deployer: process::sibling("deployer")?,
            checker: process::sibling("checker")?,
            log: Mutex::new(None),
            is_deletion_unproven: AtomicBool::new(false),
        })
    }

    /// Returns whether a deletion ended without proving that nothing is left. Without a stack, later
    /// ones find nothing to look for.
    pub(crate) fn is_deletion_unproven(&self) -> bool {
        self.is_deletion_unproven.load(Ordering::Relaxed)
    }

    /// Writes the events of all commands to a file.
    pub(crate) fn log_to(&self, path: &Path) -> Result<(), String> {
        let file = File::create(path)
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.deployer, &self.run.mark);
        for (name, _) in std::env::vars_os() {
            let is_setting = name.to_string_lossy().starts_with("DEPLOYER_");
            if is_setting && !KEPT.iter().any(|kept| name == *kept) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.root)
            .args(arguments)
            .args(["--output", "json", "--stack", &self.run.stack, "--config"])
            .arg(self.root.join("deployer.toml"));
        command
    }

    /// Runs a command of the deployer that calls AWS.
    pub(crate) async fn deployer(&self, arguments: &[&str]) -> Result<Finished, String> {
        self.deployer_signalled(arguments, |_| None).await
    }

    /// The same. `on_line` sees each line and may return a signal for the deployer.
    pub(crate) async fn deployer_signalled(
        &self,
        arguments: &[&str],
        on_line: impl FnMut(&Value) -> Option<Signal> + Send,
    ) -> Result<Finished, String> {
        let mut command = self.command(arguments);
        command.args(self.run.place.arguments());
        let deletes = arguments.first() == Some(&"down");
        let was_unproven = deletes && self.is_deletion_unproven.swap(true, Ordering::Relaxed);
        let finished = process::run(&mut command, LIMIT, on_line).await?;
        if deletes && finished.code == Some(0) {
            let is_proven = finished.events("deleted").next().is_some();
            let is_unproven = was_unproven && !is_proven;
            self.is_deletion_unproven
                .store(is_unproven, Ordering::Relaxed);
        }
        self.keep(arguments, &finished);
        Ok(finished)
    }

    /// Runs a command of the deployer that works offline.
    pub(crate) async fn offline(&self, arguments: &[&str]) -> Result<Finished, String> {
        process::run(&mut self.command(arguments), READ_LIMIT, |_| None).await
    }

    /// Runs the checker once.
    pub(crate) async fn checker(&self, url: &str) -> Result<Finished, String> {
        let mut command = command(&self.checker, &self.run.mark);
        command.args([url, "--output", "json", "--expect-instances", "2"]);
        if let Some(port) = self.run.place.port() {
            command.args(["--connect-to", &format!("127.0.0.1:{port}")]);
        }
        process::run(&mut command, READ_LIMIT, |_| None).await
    }

    /// Runs another program, in the project's folder.
    pub(crate) async fn other(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = helper(program, &self.run.mark);
        command.current_dir(&self.root).args(arguments);
        command.envs(self.run.place.variables());
        let output = tokio::time::timeout(READ_LIMIT, command.kill_on_drop(true).output()).await;
        let output = output
            .map_err(|_| format!("`{program}` hangs"))?
            .map_err(|error| format!("cannot start `{program}`: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(stderr
            .trim()
            .lines()
            .last()
            .unwrap_or("no message")
            .to_owned())
    }

    /// Keeps events, but no other line: the password of a reviewer is in one of those.
    fn keep(&self, arguments: &[&str], finished: &Finished) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = log.as_mut() else {
            return;
        };
        let _ = writeln!(log, "{}", serde_json::json!({ "called": arguments }));
        for line in finished
            .lines
            .iter()
            .filter(|line| line["event"].is_string())
        {
            let _ = writeln!(log, "{line}");
        }
    }
}

/// Returns the folder of the project.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
