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
mod config;
mod error;
mod identity;
mod log;
mod metadata;
mod nonce;
mod routes;
mod server;
mod signals;
mod timestamp;

use std::process::ExitCode;

use serde_json::json;

pub use crate::config::{Config, DEFAULT_PORT};
pub use crate::error::Error;
pub use crate::identity::{Identity, ImageDigest};
pub use crate::metadata::{MetadataError, fetch_task_id};
pub use crate::server::{Drain, Settings, bind, serve};

use crate::signals::Signals;

/// Runs the service as this process until SIGTERM or SIGINT.
///
/// Exit codes: 0 after a signal, also when connections had to be cut off; 1 when the service cannot
/// start; 2 when the environment is wrong.
pub fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error.to_string(), &json!({ "hint": error.hint() }));
            ExitCode::from(error.exit_code())
        }
    }
}

fn start() -> Result<(), Error> {
    let config = Config::from_environment(|name| std::env::var_os(name))?;
    tokio::runtime::Builder::new_multi_thread()
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
    let listener = bind(config.port).await?;
    let identity = identify(&config).await;
    log::info(
        "listening",
        &json!({
            "version": identity.version,
            "instance": identity.instance,
            "port": config.port.get(),
        }),
    );

    let shutdown = async {
        let signal = signals.first().await;
        log::info("stopping", &json!({ "signal": signal }));
    };
    let settings = Settings::default();
    match serve(listener, identity, settings, shutdown).await {
        Drain::Complete => {}
        Drain::CutOff { connections } => log::warn(
            "connections cut off that did not finish in time",
            &json!({ "connections": connections, "seconds": settings.drain.as_secs() }),
        ),
    }
    Ok(())
}

/// Finds out who we are. Nothing here stops the service from telling the time.
async fn identify(config: &Config) -> Identity {
    let digest = config.image_digest.as_deref().and_then(|text| {
        let digest = ImageDigest::parse(text);
        if digest.is_none() {
            log::warn(
                "`IMAGE_DIGEST` is not 64 lower-case hex digits, the version goes without it",
                &json!({ "value": text }),
            );
        }
        digest
    });
    let instance = match &config.metadata_uri {
        None => None,
        Some(uri) => match fetch_task_id(uri, metadata::TIME_LIMIT).await {
            Ok(task_id) => Some(task_id),
            Err(error) => {
                log::warn(
                    "cannot read the task id, the instance gets a random name",
                    &json!({ "reason": error.to_string() }),
                );
                None
            }
        },
    };
    Identity::new(digest.as_ref(), instance)
}
