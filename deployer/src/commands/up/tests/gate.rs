//! The deployment waits at the gate, and what is found there decides.

use std::time::Duration;

use super::{FakeHost, bringing_up_with, updated};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, down, skewed};
use crate::testing::moment::{Moment, at, error, event};
use aws::remote::RemoteErrorKind;
use deployment::names::TaskDefinitionArn;
use deployment::rollout::gate::{LifecycleStage, PausedDeployment};

const GATED: &str = "Resources:\n  Repository:\n    Type: AWS::ECR::Repository\n  Service:\n    TestListenerRule: x\n";

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('b').with_old_version()
}

/// The new task definition exists, and the service is being updated.
fn updating() -> Moment {
    at("UPDATE_IN_PROGRESS").with_old_version().after([
        event("clock", "UPDATE_IN_PROGRESS"),
        event("TaskDefinition", "UPDATE_COMPLETE"),
    ])
}

fn still_updating() -> Moment {
    at("UPDATE_IN_PROGRESS").with_old_version()
}

fn rolled_back() -> [Moment; 2] {
    [
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE")
            .with_image('b')
            .with_old_version()
            .after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
    ]
}

fn waiting(hook: &str, stage: LifecycleStage, task_definition: &str) -> Vec<PausedDeployment> {
    vec![PausedDeployment {
        arn: format!("arn:service-deployment/{task_definition}"),
        hook: hook.to_owned(),
        stage,
        task_definition: TaskDefinitionArn::new(task_definition),
    }]
}

fn ours(hook: &str) -> Vec<PausedDeployment> {
    waiting(
        hook,
        LifecycleStage::PostTestTrafficShift,
        "arn:task-definition/clock:2",
    )
}

/// The transcript from the update on.
async fn update(host: FakeHost) -> String {
    let text = bringing_up_with(host, GATED).await;
    let (_, update) = text.split_once("update: started\n").unwrap();
    update.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_proven_passes() {
    let moments = [
        running(),
        updating(),
        still_updating(),
        still_updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ];
    let step = waiting(
        "hook-2",
        LifecycleStage::PreProductionTrafficShift,
        "arn:task-definition/clock:2",
    );
    let world = FakeWorld::new(moments).paused([ours("hook-1"), step, Vec::new()]);
    insta::assert_snapshot!(update(FakeHost::new(world)).await);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_proven_wrong_goes_back() {
    let mut moments = vec![running(), updating(), still_updating(), still_updating()];
    moments.extend(rolled_back());
    // On the way back, CloudFormation deploys the version of before, which passes.
    let back = waiting(
        "hook-2",
        LifecycleStage::PostTestTrafficShift,
        "arn:task-definition/clock:1",
    );
    let world = FakeWorld::new(moments).paused([ours("hook-1"), ours("hook-1"), Vec::new(), back]);
    let wrong = || skewed(&[Some("0.1.0+0123456789ab")]);
    let host = FakeHost::new(world).finding([wrong(), wrong()]);
    insta::assert_snapshot!(update(host).await);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_answer_goes_back_when_the_time_is_over() {
    let mut moments = vec![running(), updating()];
    moments.extend(vec![still_updating(); 60]);
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1")]);
    let host = FakeHost::new(world).finding([down("the answer has status 500")]);
    let host = host.with(|config| config.verify_timeout = Duration::from_secs(30));
    let text = update(host).await;
    // How often the request is repeated is a matter of pace.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.dedup();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn whoever_cancels_at_the_gate_gets_the_version_of_before() {
    let mut moments = vec![running(), updating()];
    moments.extend(vec![still_updating(); 10]);
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1")]);
    let host = FakeHost::new(world)
        .finding([down("the answer has status 500")])
        .interrupted_after(Duration::from_secs(9));
    insta::assert_snapshot!(update(host).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_somebody_else_is_believed() {
    let moments = [
        running(),
        updating(),
        still_updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ];
    let refused = error(
        RemoteErrorKind::Refused,
        "InvalidParameterException",
        "the hook does not wait",
    );
    let world = FakeWorld::new(moments)
        .paused([ours("hook-1"), Vec::new()])
        .failing("ContinueServiceDeployment", refused);
    let text = update(FakeHost::new(world).finding([answers("0.1.0+0123456789ab")])).await;
    assert!(text.contains("The service is up"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_checked_by_the_run_that_attaches() {
    let gated = |moment: Moment| moment.with_output("OtherTargetGroupArn", "other-targets");
    let left = || gated(at("UPDATE_IN_PROGRESS").with_old_version());
    let moments = [
        left(),
        left(),
        left(),
        left(),
        left(),
        gated(at("UPDATE_COMPLETE").with_image('0')),
    ];
    let world = FakeWorld::new(moments)
        .paused([ours("hook-1"), ours("hook-1"), Vec::new()])
        .images([("arn:task-definition/clock:2", "registry.example/clock-repository@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")])
        .proposals([deployment::stack::request::Proposal::Empty]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    let (text, _) = text.split_once("plan: started").unwrap_or((text, ""));
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_is_not_let_pass_by_the_run_that_attaches() {
    let gated = |moment: Moment| moment.with_output("OtherTargetGroupArn", "other-targets");
    let left = || gated(at("UPDATE_IN_PROGRESS").with_old_version());
    let ended = gated(at("UPDATE_ROLLBACK_COMPLETE").with_old_version());
    // Nothing tells the image of the version that waits.
    let world = FakeWorld::new([left(), left(), left(), left(), ended])
        .paused([ours("hook-1")])
        .proposals([deployment::stack::request::Proposal::Empty]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    let (text, _) = text.split_once("plan: started").unwrap();
    assert!(!text.contains("ContinueServiceDeployment"), "{text}");
}
