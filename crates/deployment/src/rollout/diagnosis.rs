//! Diagnosis of a rollout that does not succeed: its cause, and hints for a fix. Pure.

use serde::Serialize;

use super::Evidence;
use super::recognition::{Cause, recognise};

#[cfg(test)]
mod tests;

/// State of the failed rollout at the time of the diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// ECS or CloudFormation gave up.
    ForGood,
    /// Another deployment took its place.
    Superseded,
    /// The rollout continues, and only this program stops waiting.
    GoesOn,
}

/// Facts about the deployment that the evidence does not contain.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// TCP port that the program should listen on.
    pub port: u16,
    /// Memory of a task, MiB.
    pub memory: u32,
    /// CPU architecture of the tasks.
    pub architecture: &'a str,
    /// State of the rollout.
    pub ended: Ended,
    /// Effective health check grace period: seconds after a task's start in which failed checks do
    /// not count.
    pub start_seconds: u32,
    /// Command that shows the log.
    pub logs: &'a str,
}

/// Cause and hints for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// Cause in one sentence, as a fragment that starts in lower case.
    pub message: String,
    /// Suggested fixes; commands stand between backticks.
    pub hints: Vec<String>,
}

/// Names the cause, if the evidence or the reported reason (`said`) indicates one.
pub fn diagnose(
    evidence: &Evidence,
    said: Option<&str>,
    context: &Context<'_>,
) -> Option<Diagnosis> {
    let cause = recognise(evidence, said, context.port, context.ended)?;
    let mut hints = hints(&cause, evidence, context);
    hints.dedup();
    Some(Diagnosis {
        message: message(&cause, evidence, context),
        hints,
    })
}

/// Returns the path of the load balancer's health check, or a description if it is unknown.
fn path(evidence: &Evidence) -> &str {
    evidence
        .health_check
        .as_ref()
        .map_or("the health check", |check| &check.path)
}

fn message(cause: &Cause, evidence: &Evidence, context: &Context<'_>) -> String {
    let port = context.port;
    let path = path(evidence);
    match cause {
        Cause::Architecture => format!(
            "the program is built for another CPU architecture than that of the tasks ({})",
            context.architecture
        ),
        Cause::OutOfMemory => format!(
            "the program was killed for lack of memory{}",
            memory(context)
        ),
        Cause::ReadOnly => "the program ended because it may not write: all folders but `writable` ones are read-only".to_owned(),
        Cause::Ended(code) => ended(*code, context),
        Cause::CannotStart => "the program cannot be started".to_owned(),
        Cause::ServiceLinkedRole => "ECS lacks its service-linked role in this account".to_owned(),
        Cause::RoleNotAssumable => "ECS cannot assume the execution role".to_owned(),
        Cause::RoleLacks(Some(action)) => format!("the execution role lacks the right `{action}`"),
        Cause::RoleLacks(None) => "the execution role lacks the right to pull the image".to_owned(),
        Cause::SecretMissing(Some(name)) => format!("the secret {name} does not exist"),
        Cause::SecretMissing(None) => "a secret does not exist".to_owned(),
        Cause::SecretKeyMissing(key) => format!("a secret has no key `{key}`"),
        Cause::LogGroupMissing => "the log group does not exist".to_owned(),
        Cause::ImageMissing(Some(digest)) => format!("the image {digest} is not in the repository"),
        Cause::ImageMissing(None) => "the image is not in the repository".to_owned(),
        Cause::RateLimited => "the registry limits how often images are pulled".to_owned(),
        Cause::DiskFull => "the image is too large for the disk of a task".to_owned(),
        Cause::NoWayOut => {
            "the tasks have no way out to the registry and to secrets: route, public address or egress 443".to_owned()
        }
        Cause::CannotPull => "the image cannot be pulled".to_owned(),
        Cause::WrongAnswer(codes) => wrong_answer(codes.as_deref(), evidence),
        Cause::ListensLocally(address) => format!(
            "the program listens on {address}, where the load balancer cannot reach it"
        ),
        Cause::ListensElsewhere(other) => {
            format!("the program listens on port {other}, the load balancer asks on port {port}")
        }
        Cause::NothingAnswers => format!(
            "nothing answers on port {port}: the program listens on another port, or not on all addresses, or it starts more slowly than the {} s it is given",
            context.start_seconds
        ),
        Cause::StartsSlowly => format!(
            "the program starts more slowly than the {} s it is given: it listens on port {port}, but did not answer in time",
            context.start_seconds
        ),
        Cause::NoAnswerInTime => format!(
            "{path} does not answer{} on port {port}: the program is slow or stuck, or a security group is in the way",
            in_time(evidence)
        ),
        Cause::ContainerUnhealthy => "the container's own health check fails".to_owned(),
        Cause::Unhealthy => "the load balancer's health check fails".to_owned(),
        Cause::BalancerFault => "the load balancer fails to check the targets: not your code".to_owned(),
        Cause::NotInUse => {
            "the load balancer does not use the targets: no listener leads to their group, or their zone is not enabled"
                .to_owned()
        }
        Cause::Quota => "a quota of the account is reached".to_owned(),
        Cause::NoAddresses => "the subnets have no free addresses left".to_owned(),
        Cause::NoCapacity => "AWS has no capacity for these tasks in these zones: not your code".to_owned(),
        Cause::SpotInterrupted => "interrupted Spot capacity: not your code".to_owned(),
        Cause::Retired => "AWS took the machine under the task away: not your code".to_owned(),
        Cause::NothingStarted => {
            "ECS started no task and does not say why: its service-linked role is missing, or a quota is reached"
                .to_owned()
        }
        Cause::StillRegistering(1) => "nothing is wrong yet: a target is still registering".to_owned(),
        Cause::StillRegistering(number) => {
            format!("nothing is wrong yet: {number} targets are still registering")
        }
    }
}

