//! What `status` says of each kind of stack.

use async_trait::async_trait;

use super::*;
use crate::cancellation::CancellationToken;
use crate::testing::answer::{answers, rolling_out, targets, task};
use crate::testing::moment::{absent, at, event, expired, failed, of_others};
use crate::testing::{FakeWorld, connection, settings};
use deployment::event::{Silent, Sink};
use deployment::stack::status::StackStatus;

/// Finds the new version.
struct Answering;

#[async_trait]
impl ExternalCheck for Answering {
    async fn check(&self, _: &probe::Target, _: &clock::Settings) -> clock::Report {
        answers("0.1.0+0123456789ab")
    }

    async fn knock(&self, _: &probe::Target, _: &clock::Settings) -> Result<(), clock::Failure> {
        Ok(())
    }
}

/// What the command prints, in JSON.
async fn looking(world: FakeWorld) -> String {
    let config = settings();
    let sink = Sink::new(Box::new(Silent));
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &CancellationToken::default(),
    };
    let world = world.shared();
    match look(context, connection(&world), &Answering).await {
        Ok(status) => serde_json::to_string_pretty(&status).unwrap(),
        Err(failure) => world.transcript().end(Err(failure)),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_there() {
    insta::assert_snapshot!(looking(FakeWorld::new([absent()])).await, @r#"
    {
      "stack": "clock",
      "status": "ABSENT",
      "remark": null,
      "account": "123456789012",
      "region": "eu-central-1",
      "url": null,
      "image": null,
      "version": null,
      "task_definition": null,
      "desired_tasks": 0,
      "service": null,
      "tasks": [],
      "targets": [],
      "target_groups": [],
      "gate": null,
      "stopped_lately": [],
      "check": null,
      "reviewer": null,
      "cost_per_hour": null
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_stack_without_an_image_yet() {
    let world = FakeWorld::new([at("CREATE_IN_PROGRESS").without_output("TaskDefinitionArn")]);
    insta::assert_snapshot!(looking(world).await, @r#"
    {
      "stack": "clock",
      "status": "CREATE_IN_PROGRESS",
      "remark": "being created",
      "account": "123456789012",
      "region": "eu-central-1",
      "url": null,
      "image": null,
      "version": null,
      "task_definition": null,
      "desired_tasks": 0,
      "service": null,
      "tasks": [],
      "targets": [],
      "target_groups": [],
      "gate": null,
      "stopped_lately": [],
      "check": null,
      "reviewer": null,
      "cost_per_hour": null
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_service_in_the_middle_of_a_rollout() {
    let world = FakeWorld::new([at("UPDATE_IN_PROGRESS")])
        .services([rolling_out(1)])
        .targets([targets(&["healthy", "draining"])])
        .running(vec![task("0123456789", "eu-central-1a")]);
    insta::assert_snapshot!(looking(world).await, @r#"
    {
      "stack": "clock",
      "status": "UPDATE_IN_PROGRESS",
      "remark": "being updated",
      "account": "123456789012",
      "region": "eu-central-1",
      "url": "http://clock.example/now",
      "image": null,
      "version": "0.1.0+0123456789ab",
      "task_definition": "arn:task-definition/clock:2",
      "desired_tasks": 2,
      "service": {
        "desired": 2,
        "running": 3,
        "deployments": [
          {
            "id": "ecs-svc/arn:task-definition/clock:2",
            "status": "PRIMARY",
            "task_definition": "arn:task-definition/clock:2",
            "rollout_state": "IN_PROGRESS",
            "rollout_reason": null,
            "desired": 2,
            "running": 1,
            "pending": 1,
            "failed": 0
          },
          {
            "id": "ecs-svc/arn:task-definition/clock:1",
            "status": "ACTIVE",
            "task_definition": "arn:task-definition/clock:1",
            "rollout_state": "COMPLETED",
            "rollout_reason": null,
            "desired": 2,
            "running": 2,
            "pending": 0,
            "failed": 0
          }
        ],
        "threshold": null,
        "events": []
      },
      "tasks": [
        {
          "id": "0123456789",
          "status": "RUNNING",
          "zone": "eu-central-1a",
          "task_definition": "arn:task-definition/clock:2",
          "image": null
        }
      ],
      "targets": [
        {
          "id": "10.0.0.0",
          "state": "healthy",
          "reason": null,
          "description": null
        },
        {
          "id": "10.0.0.1",
          "state": "draining",
          "reason": null,
          "description": null
        }
      ],
      "target_groups": [],
      "gate": null,
      "stopped_lately": [],
      "check": {
        "kind": "clock",
        "verdict": "ok",
        "cause": null,
        "offset_ms": 0.25,
        "uncertainty_ms": 1.25,
        "instances": 2,
        "version": "0.1.0+0123456789ab",
        "status": null,
        "requests": 4
      },
      "reviewer": null,
      "cost_per_hour": null
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_crashes_again_and_again() {
    let crashes = ["0123", "4567"].map(crate::testing::answer::crashed);
    let world = FakeWorld::new([at("UPDATE_COMPLETE")]).stopped([crashes.to_vec()], &[]);
    let told: serde_json::Value = serde_json::from_str(&looking(world).await).unwrap();
    let stopped = &told["stopped_lately"][0];
    assert_eq!(stopped["count"], 2, "{told}");
    assert_eq!(stopped["exit_code"], 101);
    assert_eq!(stopped["current"], true);
    assert_eq!(told["check"]["verdict"], "ok");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expired() {
    let world = FakeWorld::new([failed(expired())]);
    insta::assert_snapshot!(looking(world).await, @r"
    error: the AWS credentials are not accepted
      because: DescribeStacks: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn every_status_is_told_and_what_is_under_way_followed() {
    for status in StackStatus::KNOWN {
        let text = looking(FakeWorld::new([at(status.as_str())])).await;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        if *status == StackStatus::DeleteComplete {
            // A name never finds a deleted stack.
            assert_eq!(told["status"], ABSENT);
            continue;
        }
        assert_eq!(told["status"], status.as_str());
        let settled = status_summary(Some(status)) == StatusSummary::AtRest;
        assert_eq!(told["remark"].is_null(), settled, "{status}");

        let moving = matches!(status_summary(Some(status)), StatusSummary::InProgress(_));
        let rest = of_others(event("clock", "UPDATE_COMPLETE"));
        let world = FakeWorld::new([
            at(status.as_str()),
            at("UPDATE_COMPLETE").after([rest]),
            at("UPDATE_COMPLETE"),
        ])
        .shared();
        let sink = world.transcript().sink();
        let config = settings();
        let context = Context {
            config: &config,
            sink: &sink,
            cancellation: &CancellationToken::default(),
        };
        follow(context, world.as_ref()).await.unwrap();
        let text = world.transcript().text();
        assert_eq!(
            text.contains("waiting for that to end"),
            moving,
            "{status}: {text}"
        );
        assert!(
            text.contains("rollout: new 2 of 2 running"),
            "{status}: {text}"
        );
    }
}

/// Two target groups, of which the first serves; and a version that waits for a decision.
#[tokio::test(start_paused = true)]
async fn a_service_with_a_gate() {
    use crate::testing::answer::resource;
    use crate::testing::stages::waiting;
    use deployment::rollout::traffic::ListenerRule;

    let weights = [("clock-targets", 100), ("other-targets", 0)];
    let rule = ListenerRule {
        arn: "clock-productionrule".to_owned(),
        conditions: Vec::new(),
        groups: weights
            .map(|(name, weight)| (TargetGroupArn::new(name), weight))
            .to_vec(),
    };
    let gated = at("UPDATE_IN_PROGRESS").with_output("OtherTargetGroupArn", "other-targets");
    let held = waiting(
        "hook",
        &LifecycleStage::PostTestTrafficShift,
        "arn:task-definition/clock:3",
    );
    let world = FakeWorld::new([gated])
        .resources([["ProductionRule", "GateRule"]
            .map(|name| resource(name, "CREATE_COMPLETE"))
            .to_vec()])
        .targets([targets(&["healthy", "healthy"])])
        .paused([held])
        .rules(vec![rule], "other-targets");
    let config = settings();
    let sink = Sink::new(Box::new(Silent));
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &CancellationToken::default(),
    };
    let status = look(context, connection(&world.shared()), &Answering)
        .await
        .unwrap();
    let json = serde_json::json!({ "target_groups": status.target_groups, "gate": status.gate });
    let json = serde_json::to_string_pretty(&json).unwrap();
    let text = crate::report::status_in_words(&status);
    insta::assert_snapshot!(format!("{json}\n{text}"));
}
