//! Starting, finding and stopping the emulator.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use url::Url;

use super::docker::Docker;
use super::health::{self, Health};
use super::{EMULATOR_VERSION, cache_folder, install};
use crate::engine::{self, Followed, Pace, Subject};
use crate::error::{Failure, FailureKind};
use crate::event::{Event, Sink};
use crate::names::StackName;
use crate::process::{self, Detached, Program};
use crate::remote::Remote;

/// What the template's resources and this program need of it; less to start, and less that can live there.
const SERVICES: &str =
    "cloudformation,ec2,ecr,ecs,ecs-metadata,elasticloadbalancing,iam,logs,sts,monitoring,tagging";
/// How long it may take to answer after its start: about two seconds are usual.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The emulator at one address of this machine.
pub struct Emulator {
    endpoint: Url,
    folder: PathBuf,
    docker_host: Option<String>,
}

/// How stopping went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ran and does not any more.
    Yes,
    /// It did not run.
    WasNotRunning,
    /// It runs, but somebody else started it.
    NotOurs,
}

impl Emulator {
    /// The emulator at this address; `docker_host` is the value of `DOCKER_HOST`.
    pub fn new(endpoint: &Url, docker_host: Option<String>) -> Result<Self, Failure> {
        Ok(Self {
            endpoint: endpoint.clone(),
            folder: cache_folder()?,
            docker_host,
        })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }

    fn port(&self) -> u16 {
        self.endpoint.port_or_known_default().unwrap_or(80)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder
            .join(format!("emulator-{}.{extension}", self.port()))
    }

    /// Makes sure that it runs: reuses a running one, else installs it if need be and starts it.
    pub async fn ensure(&self, sink: &Sink) -> Result<(), Failure> {
        Docker::connect(self.docker_host.clone()).await?;
        let reused = match health::ask(&self.endpoint).await {
            Health::Emulator { version } => {
                self.warn_of_other_version(&version, sink);
                true
            }
            Health::SomethingElse(what) => return Err(self.occupied(&what)),
            Health::Nobody => self.start(sink).await?,
        };
        sink.send(&Event::EmulatorReady {
            endpoint: self.endpoint.to_string(),
            reused,
        });
        Ok(())
    }

    /// Does it run?
    pub async fn is_running(&self) -> bool {
        matches!(health::ask(&self.endpoint).await, Health::Emulator { .. })
    }

    fn warn_of_other_version(&self, version: &str, sink: &Sink) {
        if version != EMULATOR_VERSION {
            sink.warn(format!(
                "the emulator at {} has version {version}; this program is tested with {EMULATOR_VERSION}",
                self.endpoint
            ));
        }
    }

    fn occupied(&self, what: &str) -> Failure {
        let port = self.port();
        let other = if port == 4566 { 4567 } else { 4566 };
        Failure::preflight(format!(
            "port {port} is taken by something that is not the emulator"
        ))
        .because(what)
        .hint(format!(
            "see what it is: `ss -ltnp 'sport = :{port}'`, and stop it"
        ))
        .hint(format!(
            "or use another port: `--endpoint-url http://127.0.0.1:{other}`"
        ))
    }

