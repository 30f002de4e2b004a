//! Judgement of the collected facts. Pure.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::{Finding, Level};
use crate::cli::{Builder, CheckFrom};
use crate::config::Config;
use crate::context::Connection;
use crate::local::{EMULATOR_VERSION, Presence};
use crate::reachability::{Reach, remedies};
use crate::service_linked_roles::{Role, RoleOf};
use crate::template::LIMIT;
use aws::remote::{RemoteError, RemoteErrorKind};
use deployment::error::Failure;
use deployment::stack::request::TemplateParameter;
use deployment::stack::template_names::ParameterName;
use image_builder::cargo::{BinaryTarget, Toolchain};

/// Check of the template by CloudFormation.
const VALIDATION: &str = "validation";
/// Check that the service can be reached.
const REACH: &str = "reachable";
/// Check that template and settings have the same parameters.
const PARAMETERS: &str = "parameters";

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        check,
        level: Level::Ok,
        found: found.into(),
        remedies: Vec::new(),
    }
}

fn error(check: &'static str, found: impl Into<String>, remedies: Vec<String>) -> Finding {
    Finding {
        check,
        level: Level::Error,
        found: found.into(),
        remedies,
    }
}

fn warning(check: &'static str, found: impl Into<String>, remedies: Vec<String>) -> Finding {
    Finding {
        level: Level::Warning,
        ..error(check, found, remedies)
    }
}

/// Returns a check that could not be made.
pub(super) fn skipped(check: &'static str, why: &str) -> Finding {
    Finding {
        level: Level::Skipped,
        ..ok(check, format!("not looked at: {why}"))
    }
}

/// Returns a check that failed like a command would.
pub(super) fn failed(check: &'static str, failure: &Failure) -> Finding {
    let mut found = failure.to_string();
    for line in &failure.evidence {
        found.push('\n');
        found.push_str(line);
    }
    error(check, found, failure.hints.clone())
}

/// Returns the settings, which have been validated as they were read.
pub(super) fn configuration(config: &Config) -> Finding {
    // Always ok: a configuration with an error never gets here.
    let sizes = &config.service;
    ok(
        "configuration",
        format!(
            "stack {}: {} tasks of {} CPU units and {} MiB on {}",
            config.stack, sizes.tasks, sizes.cpu, sizes.memory, sizes.architecture
        ),
    )
}

/// Judges the template file.
pub(super) fn template(config: &Config, template: Result<&String, &Failure>) -> Finding {
    match template {
        Ok(text) => ok(
            "template",
            format!("{}, {} of {LIMIT} bytes", config.template, text.len()),
        ),
        Err(failure) => failed("template", failure),
    }
}

/// Judges the toolchain: Rust, or another builder.
pub(super) fn toolchain(config: &Config, toolchain: &Result<Toolchain, Failure>) -> Finding {
    let check = match config.image.builder {
        Builder::Auto | Builder::Native => "rust",
        Builder::Docker => "builder",
    };
    match toolchain {
        Ok(Toolchain { cargo, target }) => ok(check, format!("{cargo}, for {target}")),
        Err(failure) => failed(check, failure),
    }
}

/// Judges the program to compile.
pub(super) fn program(program: &Result<BinaryTarget, Failure>) -> Finding {
    match program {
        Ok(BinaryTarget {
            package, binary, ..
        }) => ok("program", format!("{binary}, of package {package}")),
        Err(failure) => failed("program", failure),
    }
}

/// Judges an existing image.
pub(super) fn image(config: &Config, image: Result<Vec<String>, Failure>) -> Finding {
    let name = config.image.uri.as_deref().unwrap_or("a file");
    match image {
        Ok(_) => ok("image", name),
        Err(failure) => failed("image", &failure),
    }
}

/// Judges the Dockerfile.
pub(super) fn dockerfile(config: &Config, dockerfile: Result<Vec<String>, Failure>) -> Finding {
    match dockerfile {
        Ok(remarks) if !remarks.is_empty() => warning("dockerfile", remarks.join("\n"), Vec::new()),
        Ok(_) => ok("dockerfile", config.image.dockerfile.display().to_string()),
        Err(failure) => failed("dockerfile", &failure),
    }
}

