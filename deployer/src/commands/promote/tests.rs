//! Transcripts of `promote`: what is proven of the environment that the image comes from.

use super::{Promote, proven};
use crate::cli::Shared;
use crate::commands::Execute as _;
use crate::testing::answer::skewed;
use crate::testing::moment::{Moment, at};
use crate::testing::{DIGEST, FakeHost, FakeWorld};

async fn promoting(host: FakeHost) -> String {
    let host = host.with(|config| config.environment = Some("staging".to_owned()));
    let command = async |context: crate::context::Context<'_>, host: &FakeHost| {
        let (image, _) = proven(context, host).await?;
        host.says(&image.to_string());
        Ok(())
    };
    host.run(command).await
}

fn running() -> Moment {
    let image = format!("registry.example/clock-repository@{DIGEST}");
    at("UPDATE_COMPLETE").with_parameter("ImageUri", &image)
}

#[tokio::test(start_paused = true)]
async fn what_runs_and_passes_its_check_is_promoted() {
    let host = FakeHost::new(FakeWorld::new([running()]));
    insta::assert_snapshot!(promoting(host).await, @r"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    `staging` runs 0123456789ab, and passed its check
    registry.example/clock-repository@sha256:0123456789ab
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_refused() {
    let version = Some("0.1.0+0123456789ab");
    let host = FakeHost::new(FakeWorld::new([running()])).finding([skewed(&[version, version])]);
    insta::assert_snapshot!(promoting(host).await, @r"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: SKEWED, offset +3000.0 ms ± 1.0 ms, 2 instances (the clock of instance `instance-0` is at least 2.999 s ahead)
    error: `staging` is not proven: nothing is promoted
      because: http://clock.example/now is SKEWED, proven twice in a row: the clock of instance `instance-0` is at least 2.999 s ahead
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn so_is_what_is_being_changed() {
    let host = FakeHost::new(FakeWorld::new([at("UPDATE_IN_PROGRESS").with_image('0')]));
    insta::assert_snapshot!(promoting(host).await, @r"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    error: `staging` is not proven: nothing is promoted
      because: its stack is UPDATE_IN_PROGRESS
      hint: `deployer status --watch` waits for an operation in progress
    exit code 3
    ");
}

#[test]
fn two_environments_are_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deployer.toml");
    let text = "stack = 'clock'\n[service]\narchitecture = 'X86_64'\n[environments.staging]\n[environments.live]\nservice.tasks = 4\n";
    std::fs::write(&file, text).unwrap();
    let shared = Shared {
        config: file,
        timeout: "30m".to_owned(),
        ..Shared::default()
    };
    let promote = |to: Option<&str>| Promote {
        from: "staging".to_owned(),
        to: to.map(str::to_owned),
        ..Promote::default()
    };
    let config = promote(Some("live")).settings(&shared).unwrap();
    assert_eq!(config.stack.as_str(), "clock-live");
    assert_eq!(config.service.tasks, 4);
    let from = config.promoted_from.unwrap();
    assert_eq!(from.stack.as_str(), "clock-staging");
    assert_eq!(from.service.tasks, 2);

    let config = promote(None).settings(&shared).unwrap();
    assert_eq!(config.stack.as_str(), "clock");
    let failure = promote(Some("staging")).settings(&shared).unwrap_err();
    assert_eq!(failure.kind.exit_code(), 2);
}
