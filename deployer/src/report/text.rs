//! Events in people's words: pure, shared by the reporters for people.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::commands::status::{ABSENT, Status};
use crate::error::Failure;
use crate::event::{Checked, Event, Summary};
use crate::names::Digest;
use crate::printable::printable;
use crate::rollout::{Deployment, Service, StoppedTask, Task, without_service};
use crate::stack::change::Change;
use crate::stack::resource::describe;
use crate::watch::Probed;

/// What there is to say about an event.
pub(super) enum Words {
    /// Nothing, for people.
    Nothing,
    /// A line among others.
    Line(String),
    /// The end of a command that succeeded; for standard output.
    Result(String),
    /// The end of a command that failed; for standard error.
    Failure(String),
}

/// One line about an event, or nothing where it is not worth one.
pub(super) fn line(event: &Event) -> Option<String> {
    if let Words::Line(line) = words(event) {
        Some(line)
    } else {
        None
    }
}

/// An event in people's words, without what would control a terminal: some of them are of others.
pub(super) fn words(event: &Event) -> Words {
    match raw_words(event) {
        Words::Nothing => Words::Nothing,
        Words::Line(text) => Words::Line(printable(&text)),
        Words::Result(text) => Words::Result(printable(&text)),
        Words::Failure(text) => Words::Failure(printable(&text)),
    }
}

fn raw_words(event: &Event) -> Words {
    let line = match event {
        Event::Begun {
            command,
            stack,
            local,
            ..
        } => format!(
            "{command}: stack {stack}{}",
            if *local { " on this machine" } else { "" }
        ),
        Event::PhaseEnded { phase, seconds } => {
            format!("{}: done in {}", phase.title(), duration(*seconds))
        }
        Event::EmulatorInstalling { version } => emulator_installing(version),
        Event::EmulatorReady { endpoint, reused } => {
            let how = if *reused { "runs already" } else { "started" };
            format!("emulator {how} at {endpoint}")
        }
        Event::EmulatorStopped { endpoint } => format!("emulator at {endpoint} stopped"),
        Event::EmulatorKept { reason } => format!("the emulator goes on: {reason}"),
        Event::Identified {
            account,
            arn,
            region,
            endpoint,
        } => match endpoint {
            Some(url) => format!("account {account}, region {region}, as {arn} at {url}"),
            None => format!("account {account}, region {region}, as {arn}"),
        },
        Event::ImagePacked { digest, bytes } => {
            format!("image {} packed: {}", digest.short(), size(*bytes))
        }
        Event::StackFound { status } => match status {
            Some(status) => format!("the stack is {status}"),
            None => "there is no such stack".to_owned(),
        },
        Event::ResourceChanged {
            logical_id,
            resource_type,
            status,
            reason,
        } => match resource(logical_id, resource_type, status, reason.as_deref()) {
            Some(line) => line,
            None => return Words::Nothing,
        },
        Event::Proposed { changes } => {
            let lines: Vec<String> = changes.iter().map(Change::line).collect();
            let counted = counted(changes.len(), "change");
            format!("{counted}: {}", lines.join("; "))
        }
        Event::Unchanged => "nothing to change".to_owned(),
        Event::Pushed {
            digest,
            bytes_sent,
            already_there,
        } => pushed(digest.short(), *bytes_sent, *already_there),
        Event::RolloutMoved {
            task_definition,
            deployments,
            healthy_targets,
            registered_targets,
            failed_tasks,
            threshold,
        } => format!(
            "rollout: {}; {healthy_targets} of {registered_targets} targets healthy",
            rollout(
                deployments,
                task_definition,
                threshold.map(|limit| (*failed_tasks, limit))
            )
        ),
        Event::TaskFailed { task, log } => failed_task(task, log),
        Event::TargetUnhealthy { target } => printable(&target.in_words()),
        Event::ServiceComplained { message, .. } => {
            format!("service: {}", printable(without_service(message)))
        }
        Event::Checked { check } => format!("check: {}", checked(check)),
        Event::Probed { probe } => format!("probe: {}", probed(probe)),
        Event::Asked { question } => format!("{question} [y/N]"),
        Event::Warned { message } => format!("warning: {message}"),
        Event::Noted { message } => message.clone(),
        Event::ImageReady { .. } => return Words::Result(image_ready(event)),
        Event::Succeeded { summary } => return Words::Result(self::summary(summary)),
        Event::TakenDown {
            looked_for,
            seconds,
        } => return Words::Result(taken_down(looked_for, *seconds)),
        Event::NothingThere { message } => return Words::Result(format!("{message}\n")),
        Event::Failed { failure, .. } => return Words::Failure(self::failure(failure)),
        Event::UsuallyTook { .. }
        | Event::PhaseBegun { .. }
        | Event::Compiled { .. }
        | Event::BuildStepped { .. }
        | Event::OperationBegun { .. }
        | Event::OperationEnded { .. }
        | Event::PushProgressed { .. } => return Words::Nothing,
    };
    Words::Line(line)
}

