//! Transcripts of `rollback`: what it reports and what it changes, for each state of the stack.

use super::roll_back;
use super::target::RollbackTarget;
use crate::context::Context;
use crate::testing::answer::answers;
use crate::testing::moment::{Moment, absent, at, error, event, image, of_others};
use crate::testing::stages::{at_every_stage, there_and_back};
use crate::testing::{FOR_EVER, FakeHost, FakeWorld};
use aws::remote::RemoteErrorKind;
use deployment::names::TaskDefinitionArn;
use deployment::rollout::gate::{
    ActiveDeployment, LifecycleStage, PausedDeployment, ServiceDeploymentStatus,
};
use deployment::stack::ResourceEvent;

const FIRST: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/clock:1";
const SECOND: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/clock:2";
/// Digest of the image that the first revision runs.
const OLD: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn revision(arn: &str) -> ResourceEvent {
    ResourceEvent {
        physical_id: Some(arn.to_owned()),
        ..event("TaskDefinition", "UPDATE_COMPLETE")
    }
}

/// A world in which two versions were deployed, the second one of which runs.
fn with_a_past(moments: impl IntoIterator<Item = Moment>) -> FakeWorld {
    let past = [FIRST, SECOND].map(|arn| {
        [
            event("clock", "UPDATE_IN_PROGRESS"),
            revision(arn),
            event("clock", "UPDATE_COMPLETE"),
        ]
    });
    FakeWorld::new(moments)
        .past(past.into_iter().flatten())
        .images([(FIRST, &image('b')), (SECOND, &image('c'))])
        .there(OLD, FOR_EVER)
}

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('c')
}

fn updating() -> Moment {
    at("UPDATE_IN_PROGRESS").after([event("clock", "UPDATE_IN_PROGRESS")])
}

fn updated() -> Moment {
    at("UPDATE_COMPLETE").after([event("clock", "UPDATE_COMPLETE")])
}

async fn going_back(world: FakeWorld, to: Option<&str>) -> String {
    let target: Option<RollbackTarget> = to.map(|to| to.parse().unwrap());
    let host = FakeHost::new(world).finding([answers("0.1.0+bbbbbbbbbbbb")]);
    let command = async |context: Context<'_>, host: &FakeHost| {
        roll_back(context, host, target.as_ref()).await
    };
    host.run(command).await
}

