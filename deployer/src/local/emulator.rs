//! Life cycle of the emulator: detecting, starting and stopping it.

mod presence;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use url::Url;

use super::credentials::Credentials;
use super::docker::Docker;
use super::health::{self, Guard, Health};
use super::{EMULATOR_VERSION, cache_folder, file_of, install, unwritable};
use crate::lock::{self, Lock};
use crate::poll::{self, Outcome, Poller, Terms};
use aws::remote::Remote;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Sink};
use deployment::names::StackName;
pub use presence::Presence;
use presence::{Found, Looking};
use process::{self, Detached, Program};
use support::input;
use support::private;

/// Services that the template and this program need. Fewer services start faster and expose less.
const SERVICES: &str = "cloudformation,ec2,ecr,ecs,ecs-metadata,elasticloadbalancing,iam,logs,secretsmanager,sns,ssm,sts,monitoring,tagging";
/// Time limit for the first response after a start. About two seconds are usual.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Time limit for an existing emulator that does not respond, because it starts, ends, or is busy.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// Time limit for the emulator's shutdown.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Emulator at one address of this machine.
pub struct Emulator {
    endpoint: Url,
    folder: PathBuf,
    docker_host: Option<String>,
}

/// Result of stopping the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The emulator ran and was stopped.
    Yes,
    /// The emulator did not run.
    WasNotRunning,
    /// The emulator runs, but was not started by this program.
    NotOurs,
}

impl Emulator {
    /// Creates a handle of the emulator at this address; `docker_host` is the value of
    /// `DOCKER_HOST`.
    pub fn new(endpoint: &Url, docker_host: Option<String>) -> Result<Self, Failure> {
        Ok(Self {
            endpoint: endpoint.clone(),
            folder: cache_folder()?,
            // Docker's CLI also treats an empty value as unset.
            docker_host: docker_host.filter(|host| !host.is_empty()),
        })
    }

    /// Returns the emulator's endpoint.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }

    pub(super) fn address(&self) -> &Url {
        &self.endpoint
    }

    pub(super) fn own_process(&self) -> Option<u32> {
        presence::own_process(&self.folder, self.port())
    }

    /// Checks the health of the server at this address.
    pub(super) async fn health_at(&self, address: &Url) -> Health {
        let credentials = Credentials::read(&self.file("credentials"));
        health::ask(address, credentials.as_ref()).await
    }

    /// Returns the loopback address at which the emulator always listens, if it is not the
    /// configured one.
    pub(super) fn usual_address(&self) -> Option<Url> {
        let mut usual = self.endpoint.clone();
        usual.set_host(Some("127.0.0.1")).ok()?;
        (usual.host() != self.endpoint.host()).then_some(usual)
    }

    fn port(&self) -> u16 {
        self.endpoint.port_or_known_default().unwrap_or(80)
    }

    fn file(&self, extension: &str) -> PathBuf {
        file_of(&self.folder, self.port(), extension)
    }

    /// Checks that the Docker engine answers.
    pub async fn engine(&self) -> Result<(), Failure> {
        Docker::connect(self.docker_host.clone()).await.map(drop)
    }

    /// Returns the folder of the installation and the log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ensures that the emulator runs: reuses a running one, or installs and starts it.
    pub async fn ensure(&self, sink: &Sink) -> Result<(), Failure> {
        // Checked even for a running emulator: without Docker, its tasks would not start.
        Docker::connect(self.docker_host.clone()).await?;
        let reused = match self.presence(sink).await? {
            Presence::Running { version, guarded } => {
                self.warn_of_differences(&version, guarded, sink);
                true
            }
            Presence::Absent => self.start(sink).await?,
        };
        sink.send(&Event::EmulatorReady {
            endpoint: self.endpoint.to_string(),
            reused,
        });
        Ok(())
    }

