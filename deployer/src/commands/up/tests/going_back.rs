//! The new version is in place, but does not work: the one before is restored.

use super::{FakeHost, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, change, crashed, down, rolled_out, rolling_out, went_back};
use crate::testing::moment::{Moment, absent, at, error, event, event_because, expired, failed};
use aws::remote::RemoteErrorKind;
use deployment::stack::request::Proposal;

/// The version of before, by the image whose digest consists of this digit; and the same once it is restored.
pub(super) const BEFORE: &str = "0.1.0+bbbbbbbbbbbb";

/// A stack that runs a version already.
pub(super) fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('b').with_old_version()
}

/// What the stack goes through when a version is deployed, found not to work, and the one before is restored.
pub(super) fn there_and_back() -> Vec<Moment> {
    vec![
        running(),
        updating(),
        updated(),
        // Looked at after the update, and once more before anything is restored.
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ]
}

/// The transcript from the execution of the change set on.
pub(super) async fn update(host: FakeHost) -> String {
    let text = bringing_up_on(host).await;
    let (_, update) = text.split_once("> ExecuteChangeSet\n").unwrap();
    update.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_answer() {
    let host = FakeHost::new(FakeWorld::new(there_and_back()))
        .finding([down("the answer has status 503")])
        .finding_after_going_back(answers(BEFORE));
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
    check: DOWN (the answer has status 503)
    warning: http://clock.example/now is DOWN after 120 s; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: http://clock.example/now is DOWN after 120 s; the previous version, bbbbbbbbbbbb, is restored and answers
      because: the answer has status 503
      hint: look yourself: `curl -i http://clock.example/now`
      hint: allow more time: `--verify-timeout 5m`
    exit code 6
    ");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_start_although_the_stack_is_complete() {
    let world = FakeWorld::new(there_and_back())
        .services([rolling_out(0), went_back(), rolled_out()])
        .stopped([vec![crashed("0123456789")]], &["thread 'main' panicked"]);
    let host = FakeHost::new(world).finding([answers(BEFORE)]);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    task 0123456789 failed: Essential container in task exited, exit code 101
      thread 'main' panicked
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    warning: the new version did not start; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; the previous version, bbbbbbbbbbbb, is restored and answers
      because: the program ended by itself with exit code 101 (it panicked)
      | ECS deployment circuit breaker: tasks failed to start.
      | task 01234567: Essential container in task exited, exit code 101
      |   thread 'main' panicked
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn the_first_version_of_all_is_removed() {
    let first = at("CREATE_COMPLETE")
        .without_output("TaskDefinitionArn")
        .without_output("ServiceName");
    let world = FakeWorld::new([
        first,
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
    ])
    .services([went_back()]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    warning: the new version did not start; taking the new version away again: nothing ran before it
    back: started
    > CreateChangeSet clock/1 with no image
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    back: done in 0.0 s
    error: the new version did not start; it was removed: nothing ran before it
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: fix the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn requests_that_failed_meanwhile_are_counted() {
    let refused = clock::Failure::Refused {
        peer: "10.0.0.1:80".to_owned(),
    };
    let knocks = [Ok(()), Ok(()), Err(refused), Ok(())];
    let world = FakeWorld::new([running(), updating(), updated()]);
    let host = FakeHost::new(world).knocking(knocks);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    warning: a request failed during the rollout: connection refused by 10.0.0.1:80
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    probe: 1 of 1000 requests failed meanwhile, for 0.2 s at a stretch (connection refused by 10.0.0.1:80)
    The service is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      rollout   1 of 1000 requests failed meanwhile, for 0.2 s at a stretch (connection refused by 10.0.0.1:80)
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_has_deployed_meanwhile() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE").with_old_version(),
    ])
    .services([went_back()]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; somebody else has deployed meanwhile, which is left alone
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: `deployer status` shows what runs
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_deletes_the_stack_meanwhile() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        absent(),
    ])
    .services([rolling_out(0), None]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 0 of 2 running, 2 pending; old 2 of 2 running; 2 of 2 targets healthy
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; somebody deleted the stack meanwhile
      because: the service does not exist
      hint: `deployer status` shows what runs
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn the_way_back_fails_too() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        at("UPDATE_ROLLBACK_COMPLETE").after([
            event_because("Service", "UPDATE_FAILED", "the image cannot be pulled"),
            event("clock", "UPDATE_ROLLBACK_COMPLETE"),
        ]),
    ])
    .services([went_back()]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    warning: the new version did not start; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_FAILED service (Service): the image cannot be pulled
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start, and the previous state could not be restored
      because: CloudFormation did not get back to it, and the version that does not work is still in place: service (Service): the image cannot be pulled
      | before that: ECS deployment circuit breaker: tasks failed to start.
      hint: see what runs: `deployer status`, `deployer history`
      hint: go back by hand: `deployer rollback`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn the_version_before_does_not_satisfy_the_check_either() {
    let host = FakeHost::new(FakeWorld::new(there_and_back())).finding([down("no connection")]);
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
    check: DOWN (no connection)
    warning: http://clock.example/now is DOWN after 120 s; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: DOWN (no connection)
    probe: 0 of 1000 requests failed meanwhile
    error: http://clock.example/now is DOWN after 120 s; the previous version, bbbbbbbbbbbb, is restored, and does not pass the check either
      because: no connection
      | the new version: no connection
      hint: is it this machine: its network, its clock? Look from elsewhere, too
      hint: see what runs: `deployer status`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_before_it_is_put_back() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        failed(expired()),
    ])
    .services([went_back()]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start, and the previous state could not be restored
      because: the AWS credentials are not accepted: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      | before that: ECS deployment circuit breaker: tasks failed to start.
      hint: see what runs: `deployer status`, `deployer history`
      hint: go back by hand: `deployer rollback`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn without_the_template_of_before_the_image_is_put_back() {
    let denied = error(RemoteErrorKind::Denied, "AccessDenied", "no GetTemplate");
    let world = FakeWorld::new(there_and_back())
        .services([went_back(), rolled_out()])
        .failing("GetTemplate", denied)
        .proposals([
            Proposal::Ready(vec![change("Modify", "TaskDefinition")]),
            Proposal::Ready(vec![change("Modify", "TaskDefinition")]),
        ]);
    let host = FakeHost::new(world).finding([answers(BEFORE)]);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    warning: the new version did not start; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; the image of before, bbbbbbbbbbbb, runs again and answers, but this could not be restored exactly: template and parameters: CloudFormation did not return them
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: fix the program or its settings, then run `deployer up` again
      hint: restore it from the source of the version before: `deployer up --stack clock --profile work`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn what_the_update_left_over_is_cleaned_up_first() {
    let cleaning = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS";
    let world = FakeWorld::new([
        running(),
        updating(),
        at(cleaning).after([event("clock", cleaning)]),
        at(cleaning),
        at(cleaning),
        // Followed to its end, and looked at once more.
        at("UPDATE_COMPLETE").after([event("clock", "UPDATE_COMPLETE")]),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .services([went_back(), rolled_out()]);
    let host = FakeHost::new(world).finding([answers(BEFORE)]);
    insta::assert_snapshot!(update(host).await, @"
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: old 2 of 2 running; new 0 of 2 running, 2 failed; 2 of 2 targets healthy
    warning: the new version did not start; putting bbbbbbbbbbbb back, which ran before
    back: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; the previous version, bbbbbbbbbbbb, is restored and answers
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: fix the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

/// A stack with a secret that this run changes.
fn with_a_secret(moments: Vec<Moment>) -> Vec<Moment> {
    let with = |moment: Moment| moment.with_parameters([("ApiKey", "****")]);
    moments.into_iter().map(with).collect()
}

fn secretly(world: FakeWorld) -> FakeHost {
    FakeHost::new(world).with(|config| {
        let key = ("ApiKey".to_owned(), "wrong".to_owned());
        config.parameters.extend([key]);
    })
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_not_said_to_be_restored() {
    let world =
        FakeWorld::new(with_a_secret(there_and_back())).services([went_back(), rolled_out()]);
    let host = secretly(world).finding([answers(BEFORE)]);
    let text = bringing_up_on(host).await;
    let (before, update) = text.split_once("> ExecuteChangeSet\n").unwrap();
    let warning = before.lines().find(|line| line.starts_with("warning"));
    insta::assert_snapshot!(warning.unwrap(), @"warning: if this deployment fails, this cannot be restored: the parameter `ApiKey`, whose value CloudFormation does not return (NoEcho)");
    assert!(
        update.contains("; the image of before, bbbbbbbbbbbb, runs again and answers, but this could not be restored exactly: the parameter `ApiKey`, "),
        "{update}"
    );
    assert!(!update.contains("is restored and"), "{update}");
    assert!(
        update.contains(
            "deployer up --stack clock --profile work --parameter ApiKey=VALUE`\nexit code 5"
        ),
        "{update}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_only_a_secret_differs_nothing_is_put_back() {
    let mut moments = with_a_secret(there_and_back());
    moments.truncate(5);
    let change = Proposal::Ready(vec![change("Modify", "TaskDefinition")]);
    let world = FakeWorld::new(moments)
        .services([went_back()])
        .proposals([change, Proposal::Empty]);
    let text = update(secretly(world)).await;
    let (_, end) = text.split_once("back: started").unwrap();
    insta::assert_snapshot!(end, @"

    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    > DeleteChangeSet
    nothing to change
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: the new version did not start; nothing could be restored, and it is still in place: it differs only in the parameter `ApiKey`, whose value CloudFormation does not return (NoEcho)
      because: ECS deployment circuit breaker: tasks failed to start.
      hint: fix the program or its settings, then run `deployer up` again
      hint: restore `ApiKey` from the source of the version before: `deployer up --stack clock --profile work --parameter ApiKey=VALUE`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_gone_from_the_registry_is_told_before_the_update() {
    let world = FakeWorld::new([running(), updating(), updated(), at("UPDATE_COMPLETE")]);
    let text = bringing_up_on(FakeHost::new(world.without_the_image())).await;
    let (before, _) = text.split_once("> ExecuteChangeSet\n").unwrap();
    let warning = before.lines().find(|line| line.starts_with("warning"));
    insta::assert_snapshot!(warning.unwrap(), @"warning: the image that runs, bbbbbbbbbbbb, is no longer in the registry: if this deployment fails, it cannot be restored");
}
