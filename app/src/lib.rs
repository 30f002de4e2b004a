//! HTTP service that tells the time.
//!
//! ```text
//! environment ─► Config ─► Identity (version, instance) ─► routes ─► serve(listener, …, shutdown)
//! ```
//!
//! [`serve`] is the whole service without its process: the caller owns the port and the moment of
//! shutdown, so tests bind port 0. [`run`] is the process around it: environment, signals, log lines
//! and exit code. What the service answers is in `docs/app.md`.

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

use crate::log::Value;
use crate::signals::Signals;

/// How long the end of the process waits for a reader of the log.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// Runs the service as this process until SIGTERM or SIGINT. A second signal ends the graceful shutdown early.
///
/// Exit codes: 0 after a signal, also when connections had to be cut off; 1 when the service cannot
/// start; 2 when the environment is wrong.
pub fn run() -> ExitCode {
    log::start();
    let code = match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error.to_string(), &[("hint", Value::Text(error.hint()))]);
            ExitCode::from(error.exit_code())
        }
    };
    log::flush(LOG_PATIENCE);
    code
}

/// One thread for everything but the log: four fifths of a request are the kernel's, a task has a
/// quarter of a processor, and there are more tasks where more is wanted. Threads that take work from
/// one another cost memory and instructions in every request.
fn start() -> Result<(), Error> {
    let config = Config::from_environment(|name| std::env::var_os(name))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?
        .block_on(run_until_signal(config))
}

async fn run_until_signal(config: Config) -> Result<(), Error> {
    // Handlers first: as process 1 of a container a signal without a handler is ignored, and one that
    // arrives during start-up must not be lost.
    let mut signals = Signals::install().map_err(Error::Signals)?;
    // The port before the identity: a wrong port is told at once, and whoever connects in the
    // meantime waits in the listen queue instead of being refused.
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
        reason = "the second signal is waited for after the first one"
    )]
    let shutdown = async {
        let signal = signals.next().await;
        log::info("stopping", &[("signal", Value::Text(signal))]);
        async move {
            let signal = signals.next().await;
            log::info("stopping at once", &[("signal", Value::Text(signal))]);
        }
    };
    match serve(listener, service, settings, shutdown).await {
        Drain::Complete => {}
        Drain::CutOff { connections } => log::warn(
            "connections cut off that did not finish in time",
            &[("connections", Value::Number(connections as u64))],
        ),
    }
    Ok(())
}

/// The line that tells what runs here, and how it is set up.
fn log_start(config: &Config, identity: &Identity, settings: &Settings) {
    let milliseconds =
        |time: Duration| Value::Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    log::info(
        "listening",
        &[
            ("version", Value::Text(&identity.version)),
            ("instance", Value::Text(&identity.instance)),
            ("port", Value::Number(config.port.get().into())),
            ("access_log", Value::Text(&config.access_log.text())),
            (
                "metadata",
                Value::Text(config.metadata_uri.as_deref().unwrap_or("none")),
            ),
            (
                "clock_error_limit_ms",
                milliseconds(config.clock.error_limit),
            ),
            (
                "clock_grace_seconds",
                Value::Number(config.clock.grace.as_secs()),
            ),
            (
                "head_timeout_seconds",
                Value::Number(settings.head_timeout.as_secs()),
            ),
            (
                "write_timeout_seconds",
                Value::Number(settings.write_timeout.as_secs()),
            ),
            ("linger_ms", milliseconds(settings.linger)),
            ("drain_seconds", Value::Number(settings.drain.as_secs())),
            (
                "max_connections",
                Value::Number(settings.max_connections as u64),
            ),
        ],
    );
}

fn image_digest(config: &Config) -> Option<ImageDigest> {
    let text = config.image_digest.as_deref()?;
    let digest = ImageDigest::parse(text);
    if digest.is_none() {
        log::warn(
            "`IMAGE_DIGEST` is not 64 lower-case hex digits, the version goes without it",
            &[("value", Value::Text(text))],
        );
    }
    digest
}

/// What the platform says at start-up. Nothing here stops the service from telling the time.
#[derive(Default)]
struct Platform {
    /// Where it can be asked again.
    endpoint: Option<Endpoint>,
    task_id: Option<String>,
    clock: Option<ClockReading>,
}

impl Platform {
    async fn ask(config: &Config) -> Self {
        let Some(uri) = &config.metadata_uri else {
            return Self::default();
        };
        let unknown = |error: &MetadataError| {
            log::warn(
                "cannot read the task id, the instance gets a random name",
                &[("reason", Value::Text(&error.to_string()))],
            );
        };
        let endpoint = match Endpoint::parse(uri) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                unknown(&error);
                return Self::default();
            }
        };
        match endpoint.fetch_at_start().await {
            Ok(answer) => Self {
                task_id: answer.task_id().inspect_err(unknown).ok(),
                clock: answer.clock(),
                endpoint: Some(endpoint),
            },
            Err(error) => {
                unknown(&error);
                Self {
                    endpoint: Some(endpoint),
                    ..Self::default()
                }
            }
        }
    }
}
