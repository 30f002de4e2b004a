//! Text form of events, shared by all reporters for people.

mod service;
#[cfg(test)]
mod tests;
mod units;

use std::fmt::Write as _;

use deployment::error::Failure;
use deployment::event::{Checked, Event, Phase};
use deployment::event::{Probed, Sampled};
use deployment::rollout::gate::{LifecycleStage, expiry};
use deployment::rollout::{StoppedTask, without_service};
use deployment::stack::change::Change;
use deployment::stack::resource::describe;
use deployment::stack::resource_status::{ResourceProgress, ResourceStatus};
use support::printable::printable;

pub(super) use service::how_checked;
use service::summary;
pub(super) use service::{rollout, status};
pub(super) use units::{counted, duration, size, whole_duration};

/// Text for an event.
pub(super) enum Words {
    /// No text for people.
    Nothing,
    /// Line among others, for the log or the screen.
    Line(String),
    /// Result of a successful command, for standard output.
    Result(String),
    /// Failure of a command, for standard error.
    Failure(String),
}

/// Returns the line for an event, if it has one.
pub(super) fn line(event: &Event) -> Option<String> {
    if let Words::Line(line) = words(event) {
        Some(line)
    } else {
        None
    }
}

/// Returns the text for an event without control sequences. Parts of it come from other systems.
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
        Event::Started {
            command,
            stack,
            local,
            ..
        } => {
            let place = if *local { " on this machine" } else { "" };
            format!("{command}: stack {stack}{place}")
        }
        Event::PhaseEnded { phase, seconds } => phase_ended(*phase, *seconds),
        Event::EmulatorInstalling { version } => emulator_installing(version),
        Event::EmulatorReady {
            endpoint,
            reused: true,
        } => format!("emulator runs already at {endpoint}"),
        Event::EmulatorReady { endpoint, .. } => format!("emulator started at {endpoint}"),
        Event::EmulatorStopped { endpoint } => format!("emulator at {endpoint} stopped"),
        Event::EmulatorKept { reason } => format!("the emulator goes on: {reason}"),
        Event::Identified {
            account,
            arn,
            region,
            endpoint,
        } => identified((account, region, arn), endpoint.as_deref()),
        Event::ImagePacked { digest, bytes } => {
            format!("image {} packed: {}", digest.short(), size(*bytes))
        }
        Event::StackFound { status } => status.as_ref().map_or_else(
            || "there is no such stack".to_owned(),
            |status| format!("the stack is {status}"),
        ),
        Event::ResourceChanged {
            logical_id,
            resource_type,
            status,
            reason,
        } => match resource(logical_id, resource_type, status, reason.as_deref()) {
            Some(line) => line,
            // A resource that starts has no line: see `resource`.
            None => return Words::Nothing,
        },
        Event::Proposed { changes } => proposed(changes),
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
        } => {
            let limit = threshold.map(|limit| (*failed_tasks, limit));
            let moved = rollout(deployments, task_definition, limit);
            format!("rollout: {moved}; {healthy_targets} of {registered_targets} targets healthy")
        }
        // Log lines and reasons come from the service and from AWS: both may contain control
        // sequences.
        Event::TaskFailed { task, log } => failed_task(task, log),
        Event::TargetUnhealthy { target } => printable(&target.in_words()),
        Event::ServiceComplained { message, .. } => {
            format!("service: {}", printable(without_service(message)))
        }
        Event::CheckChosen { url, because, .. } => return chosen(url, because.as_deref()),
        Event::Checked { check } => format!("check: {}", checked(check)),
        Event::GateReached {
            stage,
            share,
            is_first,
        } => gate_reached(stage, *share, *is_first),
        Event::GateCompared { new, public } => gate_compared(new, public.as_ref()),
        Event::GateAnswered { stage, passed } => gate_answered(stage, *passed),
        Event::ReleaseStarted { .. } | Event::ReleaseEnded { .. } => release(event),
        Event::Probed { probe } => format!("probe: {}", probed(probe)),
        Event::ServesAgain { seconds, check } => serves_again(*seconds, check),
        Event::Asked { question, answers } => format!("{question} [{answers}]"),
        Event::Warned { message } => format!("warning: {message}"),
        Event::Noted { message } => message.clone(),
        Event::ImageReady { .. } => return Words::Result(image_ready(event)),
        Event::Succeeded { summary } => return Words::Result(self::summary(summary)),
        Event::Held { .. } => return Words::Result(held(event)),
        Event::Deleted {
            looked_for,
            seconds,
        } => return Words::Result(deleted(looked_for, *seconds)),
        Event::NothingThere { message } => return Words::Result(format!("{message}\n")),
        Event::Failed { failure, .. } => return Words::Failure(self::failure(failure)),
        // Only the progress on the screen and JSON Lines show these events.
        Event::UsuallyTook { .. }
        | Event::PhaseStarted { .. }
        | Event::Compiled { .. }
        | Event::BuildStepped { .. }
        | Event::OperationStarted { .. }
        | Event::OperationEnded { .. }
        | Event::PushProgressed { .. }
        | Event::VerdictAttached { .. } => return Words::Nothing,
    };
    Words::Line(line)
}

