//! Something else is under way on the stack.

use super::{deleted, deleting, taking_down, taking_down_as_usual};
use crate::stack_operations::ROUNDS;
use crate::testing::FakeWorld;
use crate::testing::answer::resource;
use crate::testing::moment::{at, error, event, event_because, of_others};
use crate::testing::stages::{at_every_stage, there_and_back};
use aws::remote::RemoteErrorKind;

#[tokio::test(start_paused = true)]
async fn cancels_an_update_first() {
    let world = FakeWorld::new([
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event_because(
            "clock",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "User Initiated",
        )]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE"),
        deleting(),
        deleted(),
    ]);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is UPDATE_IN_PROGRESS
    an update is under way: cancelling it first
    > CancelUpdateStack clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock): User Initiated
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the stack is UPDATE_ROLLBACK_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_ends_before_it_is_cancelled() {
    let message = "CancelUpdateStack cannot be called from current stack status";
    let world = FakeWorld::new([
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        deleting(),
        deleted(),
    ])
    .failing(
        "CancelUpdateStack",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is UPDATE_IN_PROGRESS
    an update is under way: cancelling it first
    > CancelUpdateStack clock/1 (refused)
    the stack is UPDATE_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn waits_for_what_cannot_be_cancelled() {
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        deleting(),
        deleted(),
    ]);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is UPDATE_COMPLETE_CLEANUP_IN_PROGRESS
    the stack is UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: waiting for that to end
    the stack is UPDATE_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn waits_out_a_status_that_is_new() {
    let world = FakeWorld::new([
        at("TELEPORT_IN_PROGRESS"),
        at("TELEPORT_IN_PROGRESS"),
        at("TELEPORT_CLEANUP_IN_PROGRESS"),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        deleting(),
        deleted(),
    ]);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is TELEPORT_IN_PROGRESS
    the stack is TELEPORT_IN_PROGRESS: waiting for that to end
    warning: the stack has the status TELEPORT_IN_PROGRESS, which is new to this program
    the stack is UPDATE_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn attaches_to_a_deletion() {
    let world = FakeWorld::new([
        at("DELETE_IN_PROGRESS"),
        at("DELETE_IN_PROGRESS").after([event("Service", "DELETE_COMPLETE")]),
        deleted(),
    ]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is DELETE_IN_PROGRESS
    delete: started
    DELETE_COMPLETE service (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_others_that_fails() {
    let world = FakeWorld::new([
        at("DELETE_IN_PROGRESS"),
        at("DELETE_FAILED").after([event_because(
            "LoadBalancer",
            "DELETE_FAILED",
            "deletion protection is on",
        )]),
    ])
    .resources([
        vec![resource("LoadBalancer", "DELETE_IN_PROGRESS")],
        vec![resource("LoadBalancer", "DELETE_FAILED")],
    ]);
    insta::assert_snapshot!(taking_down(world).await, @"
    the stack is DELETE_IN_PROGRESS
    delete: started
    DELETE_FAILED load balancer (LoadBalancer): deletion protection is on
    error: the stack could not be deleted
      because: load balancer (LoadBalancer): deletion protection is on
      | load balancer clock-loadbalancer (LoadBalancer): DELETE_FAILED
      hint: what is listed is still there and may cost money: fix what it names, then run `deployer down` again
      hint: or delete the stack without it: `deployer down --stack clock --profile work --retain-resource LoadBalancer`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_is_faster() {
    let message = "Stack [clock] cannot be deleted while in status DELETE_IN_PROGRESS";
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleted()]).failing(
        "DeleteStack",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: started
    > DeleteStack clock/1 (refused)
    not yet: DeleteStack: Stack [clock] cannot be deleted while in status DELETE_IN_PROGRESS (ValidationError)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_never_rests() {
    let moving = || at("UPDATE_ROLLBACK_IN_PROGRESS");
    let resting = || at("UPDATE_ROLLBACK_COMPLETE");
    let moments = std::iter::repeat_with(|| [moving(), resting()]).take(ROUNDS);
    let text = taking_down(FakeWorld::new(moments.flatten())).await;
    assert!(!text.contains("> "), "something was changed:\n{text}");
    let end = text.split("error: ").nth(1).unwrap_or_default();
    insta::assert_snapshot!(end, @r"
    the stack does not come to rest
      hint: is somebody else working on it? Look with `deployer status`, then try again
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_under_way_is_waited_for_then_deleted() {
    for status in [
        "ROLLBACK_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_ROLLBACK_IN_PROGRESS",
        "TELEPORT_IN_PROGRESS",
    ] {
        let theirs = |status| of_others(event("clock", status));
        let world = FakeWorld::new([
            at(status).after([theirs(status)]),
            at("UPDATE_ROLLBACK_COMPLETE").after([theirs("UPDATE_ROLLBACK_COMPLETE")]),
            at("UPDATE_ROLLBACK_COMPLETE"),
            deleting(),
            deleted(),
        ]);
        let text = taking_down_as_usual(world).await;
        assert!(text.contains("waiting for that to end"), "{status}: {text}");
        assert!(
            text.ends_with("(deleted and proven as usual)\n"),
            "{status}: {text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_may_not_be_cancelled_is_no_secret() {
    let message = "cloudformation:CancelUpdateStack is not allowed";
    let world = FakeWorld::new([at("UPDATE_IN_PROGRESS")]).failing(
        "CancelUpdateStack",
        error(RemoteErrorKind::Denied, "AccessDenied", message),
    );
    let text = taking_down(world).await;
    assert!(text.contains("may not do what is needed"), "{text}");
    assert!(text.ends_with("exit code 1\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn at_every_stage_of_the_gate() {
    let back = |status| at(status).with_old_version();
    let table = at_every_stage(async |stage| {
        let world = FakeWorld::new([
            back("UPDATE_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
            back("UPDATE_ROLLBACK_COMPLETE"),
            deleting(),
            deleted(),
        ]);
        taking_down(world.paused(there_and_back(stage))).await
    });
    insta::assert_snapshot!(table.await);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_may_not_be_read() {
    let back = |status| {
        let there = at(status).with_old_version();
        there.with_output("OtherTargetGroupArn", "other-targets")
    };
    let denied = error(RemoteErrorKind::Denied, "AccessDeniedException", "not you");
    let world = FakeWorld::new([
        back("UPDATE_ROLLBACK_IN_PROGRESS"),
        back("UPDATE_ROLLBACK_IN_PROGRESS"),
        back("UPDATE_ROLLBACK_IN_PROGRESS"),
        back("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        back("UPDATE_ROLLBACK_COMPLETE"),
        deleting(),
        deleted(),
    ])
    .failing("ListServiceDeployments", denied);
    insta::assert_snapshot!(taking_down_as_usual(world).await);
}