fn memory(context: &Context<'_>) -> String {
    format!(" ({} MiB)", context.memory)
}

fn in_time(evidence: &Evidence) -> String {
    evidence
        .health_check
        .as_ref()
        .map(|check| format!(" within {} s", check.timeout_seconds))
        .unwrap_or_default()
}

fn wrong_answer(codes: Option<&str>, evidence: &Evidence) -> String {
    let path = path(evidence);
    let wanted = evidence
        .health_check
        .as_ref()
        .map(|check| format!(" instead of {}", check.codes))
        .unwrap_or_default();
    match codes {
        Some(codes) => format!("{path} answers {codes}{wanted}"),
        None => format!("{path} answers with another status{wanted}"),
    }
}

/// Describes the exit of a program. Codes above 128 are those of a signal (128 plus its number).
fn ended(code: Option<i32>, context: &Context<'_>) -> String {
    let Some(code) = code else {
        return "the program ended by itself".to_owned();
    };
    let more = match code {
        0 => ": a service has to go on running".to_owned(),
        // The exit code of a Rust panic in the main thread.
        101 => " (it panicked)".to_owned(),
        // SIGILL: the program may use instructions that the CPU lacks.
        132 => " (illegal instruction)".to_owned(),
        // SIGABRT, as with `panic = "abort"`.
        134 => " (it aborted)".to_owned(),
        // SIGKILL: the kernel's OOM killer, or ECS after the stop timeout.
        137 => {
            let memory = memory(context);
            return format!(
                "the program was killed (exit code 137), perhaps for lack of memory{memory}"
            );
        }
        139 => " (invalid memory access)".to_owned(),
        // SIGTERM from within the task: ECS gives its own another stop code.
        143 => " (asked to by a signal)".to_owned(),
        _ => String::new(),
    };
    format!("the program ended by itself with exit code {code}{more}")
}

