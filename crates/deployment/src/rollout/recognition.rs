//! Maps the messages of AWS to causes. Pure.

use super::wording::{
    Listening, action_in, codes_in, digest_in, has, json_key_in, listening, secret_in,
};
use super::{Ended, Evidence, FailedTask, StopCode, StoppedTask, Target};

/// Possible causes in order of precedence: derived `Ord` makes the first one win.
///
/// Failures of the program itself come first, then obstacles to its start, then their consequences,
/// and finally faults of AWS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The program is built for another CPU architecture.
    Architecture,
    /// The program was killed for lack of memory.
    OutOfMemory,
    /// The program ended because its file system is read-only.
    ReadOnly,
    /// The program ended by itself, with this exit code.
    Ended(Option<i32>),
    /// The program could not be started.
    CannotStart,
    /// The service-linked role of ECS is missing.
    ServiceLinkedRole,
    /// ECS cannot assume the execution role.
    RoleNotAssumable,
    /// The execution role lacks this action.
    RoleLacks(Option<String>),
    /// A secret, by its ARN, or a parameter, by its name, does not exist.
    SecretMissing(Option<String>),
    /// A secret is not a JSON object, or lacks this key.
    SecretKeyMissing(String),
    /// The log group does not exist.
    LogGroupMissing,
    /// The image, by its digest, is not in the repository.
    ImageMissing(Option<String>),
    /// The registry limits the rate of pulls.
    RateLimited,
    /// The image exceeds the disk of the task.
    DiskFull,
    /// The registry is unreachable.
    NoWayOut,
    /// The image cannot be pulled, for a reason unknown to this program.
    CannotPull,
    /// The health check gets these status codes.
    WrongAnswer(Option<String>),
    /// The program listens on this loopback address.
    ListensLocally(std::net::SocketAddr),
    /// The program listens on this port instead of the configured one.
    ListensElsewhere(u16),
    /// Connections fail, or the response is not HTTP.
    NothingAnswers,
    /// The program listens on the right port, but too late.
    StartsSlowly,
    /// The response takes longer than the timeout of the health check.
    NoAnswerInTime,
    /// The container's own health check failed.
    ContainerUnhealthy,
    /// The load balancer's health check failed, without further details.
    Unhealthy,
    /// The load balancer had an internal error.
    BalancerFault,
    /// The load balancer does not route to the target.
    NotInUse,
    /// A quota of the account is exhausted.
    Quota,
    /// The subnets have no free addresses.
    NoAddresses,
    /// AWS lacks capacity.
    NoCapacity,
    /// Spot capacity was reclaimed.
    SpotInterrupted,
    /// The host of the task was retired or failed.
    Retired,
    /// No task started, and no reason is given.
    NothingStarted,
    /// The rollout has only started: this many targets are not checked yet.
    StillRegistering(usize),
}

/// Returns the cause of highest precedence that the evidence indicates.
pub(super) fn recognise(
    evidence: &Evidence,
    said: Option<&str>,
    port: u16,
    ended: Ended,
) -> Option<Cause> {
    let tasks = evidence
        .tasks
        .iter()
        .filter_map(|failed| of_task(failed, port));
    let targets = evidence.targets.iter().filter_map(of_target);
    let events = evidence
        .events
        .iter()
        .filter_map(|event| of_message(&event.message));
    let said = said.and_then(of_message);
    tasks
        .chain(targets)
        .chain(events)
        .chain(said)
        .min()
        .map(|cause| {
            // Only the log distinguishes a slow start from a wrong port.
            if cause == Cause::NothingAnswers && listened_in_the_end(evidence, port) {
                Cause::StartsSlowly
            } else {
                cause
            }
        })
        .or_else(|| of_silence(evidence, ended))
}