    /// Starts it; false when another run of this program did so in the meantime.
    async fn start(&self, sink: &Sink) -> Result<bool, Failure> {
        std::fs::create_dir_all(&self.folder).map_err(|error| unwritable(&self.folder, &error))?;
        let _only_one = self.lock()?;
        if self.is_running().await {
            return Ok(true);
        }
        let python = install::ensure(&self.folder, sink).await?;
        let log = self.file("log");
        // Each start writes a log of its own.
        File::create(&log).map_err(|error| unwritable(&log, &error))?;
        let host = self.endpoint.host_str().unwrap_or("127.0.0.1");
        let bind = if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        };
        let mut program = Program::new(&python)
            .args(["-m", "ministack"])
            // Whoever reaches it can start containers: this machine only.
            .env("BIND_HOST", bind.trim_matches(['[', ']']))
            .env("GATEWAY_PORT", self.port().to_string())
            .env("SERVICES", SERVICES)
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("PERSIST_STATE", "0")
            .env("LOG_LEVEL", "INFO");
        for inherited in [
            "EDGE_PORT",
            "MINISTACK_REGION",
            "MINISTACK_HOST",
            "MINISTACK_ACCOUNT_ID",
            "AUTH",
            "USE_SSL",
        ] {
            program = program.env_remove(inherited);
        }
        let detached = program
            .spawn_detached(&log)
            .map_err(|error| Failure::preflight("cannot start the emulator").because(error))?;
        let mut coming_up = ComingUp {
            endpoint: &self.endpoint,
            detached,
        };
        let deadline = Instant::now() + START_LIMIT;
        match engine::follow(&mut coming_up, Pace::LOCAL, deadline, sink).await {
            Ok(Followed::Ended(true)) => Ok(false),
            Ok(Followed::Ended(false)) => Err(self.did_not_start("it ended at once", &log)),
            Ok(Followed::DeadlinePassed) => Err(self.did_not_start("it does not answer", &log)),
            Err(error) => Err(self.did_not_start(&error.to_string(), &log)),
        }
    }

    fn did_not_start(&self, cause: &str, log: &Path) -> Failure {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut tail: Vec<String> = text.lines().rev().take(10).map(str::to_owned).collect();
        tail.reverse();
        Failure::preflight(format!("the emulator does not start at {}", self.endpoint))
            .because(cause)
            .with_evidence(tail)
            .hint(format!("its log is `{}`", log.display()))
    }

    fn lock(&self) -> Result<File, Failure> {
        let path = self.file("lock");
        let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
        // Held until the file is closed, also when this program is killed.
        file.lock().map_err(|error| unwritable(&path, &error))?;
        Ok(file)
    }

    /// The process that this program (any run of it) started for this address, if it still runs.
    ///
    /// Found in the process table by what it is, and not by a number that was written down: a run that was killed just
    /// after it started the emulator wrote nothing, and a number may be somebody else's by now.
    fn own_process(&self) -> Option<u32> {
        let port = format!("GATEWAY_PORT={}", self.port());
        let is_ours = |pid: &u32| {
            let arguments = read_list(*pid, "cmdline");
            let program = arguments.first().map(PathBuf::from);
            program.is_some_and(|program| program.starts_with(&self.folder))
                && arguments.iter().any(|argument| argument == "ministack")
                && read_list(*pid, "environ").contains(&port)
        };
        std::fs::read_dir("/proc")
            .ok()?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .find(is_ours)
    }

    /// Stops it, if it was started by this program.
    pub async fn stop(&self, sink: &Sink) -> Result<Stopped, Failure> {
        if !self.folder.exists() {
            return Ok(Stopped::WasNotRunning);
        }
        let _only_one = self.lock()?;
        let Some(pid) = self.own_process() else {
            return Ok(if self.is_running().await {
                Stopped::NotOurs
            } else {
                Stopped::WasNotRunning
            });
        };
        process::terminate(pid);
        let deadline = Instant::now() + STOP_LIMIT;
        let followed = engine::follow(&mut GoingDown(self), Pace::LOCAL, deadline, sink).await;
        if !matches!(followed, Ok(Followed::Ended(()))) {
            return Err(Failure::new(
                FailureKind::Stuck,
                format!("the emulator (process {pid}) does not end"),
            )
            .hint(format!("end it: `kill -9 {pid}`")));
        }
        // Of no consequence if it stays.
        let _ = std::fs::remove_file(self.file("log"));
        Ok(Stopped::Yes)
    }

    /// Removes containers that an emulator at this address left behind, for example because it was killed; returns how
    /// many. Nothing is done while one runs, or where there is no Docker.
    pub async fn remove_leftover_containers(&self) -> usize {
        let Ok(docker) = Docker::connect(self.docker_host.clone()).await else {
            return 0;
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let labels = [
            "ministack=ecs".to_owned(),
            format!("ministack.instance={}:{}", host.trim(), self.port()),
        ];
        docker.remove_containers(&labels).await.unwrap_or(0)
    }

    /// Removes the images that Docker pulled for this stack from the emulator; best effort.
    pub async fn remove_images(&self, stack: &StackName) {
        if let Ok(docker) = Docker::connect(self.docker_host.clone()).await {
            // The names that the emulator generates begin with that of the stack.
            let stack = stack.as_str().to_lowercase();
            let prefix = format!("localhost:{}/{stack}-", self.port());
            let _ = docker.remove_images(&prefix).await;
        }
    }
}

/// A list from the process table: the arguments (`cmdline`) or variables (`environ`) of a process. Empty where there is
/// no such process, or it is not ours to look at.
fn read_list(pid: u32, name: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').map(str::to_owned).collect()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preflight(format!("cannot write `{}`", path.display()))
        .because(error)
        .hint("the emulator's files are kept in the cache folder: free some space, or set `XDG_CACHE_HOME`")
}

/// An emulator that was just started: the end is whether it came up.
struct ComingUp<'a> {
    endpoint: &'a Url,
    detached: Detached,
}

#[async_trait]
impl Subject for ComingUp<'_> {
    type End = bool;

    async fn look(&mut self) -> Remote<Option<bool>> {
        if matches!(health::ask(self.endpoint).await, Health::Emulator { .. }) {
            return Ok(Some(true));
        }
        let ended = matches!(self.detached.exited(), Ok(Some(_)));
        Ok(ended.then_some(false))
    }
}

/// An emulator that was asked to end.
struct GoingDown<'a>(&'a Emulator);

#[async_trait]
impl Subject for GoingDown<'_> {
    type End = ();

    async fn look(&mut self) -> Remote<Option<()>> {
        Ok(self.0.own_process().is_none().then_some(()))
    }
}