    /// Detects a running emulator, and waits for one of this user that does not respond yet. Fails
    /// if the result stays unclear or another program uses the address.
    pub async fn presence(&self, sink: &Sink) -> Result<Presence, Failure> {
        let mut looking = Looking::new(self, sink);
        let deadline = Instant::now() + ANSWER_LIMIT;
        match poll::to_end(&mut looking, Terms::local(deadline), sink).await {
            Ok(Outcome::Completed(Found::Certain(presence))) => Ok(presence),
            Ok(Outcome::Completed(Found::Stranger(what))) => Err(self.occupied(&what)),
            Ok(Outcome::Completed(Found::Foreign)) => Err(self.answers_others()),
            Ok(Outcome::Completed(Found::Elsewhere(usual))) => Err(self.listens_elsewhere(&usual)),
            Ok(Outcome::TimedOut | Outcome::Cancelled) | Err(_) => Err(self.does_not_answer()),
        }
    }

    fn does_not_answer(&self) -> Failure {
        let failure = Failure::new(
            FailureKind::Stuck,
            format!("the emulator at {} does not answer", self.endpoint),
        )
        .because(format!(
            "its process is there, but says nothing for {} s",
            ANSWER_LIMIT.as_secs()
        ))
        .hint(format!("its log is `{}`", self.file("log").display()));
        let kill = self.own_process().map(|pid| {
            format!("end it (`kill {pid}`), then `deployer down --local` removes its containers")
        });
        failure.maybe_hint(kill)
    }

    /// Returns the failure for an emulator that requires other credentials than those in the cache
    /// folder.
    fn answers_others(&self) -> Failure {
        let file = self.file("credentials");
        let failure = Failure::preflight(format!(
            "the emulator at {} does not answer to `{}`",
            self.endpoint,
            file.display()
        ));
        match self.own_process() {
            Some(pid) => failure
                .because("its credentials were removed or replaced")
                .hint(format!(
                    "end it (`kill {pid}`), then `deployer down --local` removes its containers"
                )),
            None => failure
                .because("another user started it, or it was started with another `XDG_CACHE_HOME`")
                .hint(format!(
                    "use another port: `--endpoint-url http://127.0.0.1:{}`",
                    self.other_port()
                )),
        }
    }

    fn listens_elsewhere(&self, usual: &Url) -> Failure {
        Failure::preflight(format!("the emulator does not listen at {}", self.endpoint))
            .because(format!("it was started for {usual}, and answers there"))
            .hint(format!("use `--endpoint-url {usual}`"))
    }

    fn warn_of_differences(&self, version: &str, guarded: bool, sink: &Sink) {
        if !guarded {
            let (whose, end) = match self.own_process() {
                Some(_) => ("by an older version", "`deployer down --local`"),
                None => ("by hand or by another user", "end it"),
            };
            sink.warn(format!(
                "the emulator at {} answers every program and every web page on this machine, since it was started {whose}: {end}, then `deployer up --local` starts one that does not",
                self.endpoint
            ));
        }
        if version != EMULATOR_VERSION {
            sink.warn(format!(
                "the emulator at {} has version {version}; this program is tested with {EMULATOR_VERSION}",
                self.endpoint
            ));
        }
    }

    fn other_port(&self) -> u16 {
        if self.port() == 4566 { 4567 } else { 4566 }
    }

