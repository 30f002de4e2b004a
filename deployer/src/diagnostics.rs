//! Log messages of the libraries on standard error, on request.

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging if `DEPLOYER_LOG` is set, for example to `debug`.
pub(crate) fn start() {
    // An invalid filter is ignored: diagnostics never fail a deployment.
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("DEPLOYER_LOG") else {
        return;
    };
    let filter = filter.and(filter_fn(|metadata| {
        is_free_of_secrets(metadata.target(), *metadata.level())
    }));
    #[expect(clippy::disallowed_methods, reason = "diagnostics, on request")]
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // By default, the layer prints its own write errors to standard error, which panics if that
        // is closed.
        .log_internal_errors(false)
        .with_filter(filter);
    tracing_subscriber::registry().with(layer).init();
}

/// Returns whether messages of this level are safe to show. At `trace`, the AWS SDK prints whole
/// responses, including logins and passwords.
fn is_free_of_secrets(target: &str, level: tracing::Level) -> bool {
    level < tracing::Level::TRACE || !target.starts_with("aws_")
}

#[cfg(test)]
mod tests {
    use super::is_free_of_secrets;
    use tracing::Level;

    #[test]
    fn whole_answers_are_never_shown() {
        let orchestrator = "aws_smithy_runtime::client::orchestrator";
        assert!(!is_free_of_secrets(orchestrator, Level::TRACE));
        assert!(is_free_of_secrets(orchestrator, Level::DEBUG));
        assert!(is_free_of_secrets("deployer", Level::TRACE));
    }
}
