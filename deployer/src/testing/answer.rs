//! What services other than CloudFormation answer.

use chrono::DateTime;
use clock::{InstanceReport, Report, Verdict};

use super::world::service_names;
use aws::remote::TaskState;
use deployment::rollout::{
    Deployment, HealthCheck, Service, ServiceEvent, StoppedTask, Target, Task,
};
use deployment::stack::change::Change;
use deployment::stack::request::Resource;

/// Task definition of the version before.
pub(super) const OLD: &str = "arn:task-definition/clock:1";

/// When deployments began, seconds since the Unix epoch.
const STARTED: i64 = 1_795_341_840;

/// A deployment of two tasks.
fn deployment(status: &str, task_definition: &str, state: &str, running: u32) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{task_definition}"),
        status: status.into(),
        task_definition: task_definition.to_owned(),
        rollout_state: Some(state.into()),
        rollout_reason: None,
        desired: 2,
        running,
        pending: 2 - running,
        failed: 0,
        created: DateTime::from_timestamp(STARTED, 0),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "answers are optional")]
fn service(deployments: Vec<Deployment>) -> Option<Service> {
    Some(Service {
        desired: 2,
        running: deployments.iter().map(|one| one.running).sum(),
        deployments,
        ..Service::default()
    })
}

/// The new version is there, alone.
pub(crate) fn rolled_out() -> Option<Service> {
    let ours = service_names().task_definition.to_string();
    service(vec![deployment("PRIMARY", &ours, "COMPLETED", 2)])
}

/// The service runs the new version, and should run so many tasks of it.
pub(crate) fn with_tasks(tasks: u32) -> Option<Service> {
    rolled_out().map(|service| {
        let mut deployments = service.deployments;
        for deployment in &mut deployments {
            deployment.desired = tasks;
            deployment.running = tasks;
        }
        Service {
            desired: tasks,
            running: tasks,
            deployments,
            ..service
        }
    })
}

/// The new version is coming, so many of its tasks run; the old one is there yet.
pub(crate) fn rolling_out(running: u32) -> Option<Service> {
    let ours = service_names().task_definition.to_string();
    service(vec![
        deployment("PRIMARY", &ours, "IN_PROGRESS", running),
        deployment("ACTIVE", OLD, "COMPLETED", 2),
    ])
}

/// The new version failed, and the old one is the primary deployment again.
pub(crate) fn went_back() -> Option<Service> {
    let ours = service_names().task_definition.to_string();
    let mut failed = deployment("ACTIVE", &ours, "FAILED", 0);
    failed.pending = 0;
    failed.failed = 2;
    failed.rollout_reason = Some("ECS deployment circuit breaker: tasks failed to start.".into());
    service(vec![deployment("PRIMARY", OLD, "COMPLETED", 2), failed])
}

/// The service tells this, so many seconds after the new deployment began.
pub(crate) fn told_at(seconds: i64, message: &str) -> ServiceEvent {
    ServiceEvent {
        at: DateTime::from_timestamp(STARTED + seconds, 0).unwrap(),
        message: message.to_owned(),
    }
}

/// Targets in these states.
pub(crate) fn targets(states: &[&str]) -> Vec<Target> {
    let target = |(number, state): (usize, &&str)| Target {
        id: format!("10.0.0.{number}"),
        state: (*state).into(),
        reason: None,
        description: None,
    };
    states.iter().enumerate().map(target).collect()
}

/// A task of the new version that ended by itself.
pub(crate) fn crashed(id: &str) -> StoppedTask {
    StoppedTask {
        id: id.to_owned(),
        task_definition: service_names().task_definition.to_string(),
        stop_code: Some("EssentialContainerExited".into()),
        reason: Some("Essential container in task exited".to_owned()),
        container_reason: None,
        exit_code: Some(101),
        stopped_at: None,
    }
}

/// How targets are checked.
pub(super) fn health_check() -> HealthCheck {
    HealthCheck {
        path: "/health".to_owned(),
        codes: "200".to_owned(),
        timeout_seconds: 2,
    }
}

/// A task that runs.
pub(crate) fn task(id: &str, zone: &str) -> Task {
    Task {
        id: id.to_owned(),
        status: "RUNNING".to_owned(),
        zone: Some(zone.to_owned()),
        task_definition: service_names().task_definition.to_string(),
        image: None,
    }
}

/// A change to this resource.
pub(crate) fn change(action: &str, logical_id: &str) -> Change {
    Change {
        action: action.into(),
        logical_id: logical_id.to_owned(),
        resource_type: super::moment::event(logical_id, "").resource_type,
        replacement: None,
        physical_id: Some("name-0123".to_owned()),
        properties: Vec::new(),
        causes: None,
    }
}

/// A resource of the stack with its status.
pub(crate) fn resource(logical_id: &str, status: &str) -> Resource {
    let event = super::moment::event(logical_id, status);
    Resource {
        logical_id: event.logical_id,
        physical_id: event.physical_id,
        resource_type: event.resource_type,
        status: event.status,
    }
}