fn emulator_installing(version: &str) -> String {
    format!("installing the AWS emulator (ministack {version}): only the first time")
}

/// The end of `image build` and `image push`; nothing for another event.
fn image_ready(event: &Event) -> String {
    let Event::ImageReady {
        name,
        digest,
        bytes,
        archive,
        loaded,
        pushed,
        bill,
    } = event
    else {
        return String::new();
    };
    let rows = [
        ("digest", Some(digest.as_str())),
        ("archive", archive.as_deref()),
        ("loaded as", loaded.as_deref()),
        ("pushed to", pushed.as_deref()),
        ("made of", bill.as_deref()),
    ];
    let mut text = format!("The image {name} is ready: {}.\n", size(*bytes));
    for (title, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(text, "  {title:<9} {value}");
        }
    }
    text
}

/// An instruction of a Dockerfile, as much of it as is of use in a line.
pub(super) fn shortened(step: &str) -> String {
    const LONGEST: usize = 60;
    let step = printable(&step.split_whitespace().collect::<Vec<_>>().join(" "));
    match step.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &step[..end]),
        None => step,
    }
}

/// What was found and taken down.
fn taken_down(looked_for: &[String], seconds: f64) -> String {
    let mut text = format!("everything is gone ({})\n", duration(seconds));
    if !looked_for.is_empty() {
        let _ = writeln!(text, "looked for, and not found: {}", looked_for.join(", "));
    }
    text
}

/// A resource that changed. What begins will also end: one line is enough.
pub(super) fn resource(
    logical_id: &str,
    resource_type: &str,
    status: &str,
    reason: Option<&str>,
) -> Option<String> {
    if status.ends_with("_IN_PROGRESS") && resource_type != "AWS::CloudFormation::Stack" {
        return None;
    }
    let why = reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let what = describe(resource_type);
    Some(format!("{status} {what} ({logical_id}){why}"))
}

fn failed_task(task: &StoppedTask, log: &[String]) -> String {
    let mut text = format!("task {} failed: {}", task.id, printable(&task.in_words()));
    for line in log {
        let _ = write!(text, "\n  {}", printable(line.trim_end()));
    }
    text
}

fn summary(summary: &Summary) -> String {
    let mut text = String::new();
    let headline = if summary.changed {
        "The service is up."
    } else {
        "Nothing changed: the service was up to date, and is up."
    };
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    row("url", &summary.url);
    row("version", summary.version.as_deref().unwrap_or("unknown"));
    row("image", &summary.image);
    let tasks: Vec<String> = summary
        .tasks
        .iter()
        .map(|task| {
            let zone = task
                .zone
                .as_deref()
                .map(|zone| format!(" in {zone}"))
                .unwrap_or_default();
            format!("{}{zone}", task.id.get(..8).unwrap_or(&task.id))
        })
        .collect();
    row("tasks", &format!("{}: {}", tasks.len(), tasks.join(", ")));
    row("check", &checked(&summary.check));
    if let Some(probe) = &summary.probe {
        row("rollout", &probed(probe));
    }
    let times: Vec<String> = summary
        .timings
        .iter()
        .map(|timing| format!("{} {}", timing.phase.title(), duration(timing.seconds)))
        .collect();
    row(
        "time",
        &format!("{}: {}", duration(summary.seconds), times.join(", ")),
    );
    if let Some(cost) = &summary.cost {
        row("cost", &cost.line());
    }
    row("take down", &summary.take_down);
    format!("{headline}\n{text}")
}

/// A status as a table.
pub(super) fn status(status: &Status) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9} {value}");
    };
    row("stack", status.stack.as_str());
    if status.status == ABSENT {
        row("status", "there is no such stack");
    } else {
        row("status", &status.status);
    }
    if let Some(remark) = status.remark {
        row("", remark);
    }
    let pairs = [
        ("account", &status.account),
        ("region", &status.region),
        ("url", &status.url),
        ("image", &status.image),
        ("version", &status.version),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            row(name, value);
        }
    }
    if let Some(service) = &status.service {
        row(
            "service",
            &self::service(service, status.task_definition.as_deref()),
        );
    }
    if status.desired_tasks > 0 {
        row(
            "tasks",
            &format!("{} of {}", status.tasks.len(), status.desired_tasks),
        );
        for task in &status.tasks {
            row(
                "",
                &format!(
                    "{} {} {} {}",
                    task.id,
                    task.status,
                    task.zone.as_deref().unwrap_or("-"),
                    version_of(task)
                ),
            );
        }
    }
    if !status.targets.is_empty() {
        let healthy = status
            .targets
            .iter()
            .filter(|target| target.is_healthy())
            .count();
        row(
            "targets",
            &format!("{healthy} of {} healthy", status.targets.len()),
        );
    }
    if let Some(check) = &status.check {
        row("check", &checked(check));
    }
    if let Some(reviewer) = &status.reviewer {
        row("reviewer", reviewer);
    }
    if let Some(cost) = &status.cost {
        row("cost", &cost.line());
    }
    text
}

