//! Transcripts of `plan`, for each state of the stack.

use std::fmt::Write as _;

use super::Planner;
use crate::context::Context;
use crate::testing::answer::change;
use crate::testing::moment::{Moment, absent, at, event, of_others};
use crate::testing::stages::{at_every_stage, there_and_back};
use crate::testing::{DIGEST, FakeHost, FakeWorld};
use deployment::stack::request::Proposal;

const TEMPLATE: &str = "\
Resources:
  Repository:
    Type: AWS::ECR::Repository
  Service:
    Type: AWS::ECS::Service
    Condition: HasImage
";

/// The transcript with the plan at its end.
async fn planning(world: FakeWorld) -> String {
    planning_on(FakeHost::new(world)).await
}

/// The same on a machine that has something special about it.
async fn planning_on(host: FakeHost) -> String {
    let command = async |context: Context<'_>, host: &FakeHost| {
        let planner = Planner {
            context,
            template: TEMPLATE,
            digest: DIGEST.parse().unwrap(),
            region: Some("eu-central-1".to_owned()),
        };
        let plan = planner.plan(host.world(), host).await?;
        host.says(&format!(
            "{}changes something: {}",
            crate::report::plan_in_words(&plan),
            plan.changes_something()
        ));
        Ok(())
    };
    host.run(command).await
}

fn with(change_set: Proposal, moment: Moment) -> FakeWorld {
    FakeWorld::new([moment]).proposals([change_set])
}

#[tokio::test(start_paused = true)]
async fn no_stack_yet() {
    insta::assert_snapshot!(planning(FakeWorld::new([absent()])).await, @"
    there is no such stack
    stack clock (ABSENT): the stack would be created
      image  0123456789ab, the first
      add image repository (Repository)
      add service (Service)
    changes something: true
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_new_version() {
    let changes = vec![
        change("Modify", "TaskDefinition"),
        change("Modify", "Service"),
    ];
    let world = with(
        Proposal::Ready(changes),
        at("UPDATE_COMPLETE").with_image('b'),
    );
    insta::assert_snapshot!(planning(world).await, @"
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    2 changes: change task definition (TaskDefinition); change service (Service)
    plan: done in 0.0 s
    > DeleteChangeSet
    stack clock (UPDATE_COMPLETE): the stack would be updated
      image  bbbbbbbbbbbb -> 0123456789ab
      change task definition (TaskDefinition)
      change service (Service)
    changes something: true
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_change() {
    let world = with(Proposal::Empty, at("UPDATE_COMPLETE"));
    insta::assert_snapshot!(planning(world).await, @"
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    nothing to change
    plan: done in 0.0 s
    stack clock (UPDATE_COMPLETE): nothing would change
      image  0123456789ab, the first
    changes something: false
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_refused() {
    let world = with(
        Proposal::Failed("no such thing".to_owned()),
        at("UPDATE_COMPLETE"),
    );
    insta::assert_snapshot!(planning(world).await, @"
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    > DeleteChangeSet
    error: CloudFormation refuses the change
      because: no such thing
      hint: check the template: `cfn-lint /project/infra/service.yaml`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn every_state_at_rest() {
    let mut text = String::new();
    for status in [
        "CREATE_FAILED",
        "CREATE_COMPLETE",
        "ROLLBACK_FAILED",
        "ROLLBACK_COMPLETE",
        "DELETE_FAILED",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_ROLLBACK_COMPLETE",
        "REVIEW_IN_PROGRESS",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_FAILED",
        "IMPORT_ROLLBACK_COMPLETE",
    ] {
        let all = planning(with(Proposal::Empty, at(status))).await;
        let kept: Vec<&str> = all
            .lines()
            .filter(|line| {
                line.starts_with("stack ") || line.starts_with("error") || line.contains("hint")
            })
            .collect();
        writeln!(text, "{status}\n  {}", kept.join("\n  ")).unwrap();
    }
    insta::assert_snapshot!(text, @"
    CREATE_FAILED
      stack clock (CREATE_FAILED): the stack would be deleted and created again
    CREATE_COMPLETE
      stack clock (CREATE_COMPLETE): nothing would change
    ROLLBACK_FAILED
      stack clock (ROLLBACK_FAILED): the stack would be deleted and created again
    ROLLBACK_COMPLETE
      stack clock (ROLLBACK_COMPLETE): the stack would be deleted and created again
    DELETE_FAILED
      error: the stack is DELETE_FAILED
        hint: an earlier deletion did not finish: run `deployer down`, which says what holds it
    UPDATE_FAILED
      stack clock (UPDATE_FAILED): a rollback that got stuck would be continued; what changes is known only after that
    UPDATE_ROLLBACK_FAILED
      stack clock (UPDATE_ROLLBACK_FAILED): a rollback that got stuck would be continued; what changes is known only after that
    UPDATE_ROLLBACK_COMPLETE
      stack clock (UPDATE_ROLLBACK_COMPLETE): nothing would change
    REVIEW_IN_PROGRESS
      stack clock (REVIEW_IN_PROGRESS): the stack would be deleted and created again
    IMPORT_COMPLETE
      stack clock (IMPORT_COMPLETE): nothing would change
    IMPORT_ROLLBACK_FAILED
      error: the stack is IMPORT_ROLLBACK_FAILED
        hint: a resource import could not be undone: open the stack in the CloudFormation console
    IMPORT_ROLLBACK_COMPLETE
      stack clock (IMPORT_ROLLBACK_COMPLETE): nothing would change
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_waited_for() {
    for status in [
        "CREATE_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
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
        ])
        .proposals([Proposal::Empty]);
        let text = planning(world).await;
        assert!(text.contains("waiting for that to end"), "{status}: {text}");
        assert!(text.ends_with("exit code 0\n"), "{status}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_tasks_cost_more() {
    let sizes = |tasks: &'static str| {
        [
            ("Cpu", "256"),
            ("Memory", "512"),
            ("CpuArchitecture", "X86_64"),
            ("DesiredCount", tasks),
        ]
    };
    let world = with(
        Proposal::Ready(vec![change("Modify", "Service")]),
        at("UPDATE_COMPLETE")
            .with_image('b')
            .with_parameters(sizes("2")),
    );
    let wanted = sizes("4").map(|(key, value)| (key.to_owned(), value.to_owned()));
    let host = FakeHost::new(world).with(|config| config.parameters = wanted.into());
    insta::assert_snapshot!(planning_on(host).await, @"
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: change service (Service)
    plan: done in 0.0 s
    > DeleteChangeSet
    stack clock (UPDATE_COMPLETE): the stack would be updated
      image  bbbbbbbbbbbb -> 0123456789ab
      cost   about $0.11 an hour, $83 a month (load balancer $19.71, 4 tasks $41.45, 6 public addresses $21.90; eu-central-1 prices of 2025, without traffic)
             $28.02 a month more than now
      change service (Service)
    changes something: true
    exit code 0
    ");
}

/// It only looks: whoever deploys answers.
#[tokio::test(start_paused = true)]
async fn no_stage_of_the_gate_is_answered() {
    let table = at_every_stage(async |stage| {
        let there = |status| at(status).with_old_version();
        let world = FakeWorld::new([
            there("UPDATE_IN_PROGRESS"),
            there("UPDATE_IN_PROGRESS"),
            there("UPDATE_COMPLETE"),
        ])
        .paused(there_and_back(stage))
        .proposals([Proposal::Empty]);
        planning(world).await
    })
    .await;
    assert_eq!(table.matches("exit code 0").count(), 12, "{table}");
    assert!(!table.contains("continue"), "{table}");
}
