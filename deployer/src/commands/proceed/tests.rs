//! Transcripts of `continue`: what it reports and what it changes.

use super::run;
use crate::context::Context;
use crate::testing::answer::{answers, skewed};
use crate::testing::moment::{Moment, absent, at, error, event, image};
use crate::testing::{DIGEST, FakeHost, FakeWorld};
use aws::remote::RemoteErrorKind;
use deployment::names::TaskDefinitionArn;
use deployment::rollout::gate::{LifecycleStage, PausedDeployment};

const OLD: &str = "arn:task-definition/clock:1";
const NEW: &str = "arn:task-definition/clock:2";

fn paused(hook: &str, stage: LifecycleStage) -> Vec<PausedDeployment> {
    vec![PausedDeployment {
        arn: "arn:service-deployment/2".to_owned(),
        hook: hook.to_owned(),
        stage,
        task_definition: TaskDefinitionArn::new(NEW),
        share: 0.0,
        expires_at: None,
    }]
}

fn at_the_gate() -> Vec<PausedDeployment> {
    paused("hook-1", LifecycleStage::PostTestTrafficShift)
}

/// The update is under way, and its outputs are still those of before.
fn held() -> Moment {
    at("UPDATE_IN_PROGRESS").with_image('b').with_old_version()
}

fn of_the_update(status: &str) -> deployment::stack::ResourceEvent {
    crate::testing::moment::of_others(event("clock", status))
}

fn updated() -> Moment {
    at("UPDATE_COMPLETE").after([of_the_update("UPDATE_COMPLETE")])
}

/// A world in which an update began some time ago.
fn with_an_update(moments: impl IntoIterator<Item = Moment>) -> FakeWorld {
    let new = format!("registry.example/clock-repository@{DIGEST}");
    FakeWorld::new(moments)
        .past([
            event("clock", "UPDATE_COMPLETE"),
            event("clock", "UPDATE_IN_PROGRESS"),
            event("TaskDefinition", "UPDATE_COMPLETE"),
        ])
        .images([(OLD, &image('b')), (NEW, &new)])
}

async fn continuing(host: FakeHost) -> String {
    let command = async |context: Context<'_>, host: &FakeHost| Box::pin(run(context, host)).await;
    host.run(command).await
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_checked_once_more_and_passes() {
    let world = with_an_update([
        held(),
        held(),
        held(),
        held(),
        updated(),
        at("UPDATE_COMPLETE"),
    ])
    .paused([
        at_the_gate(),
        at_the_gate(),
        paused("hook-2", LifecycleStage::PreProductionTrafficShift),
        Vec::new(),
    ]);
    insta::assert_snapshot!(continuing(FakeHost::new(world)).await);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_any_more_goes_back() {
    let world = with_an_update([
        held(),
        held(),
        held(),
        held(),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([of_the_update("UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE")
            .with_image('b')
            .with_old_version()
            .after([of_the_update("UPDATE_ROLLBACK_COMPLETE")]),
    ])
    .paused([at_the_gate(), at_the_gate(), at_the_gate(), Vec::new()]);
    let wrong = || skewed(&[Some("0.1.0+0123456789ab")]);
    let host = FakeHost::new(world).finding([wrong(), wrong()]);
    let text = continuing(host).await;
    assert!(text.contains("hook-1 (roll back)"), "{text}");
    assert!(text.contains("the previous state is restored"), "{text}");
    assert!(text.ends_with("exit code 6\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_somebody_else_is_believed() {
    let refused = error(
        RemoteErrorKind::Refused,
        "InvalidParameterException",
        "the hook does not wait",
    );
    let world = with_an_update([held(), held(), held(), updated(), at("UPDATE_COMPLETE")])
        .paused([at_the_gate(), at_the_gate(), Vec::new()])
        .failing("ContinueServiceDeployment", refused);
    let text = continuing(FakeHost::new(world)).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

/// The public check finds what the one at the gate did not: only the image of before is known.
#[tokio::test(start_paused = true)]
async fn a_version_that_fails_afterwards_is_replaced_by_the_image_of_before() {
    let back = |status| event("clock", status);
    let world = with_an_update([
        held(),
        held(),
        held(),
        updated(),
        at("UPDATE_COMPLETE").with_parameter(
            "ImageUri",
            &format!("registry.example/clock-repository@{DIGEST}"),
        ),
        at("UPDATE_COMPLETE").with_parameter(
            "ImageUri",
            &format!("registry.example/clock-repository@{DIGEST}"),
        ),
        at("UPDATE_IN_PROGRESS").after([back("UPDATE_IN_PROGRESS")]),
        at("UPDATE_COMPLETE").after([back("UPDATE_COMPLETE")]),
        at("UPDATE_COMPLETE").with_image('b'),
    ])
    .paused([at_the_gate(), at_the_gate(), Vec::new()]);
    let wrong = || skewed(&[Some("0.1.0+0123456789ab")]);
    let host = FakeHost::new(world)
        .finding([answers("0.1.0+0123456789ab"), wrong(), wrong()])
        .finding_after_going_back(answers("0.1.0+bbbbbbbbbbbb"));
    let text = continuing(host).await;
    let (_, end) = text.split_once("back: started\n").unwrap();
    assert!(
        end.contains(
            "> CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbb"
        ),
        "{text}"
    );
    assert!(
        end.contains("the image of before, bbbbbbbbbbbb, runs again"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_nothing_waits() {
    let mut text = String::new();
    for moment in [
        at("UPDATE_COMPLETE"),
        at("UPDATE_ROLLBACK_IN_PROGRESS"),
        at("UPDATE_ROLLBACK_COMPLETE"),
        at("CREATE_IN_PROGRESS"),
        absent(),
    ] {
        let all = continuing(FakeHost::new(FakeWorld::new([moment]))).await;
        let (_, end) = all.split_once('\n').unwrap();
        text.push_str(end);
    }
    // Under way, but not paused.
    let baking = deployment::rollout::gate::ActiveDeployment {
        arn: "arn:service-deployment/2".to_owned(),
        status: deployment::rollout::gate::ServiceDeploymentStatus::InProgress,
        stage: LifecycleStage::BakeTime,
        task_definition: TaskDefinitionArn::new(NEW),
        has_previous: true,
        share: 0.0,
        paused: Vec::new(),
    };
    for active in [vec![baking], Vec::new()] {
        let world = with_an_update([held(), held()]).deploying([active]);
        let all = continuing(FakeHost::new(world)).await;
        let (_, end) = all.split_once("error").unwrap();
        text.push_str("error");
        text.push_str(end);
    }
    insta::assert_snapshot!(text);
}