/// The service in one line: how many tasks there are, and of which deployments where there is more than one, or one that is not
/// over.
fn service(service: &Service, ours: Option<&str>) -> String {
    let pending: u32 = service
        .deployments
        .iter()
        .map(|deployment| deployment.pending)
        .sum();
    let mut text = format!("{} desired, {} running", service.desired, service.running);
    if pending > 0 {
        let _ = write!(text, ", {pending} pending");
    }
    let states: Vec<&str> = service
        .deployments
        .iter()
        .filter_map(|deployment| deployment.rollout_state.as_deref())
        .filter(|state| *state != "COMPLETED")
        .collect();
    if service.deployments.len() > 1 || !states.is_empty() {
        let deployments = rollout(&service.deployments, ours.unwrap_or_default(), None);
        let _ = write!(text, "; deployments: {deployments}");
    }
    if !states.is_empty() {
        let _ = write!(text, " ({})", states.join(", "));
    }
    text
}

/// What a task runs: the first digits of its image's digest.
fn version_of(task: &Task) -> String {
    let digest = task.image.as_deref().and_then(Digest::of_image);
    digest.map_or_else(
        || "image unknown".to_owned(),
        |digest| digest.short().to_owned(),
    )
}

/// A failure, to be read top down: what, why, evidence, what to do.
pub(super) fn failure(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.message);
    if let Some(cause) = &failure.cause {
        let _ = writeln!(text, "  because: {}", indented(cause));
    }
    for line in &failure.evidence {
        let _ = writeln!(text, "  | {line}");
    }
    for hint in &failure.hints {
        let _ = writeln!(text, "  hint: {}", indented(hint));
    }
    text
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// What a probe saw, in one line.
pub(super) fn probed(probe: &Probed) -> String {
    let Probed {
        requests, failed, ..
    } = probe;
    let mut text = format!("{failed} of {requests} requests failed meanwhile");
    if *failed > 0 {
        let _ = write!(
            text,
            ", for {:.1} s at a stretch",
            std::time::Duration::from_millis(probe.longest_gap_ms).as_secs_f64()
        );
    }
    if let Some(why) = &probe.first_failure {
        let _ = write!(text, " ({why})");
    }
    text
}

/// A check in one line.
pub(super) fn checked(check: &Checked) -> String {
    let mut text = check.verdict.name().to_owned();
    if let (Some(offset), Some(uncertainty)) = (check.offset_ms, check.uncertainty_ms) {
        let _ = write!(text, ", offset {offset:+.1} ms ± {uncertainty:.1} ms");
    }
    if check.instances > 0 {
        let plural = if check.instances == 1 { "" } else { "s" };
        let _ = write!(text, ", {} instance{plural}", check.instances);
    }
    if let Some(cause) = &check.cause {
        let _ = write!(text, " ({cause})");
    }
    text
}

/// Deployments in one line: `new` is that of our task definition, of which so many tasks failed, and may fail, where known.
pub(super) fn rollout(
    deployments: &[Deployment],
    ours: &str,
    failures: Option<(u32, u32)>,
) -> String {
    let rows: Vec<String> = deployments
        .iter()
        .filter(|deployment| deployment.is_part_of(ours))
        .map(|deployment| {
            let is_ours = deployment.is_new(deployments, ours);
            let name = if is_ours { "new" } else { "old" };
            let counted = failures.filter(|(failed, _)| is_ours && *failed > 0);
            let mut text = format!(
                "{name} {} of {} running",
                deployment.running, deployment.desired
            );
            for (count, what) in [
                (deployment.pending, "pending"),
                // Said below, against what is borne.
                (
                    if counted.is_some() {
                        0
                    } else {
                        deployment.failed
                    },
                    "failed",
                ),
            ] {
                if count > 0 {
                    let _ = write!(text, ", {count} {what}");
                }
            }
            if let Some((failed, limit)) = counted {
                let _ = write!(text, ", failed tasks {failed}/{limit}");
            }
            text
        })
        .collect();
    rows.join("; ")
}

/// What was pushed, in one line.
pub(super) fn pushed(digest: &str, bytes: u64, already_there: bool) -> String {
    if already_there {
        format!("image {digest} is in the registry already")
    } else {
        format!("image {digest} pushed: {} sent", size(bytes))
    }
}

/// Seconds as people say them: `0.3 s`, `12.0 s`, `2 min 05 s`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration of a command: positive, and far from the limits"
    )]
    let whole = seconds.round() as u64;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

/// The same in whole seconds, for what still goes on: `12 s`, `2 min 05 s`.
pub(super) fn whole_duration(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{:.0} s", seconds.floor())
    } else {
        duration(seconds.floor())
    }
}

/// So many of these: `1 change`, `2 changes`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Bytes as people say them, in powers of 1000.
pub(super) fn size(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        _ => format!("{:.1} MB", number / 1e6),
    }
}
