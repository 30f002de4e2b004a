//! Events for the tests of reporters.

use chrono::{DateTime, Utc};

use deployment::error::Failure;
use deployment::event::Probed;
use deployment::event::{Checked, Event, Phase, Summary, Timing};
use deployment::rollout::{Deployment, DeploymentStatus, Task};
use deployment::stack::resource_status::ResourceStatus;

pub(super) const STACK: &str = "AWS::CloudFormation::Stack";

/// Returns the time this many milliseconds after a fixed moment.
pub(super) fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_341_845_000 + millis).unwrap()
}

pub(super) fn started(command: &'static str, local: bool) -> Event {
    Event::Started {
        format: deployment::event::FORMAT,
        command,
        stack: "clock".parse().unwrap(),
        local,
        version: "0.1.0",
    }
}

pub(super) fn phase(phase: Phase) -> Event {
    Event::PhaseStarted { phase }
}

pub(super) fn ended(phase: Phase, seconds: f64) -> Event {
    Event::PhaseEnded { phase, seconds }
}

pub(super) fn operation(operation: &'static str, resource_types: &[&str]) -> Event {
    Event::OperationStarted {
        operation,
        stack_id: "arn:stack/1".parse().unwrap(),
        resource_types: resource_types.iter().map(|&name| name.to_owned()).collect(),
    }
}

pub(super) fn changed(logical_id: &str, resource_type: &str, status: &str) -> Event {
    let status = ResourceStatus::from(status);
    let failed = status.is_failure();
    Event::ResourceChanged {
        logical_id: logical_id.to_owned(),
        resource_type: resource_type.to_owned(),
        status,
        reason: failed.then(|| "no capacity: 50%, \"try\" again".to_owned()),
    }
}

pub(super) fn moved() -> Event {
    let deployment = |revision: u32, running: u32, pending: u32, failed: u32| Deployment {
        id: format!("ecs-svc/{revision}"),
        status: DeploymentStatus::Primary,
        task_definition: arn(revision),
        rollout_state: None,
        rollout_reason: None,
        desired: 2,
        running,
        pending,
        failed,
        created: None,
    };
    Event::RolloutMoved {
        task_definition: arn(12),
        deployments: vec![deployment(12, 1, 1, 1), deployment(11, 2, 0, 0)],
        healthy_targets: 2,
        registered_targets: 3,
        failed_tasks: 1,
        threshold: None,
    }
}

fn arn(revision: u32) -> String {
    format!("arn:aws:ecs:eu-central-1:012345678901:task-definition/clock:{revision}")
}

pub(super) fn checked() -> Checked {
    Checked {
        kind: clock::Kind::Clock,
        status: Some(200),
        verdict: clock::Verdict::Ok,
        cause: None,
        offset_ms: Some(-0.34),
        uncertainty_ms: Some(0.81),
        instances: 2,
        version: Some("0.1.0+3f2a9c0b1d2e".to_owned()),
        requests: 9,
        unreachable: false,
    }
}

pub(super) fn summary() -> Summary {
    let task = |id: &str, zone: &str| Task {
        id: id.to_owned(),
        status: "RUNNING".to_owned(),
        zone: Some(zone.to_owned()),
        task_definition: arn(12),
        image: None,
    };
    let timing = |phase, seconds| Timing { phase, seconds };
    Summary {
        changed: true,
        url: "http://clock.alb.localhost:4566/now".to_owned(),
        image: "localhost:4566/clock@sha256:3f2a".to_owned(),
        version: Some("0.1.0+3f2a9c0b1d2e".to_owned()),
        tasks: vec![
            task("0123456789", "us-east-1a"),
            task("abcdef0123", "us-east-1b"),
        ],
        check: Some(checked()),
        unproven: None,
        probe: Some(Probed {
            requests: 1482,
            ..Probed::default()
        }),
        cost: cost("ARM64"),
        delete: "deployer down --local".to_owned(),
        timings: vec![timing(Phase::Emulator, 2.04), timing(Phase::Image, 71.0)],
        seconds: 75.0,
    }
}

pub(super) fn failure() -> Failure {
    Failure::new(
        deployment::error::FailureKind::RolledBack,
        "the new version does not run",
    )
    .because("service (Service): 100 % of | the tasks <failed>\nat once")
    .with_evidence([
        "task 0123 failed: exit code 1".to_owned(),
        "  ::error::of a program\r##[error]and more".to_owned(),
        "\u{1b}[31mred\u{1b}[0m, and ``` of Markdown".to_owned(),
    ])
    .hint("look: `deployer status`")
    .hint("fix it, then `deployer up` again")
}

/// Cost estimate for two small tasks on AWS.
pub(super) fn cost(architecture: &str) -> Option<deployment::cost::Estimate> {
    let parameters = [
        ("Cpu", "256"),
        ("Memory", "512"),
        ("CpuArchitecture", architecture),
        ("DesiredCount", "2"),
        ("ImageUri", "registry.example/clock@sha256:0"),
    ];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
    deployment::cost::of_parameters("us-east-1", &parameters.into())
}
