//! The stack is at rest, and the update does not come to a good end.

use super::{bringing_up, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{change, crashed};
use crate::testing::moment::{
    Moment, absent, at, error, event, event_because, expired, failed, of_others,
};
use aws::remote::RemoteErrorKind;
use deployment::stack::ResourceEvent;
use deployment::stack::request::Proposal;

/// The transcript from the execution of the change set on.
async fn update(world: FakeWorld) -> String {
    let text = bringing_up(world).await;
    let (_, update) = text.split_once("> ExecuteChangeSet\n").unwrap();
    update.to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_is_rolled_back() {
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        updating(),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([
            event_because(
                "Service",
                "UPDATE_FAILED",
                "ECS Deployment Circuit Breaker was triggered",
            ),
            event_because(
                "clock",
                "UPDATE_ROLLBACK_IN_PROGRESS",
                "failed to update: [Service]",
            ),
        ]),
        at("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
            .after([event("Service", "UPDATE_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
    ])
    .proposals([Proposal::Ready(vec![
        change("Add", "TaskDefinition"),
        change("Add", "Service"),
    ])]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_FAILED service (Service): ECS Deployment Circuit Breaker was triggered
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock): failed to update: [Service]
    UPDATE_COMPLETE service (Service)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    error: the update failed; the previous state is restored
      because: service (Service): ECS Deployment Circuit Breaker was triggered
      hint: fix what it names, then run `deployer up` again
    exit code 4
    ");
}

/// The stack's events when a new version is tried and does not start.
fn trying() -> [Moment; 4] {
    let old = |event: ResourceEvent| ResourceEvent {
        physical_id: Some("arn:task-definition/clock:1".to_owned()),
        ..event
    };
    [
        updating(),
        at("UPDATE_IN_PROGRESS").after([
            // Until it is replaced, it goes by its old name.
            old(event("TaskDefinition", "UPDATE_IN_PROGRESS")),
            event("TaskDefinition", "UPDATE_COMPLETE"),
            event("Service", "UPDATE_IN_PROGRESS"),
        ]),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event_because(
            "Service",
            "UPDATE_FAILED",
            "ECS Deployment Circuit Breaker was triggered",
        )]),
        at("UPDATE_ROLLBACK_COMPLETE").after([
            old(event("TaskDefinition", "UPDATE_COMPLETE")),
            event("clock", "UPDATE_ROLLBACK_COMPLETE"),
        ]),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_start_leaves_evidence() {
    // By the end of the rollback nothing is left of the tasks that failed.
    let before = at("UPDATE_COMPLETE").with_old_version();
    let world = FakeWorld::new(std::iter::once(before).chain(trying())).stopped(
        [vec![crashed("0123456789")], vec![]],
        &["listening on 0.0.0.0:8080", "thread 'main' panicked"],
    );
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    task 0123456789 failed: Essential container in task exited, exit code 101
      listening on 0.0.0.0:8080
      thread 'main' panicked
    UPDATE_FAILED service (Service): ECS Deployment Circuit Breaker was triggered
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    error: the update failed; the previous state is restored
      because: the program ended by itself with exit code 101 (it panicked)
      | service (Service): ECS Deployment Circuit Breaker was triggered
      | task 01234567: Essential container in task exited, exit code 101
      |   listening on 0.0.0.0:8080
      |   thread 'main' panicked
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix what it names, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn the_first_version_of_all_leaves_evidence_too() {
    let before = at("CREATE_COMPLETE")
        .without_output("TaskDefinitionArn")
        .without_output("ServiceName");
    let world = FakeWorld::new([
        before,
        at("UPDATE_IN_PROGRESS").after([
            event("TaskDefinition", "CREATE_COMPLETE"),
            event("Service", "CREATE_IN_PROGRESS"),
        ]),
        at("UPDATE_ROLLBACK_COMPLETE").after([
            event_because(
                "Service",
                "CREATE_FAILED",
                "ECS Deployment Circuit Breaker was triggered",
            ),
            event("clock", "UPDATE_ROLLBACK_COMPLETE"),
        ]),
    ])
    .stopped([vec![crashed("0123456789")]], &["thread 'main' panicked"]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    CREATE_COMPLETE task definition (TaskDefinition)
    task 0123456789 failed: Essential container in task exited, exit code 101
      thread 'main' panicked
    CREATE_FAILED service (Service): ECS Deployment Circuit Breaker was triggered
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    error: the update failed; the previous state is restored
      because: the program ended by itself with exit code 101 (it panicked)
      | service (Service): ECS Deployment Circuit Breaker was triggered
      | task 01234567: Essential container in task exited, exit code 101
      |   thread 'main' panicked
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix what it names, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_rollback_fails_too() {
    let world = FakeWorld::new([
        at("UPDATE_COMPLETE"),
        updating(),
        at("UPDATE_ROLLBACK_FAILED").after([
            event_because("Service", "UPDATE_FAILED", "the image cannot be pulled"),
            event_because("Service", "UPDATE_FAILED", "the old image is gone"),
            event("clock", "UPDATE_ROLLBACK_FAILED"),
        ]),
    ]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_FAILED service (Service): the image cannot be pulled
    UPDATE_FAILED service (Service): the old image is gone
    UPDATE_ROLLBACK_FAILED stack (clock)
    error: the update failed, and so did its rollback
      because: service (Service): the image cannot be pulled
      hint: `deployer up` continues the rollback once what it names is fixed
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_change_set_that_cannot_be_computed() {
    let world = FakeWorld::new([at("CREATE_COMPLETE")]).proposals([Proposal::Failed(
        "Parameters: [Cluter] do not exist in the template".to_owned(),
    )]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is CREATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    error: CloudFormation refuses the change
      because: Parameters: [Cluter] do not exist in the template
      hint: check the template: `cfn-lint /project/infra/service.yaml`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_refused() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "Template error: resource Cluter does not exist",
    );
    let world = FakeWorld::new([at("CREATE_COMPLETE")]).failing("CreateChangeSet", refusal);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is CREATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab (refused)
    error: CloudFormation refuses the change
      because: CreateChangeSet: Template error: resource Cluter does not exist (ValidationError)
      hint: check the template: `cfn-lint /project/infra/service.yaml`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_updates_it_first() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "Stack:arn:stack/clock/1 is in UPDATE_IN_PROGRESS state and can not be updated.",
    );
    let theirs = |status| of_others(event("clock", status));
    let world = FakeWorld::new([
        at("CREATE_COMPLETE"),
        at("UPDATE_IN_PROGRESS").after([theirs("UPDATE_IN_PROGRESS")]),
        at("UPDATE_COMPLETE").after([theirs("UPDATE_COMPLETE")]),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
    ])
    .failing("CreateChangeSet", refusal);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is CREATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab (refused)
    somebody else was faster: looking again (CreateChangeSet: Stack:arn:stack/clock/1 is in UPDATE_IN_PROGRESS state and can not be updated. (ValidationError))
    the stack is UPDATE_IN_PROGRESS (being updated): waiting for that to end
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
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
async fn credentials_that_expire_meanwhile() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), updating(), failed(expired())]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    error: the AWS credentials are not accepted
      because: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
      hint: the operation continues: run the same command again to resume
    exit code 1
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_takes_too_long_goes_on_without_us() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), updating(), at("UPDATE_IN_PROGRESS")]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    cancelling the update
    > CancelUpdateStack clock/1
    error: the update did not end within 1800 s
      hint: allow more time: `--timeout 1h`
      hint: cancelling takes long, and continues: `deployer status --watch` follows it
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_somebody_deletes_meanwhile() {
    let world = FakeWorld::new([at("UPDATE_COMPLETE"), updating(), updated(), absent()]);
    insta::assert_snapshot!(update(world).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    error: somebody deleted the stack meanwhile
    exit code 7
    ");
}
