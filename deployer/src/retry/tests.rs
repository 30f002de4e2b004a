//! What passes leaves no trace; what was lost is found again; what is refused for good stays refused.

use std::time::Duration;

use tokio::time::Instant;

use super::Retrying;
use crate::testing::moment::{
    Moment, absent, at, error, event, expired, of_others, out_of_order, throttled, unreachable,
};
use crate::testing::{FakeWorld, Transcript};
use aws::access::Pace;
use aws::remote::{
    Identity as _, Logs as _, Remote, RemoteError, RemoteErrorKind, Rollouts as _, Stacks as _,
};
use deployment::names::{
    ChangeSetId, ClusterName, LogGroupName, LogStreamName, RequestToken, StackId, StackName,
    TargetGroupArn,
};
use deployment::stack::request::Wanted;

/// A token that events carry which belong to nobody else: see [`ours`].
const TOKEN: &str = "deployer-ours";

fn steady(world: FakeWorld) -> (Retrying<FakeWorld>, Transcript) {
    let transcript = world.transcript();
    let steady = Retrying::new(world, Pace::REMOTE, transcript.sink());
    (steady, transcript)
}

fn name() -> StackName {
    "clock".parse().unwrap()
}

fn token() -> RequestToken {
    RequestToken::new(TOKEN)
}

fn id() -> StackId {
    "arn:stack/clock/1".parse().unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        template: deployment::stack::request::Template::Text(String::new()),
        ..deployment::stack::request::Wanted::default()
    }
}

/// The stack in this status, after an event of the request that we made.
fn ours(status: &'static str) -> Moment {
    let mut event = event("clock", status);
    event.token = Some(token());
    at(status).after([event])
}

/// The same of a request that somebody else made.
fn theirs(status: &'static str) -> Moment {
    at(status).after([of_others(event("clock", status))])
}

fn refused(code: &str) -> RemoteError {
    error(RemoteErrorKind::Refused, code, "refused")
}

