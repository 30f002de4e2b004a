//! The stack is deleted, from whatever state it is in.

use std::time::Duration;

use super::{
    Context, deleted, deleting, down, taking_down, taking_down_as_usual, taking_down_with,
};
use crate::host::Host as _;
use crate::testing::answer::resource;
use crate::testing::moment::{
    absent, at, error, event, event_because, expired, failed, of_others, out_of_order, throttled,
    unreachable,
};
use crate::testing::{FakeHost, FakeWorld, settings};
use aws::remote::RemoteErrorKind;

#[tokio::test(start_paused = true)]
async fn nothing_there() {
    let world = FakeWorld::new([absent()]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    there is no such stack
    nothing to delete: there is no stack `clock` in account 123456789012, region eu-central-1
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
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
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
    delete: started
    > DeleteStack clock/1
    warning: DescribeStacks: rate exceeded (Throttling); looking again
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    warning: DescribeStacks: connection reset; looking again
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
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
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    error: the AWS credentials are not accepted
      because: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
      hint: the operation continues: run the same command again to resume
    exit code 1
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
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    DELETE_FAILED image repository (Repository): the repository is not empty
    DELETE_COMPLETE cluster (Cluster)
    DELETE_FAILED stack (clock): failed to delete: [Repository]
    error: the stack could not be deleted
      because: image repository (Repository): the repository is not empty
      | image repository clock-repository (Repository): DELETE_FAILED
      hint: what is listed is still there and may cost money: fix what it names, then run `deployer down` again
      hint: or delete the stack without it: `deployer down --stack clock --profile work --retain-resource Repository`
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
async fn what_is_retained_is_named_and_not_called_gone() {
    let left = |status| {
        vec![
            resource("Cluster", "DELETE_COMPLETE"),
            resource("Repository", status),
        ]
    };
    let world = FakeWorld::new([at("DELETE_FAILED"), deleting(), deleted()])
        .past([event("clock", "DELETE_FAILED")])
        .resources([
            left("DELETE_FAILED"),
            left("DELETE_FAILED"),
            left("DELETE_SKIPPED"),
        ])
        .there("clock-repository", usize::MAX);
    let mut config = settings();
    config.consent.retain = vec!["Repository".to_owned()];
    insta::assert_snapshot!(taking_down_with(config, world).await, @"
    the stack is DELETE_FAILED
    delete: started
    > DeleteStack clock/1 without Repository
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
    proof: done in 0.0 s
    error: the stack is deleted, without what was to be retained
      | image repository clock-repository (Repository): DELETE_SKIPPED
      hint: it may cost money: delete it by hand
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_protected_stays() {
    let message = "Stack [clock] cannot be deleted while TerminationProtection is enabled";
    let world = FakeWorld::new([at("UPDATE_COMPLETE")]).failing(
        "DeleteStack",
        error(RemoteErrorKind::Refused, "ValidationError", message),
    );
    insta::assert_snapshot!(taking_down(world).await, @"
    the stack is UPDATE_COMPLETE
    delete: started
    > DeleteStack clock/1 (refused)
    error: the stack is protected against deletion
      because: DeleteStack: Stack [clock] cannot be deleted while TerminationProtection is enabled (ValidationError)
      hint: if it is to go all the same: `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name clock`, then the same command again
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_cannot_be_deleted_yet_is_waited_for() {
    let message = "Stack [clock] is in CREATE_IN_PROGRESS state and can not be deleted";
    let refusal = || error(RemoteErrorKind::Refused, "ValidationError", message);
    let world = FakeWorld::new([
        at("CREATE_IN_PROGRESS"),
        at("CREATE_IN_PROGRESS"),
        at("CREATE_COMPLETE").after([of_others(event("clock", "CREATE_COMPLETE"))]),
        at("CREATE_COMPLETE"),
        deleting(),
        deleted(),
    ])
    .failing("DeleteStack", refusal());
    let text = taking_down(world).await;
    assert!(text.contains("not yet: "), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_retained_where_no_deletion_failed() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), deleting(), deleted()]);
    let mut config = settings();
    config.consent.retain = vec!["Repository".to_owned()];
    let text = taking_down_with(config, world).await;
    assert!(text.contains("> DeleteStack clock/1\n"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_takes_too_long_goes_on_without_us() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), at("DELETE_IN_PROGRESS")]);
    let before = tokio::time::Instant::now();
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    error: the operation did not end within 1800 s
      hint: it continues: run the same command again to resume, or `deployer status` to see it
      hint: allow more time: `--timeout 1h`
    exit code 7
    ");
    assert!(before.elapsed() <= settings().timeout);
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
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock (refused)
    warning: inactive task definitions are left: DeleteTaskDefinitions: ecs:DeleteTaskDefinitions is not allowed (AccessDeniedException)
    proof: started
    proof: done in 0.0 s
    everything is gone (0.0 s)
    looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_namesake_that_is_not_ours_stays() {
    let world = FakeWorld::new([at("CREATE_COMPLETE")])
        .resources([vec![resource("Service", "CREATE_COMPLETE")]]);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: started
    error: the stack `clock` does not look like one that this program made
      because: it takes no image, and has no `Repository`
      hint: is this the right account, region and `--stack`?
      hint: if it is: delete it in the CloudFormation console
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn whatever_rests_is_deleted() {
    for status in [
        "REVIEW_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "CREATE_COMPLETE",
        "ROLLBACK_FAILED",
        "ROLLBACK_COMPLETE",
        "DELETE_FAILED",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_FAILED",
        "IMPORT_ROLLBACK_COMPLETE",
    ] {
        let world = FakeWorld::new([at(status), deleting(), deleted()]);
        let text = taking_down_as_usual(world).await;
        assert!(
            text.ends_with("(deleted and proven as usual)\n"),
            "{status}: {text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_stop_does_not_stop_a_deletion() {
    let world = FakeWorld::new([
        at("CREATE_COMPLETE"),
        deleting(),
        at("DELETE_IN_PROGRESS"),
        at("DELETE_IN_PROGRESS"),
        deleted(),
    ]);
    let host = FakeHost::new(world).interrupted_after(Duration::from_secs(4));
    let command = async |context: Context<'_>, host: &FakeHost| {
        let connection = host.connect(context).await?;
        down(context, &connection).await
    };
    insta::assert_snapshot!(host.run(command).await, @"
    the stack is CREATE_COMPLETE
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    ^C
    warning: a deletion cannot be undone: waiting for its end; press Ctrl-C again to exit at once
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
    error: interrupted
    exit code 130
    ");
}