fn report(verdict: Verdict, cause: Option<&str>, instances: Vec<InstanceReport>) -> Report {
    Report {
        started_at: "2026-11-22T10:04:05Z".to_owned(),
        url: "http://clock.example/now".to_owned(),
        connect_to: None,
        kind: clock::Kind::Clock,
        status: None,
        verdict,
        cause: cause.map(str::to_owned),
        failure: None,
        max_skew_ms: 1000.0,
        latency_ms: None,
        connect_latency_ms: None,
        requests: 4,
        discarded: 0,
        instances,
        notes: Vec::new(),
        certificate: None,
        addresses: Vec::new(),
        instances_apart_ms: None,
        warnings: Vec::new(),
        reference: None,
    }
}

/// Two instances of this version answer, and their clocks are right.
pub(crate) fn answers(version: &str) -> Report {
    let instance = |name: &str| InstanceReport {
        instance: Some(name.to_owned()),
        address: None,
        version: Some(version.to_owned()),
        verdict: Verdict::Ok,
        lo_ms: Some(-1.0),
        hi_ms: Some(1.5),
        offset_ms: Some(0.25),
        uncertainty_ms: Some(1.25),
        samples: 2,
    };
    report(Verdict::Ok, None, vec![instance("a"), instance("b")])
}

/// An instance of each of these versions answers, and their clocks are three seconds ahead.
pub(crate) fn skewed(versions: &[Option<&str>]) -> Report {
    let instances = versions
        .iter()
        .enumerate()
        .map(|(number, version)| InstanceReport {
            instance: Some(format!("instance-{number}")),
            address: None,
            version: version.map(str::to_owned),
            verdict: Verdict::Skewed,
            lo_ms: Some(2999.0),
            hi_ms: Some(3001.0),
            offset_ms: Some(3000.0),
            uncertainty_ms: Some(1.0),
            samples: 2,
        });
    let cause = "the clock of instance `instance-0` is at least 2.999 s ahead";
    report(Verdict::Skewed, Some(cause), instances.collect())
}

/// No request comes as far as the service.
pub(crate) fn unreachable() -> Report {
    let failure = no_way();
    Report {
        failure: Some(failure.clone()),
        ..report(Verdict::Down, Some(&failure.to_string()), Vec::new())
    }
}

/// Why none does.
pub(crate) fn no_way() -> clock::Failure {
    clock::Failure::Resolve {
        host: "clock.example".to_owned(),
        detail: "no such name".to_owned(),
    }
}

/// So many instances of this version answer, where more are expected.
pub(crate) fn too_few(version: &str) -> Report {
    let verdict = Verdict::Indeterminate {
        reason: clock::Reason::MissingInstances,
    };
    Report {
        verdict,
        cause: Some("expected 2 instances, 1 answered in 32 requests".to_owned()),
        ..answers(version)
    }
}

/// Nothing useful answers.
pub(crate) fn down(cause: &str) -> Report {
    report(Verdict::Down, Some(cause), Vec::new())
}

/// An answer as expected, in a check without a clock, that names this version.
pub(crate) fn page(version: Option<&str>) -> Report {
    let instance = |version: &str| InstanceReport {
        instance: None,
        lo_ms: None,
        hi_ms: None,
        offset_ms: None,
        uncertainty_ms: None,
        samples: 0,
        ..answers(version).instances.remove(0)
    };
    Report {
        kind: clock::Kind::Http,
        status: Some(200),
        requests: 1,
        ..report(
            Verdict::Ok,
            None,
            version.map(instance).into_iter().collect(),
        )
    }
}

/// The service answers with this status.
pub(crate) fn refused(status: &str) -> Report {
    failing(&clock::Failure::Status {
        status: status.to_owned(),
    })
}

/// The service answers with something that is no time.
pub(crate) fn timeless() -> Report {
    failing(&clock::Failure::NoTimestamp(
        clock::AnswerError::InvalidJson,
    ))
}

fn failing(failure: &clock::Failure) -> Report {
    Report {
        status: failure.status(),
        failure: Some(failure.clone()),
        ..report(Verdict::Down, Some(&failure.to_string()), Vec::new())
    }
}

/// The task of a single command has this status.
#[expect(clippy::unnecessary_wraps, reason = "answers are optional")]
pub(crate) fn active(status: &str) -> Option<TaskState> {
    Some(TaskState::Active(status.to_owned()))
}

/// The task stopped with this code, and its program with this exit code.
#[expect(clippy::unnecessary_wraps, reason = "answers are optional")]
pub(crate) fn stopped(stop_code: &str, reason: &str, exit_code: Option<i32>) -> Option<TaskState> {
    Some(TaskState::Stopped(StoppedTask {
        id: "0123456789abcdef".to_owned(),
        task_definition: "arn:task-definition/clock:2".to_owned(),
        stop_code: Some(stop_code.into()),
        reason: Some(reason.to_owned()),
        container_reason: None,
        exit_code,
        stopped_at: None,
    }))
}

/// Its program has ended with this exit code.
pub(crate) fn ended(exit_code: i32) -> Option<TaskState> {
    let reason = "Essential container in task exited";
    stopped("EssentialContainerExited", reason, Some(exit_code))
}
