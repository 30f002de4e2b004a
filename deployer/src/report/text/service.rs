//! Text form of a service: the result of `up`, and the output of `status`.

use std::fmt::Write as _;

use super::units::duration;
use super::{checked, probed};
use crate::commands::status::{ABSENT, Status, TargetGroup};
use deployment::event::{Checked, Summary};
use deployment::names::Digest;
use deployment::rollout::gate::expiry;
use deployment::rollout::{Deployment, RolloutState, Service, Task};
use support::printable::printable;

/// Formats the result of a successful deployment.
pub(super) fn summary(summary: &Summary) -> String {
    let mut text = String::new();
    let headline = if summary.check.is_none() {
        "The service is deployed, and healthy as the load balancer has it."
    } else if summary.changed {
        "The service is up."
    } else {
        "Nothing changed: the service was up to date, and is up."
    };
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    row("url", &summary.url);
    match &summary.version {
        Some(version) => row("version", version),
        // A service without a clock does not have to report its version.
        None if summary.check.as_ref().is_some_and(Checked::is_http_ok) => {}
        None => row("version", "unknown"),
    }
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
            // Eight characters of a task id are enough to tell tasks apart.
            format!("{}{zone}", task.id.get(..8).unwrap_or(&task.id))
        })
        .collect();
    row("tasks", &format!("{}: {}", tasks.len(), tasks.join(", ")));
    row("check", &how_checked(summary));
    if let Some(probe) = &summary.probe {
        row("rollout", &probed(probe));
    }
    // Phases overlap: their times may add up to more than the total.
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
    row("delete", &summary.delete);
    format!("{headline}\n{text}")
}

/// Formats the last check, and the evidence that replaces or complements it.
pub(in crate::report) fn how_checked(summary: &Summary) -> String {
    let parts = [
        summary.check.as_ref().map(checked),
        summary.unproven.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("; ")
}

/// Formats a status as a table.
pub(in crate::report) fn status(status: &Status) -> String {
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
    for (number, group) in status.target_groups.iter().enumerate() {
        let name = if number == 0 { "groups" } else { "" };
        row(name, &target_group(group));
    }
    if let Some(gate) = &status.gate {
        let until = gate.expires_at.map(|at| format!(" until {}", expiry(at)));
        row(
            "gate",
            &format!(
                "a version waits ({}){}",
                gate.stage,
                until.unwrap_or_default()
            ),
        );
        row(
            "",
            "`deployer continue` lets it pass, `deployer rollback` takes it back",
        );
    }
    for (number, stopped) in status.stopped_lately.iter().enumerate() {
        let name = if number == 0 { "stopped" } else { "" };
        // The reason may quote output of the program.
        row(name, &printable(&stopped.line()));
    }
    if let Some(check) = &status.check {
        row("check", &checked(check));
        if check.unreachable {
            row(
                "",
                "no request of this machine arrives there: others may fare better",
            );
        }
    }
    if let Some(reviewer) = &status.reviewer {
        row("reviewer", reviewer);
    }
    if let Some(cost) = &status.cost {
        row("cost", &cost.line());
    }
    text
}

/// Formats a target group of a gated service in one line.
fn target_group(group: &TargetGroup) -> String {
    // `arn:…:targetgroup/NAME/ID`
    let name = group
        .arn
        .as_str()
        .rsplit('/')
        .nth(1)
        .unwrap_or(group.arn.as_str());
    let share = match group.weight {
        None => "no rule names it".to_owned(),
        Some(0) => "takes no requests".to_owned(),
        Some(weight) => format!("takes requests, weight {weight}"),
    };
    format!(
        "{name}: {share}; {} of {} targets healthy",
        group.healthy, group.registered
    )
}

/// Formats the service in one line: the number of tasks, and the deployments if several exist or
/// one is not complete.
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
        .filter_map(|deployment| deployment.rollout_state.as_ref())
        // A completed deployment needs no mention: it is the normal state.
        .filter(|state| **state != RolloutState::Completed)
        .map(RolloutState::as_str)
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

/// Returns the image that a task runs, as the first digits of its digest.
fn version_of(task: &Task) -> String {
    // A tag would not tell which image runs, so only a digest counts.
    let digest = task.image.as_deref().and_then(Digest::of_image);
    digest.map_or_else(
        || "image unknown".to_owned(),
        |digest| digest.short().to_owned(),
    )
}

/// Formats deployments in one line.
///
/// `new` is that of the task definition `ours`. `failures` are its failed tasks and the threshold,
/// if known.
pub(in crate::report) fn rollout(
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
                // Added below, together with the threshold.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service() {
        use crate::testing::answer::{rolled_out, rolling_out, went_back};
        let ours = crate::testing::service_names().task_definition;
        let lines = [rolled_out(), rolling_out(1), went_back()]
            .map(|found| service(&found.unwrap(), Some(ours.as_str())));
        insta::assert_snapshot!(lines.join("\n"), @"
        2 desired, 2 running
        2 desired, 3 running, 1 pending; deployments: new 1 of 2 running, 1 pending; old 2 of 2 running (IN_PROGRESS)
        2 desired, 2 running; deployments: old 2 of 2 running; new 0 of 2 running, 2 failed (FAILED)
        ");
    }
}
