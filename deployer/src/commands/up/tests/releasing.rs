//! The release command decides whether the service gets the new version.

use std::time::Duration;

use super::{FakeHost, bringing_up_with, created, started, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{active, ended, stopped};
use crate::testing::moment::{
    Moment, RELEASE, absent, at, error, event, event_because, of_others, throttled,
};
use aws::remote::RemoteErrorKind;
use deployment::stack::request::Template;

const TEMPLATE: &str = "Resources:\n  Repository:\n    Type: AWS::ECR::Repository\n  \
    ReleaseCommand:\n    Type: AWS::CloudFormation::WaitCondition\n  Service:\n    DependsOn:\n      - ReleaseCommand\n";
const METADATA: &str = r#"{"Command": ["migrate", "--all"], "Cluster": "clock-cluster",
    "TaskDefinition": "arn:task-definition/clock:2", "LogGroup": "clock-loggroup",
    "NetworkConfiguration": {"AwsvpcConfiguration": {"AssignPublicIp": "ENABLED", "Subnets": ["a", "b"], "SecurityGroups": ["c"]}}}"#;

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('b').with_old_version()
}

/// CloudFormation waits for the release command.
fn waiting() -> Moment {
    at("UPDATE_IN_PROGRESS").after([event(RELEASE, "CREATE_IN_PROGRESS")])
}

fn under_way() -> Moment {
    at("UPDATE_IN_PROGRESS")
}

/// CloudFormation has heard of the success, and the update ends.
fn released() -> [Moment; 2] {
    let complete = event(RELEASE, "CREATE_COMPLETE");
    [at("UPDATE_IN_PROGRESS").after([complete]), updated()]
}

