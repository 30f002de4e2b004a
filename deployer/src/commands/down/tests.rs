//! Transcripts of `down`: what it reports and what it changes, for each state of the stack.

use super::*;
use crate::remote::RemoteErrorKind;
use crate::testing::answer::resource;
use crate::testing::moment::{
    Moment, absent, at, error, event, event_because, expired, failed, out_of_order, throttled,
    unreachable,
};
use crate::testing::{FOR_EVER, FakeWorld, connection, settings};

/// What every deletion without incident looks like from its request to the end of the command.
const USUAL_END: &str = "\
delete: begun
> DeleteStack clock/1
DELETE_IN_PROGRESS stack (clock)
DELETE_COMPLETE service on Fargate (Service)
DELETE_COMPLETE stack (clock)
delete: done in 0.0 s
the stack is DELETE_COMPLETE
> DeleteTaskDefinitions clock
proof: begun
proof: done in 0.0 s
everything is gone (0.0 s)
looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
exit code 0
";

/// Runs the command in this world; returns the transcript up to the usual end.
async fn taking_down_as_usual(world: FakeWorld) -> String {
    let text = taking_down(world).await;
    text.replace(USUAL_END, "(deleted and proven as usual)\n")
}

/// Runs the command in this world; returns the transcript.
async fn taking_down(world: FakeWorld) -> String {
    let config = settings();
    let transcript = world.transcript();
    let sink = transcript.sink();
    let context = Context {
        config: &config,
        sink: &sink,
    };
    let world = world.shared();
    let result = down(context, &connection(&world)).await;
    world.assert_played();
    transcript.end(result.map(drop))
}

/// The deletion that was just asked for is under way.
fn deleting() -> Moment {
    at("DELETE_IN_PROGRESS").after([
        event("clock", "DELETE_IN_PROGRESS"),
        event("Service", "DELETE_IN_PROGRESS"),
        event("Service", "DELETE_COMPLETE"),
    ])
}

fn deleted() -> Moment {
    at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")])
}

#[tokio::test(start_paused = true)]
async fn nothing_there() {
    let world = FakeWorld::new([absent()]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    there is no stack yet
    nothing to take down: there is no stack `clock` in account 123456789012, region eu-central-1
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn deletes_and_proves() {
    // The first look after the request finds what was there before it.
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        deleting(),
        deleted(),
    ])
    .past([event("clock", "CREATE_COMPLETE")]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is UPDATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: begun
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn survives_looks_that_fail_in_passing() {
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        failed(throttled()),
        failed(out_of_order()),
        deleting(),
        failed(unreachable()),
        deleted(),
    ])
    .failing("DescribeLoadBalancers", throttled());
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is UPDATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    warning: DescribeStacks: rate exceeded (Throttling); looking again
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    warning: DescribeStacks: connection reset; looking again
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: begun
    warning: DescribeLoadBalancers: rate exceeded (Throttling); looking again
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn says_how_to_come_back_when_credentials_expire() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), deleting(), failed(expired())]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is UPDATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    error: the AWS credentials are not accepted
      because: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
      hint: what was begun goes on by itself: run the same command again to come back to it
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn deletes_while_the_stack_is_being_created() {
    let world = FakeWorld::new([at("CREATE_IN_PROGRESS"), deleting(), deleted()]);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is CREATE_IN_PROGRESS
    (deleted and proven as usual)
    ");
}

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
    delete: begun
    DELETE_COMPLETE service on Fargate (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: begun
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn names_what_is_left_when_the_deletion_fails() {
    let all = vec![
        resource("Cluster", "CREATE_COMPLETE"),
        resource("Repository", "CREATE_COMPLETE"),
    ];
    let left = vec![
        resource("Cluster", "DELETE_COMPLETE"),
        resource("Repository", "DELETE_FAILED"),
    ];
    let world = FakeWorld::new([
        at("CREATE_COMPLETE"),
        deleting(),
        at("DELETE_FAILED").after([
            event_because("Repository", "DELETE_FAILED", "the repository is not empty"),
            event("Cluster", "DELETE_COMPLETE"),
            event_because("clock", "DELETE_FAILED", "failed to delete: [Repository]"),
        ]),
    ])
    .resources([all.clone(), all, left]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    DELETE_FAILED image repository (Repository): the repository is not empty
    DELETE_COMPLETE cluster (Cluster)
    DELETE_FAILED stack (clock): failed to delete: [Repository]
    error: the stack could not be deleted
      because: image repository (Repository): the repository is not empty
      | image repository clock-repository: DELETE_FAILED
      hint: what is listed is still there and may cost money: mend what it names, then run `deployer down` again
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn tries_again_after_a_deletion_that_failed() {
    // Until the new attempt begins, the stack still shows how the one before ended.
    let world = FakeWorld::new([
        at("DELETE_FAILED"),
        at("DELETE_FAILED"),
        deleting(),
        deleted(),
    ])
    .past([event("clock", "DELETE_FAILED")]);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is DELETE_FAILED
    (deleted and proven as usual)
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
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is DELETE_IN_PROGRESS
    delete: begun
    DELETE_FAILED load balancer (LoadBalancer): deletion protection is on
    error: the stack could not be deleted
      because: load balancer (LoadBalancer): deletion protection is on
      | load balancer clock-loadbalancer: DELETE_FAILED
      hint: what is listed is still there and may cost money: mend what it names, then run `deployer down` again
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn the_proof_waits_for_services_that_are_slow_to_notice() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), deleted()])
        .there("clock-loadbalancer", 3);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is CREATE_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn the_proof_finds_something_left() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), deleted()])
        .there("clock-loadbalancer", FOR_EVER)
        .there("clock-loggroup", 2);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: begun
    error: the stack is deleted, but something of it is left
      | load balancer clock-loadbalancer
      hint: it may cost money: delete it by hand
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_takes_too_long_goes_on_without_us() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), at("DELETE_IN_PROGRESS")]);
    let before = tokio::time::Instant::now();
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    error: the operation did not end within 1800 s
      hint: it goes on by itself: run the same command again to come back to it, or `deployer status` to look
      hint: allow more time: `--timeout 1h`
    exit code 7
    ");
    assert!(before.elapsed() <= settings().timeout);
}

#[tokio::test(start_paused = true)]
async fn somebody_else_is_faster() {
    let message = "stack [clock] cannot be deleted while in UPDATE_IN_PROGRESS state";
    let world = FakeWorld::new([at("CREATE_COMPLETE")]).failing(
        "DeleteStack",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: begun
    > DeleteStack clock/1 (refused)
    error: another operation is under way on the stack
      because: DeleteStack: stack [clock] cannot be deleted while in UPDATE_IN_PROGRESS state (ValidationError)
      hint: wait for it: run the same command again
    exit code 7
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
async fn task_definitions_that_stay_are_no_failure() {
    let message = "ecs:DeleteTaskDefinitions is not allowed";
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), deleted()]).failing(
        "DeleteTaskDefinitions",
        error(RemoteErrorKind::Denied, "AccessDeniedException", message),
    );
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: begun
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service on Fargate (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock (refused)
    warning: inactive task definitions are left: DeleteTaskDefinitions: ecs:DeleteTaskDefinitions is not allowed (AccessDeniedException)
    proof: begun
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}
