//! The stack is updated; the service follows, or does not.

use super::bringing_up;
use crate::remote::Proposal;
use crate::testing::FakeWorld;
use crate::testing::answer::{crashed, rolled_out, rolling_out, targets, went_back};
use crate::testing::moment::{at, expired, throttled};

/// A world in which nothing has to be updated, so that the transcript is about the rollout.
fn up_to_date() -> FakeWorld {
    FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Empty])
}

/// The transcript from the rollout on.
async fn rollout(world: FakeWorld) -> String {
    let text = bringing_up(world).await;
    let (_, rollout) = text.split_once("rollout: begun\n").unwrap();
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
    check: begun
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
      because: ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      |   listening on 0.0.0.0:8080
      |   thread 'main' panicked
      | task abcdef01: Essential container in task exited, exit code 101
      |   listening on 0.0.0.0:8080
      |   thread 'main' panicked
      hint: mend the program or its settings, then run `deployer up` again
    exit code 4
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
      because: ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      hint: mend the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone() {
    let world = up_to_date().services([None]);
    insta::assert_snapshot!(rollout(world).await, @"
    error: nothing had to be changed, but the version in place does not run
      because: the service does not exist
      hint: mend the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn targets_that_never_become_healthy() {
    let world = up_to_date().targets([targets(&["unhealthy", "healthy"])]);
    insta::assert_snapshot!(rollout(world).await, @"
    rollout: new 2 of 2 running; 1 of 2 targets healthy
    error: nothing had to be changed, but the version in place does not run
      because: not all tasks run and are healthy
      hint: allow more time: `--timeout 1h`
    exit code 4
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
    check: begun
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    ");
}
