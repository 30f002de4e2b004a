//! HTTP service that tells the time.
//!
//! ```text
//! environment ─► Config ─► Identity (version, instance) ─► routes ─► serve(listener, …, shutdown)
//! ```
//!
//! [`serve`] is the service without its process: the caller owns the port and the moment of
//! shutdown, so tests bind port 0. [`run`] is the process around it: environment, signals, log and
//! exit code. `docs/app.md` documents the interface.

mod accept;
mod access;
mod clock;
mod config;
mod connection;
mod error;
mod health;
mod identity;
mod listen;
mod log;
mod metadata;
mod nonce;
mod page;
mod refresh;
mod routes;
mod rules;
mod server;
mod signals;
mod timestamp;
mod version;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use crate::access::Sampling;
pub use crate::clock::{ClockFault, ClockPolicy, ClockReading, Synchronization};
pub use crate::config::{Config, DEFAULT_LINGER, DEFAULT_PORT};
pub use crate::error::Error;
pub use crate::health::Health;
pub use crate::identity::{Identity, ImageDigest};
pub use crate::listen::bind;
pub use crate::metadata::{Endpoint, Metadata, MetadataError};
pub use crate::refresh::watch_clock;
pub use crate::server::{Drain, Service, Settings, serve};

use crate::log::Value::{Number, Text};
use crate::signals::Signals;

/// Maximum time that the end of the process waits for a reader of the log.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs the service as this process until SIGTERM or SIGINT. A second signal ends the graceful
/// shutdown early.
///
/// Exit codes: 0 after a signal, even if connections were cut off; 1 if the service cannot start; 2
/// if the environment is wrong.
pub fn run() -> ExitCode {
    log::start();
    let code = match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error.to_string(), &[("hint", Text(error.hint()))]);
            ExitCode::from(error.exit_code())
        }
    };
    log::flush(FLUSH_TIMEOUT);
    code
}

/// Runs everything but the log on one thread. Four fifths of a request are the kernel's, a task has
/// a quarter of a processor, and more tasks do more work. Threads that steal work from one another
/// cost memory and instructions in every request.
fn start() -> Result<(), Error> {
    let config = Config::from_environment(|name| std::env::var_os(name))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?
        .block_on(run_until_signal(config))
}

async fn run_until_signal(config: Config) -> Result<(), Error> {
    // Handlers first: process 1 of a container ignores signals without one, and a signal during
    // start-up must not be lost.
    let mut signals = Signals::install().map_err(Error::Signals)?;
    // The port before the identity: a wrong port fails at once, and a client that connects
    // meanwhile waits in the listen queue instead of being refused.
    let listener = bind(config.port)?;
    let digest = image_digest(&config);
    let platform = Platform::ask(&config).await;
    let service = Service {
        identity: Identity::new(digest.as_ref(), platform.task_id),
        health: Arc::default(),
        access_log: config.access_log,
    };
    let settings = Settings {
        linger: config.linger,
        ..Settings::default()
    };
    log_start(&config, &service.identity, &settings);

    if let Some(endpoint) = platform.endpoint {
        tokio::spawn(watch_clock(
            endpoint,
            config.clock,
            refresh::INTERVAL,
            platform.clock,
            Arc::clone(&service.health),
        ));
    }
    #[expect(
        clippy::async_yields_async,
        reason = "the second signal comes after the first one"
    )]
    let shutdown = async {
        let signal = signals.next().await;
        log::info("stopping", &[("signal", Text(signal))]);
        async move {
            let signal = signals.next().await;
            log::info("stopping at once", &[("signal", Text(signal))]);
        }
    };
    match serve(listener, service, settings, shutdown).await {
        Drain::Complete => {}
        Drain::CutOff { connections } => log::warn(
            "connections cut off that did not finish in time",
            &[("connections", Number(connections as u64))],
        ),
    }
    Ok(())
}

/// Logs what runs here, and its settings.
fn log_start(config: &Config, identity: &Identity, settings: &Settings) {
    let milliseconds = |time: Duration| Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let seconds = |time: Duration| Number(time.as_secs());
    let metadata = config.metadata_uri.as_deref().unwrap_or("none");
    let error_limit = config.clock.error_limit;
    let connections = settings.max_connections as u64;
    let fields = [
        ("version", Text(&identity.version)),
        ("instance", Text(&identity.instance)),
        ("port", Number(config.port.get().into())),
        ("access_log", Text(&config.access_log.text())),
        ("metadata", Text(metadata)),
        ("clock_error_limit_ms", milliseconds(error_limit)),
        ("clock_grace_seconds", seconds(config.clock.grace)),
        ("head_timeout_seconds", seconds(settings.head_timeout)),
        ("write_timeout_seconds", seconds(settings.write_timeout)),
        ("linger_ms", milliseconds(settings.linger)),
        ("drain_seconds", seconds(settings.drain)),
        ("max_connections", Number(connections)),
    ];
    log::info("listening", &fields);
}

fn image_digest(config: &Config) -> Option<ImageDigest> {
    let text = config.image_digest.as_deref()?;
    let digest = ImageDigest::parse(text);
    if digest.is_none() {
        log::warn(
            "`IMAGE_DIGEST` is not 64 lower-case hex digits, the version goes without it",
            &[("value", Text(text))],
        );
    }
    digest
}

/// Facts from the platform at start-up. None of them stops the service from telling the time.
#[derive(Default)]
struct Platform {
    /// Endpoint of the task metadata, to be asked again later.
    endpoint: Option<Endpoint>,
    task_id: Option<String>,
    clock: Option<ClockReading>,
}

impl Platform {
    async fn ask(config: &Config) -> Self {
        let mut platform = Self::default();
        if let Some(uri) = &config.metadata_uri
            && let Err(error) = platform.fill(uri).await
        {
            log::warn(
                "cannot read the task id, the instance gets a random name",
                &[("reason", Text(&error.to_string()))],
            );
        }
        platform
    }

    /// Stores what is known, up to the first failure.
    async fn fill(&mut self, uri: &str) -> Result<(), MetadataError> {
        let endpoint = self.endpoint.insert(Endpoint::parse(uri)?);
        let answer = endpoint.fetch_at_start().await?;
        self.clock = answer.clock();
        self.task_id = Some(answer.task_id()?);
        Ok(())
    }
}