fn code<T: std::fmt::Debug>(result: Remote<T>) -> Option<String> {
    result.unwrap_err().code
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_waited_out() {
    let world = FakeWorld::new([at("CREATE_COMPLETE")])
        .failing("DescribeStacks", throttled())
        .failing("DescribeStacks", out_of_order())
        .failing("DescribeStacks", unreachable());
    let (steady, transcript) = steady(world);
    let began = Instant::now();
    assert!(steady.observe((&name()).into()).await.unwrap().is_some());
    // Half a second, one, two.
    let waited = began.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(4)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(transcript.text(), "", "a warning, for so little");
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_is_told_once() {
    let mut world = FakeWorld::new([at("CREATE_COMPLETE")]);
    for _ in 0..9 {
        world = world.failing("DescribeTargetHealth", throttled());
    }
    let (steady, transcript) = steady(world);
    assert_eq!(
        steady
            .targets(&TargetGroupArn::new("group"))
            .await
            .unwrap()
            .len(),
        2
    );
    insta::assert_snapshot!(
        transcript.text(),
        @"warning: DescribeTargetHealth: rate exceeded (Throttling); still retrying"
    );
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    async fn spent(failures: usize, call: impl AsyncFn(&Retrying<FakeWorld>) -> bool) -> Duration {
        let mut world = FakeWorld::new([at("CREATE_COMPLETE")]);
        for operation in ["DescribeClusters", "GetCallerIdentity", "GetLogEvents"] {
            for _ in 0..failures {
                world = world.failing(operation, unreachable());
            }
        }
        let (steady, _) = steady(world);
        let began = Instant::now();
        assert!(!call(&steady).await);
        began.elapsed()
    }
    let needed = spent(100, async |world| {
        world.cluster_exists(&ClusterName::new("x")).await.is_ok()
    })
    .await;
    assert!((160..=180).contains(&needed.as_secs()), "{needed:?}");
    let first = spent(100, async |world| world.caller().await.is_ok()).await;
    assert!((8..=20).contains(&first.as_secs()), "{first:?}");
    let optional = spent(100, async |world| {
        world
            .tail(&LogGroupName::new("g"), &LogStreamName::new("s"), 1)
            .await
            .is_ok()
    })
    .await;
    assert!(optional.as_secs() <= 5, "{optional:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_at_once() {
    let world = FakeWorld::new([at("CREATE_COMPLETE")]).failing("DescribeStacks", expired());
    let began = Instant::now();
    let result = steady(world).0.observe((&name()).into()).await;
    assert_eq!(result.unwrap_err().kind, RemoteErrorKind::Credentials);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_was_made_is_found_again() {
    // It is not visible at once, and neither are its events.
    let moments = [
        absent(),
        at("CREATE_IN_PROGRESS"),
        ours("CREATE_IN_PROGRESS"),
    ];
    let world = FakeWorld::new(moments)
        .failing("CreateStack", unreachable())
        .failing("CreateStack", refused("AlreadyExistsException"));
    let made = steady(world).0.create(&name(), &wanted(), &token()).await;
    assert_eq!(made.unwrap(), id());
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_somebody_else_is_not_taken_for_ours() {
    let world = FakeWorld::new([theirs("CREATE_IN_PROGRESS")])
        .failing("CreateStack", out_of_order())
        .failing("CreateStack", refused("AlreadyExistsException"));
    let made = steady(world).0.create(&name(), &wanted(), &token()).await;
    assert_eq!(code(made).unwrap(), "AlreadyExistsException");

    // Never sent before: nothing to settle.
    let world = FakeWorld::new([ours("CREATE_IN_PROGRESS")])
        .failing("CreateStack", refused("AlreadyExistsException"));
    let began = Instant::now();
    let made = steady(world).0.create(&name(), &wanted(), &token()).await;
    assert_eq!(code(made).unwrap(), "AlreadyExistsException");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_change_set_that_is_being_executed_is_ours() {
    for refusal in [
        "InvalidChangeSetStatus",
        "ChangeSetNotFound",
        "OperationInProgressException",
        "ValidationError",
    ] {
        let moments = [at("UPDATE_IN_PROGRESS"), ours("UPDATE_IN_PROGRESS")];
        let world = FakeWorld::new(moments)
            .failing("ExecuteChangeSet", unreachable())
            .failing("ExecuteChangeSet", refused(refusal));
        let (steady, _) = steady(world);
        steady
            .execute(&id(), &ChangeSetId::new("change-set"), &token())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_of_somebody_else_is_not() {
    let world = FakeWorld::new([theirs("UPDATE_IN_PROGRESS")])
        .failing("ExecuteChangeSet", unreachable())
        .failing("ExecuteChangeSet", refused("InvalidChangeSetStatus"));
    let result = steady(world)
        .0
        .execute(&id(), &ChangeSetId::new("change-set"), &token())
        .await;
    assert_eq!(code(result).unwrap(), "InvalidChangeSetStatus");
}

#[tokio::test(start_paused = true)]
async fn what_a_request_leads_to_is_enough() {
    let world = |operation, moment| {
        FakeWorld::new([moment])
            .failing(operation, unreachable())
            .failing(operation, refused("ValidationError"))
    };
    for moment in [absent(), theirs("DELETE_IN_PROGRESS")] {
        let (steady, _) = steady(world("DeleteStack", moment));
        steady.delete(&id(), &[], &token()).await.unwrap();
    }
    let moment = theirs("UPDATE_ROLLBACK_IN_PROGRESS");
    let (rolling, _) = steady(world("CancelUpdateStack", moment.clone()));
    rolling.cancel_update(&id(), &token()).await.unwrap();
    let (rolling, _) = steady(world("ContinueUpdateRollback", moment));
    rolling
        .continue_rollback(&id(), &[], &token())
        .await
        .unwrap();

    // It went on to its end before it could be cancelled; a rollback that failed again is the one before, unless it is ours.
    let (done, _) = steady(world("CancelUpdateStack", theirs("UPDATE_COMPLETE")));
    assert!(done.cancel_update(&id(), &token()).await.is_err());
    let failed = "UPDATE_ROLLBACK_FAILED";
    let (stuck, _) = steady(world("ContinueUpdateRollback", theirs(failed)));
    assert!(stuck.continue_rollback(&id(), &[], &token()).await.is_err());
    let (stuck, _) = steady(world("ContinueUpdateRollback", at("UPDATE_COMPLETE")));
    assert!(stuck.continue_rollback(&id(), &[], &token()).await.is_err());
    let (stuck, _) = steady(world("ContinueUpdateRollback", absent()));
    assert!(stuck.continue_rollback(&id(), &[], &token()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn looking_fails_in_passing_too() {
    let world = FakeWorld::new([ours("UPDATE_IN_PROGRESS")])
        .failing("ExecuteChangeSet", unreachable())
        .failing("ExecuteChangeSet", refused("InvalidChangeSetStatus"))
        .failing("DescribeStackEvents", throttled())
        .failing("DescribeStacks", out_of_order())
        .failing("DescribeStackEvents", unreachable());
    let (steady, _) = steady(world);
    steady
        .execute(&id(), &ChangeSetId::new("change-set"), &token())
        .await
        .unwrap();
}
