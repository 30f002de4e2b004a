//! Transcripts of `down`: what it reports and what it changes, for each state of the stack.

mod asking;
mod deleting;
mod proof;
mod waiting;

use super::{Context, down};
use crate::cancellation::CancellationToken;
use crate::config::Config;
use crate::testing::moment::{Moment, at, event};
use crate::testing::{FakeWorld, connection, settings};

/// What every deletion without incident looks like from its request to the end of the command.
const USUAL_END: &str = "\
delete: started
> DeleteStack clock/1
DELETE_IN_PROGRESS stack (clock)
DELETE_COMPLETE service (Service)
DELETE_COMPLETE stack (clock)
delete: done in 0.0 s
the stack is DELETE_COMPLETE
> DeleteTaskDefinitions clock
proof: started
proof: done in 0.0 s
everything is gone (0.0 s)
looked for, and not found: cluster clock-cluster, load balancer clock-loadbalancer, image repository clock-repository, log group clock-loggroup
exit code 0
";

/// Runs the command in this world; returns the transcript up to the usual end.
async fn taking_down_as_usual(world: FakeWorld) -> String {
    let text = taking_down(world).await;
    text.replace(USUAL_END, "(deleted and proven as usual)\n")
}

/// Runs the command in this world; returns the transcript.
async fn taking_down(world: FakeWorld) -> String {
    taking_down_with(settings(), world).await
}

/// The same with these settings.
async fn taking_down_with(config: Config, world: FakeWorld) -> String {
    let transcript = world.transcript();
    let sink = transcript.sink();
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &CancellationToken::default(),
    };
    let world = world.shared();
    let result = down(context, &connection(&world)).await;
    world.assert_played();
    transcript.end(result)
}

/// The deletion that was just asked for is under way.
fn deleting() -> Moment {
    at("DELETE_IN_PROGRESS").after([
        event("clock", "DELETE_IN_PROGRESS"),
        event("Service", "DELETE_IN_PROGRESS"),
        event("Service", "DELETE_COMPLETE"),
    ])
}

fn deleted() -> Moment {
    at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")])
}
