//! From the words of AWS to causes: what each piece of evidence speaks for. Pure.

use super::wording::{
    Listening, action_in, codes_in, digest_in, has, json_key_in, listening, secret_in,
};
use super::{Ended, Evidence, FailedTask, StopCode, StoppedTask, Target};

/// What can be wrong, in the order of precedence: what the program itself did before what kept it from starting, that
/// before what follows from it, and what is nobody's fault at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The program cannot run on these processors.
    Architecture,
    /// It was killed for lack of memory.
    OutOfMemory,
    /// It ended because it may not write where it wants to.
    ReadOnly,
    /// It ended by itself, with this exit code.
    Ended(Option<i32>),
    /// It could not be started at all.
    CannotStart,
    /// ECS may not act for the account.
    ServiceLinkedRole,
    /// ECS may not use the execution role.
    RoleNotAssumable,
    /// The execution role may not do this.
    RoleLacks(Option<String>),
    /// A secret, by its ARN, or a parameter, by its name, does not exist.
    SecretMissing(Option<String>),
    /// A secret is no object in JSON, or has no such key.
    SecretKeyMissing(String),
    /// There is nowhere to log to.
    LogGroupMissing,
    /// The image, by its digest, is not in the repository.
    ImageMissing(Option<String>),
    /// The registry gives out no more for now.
    RateLimited,
    /// The image is too large for the disk.
    DiskFull,
    /// The registry cannot be reached.
    NoWayOut,
    /// The image cannot be pulled for a reason that is not known here.
    CannotPull,
    /// The health check gets these statuses.
    WrongAnswer(Option<String>),
    /// The program listens here, where only itself can reach it.
    ListensLocally(std::net::SocketAddr),
    /// The program listens on this port, which is not the one that is asked.
    ListensElsewhere(u16),
    /// No connection, or no HTTP.
    NothingAnswers,
    /// The program listens where it should, but too late.
    StartsSlowly,
    /// No answer in time.
    NoAnswerInTime,
    /// The container's own health check failed.
    ContainerUnhealthy,
    /// The load balancer's health check failed, nobody says how.
    Unhealthy,
    /// The load balancer itself failed.
    BalancerFault,
    /// The load balancer does not use the target.
    NotInUse,
    /// The account may not have more.
    Quota,
    /// The network has no more addresses.
    NoAddresses,
    /// AWS has no more machines.
    NoCapacity,
    /// Spot capacity was reclaimed.
    SpotInterrupted,
    /// The machine under the task was retired, or broke.
    Retired,
    /// Nothing happened at all.
    NothingStarted,
    /// It has only started: so many targets were not checked yet.
    StillRegistering(usize),
}

/// What the evidence speaks for, above all.
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

/// A task that was stopped because of a health check: its log may tell why it could not be reached.
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

/// Whether a task that failed its checks had logged that it listens where it should.
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

/// What the service tells, or what was said when it failed.
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

/// What a program logs that could not write: EROFS in the words of the C library, of Rust, and as a number.
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

/// Why a task did not come to run. Only sentences that begin as such a failure does are read: words like "not found"
/// mean something else elsewhere.
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
    // The emulator says so of everything that Docker refuses.
    if is(&["unable to pull image or start container"]) {
        return Some(Cause::CannotStart);
    }
    // The network interface was not ready in time: a fault of AWS, and nothing that another route would fix.
    if is(&["network interface provisioning"]) {
        return None;
    }
    Some(Cause::NoWayOut)
}

/// What a registry that cannot be reached looks like.
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

/// Where nothing speaks of a failure, it has not started, or goes on.
fn of_silence(evidence: &Evidence, ended: Ended) -> Option<Cause> {
    // Whoever took its place did so before anything could be seen of it.
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
