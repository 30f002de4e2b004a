//! The stack is at rest, and is updated.

use super::{FakeHost, bringing_up, bringing_up_as_usual, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, rolled_out, rolling_out, went_back};
use crate::testing::moment::{at, event, of_others};
use deployment::stack::request::Proposal;

#[tokio::test(start_paused = true)]
async fn a_new_version() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), updating(), updated()])
        .past([event("clock", "UPDATE_COMPLETE")]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: change task definition (TaskDefinition)
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
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_not_updated_but_checked() {
    let world =
        FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Pending, Proposal::Empty]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    nothing to change
    plan: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    Nothing changed: the service was up to date, and is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_comes_too_early_is_no_success() {
    // Neither the status of before nor somebody else's event, late, says anything about our update.
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE").after([of_others(event("clock", "UPDATE_COMPLETE"))]),
        // The status was read just before our update began, the events just after.
        at("UPDATE_COMPLETE").after([event("clock", "UPDATE_IN_PROGRESS")]),
        at("UPDATE_IN_PROGRESS"),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_comes_too_early_is_no_failure() {
    let world = FakeWorld::new([
        at("UPDATE_ROLLBACK_COMPLETE"),
        at("UPDATE_ROLLBACK_COMPLETE"),
        updating(),
        updated(),
    ])
    .past([event("clock", "UPDATE_ROLLBACK_COMPLETE")]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_ROLLBACK_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn the_new_version_is_live_while_the_old_one_is_cleaned_up() {
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        updating(),
        at("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            .after([event("clock", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")]),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS stack (clock)
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
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn express_is_asked_for_and_proven_like_any_other() {
    // The stack is complete before a task runs, and the service then goes back: no success.
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE").with_image('b').with_old_version(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .services([rolling_out(0), went_back(), rolled_out()]);
    let host = FakeHost::new(world)
        .with(|config| config.express = true)
        .finding([answers("0.1.0+bbbbbbbbbbbb")]);
    let text = bringing_up_on(host).await;
    let asked = text.lines().filter(|line| line.contains("CreateChangeSet"));
    assert!(asked.clone().count() == 2, "{text}");
    assert!(
        asked.clone().all(|line| line.ends_with(", express")),
        "{text}"
    );
    assert!(text.contains("is restored and answers"), "{text}");
    assert!(text.ends_with("exit code 4\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_replaced_on_demand_where_nothing_is_to_be_changed() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE")])
        .proposals([Proposal::Empty])
        .services([rolling_out(0), rolled_out()]);
    let host = FakeHost::new(world).with(|config| config.force = true);
    insta::assert_snapshot!(bringing_up_on(host).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    nothing to change
    plan: done in 0.0 s
    nothing to change, but the tasks are to be replaced all the same
    > UpdateService clock-service (new tasks)
    rollout: started
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
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
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}
