//! Explanations of failures: the cause, the evidence, and hints.

use url::Url;

use crate::config::{Config, is_usual_endpoint};
use crate::context::Context;
use aws::access::ProfileSource;
use deployment::error::Failure;
use deployment::rollout::{self, Ended, Evidence, Explanation};

impl Context<'_> {
    /// Returns the failure with the diagnosis as its cause, if there is one. The previous cause
    /// becomes the first evidence.
    pub(crate) fn explained(&self, failure: Failure, evidence: &Evidence, ended: Ended) -> Failure {
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
                port: config.service.port,
                memory: config.service.memory,
                architecture: &architecture,
                ended,
                start_seconds: config.start_seconds(),
                logs: &logs,
            },
        );
        let failure = Failure { cause, ..failure }.with_evidence(lines);
        let failure = hints.into_iter().fold(failure, Failure::hint);
        let quota = failure.cause.as_deref().and_then(quota_hint);
        failure.maybe_hint(quota)
    }
}

/// Returns a hint for an exhausted service quota. The codes are those of Service Quotas.
pub(crate) fn quota_hint(cause: &str) -> Option<String> {
    const QUOTAS: [(&str, &str, &str, u8); 2] = [
        ("maximum number of VPCs", "VPCs", "L-F678F1CE", 10),
        (
            "maximum number of internet gateways",
            "internet gateways",
            "L-A4707A72",
            10,
        ),
    ];
    // CloudFormation passes EC2's message on as text, without a code.
    let (_, what, code, number) = QUOTAS
        .into_iter()
        .find(|(words, ..)| cause.contains(words))?;
    Some(format!(
        "delete one of the region's {what} that nothing uses, or have more: `aws service-quotas request-service-quota-increase --service-code vpc --quota-code {code} --desired-value {number}`"
    ))
}

/// Returns a command line about the same stack that works in any directory.
pub(crate) fn command_line(config: &Config, command: &str) -> String {
    // Set by the Makefile.
    let targets = std::env::var("DEPLOYER_MAKE_TARGETS").ok();
    command_line_from(targets.as_deref(), config, command)
}

/// Returns the command line with more options. Targets of `make` take none, so it never names one.
pub(crate) fn command_line_with(config: &Config, command: &str, options: &str) -> String {
    // No target matches the empty list, but the program is still started with `cargo run`.
    let targets = std::env::var("DEPLOYER_MAKE_TARGETS").ok();
    let targets = targets.map(|_| "");
    command_line_from(targets, config, command) + " " + options
}

/// Builds the command line. Under `make`, it names a target or runs the program with Cargo, because
/// it is not on the `PATH` there.
fn command_line_from(make_targets: Option<&str>, config: &Config, command: &str) -> String {
    let access = &config.access;
    let environment = config.environment.as_deref();
    let program = match make_targets {
        Some(targets)
            if environment.is_none() && targets.split(' ').any(|target| target == command) =>
        {
            return format!("make {command}");
        }
        Some(_) => "cargo run --quiet --bin deployer --",
        None => "deployer",
    };
    let program = match environment {
        Some(name) => format!("{program} --env {name}"),
        None => program.to_owned(),
    };
    let mut command = format!("{program} {command} --stack {}", config.stack);
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            command.extend([" --", name, " ", value]);
        }
    };
    if !access.local {
        option("region", access.region.as_deref());
        // The keys take precedence over such a profile. As a flag, the profile would supply the
        // credentials instead.
        if access.profile_source != ProfileSource::BehindKeys {
            option("profile", access.profile.as_deref());
        }
    }
    if !is_usual_endpoint(access) {
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

/// Returns a command line of the AWS CLI with the same endpoint, region and profile.
pub(crate) fn aws_command(config: &Config, arguments: &str) -> String {
    let access = &config.access;
    let found = access.found.get().map(|found| found.region.as_str());
    let region = access.region.as_deref().or(found);
    let mut command = "aws".to_owned();
    for (name, value) in [
        (
            "endpoint-url",
            access.endpoint_url.as_ref().map(Url::as_str),
        ),
        ("region", region),
        ("profile", access.profile.as_deref()),
    ] {
        if let Some(value) = value {
            command.extend([" --", name, " ", value]);
        }
    }
    format!("{command} {arguments}")
}

/// Returns the text with the environment added to each `deployer` command. Without it, the commands
/// would act on another stack.
pub(crate) fn in_environment(text: &str, environment: Option<&str>) -> String {
    const COMMAND: &str = "`deployer ";
    let Some(name) = environment else {
        return text.to_owned();
    };
    let addressed = format!("{COMMAND}--env {name} ");
    text.replace(COMMAND, &addressed)
        // Some commands already name an environment.
        .replace(&format!("{addressed}--env "), &format!("{COMMAND}--env "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_to_do_about_a_quota() {
        let cause = "VPC (Vpc): The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400)";
        let hint = super::quota_hint(cause).unwrap();
        assert!(hint.contains("--quota-code L-F678F1CE"));
        assert_eq!(super::quota_hint("VPC (Vpc): no"), None);
    }

    use super::{command_line_from, in_environment};
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

    #[test]
    fn commands_name_the_environment() {
        let config = crate::config::Config {
            environment: Some("staging".to_owned()),
            ..settings()
        };
        let down = command_line_from(None, &config, "down");
        let of_staging = "deployer --env staging down --stack clock";
        assert!(down.starts_with(of_staging), "{down}");
        // No target of `make` is about an environment.
        let down = command_line_from(Some("up down"), &config, "down");
        assert!(down.starts_with("cargo run --quiet --bin "), "{down}");
        assert!(down.contains(&format!("-- {}", &of_staging[9..])), "{down}");

        let text =
            "`deployer up` makes it, `deployer --env staging down` and the deployer delete it";
        assert_eq!(
            in_environment(text, Some("staging")),
            "`deployer --env staging up` makes it, `deployer --env staging down` and the deployer delete it"
        );
        assert_eq!(in_environment(text, None), text);
        let other = "`deployer --env other up`";
        assert_eq!(in_environment(other, Some("staging")), other);
    }
}
