//! The deployment waits at the gate, and what is found there decides.

use std::time::Duration;

use super::{FakeHost, bringing_up_with, updated};
use crate::config::CheckSettings;
use crate::testing::answer::{answers, down, refused, rolled_out, rolling_out, skewed};
use crate::testing::moment::{Moment, at, error, event};
use crate::testing::stages::{at_every_stage, there_and_back, waiting};
use crate::testing::{DIGEST, FakeWorld};
use aws::remote::RemoteErrorKind;
use deployment::names::TaskDefinitionArn;
use deployment::rollout::gate::{
    ActiveDeployment, HookAnswer, LifecycleStage, PausedDeployment, ServiceDeploymentStatus,
};
use deployment::stack::ResourceEvent;
use deployment::stack::request::Proposal;

const NEW: &str = "arn:task-definition/clock:2";
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

fn ours(hook: &str) -> Vec<PausedDeployment> {
    waiting(hook, &LifecycleStage::PostTestTrafficShift, NEW)
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
    let step = waiting("hook-2", &LifecycleStage::PreProductionTrafficShift, NEW);
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
        &LifecycleStage::PostTestTrafficShift,
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
async fn a_version_that_fails_in_public_goes_back_at_the_next_step() {
    let mut moments = vec![running(), updating()];
    moments.extend(vec![still_updating(); 8]);
    moments.extend(rolled_back());
    let step = |hook, share| {
        let mut step = waiting(hook, &LifecycleStage::PreProductionTrafficShift, NEW);
        step[0].share = share;
        step
    };
    let [third, fourth] = [25.0, 50.0].map(|share| step("next", share));
    let world = FakeWorld::new(moments).paused([
        ours("gate"),
        step("first", 0.0),
        third.clone(),
        third.clone(),
        third,
        fourth,
    ]);
    let good = std::iter::repeat_n(Ok(()), 150);
    let host = FakeHost::new(world).knocking(good.chain([Err(clock::Failure::TooLarge)]));
    let text = update(host).await;
    for part in [
        "gate: 25 % of the public requests go to the new version",
        "did not pass the gate: public requests fail since it gets some of them",
        "the previous state is restored, and it gets no public request any more",
        "exit code 6",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("no public request has reached it"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_fails_now_and_then_goes_back() {
    let mut moments = vec![running(), updating()];
    moments.extend(vec![still_updating(); 60]);
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1")]);
    let host = FakeHost::new(world).knocking([Err(clock::Failure::TooLarge)]);
    let text = update(host.with(|config| config.verify_timeout = Duration::from_secs(30))).await;
    let message = "did not pass the gate: it passes the check, but 20 of 20 requests to it fail; no public request";
    assert!(text.contains(message), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_update_is_followed_where_hooks_may_not_be_read() {
    let mut moments = vec![running(), updating(), still_updating(), still_updating()];
    moments.extend(rolled_back());
    let denied = error(RemoteErrorKind::Denied, "AccessDeniedException", "not you");
    let world = FakeWorld::new(moments)
        .paused([ours("hook-1")])
        .failing("ListServiceDeployments", denied);
    let text = update(FakeHost::new(world)).await;
    assert!(
        text.contains("without an answer, ECS takes the new version back"),
        "{text}"
    );
    assert!(text.contains("UPDATE_ROLLBACK_COMPLETE"), "{text}");
    assert!(text.ends_with("exit code 4\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_somebody_else_is_believed() {
    let moments = [
        running(),
        updating(),
        still_updating(),
        still_updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ];
    let refused = || {
        error(
            RemoteErrorKind::Refused,
            "InvalidParameterException",
            "the hook does not wait",
        )
    };
    let active = |status, paused| ActiveDeployment {
        arn: ours("hook-1")[0].arn.clone(),
        status,
        stage: LifecycleStage::PostTestTrafficShift,
        task_definition: TaskDefinitionArn::new(NEW),
        has_previous: true,
        share: 0.0,
        paused,
    };
    // An answer of our own whose response was lost looks the same.
    for (after, is_told) in [
        (ServiceDeploymentStatus::InProgress, true),
        (ServiceDeploymentStatus::RollbackInProgress, false),
    ] {
        let waiting = active(ServiceDeploymentStatus::InProgress, ours("hook-1"));
        let world = FakeWorld::new(moments.clone())
            .deploying(vec![vec![waiting], vec![active(after, Vec::new())]])
            .failing("ContinueServiceDeployment", refused());
        let text = update(FakeHost::new(world).finding([answers("0.1.0+0123456789ab")])).await;
        assert!(text.contains("The service is up"), "{text}");
        assert_eq!(text.contains("gate: passed"), is_told, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_checked_by_the_run_that_attaches() {
    let left = || at("UPDATE_IN_PROGRESS").with_old_version();
    let moments = [
        left(),
        left(),
        left(),
        left(),
        left(),
        at("UPDATE_COMPLETE").with_image('0'),
    ];
    let world = FakeWorld::new(moments)
        .paused([ours("hook-1"), ours("hook-1"), Vec::new()])
        .images([(NEW, &format!("registry.example/clock-repository@{DIGEST}"))])
        .proposals([Proposal::Empty]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    let (text, _) = text.split_once("plan: started").unwrap_or((text, ""));
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_is_not_let_pass_by_the_run_that_attaches() {
    let left = || at("UPDATE_IN_PROGRESS").with_old_version();
    let ended = at("UPDATE_ROLLBACK_COMPLETE").with_old_version();
    // Nothing tells the image of the version that waits.
    let world = FakeWorld::new([left(), left(), left(), left(), ended])
        .paused([ours("hook-1")])
        .proposals([Proposal::Empty]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    let (text, _) = text.split_once("plan: started").unwrap();
    assert!(!text.contains("ContinueServiceDeployment"), "{text}");
}

/// What `up` does about its own version, and then about the one of before, at each stage.
async fn at_each(host: impl Fn(FakeWorld) -> FakeHost, end: &[Moment]) -> String {
    at_every_stage(async |stage| {
        let mut moments = vec![running(), updating()];
        moments.extend(vec![still_updating(); 6]);
        moments.extend_from_slice(end);
        let world = FakeWorld::new(moments).paused(there_and_back(stage));
        bringing_up_with(host(world), GATED).await
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_good_version_at_every_stage() {
    let end = [updated(), at("UPDATE_COMPLETE")];
    insta::assert_snapshot!(at_each(FakeHost::new, &end).await);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_version_at_every_stage() {
    let wrong = |world| {
        let report = || skewed(&[Some("0.1.0+0123456789ab")]);
        FakeHost::new(world).finding([report(), report()])
    };
    insta::assert_snapshot!(at_each(wrong, &rolled_back()).await);
}

#[tokio::test(start_paused = true)]
async fn cancelled_at_every_stage() {
    let host = |world| {
        FakeHost::new(world)
            .finding([down("the answer has status 500")])
            .interrupted_after(Duration::from_millis(1))
            .compiling_for(Duration::ZERO)
    };
    insta::assert_snapshot!(at_each(host, &rolled_back()).await);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_attaches_at_every_stage() {
    let table = at_every_stage(async |stage| {
        let left = || at("UPDATE_IN_PROGRESS").with_old_version();
        let end = at("UPDATE_ROLLBACK_COMPLETE").with_image('0');
        let moments = [left(), left(), left(), left(), left(), left(), left(), end];
        let world = FakeWorld::new(moments)
            .paused(there_and_back(stage))
            .images([(NEW, &format!("registry.example/clock-repository@{DIGEST}"))])
            .proposals([Proposal::Empty]);
        bringing_up_with(FakeHost::new(world), GATED).await
    });
    insta::assert_snapshot!(table.await);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_replaced_at_every_stage() {
    let table = at_every_stage(async |stage| {
        let there = || at("UPDATE_COMPLETE").with_image('0');
        let world = FakeWorld::new([there(), there()])
            .services([rolling_out(1), rolling_out(1), rolling_out(1), rolled_out()])
            .paused(there_and_back(stage))
            .proposals([Proposal::Empty]);
        let host = FakeHost::new(world).with(|config| config.force = true);
        bringing_up_with(host, GATED).await
    });
    insta::assert_snapshot!(table.await);
}

/// The outputs name no service before the first version runs.
#[tokio::test(start_paused = true)]
async fn a_first_version_is_checked_by_the_run_that_attaches() {
    let first = |status| {
        let there = at(status).without_output("ServiceName");
        there.without_output("TaskDefinitionArn")
    };
    let left = || first("UPDATE_IN_PROGRESS");
    let end = at("UPDATE_COMPLETE").with_image('0');
    let world = FakeWorld::new([left(), left(), left(), left(), left(), end])
        .paused([ours("hook-1"), ours("hook-1"), Vec::new()])
        .images([(NEW, &format!("registry.example/clock-repository@{DIGEST}"))])
        .proposals([Proposal::Empty]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let answer = "check: OK, offset +0.2 ms ± 1.2 ms, 2 instances\n\
        gate: new version 0 of 20 requests failed, median 0.0 ms\n\
        > ContinueServiceDeployment hook-1 (continue)";
    assert!(text.contains(answer), "{text}");
}

/// `up --hold` in this world.
async fn holding(host: FakeHost) -> String {
    update(host.with(|config| config.hold = true)).await
}

#[tokio::test(start_paused = true)]
async fn without_a_terminal_a_version_is_left_at_the_gate() {
    let world = FakeWorld::new([running(), updating()]).paused([ours("hook-1")]);
    insta::assert_snapshot!(holding(FakeHost::new(world)).await);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_approved_passes_all_steps() {
    let moments = [
        running(),
        updating(),
        still_updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ];
    let step = waiting("hook-2", &LifecycleStage::PreProductionTrafficShift, NEW);
    let world = FakeWorld::new(moments).paused([ours("hook-1"), step, Vec::new()]);
    let text = holding(FakeHost::new(world).deciding(HookAnswer::Continue)).await;
    let (text, _) = text.split_once("update: done").unwrap();
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_declined_goes_back() {
    let mut moments = vec![running(), updating()];
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1"), Vec::new()]);
    insta::assert_snapshot!(holding(FakeHost::new(world).deciding(HookAnswer::RollBack)).await);
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_hook() {
    let mut moments = vec![running(), updating(), still_updating(), still_updating()];
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1"), ours("hook-1"), Vec::new()]);
    let text = holding(FakeHost::new(world).hesitating()).await;
    assert!(!text.contains("ContinueServiceDeployment"), "{text}");
    let (_, text) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(text, @"
    the new version waited at the gate, and was rolled back before anybody decided here; no public request has reached it, and the previous state is restored
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn whoever_cancels_instead_of_deciding_gets_the_version_of_before() {
    let mut moments = vec![running(), updating()];
    moments.extend(vec![still_updating(); 4]);
    moments.extend(rolled_back());
    let world = FakeWorld::new(moments).paused([ours("hook-1")]);
    let host = FakeHost::new(world).hesitating();
    let text = holding(host.interrupted_after(Duration::from_secs(9))).await;
    assert!(text.contains("hook-1 (roll back)"), "{text}");
    assert!(text.ends_with("exit code 130\n"), "{text}");
}

/// A run that finds a held version neither lets it pass nor waits.
#[tokio::test(start_paused = true)]
async fn what_is_held_is_left_to_whoever_decides() {
    let held = || {
        let token = deployment::stack::purpose::Purpose::HeldUp.token(7);
        at("UPDATE_IN_PROGRESS")
            .with_output("OtherTargetGroupArn", "other-targets")
            .with_old_version()
            .after([ResourceEvent {
                token: Some(token),
                ..event("Cluster", "UPDATE_IN_PROGRESS")
            }])
    };
    let world = FakeWorld::new([held(), held()]).paused([ours("hook-1")]);
    let text = bringing_up_with(FakeHost::new(world), GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    insta::assert_snapshot!(text, @"
    error: a version waits at the gate for a decision
      because: it is held until 2026-11-22 10:04:00Z, when ECS rolls it back
      hint: let it pass: `deployer continue --stack clock --profile work`
      hint: or roll it back: `deployer rollback --stack clock --profile work`
    exit code 7
    ");
}

#[tokio::test(start_paused = true)]
async fn without_a_gate_nothing_can_be_held() {
    let refused = async |host: FakeHost, template: &str| {
        let command = async |context: crate::context::Context<'_>, _: &FakeHost| {
            crate::commands::up::refuse_without_a_gate(context, template)
        };
        host.run(command).await
    };
    let host = || FakeHost::new(FakeWorld::new([]));
    let held = || host().with(|config| config.hold = true);
    let text = [
        refused(held(), "Resources: {}").await,
        refused(host().with(|config| config.express = true), GATED).await,
    ];
    insta::assert_snapshot!(text.concat(), @r#"
    error: there is no gate at which to hold the new version
      because: the strategy is `rolling`
      hint: set `strategy = "blue-green"` under `[deployment]`, or `--strategy blue-green`
      hint: or leave out `--hold`, and `hold` under `[deployment]`
    exit code 3
    error: with `--express`, CloudFormation ends before a new version is at the gate
      hint: leave out `--express`, or use `--strategy rolling`
    exit code 3
    "#);
    let hook = format!("{GATED}    LifecycleStages: [POST_TEST_TRAFFIC_SHIFT]\n");
    assert_eq!(refused(held(), &hook).await, "exit code 0\n");
}

/// The run that was killed would have demanded a clock as well.
#[tokio::test(start_paused = true)]
async fn where_a_clock_ran_a_run_that_attaches_demands_one() {
    let left = || at("UPDATE_IN_PROGRESS").with_old_version().with_image('b');
    let mut moments = vec![left(); 12];
    moments.push(at("UPDATE_ROLLBACK_COMPLETE").with_old_version());
    let world = FakeWorld::new(moments)
        .paused([ours("hook-1")])
        .images([(NEW, &format!("registry.example/clock-repository@{DIGEST}"))])
        .proposals([Proposal::Empty]);
    let reports = [answers("0.1.0+bbbbbbbbbbbb"), refused("404 Not Found")];
    let host = FakeHost::new(world).finding(reports);
    let host = host.with(|config| config.check = CheckSettings::default());
    let text = bringing_up_with(host, GATED).await;
    let (_, text) = text.split_once("waiting for that to end\n").unwrap();
    let (text, _) = text.split_once("plan: started").unwrap();
    assert!(text.contains("hook-1 (roll back)"), "{text}");
    assert!(!text.contains("check: without a clock"), "{text}");
}
