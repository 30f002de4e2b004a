//! The folder for what a run leaves for later ones: `$XDG_STATE_HOME/deployer`, usually `~/.local/state/deployer`.
//!
//! It holds a journal of each run, and a lock for each stack. Nothing in it is needed: it may be deleted at any time.

use std::path::PathBuf;
use std::time::Duration;

use etcetera::BaseStrategy as _;

use crate::commands::{Connection, Context};
use crate::error::{Failure, FailureKind};
use crate::lock::{self, Lock};

/// The folder, if the user has a home.
pub fn folder() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    // Some systems have no such folder of their own.
    let state = strategy.state_dir().unwrap_or_else(|| strategy.cache_dir());
    Some(state.join("deployer"))
}

/// Waits until no other run on this machine deploys the same stack. Between the stack's operations CloudFormation does not know
/// that a deployment is under way, so that two would undo each other's work.
///
/// Without a folder to lock in, there is no lock: that is worth a warning, not a failure.
pub(crate) async fn only_one(
    context: Context<'_>,
    command: &str,
    connection: &Connection,
) -> Result<Option<Lock>, Failure> {
    let Some(folder) = folder() else {
        return Ok(None);
    };
    let place = connection.endpoint.as_deref().map_or_else(
        || format!("{}-{}", connection.caller.account, connection.region),
        simplified,
    );
    let path = folder.join(format!("{place}-{}.lock", context.config.stack));
    let limit = if context.config.wait {
        context.config.timeout
    } else {
        Duration::ZERO
    };
    let doing = format!("deploying this stack (`deployer {command}`)");
    let taken = match std::fs::create_dir_all(&folder) {
        Ok(()) => lock::take(&path, &doing, limit, context.sink).await,
        Err(error) => Err(Failure::preflight("no folder").because(error)),
    };
    match taken {
        Ok(lock) => Ok(Some(lock)),
        Err(failure) if failure.kind == FailureKind::Busy => Err(failure),
        Err(failure) => {
            context.sink.warn(format!(
                "cannot make sure that no other run is at work: {failure}"
            ));
            Ok(None)
        }
    }
}

/// An address as part of a file name.
fn simplified(endpoint: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = endpoint.chars().map(plain).collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::simplified;

    #[test]
    fn addresses_become_file_names() {
        assert_eq!(
            simplified("http://127.0.0.1:4566/"),
            "http---127-0-0-1-4566"
        );
    }
}