/// Judges the folders that are written to, each with the reason if it is not writable.
pub(super) fn folders(folders: &[(PathBuf, Result<(), String>)]) -> Finding {
    let all: Vec<String> = folders
        .iter()
        .map(|(folder, result)| match result {
            Ok(()) => folder.display().to_string(),
            Err(cause) => format!("{}: {cause}", folder.display()),
        })
        .collect();
    let found = all.join(", ");
    if folders.iter().all(|(_, result)| result.is_ok()) {
        return ok("folders", format!("can be written: {found}"));
    }
    error(
        "folders",
        format!("cannot be written: {found}"),
        vec![
            "free some space, fix the owner, or set `CARGO_TARGET_DIR` and `XDG_CACHE_HOME`"
                .to_owned(),
        ],
    )
}

/// Judges the Docker engine.
pub(super) fn engine(engine: &Result<(), Failure>) -> Finding {
    match engine {
        Ok(()) => ok("docker", "the engine answers"),
        Err(failure) => failed("docker", failure),
    }
}

/// Judges the emulator.
pub(super) fn emulator(presence: &Result<Presence, Failure>) -> Finding {
    match presence {
        Ok(Presence::Running {
            guarded: false, ..
        }) => warning(
            "emulator",
            "answers every program and every web page on this machine: it was started by hand or by an older version".to_owned(),
            vec!["end it (`deployer down --local`, if this program started it), then `deployer up --local` starts one that does not".to_owned()],
        ),
        Ok(Presence::Running { version, .. }) if version == EMULATOR_VERSION => {
            ok("emulator", format!("runs, version {version}"))
        }
        Ok(Presence::Running { version, .. }) => warning(
            "emulator",
            format!("runs, version {version}; this program is tested with {EMULATOR_VERSION}"),
            vec!["`deployer down --local` stops it, if this program started it".to_owned()],
        ),
        Ok(Presence::Absent) => ok("emulator", "does not run: `up` starts it"),
        Err(failure) => failed("emulator", failure),
    }
}

/// Judges the credentials: their identity, their region, and whether they last as long as an
/// operation may.
pub(super) fn credentials(config: &Config, connection: &Connection, now: DateTime<Utc>) -> Finding {
    let at = connection
        .endpoint
        .as_deref()
        .map(|url| format!(" at {url}"))
        .unwrap_or_default();
    let whose = format!(
        "account {}, region {}, as {}{at}",
        connection.caller.account, connection.region, connection.caller.arn
    );
    let found = config.access.found.get();
    let Some((end, found)) = found.and_then(|found| Some((found.end?, found))) else {
        return ok("credentials", whose);
    };
    // Credentials that have expired already count as zero.
    let left = (end - now).to_std().unwrap_or_default();
    if left >= config.timeout {
        return ok("credentials", whose);
    }
    warning(
        "credentials",
        format!(
            "{whose}; they end in {} s, and an operation may take {} s (`--timeout`): then their source is asked again",
            left.as_secs(),
            config.timeout.as_secs()
        ),
        vec![format!(
            "if that is over by then: {}",
            found.origin.renewal()
        )],
    )
}

/// Returns the checks to skip if AWS cannot be asked.
pub(super) fn not_asked(why: &str, local: bool) -> Vec<Finding> {
    let mut findings = vec![skipped(VALIDATION, why), skipped(PARAMETERS, why)];
    // The emulator needs no service-linked roles.
    if !local {
        findings
            .extend([RoleOf::Ecs, RoleOf::LoadBalancing].map(|role| skipped(check_of(role), why)));
    }
    // The same order as with a connection.
    findings.push(skipped(REACH, why));
    findings
}

/// Judges whether the secrets exist, if the service has any. Includes what could not be determined.
pub(super) fn secrets(
    config: &Config,
    (missing, doubts): (Option<Failure>, Vec<String>),
) -> Option<Finding> {
    const CHECK: &str = "secrets";
    let number = config.settings.secrets.len();
    match missing {
        Some(failure) => Some(failed(CHECK, &failure)),
        None if number == 0 => None,
        None if doubts.is_empty() => Some(ok(CHECK, format!("{number} exist"))),
        None => Some(warning(CHECK, doubts.join("\n"), Vec::new())),
    }
}

/// Judges whether the running service can be reached from this host, as the check requires.
pub(super) fn reach(config: &Config, reach: Result<Reach, Failure>) -> Finding {
    match reach {
        Ok(Reach::Open) => ok(REACH, "requests of this machine arrive at the service"),
        Ok(Reach::Unknown(why)) => skipped(REACH, why),
        Ok(Reach::Closed { url, cause, health }) => {
            let found = format!("{url} cannot be reached from this machine: {cause}; {health}");
            match config.check_from {
                CheckFrom::Outside => error(REACH, found, remedies(config, "up")),
                // Without a check from here, an unreachable service does not fail the deployment.
                CheckFrom::TargetHealth => warning(REACH, found, Vec::new()),
            }
        }
        Err(failure) => failed(REACH, &failure),
    }
}

