//! Ctrl-C, SIGTERM, and time that is over: what was started is rolled back.

use std::time::Duration;

use super::{FakeHost, bringing_up_on, created, started, updated, updating, with_repository};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, rolled_out, rolling_out};
use crate::testing::moment::{Moment, absent, at, error, event};
use aws::remote::RemoteErrorKind;
use deployment::stack::request::Proposal;

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('b').with_old_version()
}

fn deleted() -> [Moment; 2] {
    [
        at("DELETE_IN_PROGRESS").after([event("clock", "DELETE_IN_PROGRESS")]),
        at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")]),
    ]
}

fn rolled_back() -> [Moment; 2] {
    [
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
    ]
}

/// Looks come every 2.5 s, a tenth more or less: the moments of these tests lie between two of them.
async fn after(seconds: f64, world: FakeWorld) -> String {
    let host = FakeHost::new(world).interrupted_after(Duration::from_secs_f64(seconds));
    bringing_up_on(host).await
}

/// The same, from the key on.
async fn from_the_key_on(seconds: f64, world: FakeWorld) -> String {
    let text = after(seconds, world).await;
    let (_, rest) = text.split_once("^C\n").unwrap_or(("", &text));
    rest.to_owned()
}

#[tokio::test(start_paused = true)]
async fn before_anything_is_started() {
    let host = FakeHost::new(FakeWorld::new([running()]))
        .compiling_for(Duration::from_mins(1))
        .interrupted_after(Duration::from_secs(30));
    insta::assert_snapshot!(bringing_up_on(host).await, @"
    image: started
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    error: interrupted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_the_stack_is_created() {
    let moments = [
        absent(),
        started(),
        started(),
        started(),
        at("CREATE_IN_PROGRESS"),
    ];
    let world = FakeWorld::new(moments.into_iter().chain(deleted()));
    insta::assert_snapshot!(from_the_key_on(6.0, world).await, @"
    deleting the new stack: there was none before
    the stack is CREATE_IN_PROGRESS
    delete: started
    > DeleteStack clock/2
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    error: interrupted; the new stack is deleted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_compiling_beside_a_stack_that_was_created() {
    let moments = [
        absent(),
        started(),
        with_repository(),
        created(),
        at("CREATE_COMPLETE"),
    ];
    let world = FakeWorld::new(moments.into_iter().chain(deleted()));
    let host = FakeHost::new(world)
        .compiling_for(Duration::from_mins(10))
        .interrupted_after(Duration::from_mins(5));
    insta::assert_snapshot!(bringing_up_on(host).await, @"
    image: started
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    ^C
    deleting the new stack: there was none before
    the stack is CREATE_COMPLETE
    delete: started
    > DeleteStack clock/2
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    error: interrupted; the new stack is deleted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_the_remains_of_another_attempt_are_deleted() {
    let deleting = || at("DELETE_IN_PROGRESS").after([event("clock", "DELETE_IN_PROGRESS")]);
    let world = FakeWorld::new([
        at("ROLLBACK_COMPLETE"),
        deleting(),
        deleting(),
        deleting(),
        at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")]),
    ]);
    let host = FakeHost::new(world)
        .compiling_for(Duration::from_mins(10))
        .interrupted_after(Duration::from_secs_f64(3.5));
    let text = bringing_up_on(host).await;
    let (_, rest) = text.split_once("^C\n").unwrap();
    insta::assert_snapshot!(rest, @"
    warning: a deletion cannot be undone: waiting for its end; press Ctrl-C again to exit at once
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    error: interrupted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_the_change_set_is_computed() {
    let world = FakeWorld::new([running()]).proposals([Proposal::Pending]);
    insta::assert_snapshot!(from_the_key_on(6.0, world).await, @"
    > DeleteChangeSet
    error: interrupted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_an_update_is_under_way() {
    let moments = [
        running(),
        updating(),
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_IN_PROGRESS"),
    ];
    let world = FakeWorld::new(moments.into_iter().chain(rolled_back()));
    insta::assert_snapshot!(from_the_key_on(6.0, world).await, @"
    cancelling the update
    > CancelUpdateStack clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: interrupted; the update was cancelled, and the previous state is restored
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_an_update_is_under_way_that_ends_just_then() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "CancelUpdateStack cannot be called from current stack status",
    );
    let world = FakeWorld::new([
        running(),
        updating(),
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_IN_PROGRESS"),
        updated(),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .failing("CancelUpdateStack", refusal);
    let host = FakeHost::new(world)
        .finding([answers("0.1.0+bbbbbbbbbbbb")])
        .interrupted_after(Duration::from_secs(6));
    let text = bringing_up_on(host).await;
    let (_, rest) = text.split_once("^C\n").unwrap();
    insta::assert_snapshot!(rest, @"
    cancelling the update
    > CancelUpdateStack clock/1 (refused)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    warning: interrupted; putting bbbbbbbbbbbb back, which ran before
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
    error: interrupted; the previous version, bbbbbbbbbbbb, is restored and answers
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_the_first_version_is_deployed_to_a_stack_of_this_run() {
    let moments = [
        absent(),
        started(),
        created(),
        updating(),
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_IN_PROGRESS"),
    ];
    let world = FakeWorld::new(
        moments
            .into_iter()
            .chain(rolled_back())
            .chain([at("UPDATE_ROLLBACK_COMPLETE")])
            .chain(deleted()),
    );
    insta::assert_snapshot!(from_the_key_on(8.6, world).await, @"
    cancelling the update
    > CancelUpdateStack clock/2
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    deleting the new stack: there was none before
    the stack is UPDATE_ROLLBACK_COMPLETE
    delete: started
    > DeleteStack clock/2
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    error: interrupted; the update was cancelled, and the previous state is restored; the new stack is deleted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_the_new_version_rolls_out_after_the_update() {
    let world = FakeWorld::new([
        running(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .services([rolling_out(0), rolling_out(0), rolling_out(1), rolled_out()]);
    let host = FakeHost::new(world)
        .finding([answers("0.1.0+bbbbbbbbbbbb")])
        .interrupted_after(Duration::from_secs(6));
    let text = bringing_up_on(host).await;
    let (_, rest) = text.split_once("^C\n").unwrap();
    insta::assert_snapshot!(rest, @"
    warning: interrupted; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 1 of 2 running, 1 pending; old 2 of 2 running; 2 of 2 targets healthy
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: interrupted; the previous version, bbbbbbbbbbbb, is restored and answers
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn while_waiting_for_somebody_else() {
    let world = FakeWorld::new([at("UPDATE_IN_PROGRESS")]);
    insta::assert_snapshot!(after(60.0, world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    the stack is UPDATE_IN_PROGRESS (being updated): waiting for that to end
    error: interrupted
    exit code 130
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_time_is_over_is_cancelled() {
    let moments = [
        running(),
        updating(),
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_IN_PROGRESS"),
    ];
    let world = FakeWorld::new(moments.into_iter().chain(rolled_back()));
    let host = FakeHost::new(world).with(|config| config.timeout = Duration::from_secs(6));
    let text = bringing_up_on(host).await;
    let (_, rest) = text.split_once("update: started\n").unwrap();
    insta::assert_snapshot!(rest, @"
    UPDATE_IN_PROGRESS stack (clock)
    cancelling the update
    > CancelUpdateStack clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    probe: 0 of 1000 requests failed meanwhile
    error: the update did not end within 6 s; the update was cancelled, and the previous state is restored
      hint: allow more time: `--timeout 1h`
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_want_to_wait_is_told_what_for() {
    let world = FakeWorld::new([at("UPDATE_IN_PROGRESS")]);
    let host = FakeHost::new(world).with(|config| config.wait = false);
    insta::assert_snapshot!(bringing_up_on(host).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    error: another operation is under way on the stack
      because: it is UPDATE_IN_PROGRESS: being updated
      hint: wait for it: leave out `--no-wait`, or `deployer status --watch`
    exit code 7
    ");
}