fn emulator_installing(version: &str) -> String {
    format!("installing the AWS emulator (ministack {version}): only the first time")
}

/// Describes the start or the end of a release command; empty for other events.
fn release(event: &Event) -> String {
    let how = if let Event::ReleaseStarted { command, task } = event {
        format!("{} (task {task})", printable(&command.join(" ")))
    } else if let Event::ReleaseEnded { passed, exit_code } = event {
        match (passed, exit_code) {
            (true, _) => "succeeded".to_owned(),
            (false, Some(code)) => format!("ended with exit code {code}"),
            (false, None) => "did not start".to_owned(),
        }
    } else {
        return String::new();
    };
    format!("release command: {how}")
}

/// Formats the result of `image build` and `image push`; empty for other events.
fn image_ready(event: &Event) -> String {
    let Event::ImageReady {
        name,
        digest,
        bytes,
        archive,
        loaded,
        pushed,
        sbom,
        provenance,
    } = event
    else {
        return String::new();
    };
    let rows = [
        ("digest", Some(digest.as_str())),
        ("archive", archive.as_deref()),
        ("loaded as", loaded.as_deref()),
        ("pushed to", pushed.as_deref()),
        ("made of", sbom.as_deref()),
        ("built by", provenance.as_deref()),
    ];
    let mut text = format!("The image {name} is ready: {}.\n", size(*bytes));
    for (title, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(text, "  {title:<9} {value}");
        }
    }
    text
}

/// Shortens an instruction of a Dockerfile to one line.
pub(super) fn shortened(step: &str) -> String {
    const LONGEST: usize = 60;
    // An instruction may span several lines, joined by backslashes.
    let step = printable(&step.split_whitespace().collect::<Vec<_>>().join(" "));
    match step.char_indices().nth(LONGEST) {
        // `end` is the byte position of a character, so that the slice never splits one.
        Some((end, _)) => format!("{}…", &step[..end]),
        None => step,
    }
}

/// Formats the result of a deletion.
fn deleted(looked_for: &[String], seconds: f64) -> String {
    let mut text = format!("everything is gone ({})\n", duration(seconds));
    if !looked_for.is_empty() {
        let _ = writeln!(text, "looked for, and not found: {}", looked_for.join(", "));
    }
    text
}

