//! Somebody else deploys, cancels or deletes at the same time, from another machine: their work is left alone.

use std::time::Duration;

use super::{FakeHost, bringing_up_on, created, started, updated, updating, with_repository};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, down};
use crate::testing::moment::{Moment, absent, at, error, event, of_others};
use aws::remote::RemoteErrorKind;
use deployment::stack::request::Proposal;

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('b').with_old_version()
}

/// The transcript from this line on.
async fn from(line: &str, host: FakeHost) -> String {
    let text = bringing_up_on(host).await;
    let (_, rest) = text
        .split_once(&format!("{line}\n"))
        .unwrap_or(("", text.as_str()));
    rest.to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_is_what_was_there_last() {
    // `c` was deployed between the first look and the change set.
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ])
    .deployed_meanwhile('c');
    let host = FakeHost::new(world)
        .finding([down("the answer has status 503")])
        .finding_after_going_back(answers("0.1.0+cccccccccccc"));
    let text = bringing_up_on(host).await;
    assert!(text.contains("putting cccccccccccc back"), "{text}");
    assert!(
        text.contains("the previous version, cccccccccccc, is restored and answers"),
        "{text}"
    );
    assert!(text.ends_with("exit code 6\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_came_after_ours_is_not_taken_for_ours() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('d'),
    ]);
    insta::assert_snapshot!(from("update: started", FakeHost::new(world)).await, @"
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: somebody else has deployed meanwhile, which is left alone
      hint: `deployer status` shows what runs
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_others_deployed_to_is_not_deleted() {
    let world = FakeWorld::new([
        absent(),
        started(),
        with_repository(),
        created(),
        at("UPDATE_COMPLETE").with_image('d'),
    ]);
    let host = FakeHost::new(world)
        .compiling_for(Duration::from_mins(10))
        .interrupted_after(Duration::from_mins(5));
    insta::assert_snapshot!(from("^C", host).await, @"
    deleting the new stack: there was none before
    the stack is UPDATE_COMPLETE
    error: interrupted
      hint: the new stack stays: somebody else has deployed to it meanwhile
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_others_cancel() {
    let rolled_back = |status| at(status).after([of_others(event("clock", status))]);
    let world = FakeWorld::new([
        running(),
        updating(),
        rolled_back("UPDATE_ROLLBACK_IN_PROGRESS"),
        rolled_back("UPDATE_ROLLBACK_COMPLETE"),
    ]);
    let before = tokio::time::Instant::now();
    insta::assert_snapshot!(from("update: started", FakeHost::new(world)).await, @"
    UPDATE_IN_PROGRESS stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: somebody else has cancelled the update; the previous state is restored
      hint: `deployer status` shows what runs
    exit code 7
    ");
    assert!(
        before.elapsed() < Duration::from_mins(1),
        "it waits in vain"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_others_delete_during_the_update() {
    let world = FakeWorld::new([
        running(),
        updating(),
        at("DELETE_IN_PROGRESS").after([of_others(event("clock", "DELETE_IN_PROGRESS"))]),
        at("DELETE_COMPLETE").after([of_others(event("clock", "DELETE_COMPLETE"))]),
    ]);
    insta::assert_snapshot!(from("update: started", FakeHost::new(world)).await, @"
    UPDATE_IN_PROGRESS stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: somebody deleted the stack meanwhile
      hint: `deployer up` creates it again
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_others_could_not_delete_during_the_update() {
    let world = FakeWorld::new([
        running(),
        updating(),
        at("DELETE_FAILED")
            .after([of_others(event("clock", "DELETE_FAILED"))])
            .because("The following resource(s) failed to delete: [Repository]."),
    ]);
    insta::assert_snapshot!(from("update: started", FakeHost::new(world)).await, @"
    UPDATE_IN_PROGRESS stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: somebody tried to delete the stack meanwhile, which failed
      because: The following resource(s) failed to delete: [Repository].
      hint: `deployer down` says what holds it, and tries again
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_others_delete_while_we_compile() {
    let message = "Stack [clock] does not exist";
    let world = FakeWorld::new([running(), absent()]).failing(
        "CreateChangeSet",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    let text = bringing_up_on(FakeHost::new(world)).await;
    assert!(
        text.contains("somebody deleted the stack meanwhile"),
        "{text}"
    );
    assert!(!text.contains("cfn-lint"), "{text}");
    assert!(text.ends_with("exit code 7\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_others_left_stuck_while_we_compile() {
    let message = "Stack:arn is in UPDATE_ROLLBACK_FAILED state and can not be updated.";
    let world = FakeWorld::new([running(), at("UPDATE_ROLLBACK_FAILED")]).failing(
        "CreateChangeSet",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    let text = bringing_up_on(FakeHost::new(world)).await;
    assert!(
        text.contains("the stack is UPDATE_ROLLBACK_FAILED meanwhile"),
        "{text}"
    );
    assert!(text.ends_with("exit code 7\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_change_set_that_never_gets_ready_is_not_called_somebody_else() {
    let world = FakeWorld::new([running()]).proposals([Proposal::Pending]);
    let before = tokio::time::Instant::now();
    insta::assert_snapshot!(from("plan: started", FakeHost::new(world)).await, @"
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    error: the change set was not ready within 1800 s
      hint: nothing was changed: try again
    exit code 1
    ");
    assert!(
        before.elapsed() < Duration::from_hours(1),
        "it tries again and again"
    );
}
