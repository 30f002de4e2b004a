//! This machine has no way to the load balancer: nothing that works is removed, and nothing is said to be proven.

use super::going_back::{BEFORE, running, there_and_back, update};
use super::{FakeHost, bringing_up_on, created, updated, updating};
use crate::cli::CheckFrom;
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, no_way, skewed, targets, unreachable, went_back};
use crate::testing::moment::{absent, at};

/// The stack was made by this run, and its first version deployed.
fn first() -> FakeWorld {
    FakeWorld::new([
        absent(),
        created(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_version_that_works_is_not_touched() {
    let host = FakeHost::new(FakeWorld::new([running()])).knocking([Err(no_way())]);
    let text = bringing_up_on(host).await;
    assert!(!text.contains("> CreateChangeSet"), "{text}");
    let (_, end) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(end, @"
    http://clock.example/now cannot be reached from this machine, so no deployment could be checked; nothing was changed
      because: cannot resolve `clock.example`: no such name
      | the load balancer calls 2 of 2 targets healthy
      hint: open the way from this machine: the name has to be resolved, and the load balancer's port reached
      hint: or check through a proxy: `deployer up --stack clock --profile work --check-proxy http://HOST:PORT`
      hint: or rely on the load balancer's health checks, which prove neither version nor clock: `deployer up --stack clock --profile work --check target-health`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn one_request_may_be_lost() {
    let host = FakeHost::new(FakeWorld::new(there_and_back()[..4].to_vec()))
        .knocking([Err(no_way()), Ok(())]);
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn where_targets_are_sick_silence_means_nothing() {
    let world = FakeWorld::new(there_and_back()[..4].to_vec()).targets([
        targets(&["healthy", "unhealthy"]),
        targets(&["healthy", "healthy"]),
    ]);
    let host = FakeHost::new(world).knocking([Err(no_way())]);
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_first_version_stays_unproven() {
    let host = FakeHost::new(first()).finding([unreachable()]);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: DOWN (cannot resolve `clock.example`: no such name)
    error: http://clock.example/now cannot be reached from this machine, so the new version stays unproven; it was not rolled back
      because: cannot resolve `clock.example`: no such name
      | the load balancer calls 2 of 2 targets healthy
      | not proven: that the service can be reached, that all tasks run this version, and that their clocks are right
      hint: check it from elsewhere: `checker --expect-instances 2 http://clock.example/now`
      hint: open the way from this machine: the name has to be resolved, and the load balancer's port reached
      hint: or check through a proxy: `deployer up --stack clock --profile work --check-proxy http://HOST:PORT`
      hint: or rely on the load balancer's health checks, which prove neither version nor clock: `deployer up --stack clock --profile work --check target-health`
    exit code 9
    ");
}

#[tokio::test(start_paused = true)]
async fn a_first_version_that_nobody_calls_healthy_is_taken_back() {
    let world = first_and_back().targets([
        targets(&["healthy", "healthy"]),
        targets(&["healthy", "unhealthy"]),
    ]);
    let text = update(FakeHost::new(world).finding([unreachable()])).await;
    assert!(text.contains("nothing ran before it"), "{text}");
    assert!(text.ends_with("exit code 6\n"), "{text}");
}

/// The same, and back to a stack without a version.
fn first_and_back() -> FakeWorld {
    FakeWorld::new([
        absent(),
        created(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
    ])
}

#[tokio::test(start_paused = true)]
async fn the_load_balancer_alone_may_be_relied_on() {
    let host = FakeHost::new(first())
        .finding([unreachable()])
        .knocking([Err(no_way())])
        .with(|config| config.check_from = CheckFrom::TargetHealth);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    warning: check not made from here: the load balancer calls 2 of 2 targets healthy. Not proven: that the service can be reached, that all tasks run this version, and that their clocks are right
    check: done in 0.0 s
    The service is deployed, and healthy as the load balancer has it.
      url       http://clock.example/now
      version   unknown
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     not made from here: the load balancer calls 2 of 2 targets healthy. Not proven: that the service can be reached, that all tasks run this version, and that their clocks are right
      time      0.0 s: image 0.0 s, create 0.0 s, push 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_bad_version_is_taken_back_then_too() {
    let world = FakeWorld::new(there_and_back())
        .services([went_back(), crate::testing::answer::rolled_out()]);
    let host = FakeHost::new(world)
        .knocking([Err(no_way())])
        .with(|config| config.check_from = CheckFrom::TargetHealth);
    let text = update(host).await;
    assert!(!text.contains("probe:"), "{text}");
    let (_, end) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(end, @"
    the new version did not start; the previous version, bbbbbbbbbbbb, is restored and is healthy, as the load balancer has it
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: fix the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn a_way_that_closes_after_the_way_back() {
    let host = FakeHost::new(FakeWorld::new(there_and_back()))
        .finding([skewed(&[Some("0.1.0+0123456789ab")])])
        .finding_after_going_back(unreachable());
    let text = update(host).await;
    let (_, end) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(end, @"
    http://clock.example/now is SKEWED, proven twice in a row; the previous version, bbbbbbbbbbbb, is restored and is healthy, but cannot be reached from here to check it
      because: the clock of instance `instance-0` is at least 2.999 s ahead
      | afterwards: cannot resolve `clock.example`: no such name
      | the load balancer calls 2 of 2 targets healthy
      | not proven: that the service can be reached, that all tasks run this version, and that their clocks are right
      hint: look yourself: `curl -i http://clock.example/now`
      hint: waiting does not help: check the program, and this machine's own clock
    exit code 6
    ");
    assert_ne!(answers(BEFORE).requests, 0);
}