    fn occupied(&self, what: &str) -> Failure {
        let port = self.port();
        let other = self.other_port();
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

    /// Starts the emulator; returns `true` if another run has started it meanwhile.
    async fn start(&self, sink: &Sink) -> Result<bool, Failure> {
        private::folder(&self.folder).map_err(|error| unwritable(&self.folder, &error))?;
        let _only_one = self.lock(sink).await?;
        // Another run may have started it while this one waited for the lock.
        if let Presence::Running { version, guarded } = self.presence(sink).await? {
            self.warn_of_differences(&version, guarded, sink);
            return Ok(true);
        }
        let python = install::ensure(&self.folder, sink).await?;
        let addition = install::write_addition(&self.folder)?;
        let log = self.file("log");
        // Each start has its own log.
        private::create(&log).map_err(|error| unwritable(&log, &error))?;
        // Each start has its own credentials.
        let credentials = self.file("credentials");
        Credentials::generate()
            .write(&credentials)
            .map_err(|error| unwritable(&credentials, &error))?;
        let temporary = self.file("tmp");
        private::folder(&temporary).map_err(|error| unwritable(&temporary, &error))?;
        let mut program = Program::new(&python)
            .arg(addition)
            .args(arguments(&self.endpoint))
            .env("DEPLOYER_EMULATOR_CREDENTIALS", &credentials)
            // Other hosts on the network cannot connect at all.
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            // The emulator writes files with predictable names, which are unsafe in a shared
            // `/tmp`.
            .env("TMPDIR", &temporary)
            .env("STATE_DIR", &temporary)
            .env("S3_DATA_DIR", &temporary)
            .env("GATEWAY_PORT", self.port().to_string())
            .env("SERVICES", SERVICES)
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("PERSIST_STATE", "0")
            .env("LOG_LEVEL", "INFO");
        // Variables of the user's own emulator would change the address, the account or the
        // protocol.
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
        // Removes an empty value as well, which the Docker SDK would use.
        if self.docker_host.is_none() {
            program = program.env_remove("DOCKER_HOST");
        }
        let detached = program
            .spawn_detached(&log)
            .map_err(|error| Failure::preflight("cannot start the emulator").because(error))?;
        let mut coming_up = ComingUp {
            emulator: self,
            detached,
        };
        let deadline = Instant::now() + START_LIMIT;
        match poll::to_end(&mut coming_up, Terms::local(deadline), sink).await {
            Ok(Outcome::Completed(true)) => Ok(false),
            Ok(Outcome::Completed(false)) => Err(self.did_not_start("it ended at once", &log)),
            Ok(Outcome::TimedOut | Outcome::Cancelled) => {
                Err(self.did_not_start("it does not answer", &log))
            }
            Err(error) => Err(self.did_not_start(&error.to_string(), &log)),
        }
    }

    fn did_not_start(&self, cause: &str, log: &Path) -> Failure {
        let text = input::text(log, input::WRITTEN_BY_PROGRAMS).unwrap_or_default();
        let mut tail: Vec<String> = text.lines().rev().take(10).map(str::to_owned).collect();
        tail.reverse();
        Failure::preflight(format!("the emulator does not start at {}", self.endpoint))
            .because(cause)
            .with_evidence(tail)
            .hint(format!("its log is `{}`", log.display()))
    }

    async fn lock(&self, sink: &Sink) -> Result<Lock, Failure> {
        lock::take(
            &self.file("lock"),
            "starting or stopping the emulator",
            super::LOCK_LIMIT,
            sink,
        )
        .await
    }

    /// Stops the emulator, if this program started it.
    pub async fn stop(&self, sink: &Sink) -> Result<Stopped, Failure> {
        if !self.folder.exists() {
            return Ok(Stopped::WasNotRunning);
        }
        let _only_one = self.lock(sink).await?;
        let Some(pid) = self.own_process() else {
            return Ok(match self.health_at(&self.endpoint).await {
                Health::Nobody => Stopped::WasNotRunning,
                Health::Emulator { .. } | Health::SomethingElse(_) => Stopped::NotOurs,
            });
        };
        process::terminate(pid);
        let deadline = Instant::now() + STOP_LIMIT;
        let followed = poll::to_end(&mut GoingDown(self), Terms::local(deadline), sink).await;
        if !matches!(followed, Ok(Outcome::Completed(()))) {
            return Err(Failure::new(
                FailureKind::Stuck,
                format!("the emulator (process {pid}) does not end"),
            )
            .hint(format!("end it: `kill -9 {pid}`")));
        }
        // Leftover files do no harm, because the next start replaces them.
        let _ = std::fs::remove_file(self.file("log"));
        let _ = std::fs::remove_file(self.file("credentials"));
        let _ = std::fs::remove_dir_all(self.file("tmp"));
        Ok(Stopped::Yes)
    }

    /// Removes containers of an emulator that ended without cleanup, for example because it was
    /// killed; returns their number. Fails if an emulator runs after all, and does nothing without
    /// Docker.
    pub async fn remove_leftover_containers(&self, sink: &Sink) -> Result<usize, Failure> {
        // Without the folder, no other run can start an emulator, and there is no place for the
        // lock.
        let _only_one = if self.folder.exists() {
            Some(self.lock(sink).await?)
        } else {
            None
        };
        if self.presence(sink).await? != Presence::Absent {
            return Err(Failure::new(
                FailureKind::Busy,
                "another run started the emulator meanwhile",
            )
            .hint("run the same command again"));
        }
        let Ok(docker) = Docker::connect(self.docker_host.clone()).await else {
            return Ok(0);
        };
        // The emulator labels its containers with the host name and the port.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let labels = [
            "ministack=ecs".to_owned(),
            format!("ministack.instance={}:{}", host.trim(), self.port()),
        ];
        let removal = docker.remove_containers(&labels).await.unwrap_or_default();
        if removal.refused > 0 {
            sink.warn(format!(
                "cannot remove {} containers that an earlier emulator left behind: see `docker ps --all --filter label={}`",
                removal.refused, labels[1]
            ));
        }
        Ok(removal.removed)
    }