fn of_task(failed: &FailedTask, port: u16) -> Option<Cause> {
    let FailedTask { task, log } = failed;
    let words = words_of(task);
    // The runtime's `exec format error` appears only in the container's log.
    if log
        .iter()
        .any(|line| is_about_architecture(&line.to_lowercase()))
    {
        return Some(Cause::Architecture);
    }
    if let Some(cause) = of_start(&words) {
        return Some(cause);
    }
    if task.failed_its_health_checks() {
        return Some(of_check(task, log, port));
    }
    match task.stop_code {
        Some(StopCode::SpotInterruption) => Some(Cause::SpotInterrupted),
        Some(StopCode::TerminationNotice | StopCode::InfrastructureHealth) => Some(Cause::Retired),
        Some(StopCode::EssentialContainerExited) if log.iter().any(|line| is_read_only(line)) => {
            Some(Cause::ReadOnly)
        }
        Some(StopCode::EssentialContainerExited) => Some(Cause::Ended(task.exit_code)),
        Some(
            // These codes say nothing about the cause; the reason may.
            StopCode::TaskFailedToStart
            | StopCode::UserInitiated
            | StopCode::ServiceSchedulerInitiated
            | StopCode::Unknown(_),
        )
        | None => of_capacity(&words),
    }
}

fn words_of(task: &StoppedTask) -> String {
    let reason = task.reason.as_deref().unwrap_or_default();
    let container = task.container_reason.as_deref().unwrap_or_default();
    format!("{container}\n{reason}")
}

/// Returns the cause of a failed health check: the log may show that the program listens elsewhere.
fn of_check(task: &StoppedTask, log: &[String], port: u16) -> Cause {
    let reason = task.reason.as_deref().unwrap_or_default();
    if reason.contains("container health check") {
        return Cause::ContainerUnhealthy;
    }
    match listening(log) {
        Some(Listening::Locally(address)) => Cause::ListensLocally(address),
        Some(Listening::ForAll(other)) if other != port => Cause::ListensElsewhere(other),
        Some(Listening::ForAll(_)) | None => Cause::Unhealthy,
    }
}

/// Returns whether a task that failed its checks logged that it listens on the right port.
fn listened_in_the_end(evidence: &Evidence, port: u16) -> bool {
    let mut tasks = evidence.tasks.iter();
    tasks.any(|failed| {
        failed.task.failed_its_health_checks()
            && listening(&failed.log) == Some(Listening::ForAll(port))
    })
}

fn of_target(target: &Target) -> Option<Cause> {
    let description = target.description.as_deref().unwrap_or_default();
    match target.reason.as_deref() {
        Some("Target.ResponseCodeMismatch") => Some(Cause::WrongAnswer(codes_in(description))),
        Some("Target.Timeout") => Some(Cause::NoAnswerInTime),
        Some("Target.FailedHealthChecks") => Some(Cause::NothingAnswers),
        Some("Target.NotInUse") => Some(Cause::NotInUse),
        Some("Elb.InternalError") => Some(Cause::BalancerFault),
        _ => target.is_in_trouble().then_some(Cause::Unhealthy),
    }
}

/// Recognises the cause in a service event or in the reason for a failure.
fn of_message(message: &str) -> Option<Cause> {
    if let Some(cause) = of_start(message) {
        return Some(cause);
    }
    let lower = message.to_lowercase();
    if lower.contains("is unhealthy in") || lower.contains("failed elb health checks") {
        return Some(match codes_in(message) {
            Some(codes) => Cause::WrongAnswer(Some(codes)),
            None if lower.contains("request timed out") => Cause::NoAnswerInTime,
            None if lower.contains("reason health checks failed") => Cause::NothingAnswers,
            None => Cause::Unhealthy,
        });
    }
    of_capacity(message)
}

/// Returns whether a log line reports EROFS: in the words of the C library, as a name, or by
/// number.
fn is_read_only(line: &str) -> bool {
    has(
        &line.to_lowercase(),
        &["read-only file system", "readonlyfilesystem", "os error 30"],
    )
}

fn is_about_architecture(lower: &str) -> bool {
    has(
        lower,
        &[
            "exec format error",
            "descriptor matching platform",
            "descriptor for platform",
            "no match for platform",
            "no matching manifest",
        ],
    )
}