/// Formats a changed resource. Its start has no line, because its end follows.
pub(super) fn resource(
    logical_id: &str,
    resource_type: &str,
    status: &ResourceStatus,
    reason: Option<&str>,
) -> Option<String> {
    // The stack itself is the exception: its start shows that the operation runs.
    if status.progress() == ResourceProgress::InProgress
        && resource_type != "AWS::CloudFormation::Stack"
    {
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

/// Formats a failure from top to bottom: message, cause, evidence, hints.
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
    // Continuation lines stay below the text of the first one.
    text.replace('\n', "\n    ")
}

/// Formats the result of a probe in one line.
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

/// Formats the chosen check. A clock needs no line.
fn chosen(url: &str, because: Option<&str>) -> Words {
    because.map_or(Words::Nothing, |why| {
        Words::Line(format!("check: without a clock, at {url}: {why}"))
    })
}

/// Formats a check in one line.
pub(super) fn checked(check: &Checked) -> String {
    let mut text = check.verdict.name().to_owned();
    if let (Some(offset), Some(uncertainty)) = (check.offset_ms, check.uncertainty_ms) {
        let _ = write!(text, ", offset {offset:+.1} ms ± {uncertainty:.1} ms");
    }
    if let Some(status) = check.status.filter(|_| check.is_http_ok()) {
        let _ = write!(text, ", HTTP {status}");
    }
    // Only a clock's response names its instance.
    if check.instances > 0 && check.kind == clock::Kind::Clock {
        let plural = if check.instances == 1 { "" } else { "s" };
        let _ = write!(text, ", {} instance{plural}", check.instances);
    }
    if let Some(cause) = &check.cause {
        let _ = write!(text, " ({cause})");
    }
    text
}

/// Formats the result of a push in one line.
pub(super) fn pushed(digest: &str, bytes: u64, already_there: bool) -> String {
    if already_there {
        format!("image {digest} is in the registry already")
    } else {
        format!("image {digest} pushed: {} sent", size(bytes))
    }
}

/// Returns the text for a deployment that waits at the gate.
fn gate_reached(stage: &LifecycleStage, share: f64, is_first: bool) -> String {
    match stage {
        _ if is_first => "gate: the first version runs, and is checked".to_owned(),
        LifecycleStage::PreProductionTrafficShift => format!(
            "gate: {share} % of the public requests go to the new version, which is checked before the next step"
        ),
        LifecycleStage::ReconcileService
        | LifecycleStage::PreScaleUp
        | LifecycleStage::ScaleUp
        | LifecycleStage::PostScaleUp
        | LifecycleStage::TestTrafficShift
        | LifecycleStage::PostTestTrafficShift
        | LifecycleStage::ProductionTrafficShift
        | LifecycleStage::PostProductionTrafficShift
        | LifecycleStage::BakeTime
        | LifecycleStage::CleanUp
        | LifecycleStage::Unknown(_) => {
            "gate: the new version runs, and is checked before any public request reaches it"
                .to_owned()
        }
    }
}

/// Formats account, region and identity of the credentials.
fn identified((account, region, arn): (&str, &str, &str), endpoint: Option<&str>) -> String {
    let place = endpoint.map_or_else(String::new, |url| format!(" at {url}"));
    format!("account {account}, region {region}, as {arn}{place}")
}

/// Formats the changes of a change set in one line.
fn proposed(changes: &[Change]) -> String {
    let lines: Vec<String> = changes.iter().map(Change::line).collect();
    let counted = counted(changes.len(), "change");
    format!("{counted}: {}", lines.join("; "))
}

/// Formats the comparison of a new version with what the public gets.
fn gate_compared(new: &Sampled, public: Option<&Sampled>) -> String {
    let public = public.map_or_else(String::new, |public| {
        format!("; public {}", sampled(public))
    });
    format!("gate: new version {}{public}", sampled(new))
}

/// Formats requests of one kind in short.
fn sampled(sampled: &Sampled) -> String {
    let Sampled {
        requests, failed, ..
    } = sampled;
    let median = sampled.median_ms;
    let median = median.map_or_else(String::new, |median| format!(", median {median:.1} ms"));
    format!("{failed} of {requests} requests failed{median}")
}

/// Formats a previous version that serves again.
fn serves_again(seconds: f64, check: &Checked) -> String {
    let (after, check) = (duration(seconds), checked(check));
    format!("the previous version answers everywhere again, after {after}: {check}")
}

/// Formats the end of `up --hold`; empty for other events.
fn held(event: &Event) -> String {
    let Event::Held {
        expires_at,
        continue_with,
        rollback_with,
        ..
    } = event
    else {
        return String::new();
    };
    let until = expires_at.map(|at| format!("  until     {}\n", expiry(at)));
    format!(
        "The new version has passed the check, and waits at the gate.\n{}  continue  {continue_with}\n  rollback  {rollback_with}\n",
        until.unwrap_or_default()
    )
}

/// Returns the text for the answer at the gate.
fn gate_answered(stage: &LifecycleStage, passed: bool) -> String {
    if passed {
        format!("gate: passed ({})", stage.as_str())
    } else {
        "gate: refused; ECS goes back to the previous version".to_owned()
    }
}

fn phase_ended(phase: Phase, seconds: f64) -> String {
    format!("{}: done in {}", phase.title(), duration(seconds))
}