#[tokio::test(start_paused = true)]
async fn to_the_version_before() {
    let world = with_a_past([running(), updating(), updated()]);
    insta::assert_snapshot!(going_back(world, None).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, the same template
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    The service is up.
      url       http://clock.example/now
      version   0.1.0+bbbbbbbbbbbb
      image     registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      rollout   0 of 1000 requests failed meanwhile
      time      0.0 s: plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn to_a_revision() {
    let world = with_a_past([running(), updating(), updated()]);
    let text = going_back(world, Some("1")).await;
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn to_an_image_that_is_not_in_the_repository() {
    let world = with_a_past([running()]);
    let gone = "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    insta::assert_snapshot!(going_back(world, Some(gone)).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    error: the image sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee is not in the repository
      because: `clock-repository` does not hold it (any more)
      hint: see what was deployed: `deployer history`
      hint: or build it again from its source: `deployer up`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_else_ran_before() {
    let world = FakeWorld::new([running()]);
    insta::assert_snapshot!(going_back(world, None).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    error: there is nothing to go back to: no other version ran before
      hint: see what was deployed: `deployer history`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_under_way_is_cancelled() {
    let world = with_a_past([
        updating().with_image('c'),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE").with_image('b'),
        at("UPDATE_ROLLBACK_COMPLETE").with_image('b'),
    ])
    .proposals([deployment::stack::request::Proposal::Empty]);
    insta::assert_snapshot!(going_back(world, None).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_IN_PROGRESS
    an update is under way: cancelling it is the way back
    > CancelUpdateStack clock/1
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the stack is UPDATE_ROLLBACK_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, the same template
    > DeleteChangeSet
    nothing to change
    plan: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    The service is up.
      url       http://clock.example/now
      version   0.1.0+bbbbbbbbbbbb
      image     registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn with_a_wish_an_update_that_is_under_way_is_waited_for() {
    let theirs = |status| of_others(event("clock", status));
    let world = with_a_past([
        at("UPDATE_IN_PROGRESS").after([theirs("UPDATE_IN_PROGRESS")]),
        at("UPDATE_COMPLETE").after([theirs("UPDATE_COMPLETE")]),
        running(),
        updating(),
        updated(),
    ]);
    let text = going_back(world, Some("1")).await;
    assert!(!text.contains("CancelUpdateStack"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_got_stuck_is_continued() {
    let world = with_a_past([
        at("UPDATE_ROLLBACK_FAILED").with_image('c'),
        at("UPDATE_ROLLBACK_IN_PROGRESS").after([event("clock", "UPDATE_ROLLBACK_IN_PROGRESS")]),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE").with_image('b'),
    ])
    .proposals([deployment::stack::request::Proposal::Empty]);
    insta::assert_snapshot!(going_back(world, None).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_ROLLBACK_FAILED
    warning: an earlier rollback did not finish: continuing it
    > ContinueUpdateRollback clock/1
    UPDATE_ROLLBACK_IN_PROGRESS stack (clock)
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    the stack is UPDATE_ROLLBACK_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, the same template
    > DeleteChangeSet
    nothing to change
    plan: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    The service is up.
      url       http://clock.example/now
      version   0.1.0+bbbbbbbbbbbb
      image     registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn stacks_in_which_nothing_ever_ran() {
    let mut text = String::new();
    for status in [
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "REVIEW_IN_PROGRESS",
        "DELETE_FAILED",
        "IMPORT_ROLLBACK_FAILED",
    ] {
        let all = going_back(FakeWorld::new([at(status)]), None).await;
        let (_, end) = all.split_once("the stack is ").unwrap();
        text.push_str(end);
    }
    text.push_str(&going_back(FakeWorld::new([absent()]), None).await);
    insta::assert_snapshot!(text, @"
    CREATE_IN_PROGRESS
    error: there is nothing to go back to
      because: the stack is CREATE_IN_PROGRESS: no version ever ran in it
    exit code 3
    CREATE_FAILED
    error: there is nothing to go back to
      because: the stack is CREATE_FAILED: no version ever ran in it
    exit code 3
    ROLLBACK_IN_PROGRESS
    error: there is nothing to go back to
      because: the stack is ROLLBACK_IN_PROGRESS: no version ever ran in it
    exit code 3
    ROLLBACK_COMPLETE
    error: there is nothing to go back to
      because: the stack is ROLLBACK_COMPLETE: no version ever ran in it
    exit code 3
    ROLLBACK_FAILED
    error: there is nothing to go back to
      because: the stack is ROLLBACK_FAILED: no version ever ran in it
    exit code 3
    REVIEW_IN_PROGRESS
    error: there is nothing to go back to
      because: the stack is REVIEW_IN_PROGRESS: no version ever ran in it
    exit code 3
    DELETE_FAILED
    error: the stack is DELETE_FAILED
      hint: an earlier deletion did not finish: run `deployer down`, which says what holds it
    exit code 5
    IMPORT_ROLLBACK_FAILED
    error: the stack is IMPORT_ROLLBACK_FAILED
      hint: a resource import could not be undone: open the stack in the CloudFormation console
    exit code 5
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    error: there is nothing to go back to
      because: there is no such stack
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_otherwise_is_waited_for() {
    for status in [
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_ROLLBACK_IN_PROGRESS",
        "TELEPORT_IN_PROGRESS",
    ] {
        let theirs = |status| of_others(event("clock", status));
        let world = with_a_past([
            at(status).after([theirs(status)]),
            at("UPDATE_COMPLETE").after([theirs("UPDATE_COMPLETE")]),
            running(),
            updating(),
            updated(),
        ]);
        let text = going_back(world, None).await;
        assert!(text.contains("waiting for that to end"), "{text}");
        assert!(text.ends_with("exit code 0\n"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_state_at_rest_is_updated() {
    for status in [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    ] {
        let world = with_a_past([at(status).with_image('c'), updating(), updated()]);
        let text = going_back(world, None).await;
        assert!(text.contains("> ExecuteChangeSet"), "{text}");
        assert!(text.ends_with("exit code 0\n"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_under_way_leaves_nothing_to_go_back_to() {
    let theirs = |status| of_others(event("clock", status));
    let world = FakeWorld::new([
        at("DELETE_IN_PROGRESS").after([theirs("DELETE_IN_PROGRESS")]),
        at("DELETE_COMPLETE").after([theirs("DELETE_COMPLETE")]),
        absent(),
    ]);
    insta::assert_snapshot!(going_back(world, None).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is DELETE_IN_PROGRESS
    the stack is DELETE_IN_PROGRESS (being deleted): waiting for that to end
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE stack (clock)
    there is no such stack
    error: there is nothing to go back to
      because: there is no such stack
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_ends_just_as_it_is_cancelled() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "not in progress",
    );
    let world = with_a_past([
        at("UPDATE_IN_PROGRESS"),
        at("UPDATE_COMPLETE"),
        running(),
        updating(),
        updated(),
    ])
    .failing("CancelUpdateStack", refusal);
    let text = going_back(world, None).await;
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_got_stuck_is_continued_on_the_way_to_another_version() {
    let world = with_a_past([
        at("UPDATE_ROLLBACK_FAILED").with_image('c'),
        at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
        at("UPDATE_ROLLBACK_COMPLETE").with_image('b'),
    ])
    .proposals([deployment::stack::request::Proposal::Empty]);
    let text = going_back(world, Some("cccccccccccc")).await;
    // Which version is meant is still asked after.
    assert!(text.contains("the image sha256:cccccccccccc"), "{text}");
    assert!(text.ends_with("exit code 3\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn at_every_stage_of_the_gate() {
    let back = |status| at(status).with_old_version().with_image('b');
    let table = at_every_stage(async |stage| {
        let world = with_a_past([
            back("UPDATE_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_IN_PROGRESS"),
            back("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")]),
            at("UPDATE_ROLLBACK_COMPLETE").with_image('b'),
        ])
        .paused(there_and_back(stage))
        .proposals([deployment::stack::request::Proposal::Empty]);
        going_back(world, None).await
    });
    insta::assert_snapshot!(table.await);
}

/// A deployment of the second version in this state, which moves traffic.
fn deploying(status: ServiceDeploymentStatus, stage: LifecycleStage) -> ActiveDeployment {
    ActiveDeployment {
        arn: "arn:service-deployment/2".to_owned(),
        status,
        stage,
        task_definition: TaskDefinitionArn::new(SECOND),
        has_previous: true,
        share: 0.0,
        paused: Vec::new(),
    }
}

fn baking() -> ActiveDeployment {
    deploying(
        ServiceDeploymentStatus::InProgress,
        LifecycleStage::BakeTime,
    )
}

/// The update waits for its deployment; its outputs are those of before.
fn under_way() -> Moment {
    at("UPDATE_IN_PROGRESS").with_image('c')
}

fn restored() -> [Moment; 3] {
    let first = |status| at(status).with_image('b');
    let theirs = |status| of_others(event("clock", status));
    [
        first("UPDATE_ROLLBACK_IN_PROGRESS").after([theirs("UPDATE_ROLLBACK_IN_PROGRESS")]),
        first("UPDATE_ROLLBACK_COMPLETE").after([theirs("UPDATE_ROLLBACK_COMPLETE")]),
        first("UPDATE_ROLLBACK_COMPLETE"),
    ]
}

/// A world in which the second version is being deployed, and that before it is known.
fn with_a_deployment(moments: impl IntoIterator<Item = Moment>) -> FakeWorld {
    let before = crate::testing::service_names().task_definition;
    with_a_past(moments)
        .images([
            (FIRST, &image('b')),
            (SECOND, &image('c')),
            (before.as_str(), &image('b')),
        ])
        .proposals([deployment::stack::request::Proposal::Empty])
}

/// Runs the command while this deployment is under way.
async fn turning_back(active: ActiveDeployment) -> String {
    let moments = [under_way(), under_way()].into_iter().chain(restored());
    let world = with_a_deployment(moments).deploying([vec![active], Vec::new()]);
    going_back(world, None).await
}

#[tokio::test(start_paused = true)]
async fn while_it_bakes_the_traffic_goes_back() {
    insta::assert_snapshot!(turning_back(baking()).await);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_back_while_the_new_version_gets_requests() {
    let after = async |looks: usize| {
        let full = ActiveDeployment {
            share: 100.0,
            ..baking()
        };
        let moments = [under_way(), under_way()].into_iter().chain(restored());
        let mut found = vec![vec![full]; looks];
        found.push(Vec::new());
        let began = tokio::time::Instant::now();
        let text = going_back(with_a_deployment(moments).deploying(found), None).await;
        assert!(text.contains("answers everywhere again"), "{text}");
        began.elapsed()
    };
    // Long beside the jitter of the polls that follow.
    let (long, short) = (after(201).await, after(1).await);
    let pauses = std::time::Duration::from_secs(40);
    assert!(long >= short + pauses, "{long:?}, {short:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_gate_the_hook_is_answered() {
    let waiting = deploying(
        ServiceDeploymentStatus::InProgress,
        LifecycleStage::PostTestTrafficShift,
    );
    let paused = PausedDeployment {
        arn: waiting.arn.clone(),
        hook: "hook-1".to_owned(),
        stage: waiting.stage.clone(),
        task_definition: waiting.task_definition.clone(),
        share: 0.0,
        expires_at: None,
    };
    let text = turning_back(ActiveDeployment {
        paused: vec![paused],
        ..waiting
    })
    .await;
    assert!(
        text.contains("> ContinueServiceDeployment hook-1 (roll back)\n"),
        "{text}"
    );
    assert!(text.contains("answers everywhere again"), "{text}");
    assert!(!text.contains("CancelUpdateStack"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_ecs_rolls_back_already_is_only_followed() {
    for status in [
        ServiceDeploymentStatus::RollbackRequested,
        ServiceDeploymentStatus::RollbackInProgress,
        ServiceDeploymentStatus::StopRequested,
    ] {
        let text = turning_back(deploying(status, LifecycleStage::BakeTime)).await;
        assert!(!text.contains("> Stop"), "{text}");
        assert!(!text.contains("> Cancel"), "{text}");
        assert!(text.ends_with("exit code 0\n"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ecs_cannot_take_back_is_left_to_cloudformation() {
    let first = ActiveDeployment {
        has_previous: false,
        share: 0.0,
        ..baking()
    };
    let too_late = deploying(ServiceDeploymentStatus::InProgress, LifecycleStage::CleanUp);
    for active in [first, too_late] {
        let text = turning_back(active).await;
        assert!(text.contains("> CancelUpdateStack clock/1\n"), "{text}");
        assert!(!text.contains("> StopServiceDeployment"), "{text}");
    }
}

/// The way back meets a hook while CloudFormation cancels the update, and the response to its answer
/// is lost.
#[tokio::test(start_paused = true)]
async fn an_answer_on_the_way_back_that_arrived_is_told() {
    let refused = || {
        error(
            RemoteErrorKind::Refused,
            "InvalidParameterException",
            "the hook does not wait",
        )
    };
    let too_late = || deploying(ServiceDeploymentStatus::InProgress, LifecycleStage::CleanUp);
    let waiting = ActiveDeployment {
        paused: vec![PausedDeployment {
            arn: too_late().arn,
            hook: "hook-1".to_owned(),
            stage: LifecycleStage::PostTestTrafficShift,
            task_definition: too_late().task_definition,
            share: 0.0,
            expires_at: None,
        }],
        ..too_late()
    };
    for (after, is_told) in [
        (ServiceDeploymentStatus::RollbackInProgress, true),
        (ServiceDeploymentStatus::InProgress, false),
    ] {
        let acted = deploying(after, LifecycleStage::PostTestTrafficShift);
        let moments = [under_way(), under_way()]
            .into_iter()
            .chain([under_way(), under_way()])
            .chain(restored());
        let found = [vec![too_late()], vec![waiting.clone()], vec![acted]];
        let world = with_a_deployment(moments)
            .deploying(found)
            .failing("ContinueServiceDeployment", refused());
        let text = going_back(world, None).await;
        assert_eq!(text.contains("gate: refused"), is_told, "{text}");
    }
}

/// The response to the first request was lost, and its repetition is refused.
#[tokio::test(start_paused = true)]
async fn a_request_that_arrived_all_the_same_is_not_repeated() {
    let refused = error(RemoteErrorKind::Refused, "ConflictException", "stopped");
    let stopped = deploying(
        ServiceDeploymentStatus::RollbackRequested,
        LifecycleStage::BakeTime,
    );
    let moments = [under_way(), under_way()].into_iter().chain(restored());
    let world = with_a_deployment(moments)
        .deploying([vec![baking()], vec![stopped], Vec::new()])
        .failing("StopServiceDeployment", refused);
    let text = going_back(world, None).await;
    assert_eq!(text.matches("> StopServiceDeployment").count(), 1, "{text}");
    assert!(!text.contains("CancelUpdateStack"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_stop_it_the_update_is_cancelled() {
    let denied = error(
        RemoteErrorKind::Denied,
        "AccessDeniedException",
        "not allowed",
    );
    let moments = [under_way(), under_way()].into_iter().chain(restored());
    let world = with_a_deployment(moments)
        .deploying([vec![baking()], Vec::new()])
        .failing("StopServiceDeployment", denied);
    let text = going_back(world, None).await;
    assert!(text.contains("cancelling the update instead"), "{text}");
    assert!(text.contains("> CancelUpdateStack clock/1\n"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_completes_meanwhile_is_rolled_back_as_usual() {
    let refused = |code| error(RemoteErrorKind::Refused, code, "it is complete");
    let world = with_a_past([under_way(), updated(), running(), updating(), updated()])
        .deploying([vec![baking()], Vec::new()])
        .failing("StopServiceDeployment", refused("ConflictException"))
        .failing("CancelUpdateStack", refused("ValidationError"));
    let text = going_back(world, None).await;
    assert!(
        text.contains("> StopServiceDeployment arn:service-deployment/2 (refused)"),
        "{text}"
    );
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

/// The response to the request was lost, and the deployment had ended when it was read again.
#[tokio::test(start_paused = true)]
async fn an_update_that_is_undone_meanwhile_is_all_that_is_undone() {
    let refused = |code| error(RemoteErrorKind::Refused, code, "it is complete");
    let moments = [under_way(), under_way()].into_iter().chain(restored());
    let world = with_a_deployment(moments)
        .deploying([vec![baking()], Vec::new()])
        .failing("StopServiceDeployment", refused("ConflictException"))
        .failing("CancelUpdateStack", refused("ValidationError"));
    let text = going_back(world, None).await;
    assert!(text.contains("UPDATE_ROLLBACK_COMPLETE"), "{text}");
    assert!(
        !text.contains(&format!("clock-repository@sha256:{}", "a".repeat(64))),
        "{text}"
    );
    assert!(text.ends_with("exit code 0\n"), "{text}");
}
