//! What people get to read.

use chrono::DateTime;

use super::*;
use crate::rollout::{HealthCheck, StoppedTask};

fn failed(id: &str, reason: &str, exit_code: Option<i32>, log: &[&str]) -> FailedTask {
    FailedTask {
        task: StoppedTask {
            id: id.to_owned(),
            task_definition: "clock:2".to_owned(),
            stop_code: Some("TaskFailedToStart".into()),
            reason: Some(reason.to_owned()),
            container_reason: None,
            exit_code,
            stopped_at: None,
        },
        log: log.iter().map(|line| (*line).to_owned()).collect(),
    }
}

fn target(id: &str) -> Target {
    Target {
        id: id.to_owned(),
        state: "unhealthy".into(),
        reason: Some("Target.ResponseCodeMismatch".to_owned()),
        description: Some("Health checks failed with these codes: [500]".to_owned()),
    }
}

fn event(message: &str) -> ServiceEvent {
    ServiceEvent {
        at: DateTime::default(),
        message: message.to_owned(),
    }
}

fn explained(evidence: &Evidence, said: Option<&str>) -> String {
    let context = Context {
        port: 8080,
        memory: 512,
        architecture: "ARM64",
        ended: crate::rollout::Ended::ForGood,
        start_seconds: 20,
        logs: "deployer logs",
    };
    let Explanation {
        cause,
        lines,
        hints,
    } = evidence.explain(said, &context);
    let lines = lines.iter().map(|line| format!("| {line}\n"));
    let hints = hints.iter().map(|hint| format!("hint: {hint}\n"));
    format!(
        "because: {}\n{}",
        cause.unwrap_or_default(),
        lines.chain(hints).collect::<String>()
    )
}

#[test]
fn all_of_it() {
    let timeout =
        |address: &str| format!("CannotPullContainerError: dial tcp {address}:443: i/o timeout");
    let evidence = Evidence {
        tasks: vec![
            failed("0123456789", &timeout("10.0.0.11"), None, &[]),
            failed("1123456789", &timeout("10.0.0.12"), None, &[]),
            failed(
                "2123456789",
                "something else",
                Some(1),
                &["\u{1b}[31mred\u{1b}[0m"],
            ),
            failed("3123456789", &timeout("10.0.0.13"), None, &[]),
            failed("4123456789", "a third way", None, &[]),
        ],
        targets: vec![target("10.0.0.21"), target("10.0.0.22")],
        events: vec![
            event(
                "(service clock) was unable to place a task. Reason: CannotPullContainerError: dial tcp 10.0.0.14:443: i/o timeout.",
            ),
            event("(service clock) (port 8080) is unhealthy in (target-group x) due to (reason y)"),
            event("(service clock) failed to launch a task with (error something odd)."),
            event(
                "(service clock) (deployment ecs-svc/1) deployment failed: tasks failed to start.",
            ),
        ],
        health_check: Some(HealthCheck {
            path: "/health".to_owned(),
            codes: "200".to_owned(),
            timeout_seconds: 2,
        }),
        failed_tasks: 3,
        threshold: Some(3),
        rollback_reason: Some(
            "Service deployment rolled back because of a circuit breaker error.".to_owned(),
        ),
        ..Evidence::default()
    };
    insta::assert_snapshot!(explained(&evidence, Some("tasks failed to start.")), @r"
    because: the tasks have no way out to the registry and to secrets: route, public address or egress 443
    | tasks failed to start.
    | Service deployment rolled back because of a circuit breaker error.
    | failed tasks 3/3
    | task 01234567: CannotPullContainerError: dial tcp 10.0.0.11:443: i/o timeout
    | and 2 more like it
    | task 21234567: something else, exit code 1
    |   red
    | and 1 that failed in other ways
    | target 10.0.0.21 is unhealthy: Target.ResponseCodeMismatch: Health checks failed with these codes: [500], and 1 more like it
    | service: failed to launch a task with (error something odd).
    hint: check the template: `AssignPublicIp: ENABLED`, a route to 0.0.0.0/0 from both subnets, egress to port 443, DNS
    ");
}

#[test]
fn nothing_takes_the_place_of_what_was_said_without_need() {
    let said = Some("ECS deployment circuit breaker: tasks failed to start.");
    insta::assert_snapshot!(explained(&Evidence::default(), said), @r"
    because: ECS deployment circuit breaker: tasks failed to start.
    ");
    let odd = Evidence {
        tasks: vec![failed("0123456789", "something new", None, &[])],
        ..Evidence::default()
    };
    insta::assert_snapshot!(explained(&odd, said), @r"
    because: ECS deployment circuit breaker: tasks failed to start.
    | task 01234567: something new
    ");
}
