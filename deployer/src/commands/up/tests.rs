//! Transcripts of `up`: what it reports and what it changes, for each state of the stack and each way to fail.

mod aftermath;
mod asking;
mod attaching;
mod checking;
mod creating;
mod drifting;
mod gate;
mod going_back;
mod interrupted;
mod not_creating;
mod not_updating;
mod others;
mod reaching;
mod releasing;
mod roles;
mod rolling_out;
mod updating;
mod verdicts;
mod watching;

use super::{CreatedStack, Run};
use crate::testing::moment::{Moment, at, event};
use crate::testing::{FakeHost, FakeWorld};

/// What every deployment without incident looks like once the stack takes images.
const USUAL_END: &str = "\
plan: started
> CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
1 change: change task definition (TaskDefinition)
plan: done in 0.0 s
> ExecuteChangeSet
update: started
UPDATE_IN_PROGRESS stack (clock)
UPDATE_COMPLETE task definition (TaskDefinition)
UPDATE_COMPLETE stack (clock)
update: done in 0.0 s
";

/// And from then on.
const USUAL_SUCCESS: &str = "\
rollout: started
rollout: new 2 of 2 running; 2 of 2 targets healthy
rollout: done in 0.0 s
check: started
check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
check: done in 0.0 s
";

/// Runs the command in this world; returns the transcript.
async fn bringing_up(world: FakeWorld) -> String {
    bringing_up_on(FakeHost::new(world)).await
}

/// The same on a machine that has something special about it.
async fn bringing_up_on(host: FakeHost) -> String {
    let template = "Resources:\n  Repository:\n    Type: AWS::ECR::Repository\n";
    bringing_up_with(host, template).await
}

/// The same with this template.
async fn bringing_up_with(host: FakeHost, template: &str) -> String {
    let command = async |context: crate::context::Context<'_>, host: &FakeHost| {
        let run = Run {
            context,
            template,
            host,
            images: host,
            created: CreatedStack::default(),
            only_one: std::sync::OnceLock::new(),
        };
        Box::pin(run.to_its_end()).await
    };
    host.run(command).await
}

/// The same, with what is always the same when all goes well in short.
async fn bringing_up_as_usual(world: FakeWorld) -> String {
    short(&bringing_up(world).await)
}

fn short(text: &str) -> String {
    let second = USUAL_END.replace("clock/1", "clock/2");
    let text = text
        .replace(USUAL_END, "(planned and updated as usual)\n")
        .replace(&second, "(planned and updated as usual)\n");
    let Some((before, after)) = text.split_once(USUAL_SUCCESS) else {
        return text;
    };
    let code = after
        .rsplit_once("exit code")
        .map_or(after, |(_, code)| code);
    format!("{before}(rolled out and checked as usual)\nexit code{code}")
}

/// The update that was just asked for is under way.
fn updating() -> Moment {
    at("UPDATE_IN_PROGRESS").after([event("clock", "UPDATE_IN_PROGRESS")])
}

fn updated() -> Moment {
    at("UPDATE_COMPLETE").after([
        event("TaskDefinition", "UPDATE_COMPLETE"),
        event("clock", "UPDATE_COMPLETE"),
    ])
}

/// Nothing is there yet but the stack itself.
fn started() -> Moment {
    at("CREATE_IN_PROGRESS").after([event("clock", "CREATE_IN_PROGRESS")])
}

/// The image repository is there.
fn with_repository() -> Moment {
    at("CREATE_IN_PROGRESS").after([
        event("Repository", "CREATE_IN_PROGRESS"),
        event("Repository", "CREATE_COMPLETE"),
    ])
}

/// Everything is there.
fn created() -> Moment {
    at("CREATE_COMPLETE").after([
        event("LoadBalancer", "CREATE_COMPLETE"),
        event("clock", "CREATE_COMPLETE"),
    ])
}