/// Judges CloudFormation's response about the template, or `None` if the template cannot be read.
pub(super) fn validation(
    config: &Config,
    declared: Option<Result<&Vec<TemplateParameter>, &RemoteError>>,
) -> [Finding; 2] {
    let cause = match declared {
        Some(Ok(declared)) => {
            let accepted = ok(VALIDATION, "CloudFormation accepts the template");
            return [accepted, parameters(config, declared)];
        }
        None => {
            let why = "the template cannot be read";
            return [skipped(VALIDATION, why), skipped(PARAMETERS, why)];
        }
        Some(Err(cause)) => cause,
    };
    let refused = match cause.kind {
        RemoteErrorKind::Refused | RemoteErrorKind::NotFound => error(
            VALIDATION,
            format!("CloudFormation refuses the template: {cause}"),
            vec![format!("check it: `{}`", config.template.lint())],
        ),
        // `up` never calls `ValidateTemplate`, so it works without this permission.
        RemoteErrorKind::Denied => warning(
            VALIDATION,
            format!("these credentials may not ask CloudFormation about the template: {cause}"),
            vec!["allow `cloudformation:ValidateTemplate`".to_owned()],
        ),
        RemoteErrorKind::Unreachable
        | RemoteErrorKind::Untrusted
        | RemoteErrorKind::Throttled
        | RemoteErrorKind::Server
        | RemoteErrorKind::Credentials => failed(
            VALIDATION,
            &crate::context::remote_failure(&config.access, cause),
        ),
    };
    [
        refused,
        skipped(PARAMETERS, "CloudFormation did not name them"),
    ]
}

/// Compares the parameters that the template declares with those that the settings give.
fn parameters(config: &Config, declared: &[TemplateParameter]) -> Finding {
    let given = |name: &str| {
        // `ImageUri` is set by each deployment, not by the settings.
        name == ParameterName::ImageUri.as_str() || config.parameters.contains_key(name)
    };
    let is_declared = |name: &str| declared.iter().any(|one| one.name == name);
    let unknown: Vec<String> = config
        .parameters
        .keys()
        .map(String::as_str)
        // Every deployment sets it, so that the template has to declare it.
        .chain([ParameterName::ImageUri.as_str()])
        .filter(|name| !is_declared(name))
        .map(|name| format!("`{name}`"))
        .collect();
    let missing: Vec<String> = declared
        .iter()
        // CloudFormation rejects a request without a value for such a parameter.
        .filter(|one| one.default.is_none() && !given(&one.name))
        .map(|one| format!("`{}`", one.name))
        .collect();
    let mut found = Vec::new();
    let mut remedies = Vec::new();
    if !unknown.is_empty() {
        found.push(format!(
            "the template does not declare {}",
            unknown.join(", ")
        ));
        remedies.push("declare it in the template, or remove it from `[parameters]`: `docs/template.md` lists those that are always given".to_owned());
    }
    if !missing.is_empty() {
        found.push(format!("no value is given for {}", missing.join(", ")));
        remedies.push(
            "set it under `[parameters]` in `deployer.toml`, or give it a default".to_owned(),
        );
    }
    if found.is_empty() {
        return ok(PARAMETERS, "template and settings agree");
    }
    error(PARAMETERS, found.join("; "), remedies)
}

const fn check_of(role: RoleOf) -> &'static str {
    match role {
        RoleOf::Ecs => "role of ecs",
        RoleOf::LoadBalancing => "role of elb",
    }
}

/// Judges a service-linked role.
pub(super) fn role(of: RoleOf, role: &Role) -> Finding {
    let check = check_of(of);
    let remedy = format!("once an account, by somebody who may: `{}`", of.command());
    match role {
        Role::There => ok(check, format!("the role of {} is there", of.title())),
        Role::Made => ok(
            check,
            format!("the account had no role for {}: made it", of.title()),
        ),
        Role::Missing(cause) => warning(
            check,
            format!(
                "the account has no role for {}, and it cannot be made from here: {cause}",
                of.title()
            ),
            vec![remedy],
        ),
        Role::Unknown(cause) => warning(
            check,
            format!(
                "whether there is a role for {} is not known: {cause}",
                of.title()
            ),
            vec![remedy],
        ),
    }
}