/// Recognises why a task did not start.
///
/// Only messages with the prefix of such a failure are read: words like "not found" mean something
/// else elsewhere.
fn of_start(words: &str) -> Option<Cause> {
    let lower = words.to_lowercase();
    let is = |any_of: &[&str]| has(&lower, any_of);
    if is_about_architecture(&lower) {
        return Some(Cause::Architecture);
    }
    if is(&["outofmemory"]) {
        return Some(Cause::OutOfMemory);
    }
    if is(&["service linked role", "service-linked role"]) {
        return Some(Cause::ServiceLinkedRole);
    }
    if is(&["unable to assume", "cannot assume"]) {
        return Some(Cause::RoleNotAssumable);
    }
    // Prefixes of ECS, and the words of Docker and containerd for a program that is missing or not
    // executable.
    if is(&[
        "cannotstart",
        "cannotcreate",
        "executable file not found",
        "exec: \"",
        "oci runtime",
    ]) {
        return Some(Cause::CannotStart);
    }
    if !is(&["cannotpull", "resourceinitializationerror"]) {
        return None;
    }
    if is(&[
        "accessdenied",
        "not authorized",
        "403 forbidden",
        "no basic auth",
        "access denied",
    ]) {
        return Some(Cause::RoleLacks(action_in(words)));
    }
    if is(&["can't find the specified secret", "invalid ssm parameters"]) {
        return Some(Cause::SecretMissing(secret_in(words)));
    }
    if let Some(key) = json_key_in(words) {
        return Some(Cause::SecretKeyMissing(key));
    }
    if is(&[
        "log group does not exist",
        "find the amazon cloudwatch log group",
    ]) {
        return Some(Cause::LogGroupMissing);
    }
    if is(&["toomanyrequests", "rate limit"]) {
        return Some(Cause::RateLimited);
    }
    if is(&["no space left"]) {
        return Some(Cause::DiskFull);
    }
    if is(NETWORK) {
        return Some(Cause::NoWayOut);
    }
    if is(&[
        "not found",
        "manifest unknown",
        "name unknown",
        "does not exist",
        "can't find the image",
        "cannot find the image",
    ]) {
        return Some(Cause::ImageMissing(digest_in(words)));
    }
    if is(&["cannotpull"]) {
        return Some(Cause::CannotPull);
    }
    // The emulator reports every error of Docker with these words.
    if is(&["unable to pull image or start container"]) {
        return Some(Cause::CannotStart);
    }
    // The network interface was not ready in time: a transient fault of AWS that no change of the
    // route fixes.
    if is(&["network interface provisioning"]) {
        return None;
    }
    // Any other `ResourceInitializationError` is most likely an unreachable ECR, Secrets Manager or
    // CloudWatch Logs.
    Some(Cause::NoWayOut)
}

/// Messages of an unreachable registry or endpoint, in lower case.
const NETWORK: &[&str] = &[
    "i/o timeout",
    "deadline exceeded",
    "connection timed out",
    "connection refused",
    "connection issue",
    "request canceled",
    "network is unreachable",
    "no route to host",
    "no such host",
    "network configuration",
    "send request failed",
    "signal: killed",
];

fn of_capacity(words: &str) -> Option<Cause> {
    let lower = words.to_lowercase();
    let is = |any_of: &[&str]| has(&lower, any_of);
    if is(&["reached the limit", "limit exceeded", "quota"]) {
        Some(Cause::Quota)
    } else if is(&["free addresses", "free ip"]) {
        Some(Cause::NoAddresses)
    } else if is(&[
        "capacity is unavailable",
        "insufficient capacity",
        "unable to place a task",
    ]) {
        Some(Cause::NoCapacity)
    } else {
        None
    }
}

/// Returns the cause if there is no sign of a failure: nothing has started, or the targets are
/// registering.
fn of_silence(evidence: &Evidence, ended: Ended) -> Option<Cause> {
    // A deployment that was superseded early never got to start tasks.
    if ended == Ended::Superseded {
        return None;
    }
    let silent =
        evidence.tasks.is_empty() && evidence.events.is_empty() && evidence.targets.is_empty();
    if !silent {
        return None;
    }
    if evidence.had_tasks == Some(false) && evidence.failed_tasks == 0 {
        return Some(Cause::NothingStarted);
    }
    match evidence.registering.len() {
        0 => None,
        _ if ended == Ended::ForGood => None,
        registering => Some(Cause::StillRegistering(registering)),
    }
}
