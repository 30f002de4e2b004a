//! `deployer up` compared with the script, on a separate emulator: a new stack, no change, a
//! change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::http::free_port;
use crate::ours;
use crate::output::note;
use crate::pack::final_stage;
use crate::process::{Error, clean_up, command, run};
use crate::report::Table;
use crate::script;
use crate::setting::Setting;
use crate::stats::order;

pub(crate) const OURS: &str = "deployer up";
pub(crate) const SCRIPT: &str = "script";
pub(crate) const CREATE: &str = "create";
pub(crate) const UNCHANGED: &str = "no change";
pub(crate) const CHANGE: &str = "change";
pub(crate) const OWN: &str = "no change, own time";

/// Maximum time of one deployment.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);
/// Repository that keeps `down` from stopping the emulator between two rounds.
const HOLDER: &str = "bench-holder";
/// Folders of the project that a deployment does not need.
const NOT_COPIED: [&str; 2] = ["target", ".git"];

/// Emulator, stacks and folders. Deleted on drop.
pub(crate) struct Deployments<'a> {
    runtime: &'a Runtime,
    setting: &'a Setting,
    port: u16,
    /// Stacks to delete.
    stacks: Vec<String>,
    /// Copy of the project at a permanent place, so that it is compiled only once.
    project: PathBuf,
    /// Build context of the script.
    folder: PathBuf,
}

/// Measures deployments. The script gets the compiled program; the deployer asks cargo.
pub(crate) fn measure(
    runtime: &Runtime,
    setting: &Setting,
    program: &Path,
) -> Result<Table, Error> {
    let deployments = Deployments::prepare(runtime, setting, program, &[OURS, SCRIPT])?;
    let mut table = Table::new("Deployment on the emulator", OURS);
    let rounds = setting.rounds(5);
    for round in 0..=rounds {
        note(&format!("deployments, round {round} of {rounds}"));
        let measured = deployments.round(round)?;
        for (quantity, contestant, seconds) in measured.into_iter().filter(|_| round > 0) {
            table.add((quantity, "s"), contestant, seconds);
        }
    }
    Ok(table.finish())
}

impl<'a> Deployments<'a> {
    /// Copies the project, compiles its program where `deployer up` looks for it, and starts the
    /// emulator. A stack for each of the names.
    pub(crate) fn prepare(
        runtime: &'a Runtime,
        setting: &'a Setting,
        program: &Path,
        names: &[&str],
    ) -> Result<Self, Error> {
        let port = free_port()?;
        let deployments = Self {
            runtime,
            setting,
            port,
            stacks: names.iter().map(|name| stack(name, port)).collect(),
            project: setting.kept.join("project"),
            folder: setting.scratch().join("script"),
        };
        deployments.prepare_folders(program)?;
        Ok(deployments)
    }

    fn prepare_folders(&self, program: &Path) -> Result<(), Error> {
        note("preparing deployments: compiles the program, starts the emulator");
        if self.project.exists() {
            // Keeps the compile output of earlier runs.
            for entry in entries(&self.project)? {
                if entry.file_name().is_none_or(|name| name != "target") {
                    remove(&entry)?;
                }
            }
        }
        copy(&self.setting.root, &self.project)?;
        fs::create_dir_all(&self.folder).map_err(Error::at(self.folder.display()))?;
        let to = self.folder.join("app");
        fs::copy(program, &to).map_err(Error::at(to.display()))?;
        // Only the content of a file in both images changes, so no round has to compile.
        let dockerfile = self.project.join("Dockerfile");
        let text = fs::read_to_string(&dockerfile).map_err(Error::at(dockerfile.display()))?;
        let text = format!("{}\nCOPY revision /revision\n", text.trim_end());
        write(&dockerfile, &text)?;
        write(&self.folder.join("Dockerfile"), &final_stage(&text))?;
        self.revise("0")?;
        let limit = Duration::from_mins(15);
        run(&mut self.deployer(OURS, &["up"]), limit)?;
        let create = ["ecr", "create-repository", "--repository-name", HOLDER];
        run(&mut script::aws(self.setting, self.port, &create), LIMIT)?;
        run(&mut self.down(&stack(OURS, self.port)), LIMIT).map(drop)
    }