/// CloudFormation has heard of the failure, and the update is rolled back.
fn refused() -> [Moment; 2] {
    let reason = "Received 1 FAILURE signal(s) out of 1";
    [
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([
            event_because(RELEASE, "CREATE_FAILED", reason),
            event("clock", "UPDATE_ROLLBACK_IN_PROGRESS"),
        ]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
    ]
}

/// A world in which the update waits, and then goes on like this.
fn world(then: impl IntoIterator<Item = Moment>) -> FakeWorld {
    let moments = [running(), updating(), waiting()];
    FakeWorld::new(moments.into_iter().chain(then)).releasing(METADATA, &["no such table: users"])
}

/// The transcript of `up` from the execution of the change set on, to the end of the update.
async fn deploying(host: FakeHost) -> String {
    let text = bringing_up_with(host, TEMPLATE).await;
    let (_, rest) = text.split_once("update: started\n").unwrap_or(("", &text));
    let (rest, _) = rest.split_once("rollout: started\n").unwrap_or((rest, ""));
    rest.to_owned()
}

async fn deploying_in(world: FakeWorld) -> String {
    deploying(FakeHost::new(world)).await
}

#[tokio::test(start_paused = true)]
async fn the_service_changes_after_it_has_succeeded() {
    let then = [under_way(), under_way(), under_way()];
    let world = world(then.into_iter().chain(released()));
    let world = world.task([active("RUNNING"), active("RUNNING"), ended(0)]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (success)
    release command: succeeded
    CREATE_COMPLETE release command (ReleaseCommand0a1b2c3d)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_the_previous_version_in_place() {
    let then = [under_way(), under_way(), under_way(), under_way()];
    let world = world(then.into_iter().chain(refused()));
    let world = world.task([active("RUNNING"), ended(3)]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    release command: ended with exit code 3
    CREATE_FAILED release command (ReleaseCommand0a1b2c3d): Received 1 FAILURE signal(s) out of 1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: the release command ended with exit code 3; no task of the new version was started, and the previous state is restored
      because: the program ended by itself with exit code 3
      | task 01234567: Essential container in task exited, exit code 3
      |   no such table: users
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix what it names, then run `deployer up` again
    exit code 4
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_start_is_a_failure() {
    let world = world([under_way(), under_way()].into_iter().chain(refused()));
    let reason = "CannotPullContainerError: ref not found";
    let world = world.task([
        active("RUNNING"),
        stopped("TaskFailedToStart", reason, None),
    ]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    release command: did not start
    CREATE_FAILED release command (ReleaseCommand0a1b2c3d): Received 1 FAILURE signal(s) out of 1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: the release command could not be started; no task of the new version was started, and the previous state is restored
      because: the image is not in the repository
      | task 01234567: CannotPullContainerError: ref not found
      hint: somebody or a lifecycle rule deleted it: `deployer up` pushes what is missing
      hint: fix what it names, then run `deployer up` again
    exit code 4
    "#);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_start_it_does_not_wait_for_it() {
    let denied = error(
        RemoteErrorKind::Denied,
        "AccessDeniedException",
        "not authorized",
    );
    let world = world([under_way()].into_iter().chain(refused()))
        .failing("RunTask", throttled())
        .failing("RunTask", denied);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"] (refused)
    warning: RunTask: rate exceeded (Throttling); looking again
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"] (refused)
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    CREATE_FAILED release command (ReleaseCommand0a1b2c3d): Received 1 FAILURE signal(s) out of 1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: the release command could not be started; no task of the new version was started, and the previous state is restored
      because: RunTask: not authorized (AccessDeniedException)
    exit code 4
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_takes_too_long_is_stopped() {
    let then = [under_way(), under_way()];
    let world = world(then.into_iter().chain(refused()));
    let world = world.task([
        active("RUNNING"),
        active("RUNNING"),
        active("RUNNING"),
        active("RUNNING"),
        ended(143),
    ]);
    let host = FakeHost::new(world).with(|config| config.timeout = Duration::from_secs(9));
    insta::assert_snapshot!(deploying(host).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    cancelling the update
    > CancelUpdateStack clock/1
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    CREATE_FAILED release command (ReleaseCommand0a1b2c3d): Received 1 FAILURE signal(s) out of 1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    > StopTask 0123456789abcdef
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the release command was stopped
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    release command: ended with exit code 143
    probe: 0 of 1000 requests failed meanwhile
    error: the update did not end within 9 s; the update was cancelled, and the previous state is restored
      hint: allow more time: `--timeout 1h`
    exit code 4
    "#);
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_stops_it() {
    let then = [under_way(), under_way()];
    let world = world(then.into_iter().chain(refused()));
    let world = world.task([
        active("RUNNING"),
        active("RUNNING"),
        active("RUNNING"),
        ended(143),
    ]);
    let host = FakeHost::new(world).interrupted_after(Duration::from_secs_f64(8.6));
    insta::assert_snapshot!(deploying(host).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    ^C
    cancelling the update
    > CancelUpdateStack clock/1
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    CREATE_FAILED release command (ReleaseCommand0a1b2c3d): Received 1 FAILURE signal(s) out of 1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    > StopTask 0123456789abcdef
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the release command was stopped
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    release command: ended with exit code 143
    probe: 0 of 1000 requests failed meanwhile
    error: interrupted; the update was cancelled, and the previous state is restored
    exit code 130
    "#);
}

#[tokio::test(start_paused = true)]
async fn somebody_else_cancels_the_update() {
    let cancelled = of_others(event("clock", "UPDATE_ROLLBACK_IN_PROGRESS"));
    let restored = of_others(event("clock", "UPDATE_ROLLBACK_COMPLETE"));
    let world = world([
        under_way(),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([cancelled]),
        at("UPDATE_ROLLBACK_COMPLETE").after([restored]),
    ]);
    let world = world.task([
        active("RUNNING"),
        active("RUNNING"),
        active("RUNNING"),
        ended(143),
    ]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > StopTask 0123456789abcdef
    the release command was stopped
    > SignalResource ReleaseCommand0a1b2c3d (failure)
    release command: ended with exit code 143
    probe: 0 of 1000 requests failed meanwhile
    error: somebody else has cancelled the update; the previous state is restored
      hint: `deployer status` shows what runs
    exit code 7
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_first_version_waits_for_it_too() {
    let moments = [
        absent(),
        started(),
        created(),
        updating(),
        waiting(),
        under_way(),
    ];
    let world = FakeWorld::new(moments.into_iter().chain(released()))
        .releasing(METADATA, &[])
        .task([ended(0)]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (success)
    release command: succeeded
    CREATE_COMPLETE release command (ReleaseCommand0a1b2c3d)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_task_of_an_earlier_attempt_is_stopped_first() {
    let world = world([under_way()].into_iter().chain(released()));
    let world = world.task([ended(0)]).one_off([
        ("older", "deployer-release-00000000-1000"),
        ("somebody's", "deployer-run"),
    ]);
    insta::assert_snapshot!(deploying_in(world).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    stopping the release command of an earlier deployment, task older
    > StopTask older
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (success)
    release command: succeeded
    CREATE_COMPLETE release command (ReleaseCommand0a1b2c3d)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    "#);
}

/// Another run has started an update, and was killed.
fn left_behind() -> FakeWorld {
    let moments = [
        under_way().with_image('b'),
        under_way(),
        under_way(),
        at("UPDATE_COMPLETE").after([of_others(event("clock", "UPDATE_COMPLETE"))]),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
    ];
    FakeWorld::new(moments)
        .releasing(METADATA, &[])
        .task([ended(0)])
        .past([
            event("clock", "UPDATE_IN_PROGRESS"),
            event(RELEASE, "CREATE_IN_PROGRESS"),
        ])
}

async fn resuming(world: FakeWorld) -> String {
    let text = bringing_up_with(FakeHost::new(world), TEMPLATE).await;
    let (_, rest) = text.split_once("waiting for that to end\n").unwrap();
    let (rest, _) = rest.split_once("push: started").unwrap();
    rest.to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_next_run_follows_the_task_of_one_that_was_killed() {
    let world = left_behind().one_off([("0123456789abcdef", "deployer-release-0a1b2c3d-2000")]);
    insta::assert_snapshot!(resuming(world).await, @"
    UPDATE_IN_PROGRESS stack (clock)
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (success)
    release command: succeeded
    UPDATE_COMPLETE stack (clock)
    the stack is UPDATE_COMPLETE
    ");
}

#[tokio::test(start_paused = true)]
async fn the_next_run_starts_what_one_that_was_killed_did_not() {
    insta::assert_snapshot!(resuming(left_behind()).await, @r#"
    UPDATE_IN_PROGRESS stack (clock)
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    release command: migrate --all (task 0123456789abcdef)
    > SignalResource ReleaseCommand0a1b2c3d (success)
    release command: succeeded
    UPDATE_COMPLETE stack (clock)
    the stack is UPDATE_COMPLETE
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_automatic_rollback_runs_none() {
    let world = FakeWorld::new([
        running(),
        updating(),
        waiting(),
        under_way(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .made_of(TEMPLATE)
    .releasing(METADATA, &[])
    .task([ended(0)]);
    let host = FakeHost::new(world)
        .finding([crate::testing::answer::down("connection refused")])
        .finding_after_going_back(crate::testing::answer::answers("0.1.0+bbbbbbbbbbbb"));
    let text = bringing_up_with(host, TEMPLATE).await;
    let (_, rest) = text.split_once("back: started\n").unwrap();
    assert!(!rest.contains("RunTask"), "{rest}");
    assert!(rest.contains("is restored and answers"), "{rest}");
}

#[test]
fn a_rollback_takes_the_release_command_out_of_the_template() {
    let previous = crate::testing::settings();
    let sink = deployment::event::Sink::new(Box::new(deployment::event::Silent));
    let cancellation = crate::cancellation::CancellationToken::default();
    let context = crate::context::Context {
        config: &previous,
        sink: &sink,
        cancellation: &cancellation,
    };
    let image = crate::testing::moment::image('0').parse().unwrap();
    let wanted = context.wanted(TEMPLATE, Some(&image));
    let deployed = deployment::stack::request::Definition {
        template: wanted.template.text().to_owned(),
        parameters: wanted.parameters.clone(),
        tags: std::collections::BTreeMap::new(),
    };
    assert!(deployment::template::has_release(&deployed.template));
    let image = ("ImageUri".to_owned(), crate::testing::moment::image('1'));
    let rollback = context.changed_only(deployed.clone(), [image].into());
    assert!(matches!(&rollback.template, Template::Text(text) if !text.contains("Release")));
    let reviewer = ("ReviewerKind".to_owned(), "user".to_owned());
    let reviewed = context.changed_only(deployed, [reviewer].into());
    assert!(matches!(reviewed.template, Template::Deployed(_)));
    // Without an image, there is nothing to run.
    let empty = context.wanted(TEMPLATE, None);
    assert!(!deployment::template::has_release(empty.template.text()));
}

/// Each deployment replaces the wait condition, and nobody has to agree to that.
#[test]
fn the_wait_of_the_version_before_is_removed_without_a_question() {
    let change = crate::testing::answer::change("Remove", RELEASE);
    assert!(!change.needs_agreement());
    assert_eq!(change.line(), format!("remove release command ({RELEASE})"));
}
