//! What exists is replaced or removed only where somebody agrees.

use std::time::Duration;

use super::{FakeHost, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::change;
use crate::testing::moment::at;
use deployment::stack::change::Change;
use deployment::stack::request::Proposal;

/// A world in which the load balancer would be replaced.
fn replacing() -> FakeWorld {
    let replaced = Change {
        replacement: Some("True".into()),
        ..change("Modify", "LoadBalancer")
    };
    FakeWorld::new([at("UPDATE_COMPLETE"), updating(), updated()])
        .proposals([Proposal::Ready(vec![replaced, change("Modify", "Service")])])
}

/// The transcript from the plan on.
async fn plan(host: FakeHost) -> String {
    let text = bringing_up_on(host).await;
    let (_, plan) = text.split_once("plan: started\n").unwrap();
    plan.split("rollout: started").next().unwrap().to_owned()
}

/// The same where nothing is started.
fn stopping() -> FakeWorld {
    let replaced = Change {
        replacement: Some("True".into()),
        ..change("Modify", "LoadBalancer")
    };
    FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Ready(vec![replaced])])
}

#[tokio::test(start_paused = true)]
async fn a_question_lists_ten_changes() {
    let removed = |number: usize| Change {
        logical_id: format!("Alarm{number}"),
        ..change("Remove", "Service")
    };
    let removed = (0..300).map(removed).collect();
    let world = FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Ready(removed)]);
    let text = plan(FakeHost::new(world).answering(false)).await;
    let (_, question) = text.split_once("? This would\n").unwrap();
    let lines: Vec<&str> = question.lines().collect();
    assert_eq!(lines[0], "  remove service (Alarm0)");
    assert_eq!(lines[10..12], ["  and 290 more", "Go on? false"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_agrees() {
    let host = FakeHost::new(replacing()).answering(true);
    insta::assert_snapshot!(plan(host).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    2 changes: replace load balancer (LoadBalancer); change service (Service)
    plan: done in 0.0 s
    ? This would replace load balancer (LoadBalancer). Go on? true
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_does_not_answer_but_stops() {
    let host = FakeHost::new(stopping())
        .hesitating()
        .interrupted_after(Duration::from_mins(1));
    insta::assert_snapshot!(plan(host).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: replace load balancer (LoadBalancer)
    plan: done in 0.0 s
    ^C
    > DeleteChangeSet
    error: interrupted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_does_not() {
    let host = FakeHost::new(stopping()).answering(false);
    insta::assert_snapshot!(plan(host).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: replace load balancer (LoadBalancer)
    plan: done in 0.0 s
    ? This would replace load balancer (LoadBalancer). Go on? false
    > DeleteChangeSet
    error: not agreed to: nothing was changed
      | replace load balancer (LoadBalancer)
      hint: look at all of it: `deployer plan`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_there() {
    insta::assert_snapshot!(plan(FakeHost::new(stopping())).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: replace load balancer (LoadBalancer)
    plan: done in 0.0 s
    > DeleteChangeSet
    error: something that exists would be replaced or removed, and there is nobody to ask
      | replace load balancer (LoadBalancer)
      hint: look at all of it: `deployer plan`
      hint: agree to it: `--yes`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_agreed_in_advance() {
    let host = FakeHost::new(replacing()).with(|config| config.consent.agreed = true);
    insta::assert_snapshot!(plan(host).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    2 changes: replace load balancer (LoadBalancer); change service (Service)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    ");
}