    fn round(&self, round: usize) -> Result<Vec<(&'static str, &'static str, f64)>, Error> {
        let contestants = [OURS, SCRIPT];
        let mut measured = Vec::new();
        for quantity in [CREATE, UNCHANGED, CHANGE] {
            if quantity != UNCHANGED {
                self.revise(&format!("{quantity} {round}"))?;
            }
            for index in order(contestants.len(), round) {
                let contestant = contestants.get(index).copied().unwrap_or(OURS);
                let finished = run(&mut self.up(contestant), LIMIT)?;
                measured.push((quantity, contestant, finished.took.as_secs_f64()));
                if (quantity, contestant) == (UNCHANGED, OURS) {
                    let own = finished.took.saturating_sub(self.cargo()?);
                    measured.push((OWN, OURS, own.as_secs_f64()));
                }
            }
        }
        for contestant in contestants {
            run(&mut self.down(&stack(contestant, self.port)), LIMIT)?;
        }
        Ok(measured)
    }

    /// Measures how long cargo takes to find that nothing changed, called as `deployer up` calls
    /// it.
    fn cargo(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let target = self.project.join("target/image");
        let program = ours::program(&self.project, ("app", "app"), &target);
        self.runtime.block_on(program)?;
        Ok(start.elapsed())
    }

    fn up(&self, contestant: &str) -> Command {
        if contestant == OURS {
            self.deployer(OURS, &["up"])
        } else {
            self.script(SCRIPT, &self.setting.root.join("infra/service.yaml"))
        }
    }

    /// Prepares the script for the stack of this name, with this template.
    pub(crate) fn script(&self, name: &str, template: &Path) -> Command {
        let stack = stack(name, self.port);
        script::script(self.setting, self.port, (&stack, template), &self.folder)
    }

    fn down(&self, stack: &str) -> Command {
        let mut down = self.deployer(OURS, &["down"]);
        down.args(["--stack", stack]);
        down
    }

    /// Prepares the deployer for the stack of this name.
    pub(crate) fn deployer(&self, name: &str, arguments: &[&str]) -> Command {
        let mut deployer = command(&self.setting.deployer);
        // Settings of the caller would change what is measured.
        for name in ["CARGO_TARGET_DIR", "AWS_PROFILE", "AWS_ENDPOINT_URL"] {
            deployer.env_remove(name);
        }
        deployer
            .current_dir(&self.project)
            .args(arguments)
            .args(["--local", "--output", "json", "--endpoint-url"])
            .arg(format!("http://127.0.0.1:{}", self.port))
            .env("DEPLOYER_STACK", stack(name, self.port))
            .env("XDG_STATE_HOME", self.setting.scratch().join("state"));
        deployer
    }

    /// Changes what is deployed.
    pub(crate) fn revise(&self, revision: &str) -> Result<(), Error> {
        write(&self.project.join("revision"), revision)?;
        write(&self.folder.join("revision"), revision)
    }
}

impl Drop for Deployments<'_> {
    fn drop(&mut self) {
        note("deleting stacks and emulator");
        let limit = Duration::from_mins(1);
        let delete = [
            "ecr",
            "delete-repository",
            "--force",
            "--repository-name",
            HOLDER,
        ];
        // The repository does not exist if the preparation failed.
        let _ = script::aws(self.setting, self.port, &delete)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        for stack in self.stacks.iter().rev() {
            clean_up(&mut self.down(stack), limit);
        }
        let repositories = format!("reference=localhost:{}/*", self.port);
        let mut remove = command("sh");
        remove.arg("-c").arg(
            "docker image ls --quiet --no-trunc --filter \"$1\" | sort -u | xargs -r docker image rm --force",
        );
        clean_up(remove.arg("sh").arg(repositories), limit);
    }
}

/// Returns the stack of a contestant.
fn stack(name: &str, port: u16) -> String {
    format!("bench-{}-{port}", name.replace([' ', ','], "-"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::at(folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn remove(path: &Path) -> Result<(), Error> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(Error::at(path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::at(to.display()))?;
    for path in entries(from)? {
        let Some(name) = path.file_name() else {
            continue;
        };
        if NOT_COPIED.iter().any(|not| name == *not) {
            continue;
        }
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Error::at(path.display()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::at(path.display()))
}
