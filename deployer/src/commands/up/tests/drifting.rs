//! Somebody changed the service by hand: it is named, and put right by what is printed.

use super::{FakeHost, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{change, rolled_out, with_tasks};
use crate::testing::moment::{Moment, at};
use deployment::stack::request::Proposal;

/// A stack that runs a version, and wants two tasks of it.
fn wanting_two() -> Moment {
    at("UPDATE_COMPLETE")
        .with_image('b')
        .with_parameter("DesiredCount", "2")
}

#[tokio::test(start_paused = true)]
async fn a_number_of_tasks_that_was_set_by_hand_is_named() {
    let world = FakeWorld::new([wanting_two()]).services([with_tasks(0)]);
    let text = bringing_up_on(FakeHost::new(world)).await;
    assert!(!text.contains("> CreateChangeSet"), "{text}");
    let (_, end) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(end, @"
    somebody set 0 tasks by hand, the stack wants 2; nothing was changed
      hint: have 2 again: `deployer up --stack clock --profile work --force`
      hint: or let the stack want another number: `tasks` under `[service]`, or `--tasks`, then the same command
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn and_set_right_by_the_command_that_is_printed() {
    let world = FakeWorld::new([wanting_two(), wanting_two()])
        .services([with_tasks(0), with_tasks(0), rolled_out()])
        .proposals([Proposal::Empty]);
    let host = FakeHost::new(world).with(|config| config.force = true);
    let text = bringing_up_on(host).await;
    assert_eq!(text.matches("> UpdateService").count(), 1, "{text}");
    assert!(
        text.contains("> UpdateService clock-service (2 new tasks)"),
        "{text}"
    );
    assert!(
        text.contains("somebody set 0 tasks, the stack wants 2"),
        "{text}"
    );
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn where_the_load_decides_no_number_is_wrong() {
    let scaled = || wanting_two().with_parameter("MaxCount", "6");
    let world = FakeWorld::new([scaled(), scaled()])
        .services([with_tasks(5)])
        .targets([crate::testing::answer::targets(&["healthy"; 5])])
        .proposals([Proposal::Empty]);
    let host = FakeHost::new(world);
    let expected = host.expected();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
    // Each of them is proven.
    assert_eq!(*expected.lock().unwrap(), [Some(5)]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_the_load_removes_are_not_waited_for() {
    let scaled = || wanting_two().with_parameter("MaxCount", "6");
    let world = FakeWorld::new([scaled(), scaled()])
        .services([with_tasks(2), with_tasks(2), with_tasks(3), with_tasks(2)])
        .targets([crate::testing::answer::targets(&["healthy"; 3])])
        .proposals([Proposal::Empty]);
    let version = "0.1.0+0123456789ab";
    let host = FakeHost::new(world).finding([
        crate::testing::answer::too_few(version),
        crate::testing::answer::answers(version),
    ]);
    let expected = host.expected();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
    assert_eq!(expected.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_deleted_by_hand_is_made_again() {
    let world = FakeWorld::new([
        wanting_two(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ])
    .services([None, None, None, rolled_out()])
    .proposals([
        Proposal::Ready(vec![change("Remove", "Service")]),
        Proposal::Ready(vec![change("Add", "Service")]),
    ]);
    let text = bringing_up_on(FakeHost::new(world)).await;
    let (_, rest) = text.split_once("warning: ").unwrap();
    insta::assert_snapshot!(rest, @"
    somebody deleted the service by hand: the stack lets go of it, and makes it again
    update: started
    > CreateChangeSet clock/1 with , the same template
    1 change: remove service (Service)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: add service (Service)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    The service is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, update 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}
