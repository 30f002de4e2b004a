//! What `history` says of a stack's past.

use super::{History, gather};
use crate::context::Context;
use crate::testing::FakeWorld;
use crate::testing::moment::{at, event, image};
use deployment::error::Failure;
use deployment::stack::ResourceEvent;

const FIRST: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/clock:1";

/// The history of this world, in JSON.
async fn history(world: FakeWorld) -> String {
    let world = world.shared();
    let sink = world.transcript().sink();
    let config = crate::testing::settings();
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &crate::cancellation::CancellationToken::default(),
    };
    let deployments = async {
        let stack = context.observe(world.as_ref()).await?.expect("a stack");
        gather(context, world.as_ref(), &stack).await
    };
    match deployments.await {
        Ok(deployments) => {
            let history = History {
                stack: config.stack.clone(),
                deployments,
            };
            serde_json::to_string_pretty(&history).unwrap()
        }
        Err(failure) => world.transcript().end(Err::<(), Failure>(failure)),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_told() {
    let gone = ResourceEvent {
        physical_id: Some(FIRST.replace(":1", ":2")),
        ..event("TaskDefinition", "UPDATE_COMPLETE")
    };
    let first = ResourceEvent {
        physical_id: Some(FIRST.to_owned()),
        ..event("TaskDefinition", "CREATE_COMPLETE")
    };
    let world = FakeWorld::new([at("UPDATE_COMPLETE")])
        .past([
            event("clock", "CREATE_IN_PROGRESS"),
            event("clock", "CREATE_COMPLETE"),
            event("clock", "UPDATE_IN_PROGRESS"),
            first,
            event("clock", "UPDATE_COMPLETE"),
            event("clock", "UPDATE_IN_PROGRESS"),
            gone,
            event("clock", "UPDATE_COMPLETE"),
        ])
        .images([(FIRST, &image('b'))]);
    insta::assert_snapshot!(history(world).await, @r#"
    {
      "stack": "clock",
      "deployments": [
        {
          "revision": 2,
          "image": null,
          "at": "1970-01-01T00:00:06Z",
          "purpose": null,
          "end": "in_place"
        },
        {
          "revision": 1,
          "image": "registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
          "at": "1970-01-01T00:00:03Z",
          "purpose": null,
          "end": "replaced"
        },
        {
          "revision": null,
          "image": null,
          "at": "1970-01-01T00:00:01Z",
          "purpose": null,
          "end": "in_place"
        }
      ]
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_stack_without_a_past() {
    let text = history(FakeWorld::new([at("REVIEW_IN_PROGRESS")])).await;
    assert!(text.contains("\"deployments\": []"), "{text}");
}
