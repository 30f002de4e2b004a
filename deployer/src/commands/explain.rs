//! From a failure and its evidence to what people are told: the cause, what shows it, what to do.

use url::Url;

use crate::commands::Context;
use crate::config::{Config, ProfileSource};
use crate::error::Failure;
use crate::rollout::{self, Ended, Evidence, Explanation};

impl Context<'_> {
    /// The failure, with the diagnosis as its cause where there is one: what was said before stays as the first evidence.
    pub(super) fn explained(&self, failure: Failure, evidence: &Evidence, ended: Ended) -> Failure {
        let config = self.config;
        let logs = command_line(config, "logs");
        let architecture = config.image.architecture.to_string();
        let Explanation {
            cause,
            lines,
            hints,
        } = evidence.explain(
            failure.cause.as_deref(),
            &rollout::Context {
                port: config.port,
                memory: config.parameters.get("Memory").map(String::as_str),
                architecture: &architecture,
                ended,
                start_seconds: config.start_seconds(),
                logs: &logs,
            },
        );
        let failure = Failure { cause, ..failure }.with_evidence(lines);
        hints.into_iter().fold(failure, Failure::hint)
    }
}

/// A command about the same stack, that finds it wherever it is pasted.
pub(super) fn command_line(config: &Config, command: &str) -> String {
    // Set by the Makefile.
    let targets = std::env::var("DEPLOYER_MAKE_TARGETS").ok();
    command_line_from(targets.as_deref(), config, command)
}

/// Returns the same for whoever has run `make`, where its targets are named: the program is not on the `PATH` there.
fn command_line_from(make_targets: Option<&str>, config: &Config, command: &str) -> String {
    let access = &config.access;
    let program = match make_targets {
        Some(targets) if targets.split(' ').any(|target| target == command) => {
            return format!("make {command}");
        }
        Some(_) => "cargo run --quiet --bin deployer --",
        None => "deployer",
    };
    let mut command = format!("{program} {command} --stack {}", config.stack);
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            command.extend([" --", name, " ", value]);
        }
    };
    if !access.local {
        option("region", access.region.as_deref());
        // As a flag, a profile that gives only the region would give the credentials, too.
        if access.profile_source != ProfileSource::BehindKeys {
            option("profile", access.profile.as_deref());
        }
    }
    if !access.is_usual_endpoint() {
        option(
            "endpoint-url",
            access.endpoint_url.as_ref().map(Url::as_str),
        );
    }
    if access.local {
        command.push_str(" --local");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::command_line_from;
    use crate::testing::settings;

    #[test]
    fn what_make_runs_names_commands_that_are_there() {
        let config = settings();
        let targets = Some("up down status");
        assert_eq!(command_line_from(targets, &config, "down"), "make down");
        let logs = command_line_from(targets, &config, "logs");
        assert!(
            logs.starts_with("cargo run --quiet --bin deployer -- logs --stack clock"),
            "{logs}"
        );
        let down = command_line_from(None, &config, "down");
        assert!(down.starts_with("deployer down --stack clock"), "{down}");
    }
}