fn hints(cause: &Cause, evidence: &Evidence, context: &Context<'_>) -> Vec<String> {
    let logs = format!("read its log: `{} --since 1h`", context.logs);
    let port = context.port;
    match cause {
        Cause::Architecture => vec![
            "set `architecture` under `[service]` to that of the program, or build the program for that of the tasks".to_owned(),
        ],
        Cause::OutOfMemory => vec!["give it more: `memory` under `[service]`, or `--memory`".to_owned(), logs],
        // The log comes first, because memory is only one possible cause.
        Cause::Ended(Some(137)) => vec![
            logs,
            "if it needs more memory: `memory` under `[service]`, or `--memory`".to_owned(),
        ],
        Cause::ReadOnly => vec![
            "name the folder in `writable` under `[service]`, for example `writable = [\"/tmp\"]`".to_owned(),
            logs,
        ],
        Cause::Ended(_) | Cause::ContainerUnhealthy => vec![logs],
        Cause::CannotStart => vec![
            "check `ENTRYPOINT`, `CMD` and `USER` in the Dockerfile: the program has to be there, and that user has to be allowed to run it".to_owned(),
        ],
        Cause::ServiceLinkedRole => vec![service_linked_role()],
        Cause::RoleNotAssumable => vec![
            "let `ecs-tasks.amazonaws.com` assume `ExecutionRole` in the template".to_owned(),
        ],
        Cause::RoleLacks(Some(action)) if is_about_secrets(action) => vec![
            "name the secret under `[service.secrets]` in `deployer.toml`, so that `ExecutionRole` gets this right; a `PermissionsBoundary` has to allow it, too".to_owned(),
        ],
        Cause::SecretMissing(name) => vec![missing_secret(name.as_deref())],
        Cause::SecretKeyMissing(_) => vec![
            "add it to the secret's JSON, or correct the key under `[service.secrets]` in `deployer.toml`".to_owned(),
        ],
        Cause::RoleLacks(_) => vec!["give it to `ExecutionRole` in the template".to_owned()],
        Cause::LogGroupMissing => vec![
            "somebody deleted it: make one of that name again, or `deployer down` and `deployer up`".to_owned(),
        ],
        Cause::ImageMissing(_) => vec![
            "somebody or a lifecycle rule deleted it: `deployer up` pushes what is missing".to_owned(),
        ],
        Cause::RateLimited | Cause::NoCapacity | Cause::SpotInterrupted | Cause::Retired | Cause::BalancerFault => {
            vec!["wait a while, then run `deployer up` again".to_owned()]
        }
        // Fargate's ephemeral storage has 20 GiB unless the task definition asks for more.
        Cause::DiskFull => vec!["make the image smaller: a task has 20 GiB".to_owned()],
        Cause::NoWayOut => vec![
            "check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS".to_owned(),
        ],
        // The reason that ECS gives is clearer than any hint. Targets that are registering need
        // only time.
        Cause::CannotPull | Cause::StillRegistering(_) => Vec::new(),
        Cause::WrongAnswer(_) => evidence
            .health_check
            .iter()
            .map(|check| {
                let (path, codes) = (&check.path, &check.codes);
                format!("the program has to answer `GET {path}` with {codes}, or set `health_path` under `[service]` to a path where it does")
            })
            .chain([logs])
            .collect(),
        Cause::ListensElsewhere(other) => vec![
            format!("set `port = {other}` under `[service]`, or listen on port {port}, which the variable `PORT` names"),
            logs,
        ],
        Cause::ListensLocally(_) | Cause::NothingAnswers => vec![
            format!("listen on `0.0.0.0` and port {port}, which the variable `PORT` names"),
            logs,
        ]
        .into_iter()
        .chain((*cause == Cause::NothingAnswers).then(more_time_to_start))
        .collect(),
        Cause::StartsSlowly => vec![more_time_to_start(), logs],
        Cause::NoAnswerInTime | Cause::Unhealthy => evidence
            .health_check
            .iter()
            .map(|check| {
                let path = &check.path;
                format!("try it here: start the program, then `curl -i http://localhost:{port}{path}`")
            })
            .chain([logs])
            .collect(),
        Cause::NotInUse => vec![
            "check the template: a listener that forwards to the target group, and subnets of the same zones".to_owned(),
        ],
        Cause::Quota => vec![
            "ask for more: `aws service-quotas list-service-quotas --service-code fargate` shows what there is".to_owned(),
        ],
        Cause::NoAddresses => vec!["set a larger `VpcCidr` under `[parameters]`".to_owned()],
        Cause::NothingStarted => vec![
            service_linked_role(),
            "look at the quotas: `aws service-quotas list-service-quotas --service-code fargate`".to_owned(),
        ],
    }
}

fn is_about_secrets(action: &str) -> bool {
    // A secret may be encrypted with a customer managed key of KMS.
    let services = ["secretsmanager:", "ssm:", "kms:"];
    services.iter().any(|service| action.starts_with(service))
}

/// Returns the hint for creating a secret, by ARN, or a parameter, by name.
///
/// The value comes from a file, so that it stays out of the shell's history.
pub fn missing_secret(name: Option<&str>) -> String {
    let create = match name {
        Some(arn) if arn.contains(":secretsmanager:") => {
            let name = arn.rsplit(":secret:").next().unwrap_or(arn);
            // The six random characters that Secrets Manager appends are not part of the name.
            let name = match name.rsplit_once('-') {
                Some((name, suffix)) if suffix.len() == 6 => name,
                Some(_) | None => name,
            };
            format!(
                "create it: `aws secretsmanager create-secret --name {name} --secret-string file://FILE`, with its ARN"
            )
        }
        Some(name) => format!(
            "create it: `aws ssm put-parameter --type SecureString --name {name} --value file://FILE`, or another name"
        ),
        None => "create it, or another name".to_owned(),
    };
    format!("{create} under `[service.secrets]` in `deployer.toml`")
}

fn more_time_to_start() -> String {
    "if it needs longer to start: `start_seconds` under `[service]`".to_owned()
}

fn service_linked_role() -> String {
    "make it: `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`".to_owned()
}
