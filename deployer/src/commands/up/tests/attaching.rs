//! Something is under way on the stack, or got stuck.

use super::{FakeHost, bringing_up, bringing_up_as_usual, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::resource;
use crate::testing::moment::{absent, at, event, event_because, expired, failed, of_others};

#[tokio::test(start_paused = true)]
async fn a_creation_under_way() {
    let world = FakeWorld::new([
        at("CREATE_IN_PROGRESS"),
        at("CREATE_IN_PROGRESS").after([of_others(event("Cluster", "CREATE_COMPLETE"))]),
        at("CREATE_COMPLETE").after([of_others(event("clock", "CREATE_COMPLETE"))]),
        at("CREATE_COMPLETE"),
        updating(),
        updated(),
    ])
    .past([event("Repository", "CREATE_COMPLETE")]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is CREATE_IN_PROGRESS
    the stack is CREATE_IN_PROGRESS (being created): waiting for that to end
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE cluster (Cluster)
    CREATE_COMPLETE stack (clock)
    the stack is CREATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_under_way() {
    let world = FakeWorld::new([
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        at("UPDATE_COMPLETE").after([of_others(event("clock", "UPDATE_COMPLETE"))]),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    the stack is UPDATE_IN_PROGRESS (being updated): waiting for that to end
    UPDATE_COMPLETE stack (clock)
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
async fn a_creation_under_way_that_fails() {
    let world = FakeWorld::new([
        at("CREATE_IN_PROGRESS"),
        at("ROLLBACK_IN_PROGRESS").after([of_others(event_because(
            "LoadBalancer",
            "CREATE_FAILED",
            "the limit of load balancers is reached",
        ))]),
        at("ROLLBACK_COMPLETE"),
        at("ROLLBACK_COMPLETE").because("failed to create: [LoadBalancer]"),
        at("DELETE_COMPLETE"),
        absent(),
        at("CREATE_COMPLETE").after([
            event("Repository", "CREATE_COMPLETE"),
            event("clock", "CREATE_COMPLETE"),
        ]),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is CREATE_IN_PROGRESS
    the stack is CREATE_IN_PROGRESS (being created): waiting for that to end
    CREATE_FAILED load balancer (LoadBalancer): the limit of load balancers is reached
    warning: what was under way failed: load balancer (LoadBalancer): the limit of load balancers is reached
    the stack is ROLLBACK_COMPLETE
    warning: the stack is ROLLBACK_COMPLETE (failed to create: [LoadBalancer]): it can only be deleted and created again
    delete: started
    > DeleteStack clock/1
    delete: done in 0.0 s
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_under_way() {
    let world = FakeWorld::new([
        at("DELETE_IN_PROGRESS"),
        at("DELETE_IN_PROGRESS").after([of_others(event("Cluster", "DELETE_COMPLETE"))]),
        at("DELETE_COMPLETE"),
        absent(),
        at("CREATE_COMPLETE").after([
            event("Repository", "CREATE_COMPLETE"),
            event("clock", "CREATE_COMPLETE"),
        ]),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is DELETE_IN_PROGRESS
    the stack is DELETE_IN_PROGRESS (being deleted): waiting for that to end
    DELETE_COMPLETE cluster (Cluster)
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_new() {
    let world = FakeWorld::new([
        at("TELEPORT_IN_PROGRESS"),
        at("TELEPORT_IN_PROGRESS"),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        // In the middle of our own update, too.
        at("TELEPORT_CLEANUP"),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is TELEPORT_IN_PROGRESS
    the stack is TELEPORT_IN_PROGRESS (a status that is new to this program): waiting for that to end
    warning: the stack has the status TELEPORT_IN_PROGRESS, which is new to this program
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
    warning: the stack has the status TELEPORT_CLEANUP, which is new to this program
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
async fn a_rollback_that_got_stuck_is_continued() {
    // The first look after the request finds what was there before it.
    let world = FakeWorld::new([
        at("UPDATE_ROLLBACK_FAILED"),
        at("UPDATE_ROLLBACK_FAILED"),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE"),
        updating(),
        updated(),
    ])
    .past([event("clock", "UPDATE_ROLLBACK_FAILED")]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_ROLLBACK_FAILED
    warning: an earlier rollback did not finish: continuing it
    > ContinueUpdateRollback clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
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
async fn a_rollback_that_gets_stuck_again() {
    let world = FakeWorld::new([
        at("UPDATE_ROLLBACK_FAILED"),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_FAILED").after([
            event_because("Service", "UPDATE_FAILED", "the old image is gone"),
            event("clock", "UPDATE_ROLLBACK_FAILED"),
        ]),
    ])
    .resources([vec![
        resource("Cluster", "UPDATE_COMPLETE"),
        resource("Service", "UPDATE_FAILED"),
    ]]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_ROLLBACK_FAILED
    warning: an earlier rollback did not finish: continuing it
    > ContinueUpdateRollback clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_FAILED service (Service): the old image is gone
    UPDATE_ROLLBACK_FAILED stack (clock)
    error: the rollback cannot be finished
      because: service (Service): the old image is gone
      | service clock-service (Service): UPDATE_FAILED
      hint: fix what it names, then run the same command again
      hint: or leave it as it is, which the stack will not notice: `deployer up --stack clock --profile work --skip-resource Service`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_got_stuck_is_continued_without_what_may_be_skipped() {
    let world = FakeWorld::new([
        at("UPDATE_ROLLBACK_FAILED"),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE"),
        updating(),
        updated(),
    ]);
    let host = FakeHost::new(world).with(|config| config.consent.skip = vec!["Service".to_owned()]);
    let text = bringing_up_on(host).await;
    assert!(
        text.contains("> ContinueUpdateRollback clock/1 without Service\n"),
        "{text}"
    );
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_failed_needs_a_person() {
    let world = FakeWorld::new([at("DELETE_FAILED")]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is DELETE_FAILED
    error: the stack is DELETE_FAILED
      hint: an earlier deletion did not finish: run `deployer down`, which says what holds it
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_meanwhile() {
    let world = FakeWorld::new([
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_IN_PROGRESS"),
        failed(expired()),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    the stack is UPDATE_IN_PROGRESS (being updated): waiting for that to end
    error: the AWS credentials are not accepted
      because: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
      hint: the operation continues: run the same command again to resume
    exit code 1
    ");
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_others_that_takes_too_long() {
    let world = FakeWorld::new([at("UPDATE_IN_PROGRESS")]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    the stack is UPDATE_IN_PROGRESS (being updated): waiting for that to end
    error: the operation did not end within 1800 s
      hint: it continues: run the same command again to resume, or `deployer status` to see it
      hint: allow more time: `--timeout 1h`
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_under_way_is_waited_for() {
    for status in [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
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
            at("UPDATE_COMPLETE").after([theirs("UPDATE_COMPLETE")]),
            at("UPDATE_COMPLETE"),
            updating(),
            updated(),
        ]);
        let text = bringing_up_as_usual(world).await;
        assert!(text.contains("waiting for that to end"), "{status}: {text}");
        assert!(text.ends_with("exit code 0\n"), "{status}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_can_be_updated_is() {
    for status in [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    ] {
        let world = FakeWorld::new([at(status), updating(), updated()]);
        let text = bringing_up_as_usual(world).await;
        assert!(
            text.contains("(planned and updated as usual)"),
            "{status}: {text}"
        );
        assert!(text.ends_with("exit code 0\n"), "{status}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_import_is_for_a_person() {
    let text = bringing_up_as_usual(FakeWorld::new([at("IMPORT_ROLLBACK_FAILED")])).await;
    assert!(text.contains("CloudFormation console"), "{text}");
    assert!(text.ends_with("exit code 5\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_failed_and_was_left_so_is_rolled_back_first() {
    let world = FakeWorld::new([
        at("UPDATE_FAILED"),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE"),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_FAILED
    warning: an earlier update failed and was left as it was: rolling it back
    > RollbackStack clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the stack is UPDATE_ROLLBACK_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}