    /// Removes the images that Docker pulled for this stack from the emulator. Errors are ignored.
    pub async fn remove_images(&self, stack: &StackName) {
        if let Ok(docker) = Docker::connect(self.docker_host.clone()).await {
            let belongs = |reference: &str| is_image_of(reference, self.port(), stack);
            let _ = docker.remove_images(belongs).await;
        }
    }
}

/// Returns the command that the addition runs.
///
/// The emulator's own start supports a single IPv4 address. For other addresses, this runs its web
/// server as `--detach` does. It always listens at 127.0.0.1, where registry and service are
/// reached.
fn arguments(endpoint: &Url) -> Vec<String> {
    let port = endpoint.port_or_known_default().unwrap_or(80);
    let fallback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let address = match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        // Clients try all addresses of `localhost`, so that IPv4 is enough.
        Some(url::Host::Domain(_)) | None => fallback,
    };
    if address == fallback {
        vec!["ministack".to_owned()]
    } else {
        let here = SocketAddr::new(fallback, port).to_string();
        let there = SocketAddr::new(address, port).to_string();
        [
            "hypercorn",
            "ministack.app:app",
            "--workers",
            "0",
            "--keep-alive",
            "75",
            "--bind",
            &here,
            "--bind",
            &there,
        ]
        .map(str::to_owned)
        .into()
    }
}

/// Returns whether the image (`NAME@DIGEST`) is from this stack's repository in the emulator at
/// this port.
///
/// The emulator builds the repository's name from the stack name, the logical id and 13 digits, all
/// in lower case.
fn is_image_of(reference: &str, port: u16, stack: &StackName) -> bool {
    let stack = stack.as_str().to_lowercase();
    let own = format!("localhost:{port}/{stack}-repository-");
    reference
        .strip_prefix(&own)
        .and_then(|rest| rest.split_once('@'))
        // A stack may be named `clock-repository`.
        .is_some_and(|(suffix, _digest)| !suffix.contains('-'))
}

/// Poller for an emulator that was just started. Completes with whether it came up.
struct ComingUp<'a> {
    emulator: &'a Emulator,
    detached: Detached,
}

#[async_trait]
impl Poller for ComingUp<'_> {
    type End = bool;

    async fn poll(&mut self) -> Remote<Option<bool>> {
        let health = self.emulator.health_at(self.emulator.address()).await;
        let ours = |guard| guard == Guard::Ours;
        if matches!(health, Health::Emulator { guard, .. } if ours(guard)) {
            return Ok(Some(true));
        }
        // Only a process that has ended is final: a missing answer may still come.
        let ended = matches!(self.detached.exited(), Ok(Some(_)));
        Ok(ended.then_some(false))
    }
}

/// Poller for an emulator that was asked to end.
struct GoingDown<'a>(&'a Emulator);

#[async_trait]
impl Poller for GoingDown<'_> {
    type End = ();

    async fn poll(&mut self) -> Remote<Option<()>> {
        Ok(self.0.own_process().is_none().then_some(()))
    }
}

#[cfg(test)]
mod tests;
