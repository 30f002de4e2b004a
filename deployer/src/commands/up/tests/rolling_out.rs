//! The stack is updated; the service follows, or does not.

use super::bringing_up;
use crate::testing::FakeWorld;
use crate::testing::answer::{crashed, rolled_out, rolling_out, targets, told_at, went_back};
use crate::testing::moment::{at, error, expired, throttled};
use aws::remote::RemoteErrorKind;
use deployment::rollout::{DeploymentRecord, Service, StoppedTask};
use deployment::stack::request::Proposal;

/// A world in which nothing has to be updated, so that the transcript is about the rollout.
fn up_to_date() -> FakeWorld {
    FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Empty])
}

/// The transcript from the rollout on.
async fn rollout(world: FakeWorld) -> String {
    let text = bringing_up(world).await;
    let (_, rollout) = text.split_once("rollout: started\n").unwrap();
    let rollout = rollout.split("Nothing changed").next().unwrap_or(rollout);
    rollout.to_owned()
}

#[tokio::test(start_paused = true)]
async fn tasks_are_replaced_one_after_the_other() {
    let world = up_to_date()
        .services([
            rolling_out(0),
            rolling_out(1),
            rolling_out(1),
            rolling_out(2),
            rolled_out(),
        ])
        .targets([
            targets(&["healthy", "healthy"]),
            targets(&["healthy", "healthy", "initial"]),
            targets(&["healthy", "healthy", "initial"]),
            targets(&["healthy", "healthy", "draining", "draining"]),
            targets(&["healthy", "healthy", "draining", "draining"]),
        ]);
    insta::assert_snapshot!(rollout(world).await, @r"
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    rollout: new 1 of 2 running, 1 pending; old 2 of 2 running; 2 of 3 targets healthy
    rollout: new 2 of 2 running; old 2 of 2 running; 2 of 4 targets healthy
    rollout: new 2 of 2 running; 2 of 4 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_goes_back_is_a_failure_with_evidence() {
    // The stack says UPDATE_COMPLETE all the while. Each failed task is told once, and only the first two.
    let world = up_to_date()
        .services([
            rolling_out(0),
            rolling_out(0),
            rolling_out(0),
            rolling_out(0),
            went_back(),
        ])
        .stopped(
            [
                vec![],
                vec![crashed("0123456789")],
                vec![crashed("abcdef0123"), crashed("0123456789")],
                vec![crashed("fedcba9876"), crashed("abcdef0123")],
            ],
            &["listening on 0.0.0.0:8080\n", "thread 'main' panicked\n"],
        );
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    task 0123456789 failed: Essential container in task exited, exit code 101
      listening on 0.0.0.0:8080
      thread 'main' panicked
    task abcdef0123 failed: Essential container in task exited, exit code 101
      listening on 0.0.0.0:8080
      thread 'main' panicked
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    error: nothing had to be changed, but the version in place does not run
      because: the program ended by itself with exit code 101 (it panicked)
      | ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      |   listening on 0.0.0.0:8080
      |   thread 'main' panicked
      | and 2 more like it
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn evidence_that_cannot_be_had_hides_nothing() {
    let world = up_to_date()
        .services([rolling_out(0), went_back()])
        .stopped([vec![crashed("0123456789")]], &["never seen"])
        .failing("DescribeTasks", expired())
        .failing("GetLogEvents", throttled());
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    task 0123456789 failed: Essential container in task exited, exit code 101
    error: nothing had to be changed, but the version in place does not run
      because: the program ended by itself with exit code 101 (it panicked)
      | ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn all_that_goes_wrong_is_told_once() {
    let limit = |failed: u32, mut service: Option<Service>| {
        let told = service.as_mut().unwrap();
        told.threshold = Some(3);
        told.deployments[0].failed = failed;
        told.events = vec![
            told_at(
                60,
                "(service clock) has started 2 tasks: (task 0123456789).",
            ),
            told_at(
                70,
                "(service clock) (port 8080) is unhealthy in (target-group x) due to (reason Request timed out)",
            ),
            told_at(
                80,
                "(service clock) failed to launch a task with (error something odd).",
            ),
            told_at(
                90,
                "(service clock) failed to launch a task with (error something odd).",
            ),
            told_at(
                -9,
                "(service clock) was unable to place a task. Reason: of the version before.",
            ),
        ];
        service
    };
    let slow = || {
        let mut targets = targets(&["healthy", "unhealthy", "initial"]);
        targets[1].reason = Some("Target.Timeout".to_owned());
        targets[1].description = Some("Request timed out".to_owned());
        targets
    };
    let stopped = StoppedTask {
        stop_code: Some("ServiceSchedulerInitiated".into()),
        reason: Some("Task failed ELB health checks in (target-group x)".to_owned()),
        exit_code: Some(143),
        ..crashed("0123456789")
    };
    let scaled_in = StoppedTask {
        reason: Some("Scaling activity initiated by (deployment ecs-svc/1)".to_owned()),
        id: "abcdef".to_owned(),
        ..stopped.clone()
    };
    let world = up_to_date()
        .services([
            limit(0, rolling_out(1)),
            limit(1, rolling_out(1)),
            limit(2, rolling_out(1)),
            went_back(),
        ])
        .targets([slow(), slow(), slow(), targets(&["healthy", "healthy"])])
        .stopped(
            [vec![], vec![stopped, scaled_in]],
            &["\u{1b}[31mred\u{1b}[0m"],
        )
        .record(DeploymentRecord {
            failed_tasks: 3,
            threshold: Some(3),
            rollback_reason: Some("the circuit breaker was triggered".to_owned()),
        });
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 1 of 2 running, 1 pending; old 2 of 2 running; 1 of 3 targets healthy
    target 10.0.0.1 is unhealthy: Target.Timeout: Request timed out
    service: (port 8080) is unhealthy in (target-group x) due to (reason Request timed out)
    service: failed to launch a task with (error something odd).
    rollout: new 1 of 2 running, 1 pending, failed tasks 1/3; old 2 of 2 running; 1 of 3 targets healthy
    task 0123456789 failed: Task failed ELB health checks in (target-group x), exit code 143
      red
    rollout: new 1 of 2 running, 1 pending, failed tasks 3/3; old 2 of 2 running; 1 of 3 targets healthy
    rollout: old 2 of 2 running; new 0 of 2 running, failed tasks 3/3; 2 of 2 targets healthy
    error: nothing had to be changed, but the version in place does not run
      because: /health does not answer within 2 s on port 8080: the program is slow or stuck, or a security group is in the way
      | ECS deployment circuit breaker: tasks failed to start.
      | the circuit breaker was triggered
      | failed tasks 3/3
      | task 01234567: Task failed ELB health checks in (target-group x), exit code 143
      |   red
      | target 10.0.0.1 is unhealthy: Target.Timeout: Request timed out
      | service: failed to launch a task with (error something odd).
      hint: try it here: start the program, then `curl -i http://localhost:8080/health`
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_know_less_hurt_nothing() {
    let refused = || error(RemoteErrorKind::Refused, "UnknownOperation", "no");
    let mut service = rolling_out(1);
    service.as_mut().unwrap().deployments[0].failed = 1;
    let world = up_to_date()
        .services([service, rolled_out()])
        .targets([
            targets(&["healthy", "unhealthy"]),
            targets(&["healthy", "healthy"]),
        ])
        .failing("ListServiceDeployments", refused())
        .failing("DescribeTargetGroups", refused());
    insta::assert_snapshot!(rollout(world).await, @r"
    rollout: new 1 of 2 running, 1 pending, 1 failed; old 2 of 2 running; 1 of 2 targets healthy
    target 10.0.0.1 is unhealthy
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    ");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_arrives_late() {
    let world = up_to_date()
        .services([rolling_out(0), rolling_out(0), went_back()])
        .stopped([vec![crashed("0123456789")]], &["thread 'main' panicked"])
        .failing("GetLogEvents", throttled());
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    task 0123456789 failed: Essential container in task exited, exit code 101
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    error: nothing had to be changed, but the version in place does not run
      because: the program ended by itself with exit code 101 (it panicked)
      | ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      |   thread 'main' panicked
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone() {
    let world = up_to_date().services([None]);
    insta::assert_snapshot!(rollout(world).await, @"
    error: nothing had to be changed, but the version in place does not run
      because: the service does not exist
      hint: fix the program or its settings, then run `deployer up` again
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn targets_that_never_become_healthy() {
    let world = up_to_date().targets([targets(&["unhealthy", "healthy"])]);
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 2 of 2 running; 1 of 2 targets healthy
    target 10.0.0.0 is unhealthy
    error: nothing had to be changed, but the version in place does not run
      because: the load balancer's health check fails
      | not all tasks run and are healthy
      | target 10.0.0.0 is unhealthy
      hint: allow more time: `--timeout 1h`
      hint: try it here: start the program, then `curl -i http://localhost:8080/health`
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_in_passing_are_survived() {
    let world = up_to_date()
        .services([rolling_out(1), rolled_out()])
        .failing("DescribeServices", throttled())
        .failing("DescribeTargetHealth", throttled());
    insta::assert_snapshot!(rollout(world).await, @r"
    warning: DescribeServices: rate exceeded (Throttling); looking again
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    ");
}
