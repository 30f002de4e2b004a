//! A version that passed is watched for a while longer.

use std::time::Duration;

use super::FakeHost;
use super::going_back::{BEFORE, there_and_back, update};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, crashed, down, skewed, unreachable};
use deployment::rollout::StoppedTask;

const OURS: &str = "0.1.0+0123456789ab";

fn watched(world: FakeWorld) -> FakeHost {
    FakeHost::new(world)
        .with(|config| config.watch_for = Duration::from_mins(2))
        .finding_after_going_back(answers(BEFORE))
}

#[tokio::test(start_paused = true)]
async fn one_that_keeps_running_is_a_success_after_that_time() {
    let began = tokio::time::Instant::now();
    let spot = StoppedTask {
        stop_code: Some("SpotInterruption".into()),
        ..crashed("spot")
    };
    let world = FakeWorld::new(there_and_back()[..4].to_vec())
        // What failed before, and what AWS removes, is nobody's fault.
        .stopped([vec![crashed("old")], vec![crashed("old"), spot]], &[]);
    // A single answer may be lost, and the way from here.
    let reports = [
        answers(OURS),
        answers(OURS),
        down("the answer has status 503"),
        answers(OURS),
        unreachable(),
        unreachable(),
        answers(OURS),
    ];
    let text = update(watched(world).finding(reports)).await;
    assert!(began.elapsed() >= Duration::from_secs(115), "{text}");
    assert!(text.contains("watch: done"), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn one_that_crashes_is_taken_back() {
    let world = FakeWorld::new(there_and_back()).stopped(
        [Vec::new(), Vec::new(), vec![crashed("0123456789")]],
        &["thread 'main' panicked"],
    );
    let text = update(watched(world).finding([answers(OURS)])).await;
    let (_, rest) = text.split_once("watch: started\n").unwrap();
    insta::assert_snapshot!(rest, @"
    task 0123456789 failed: Essential container in task exited, exit code 101
      thread 'main' panicked
    warning: the new version passed the check, but did not keep running for 120 s; putting bbbbbbbbbbbb back, which ran before
    back: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    1 change: change task definition (TaskDefinition)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    back: done in 0.0 s
    probe: 0 of 1000 requests failed meanwhile
    error: the new version passed the check, but did not keep running for 120 s; the previous version, bbbbbbbbbbbb, is restored and answers
      because: the program ended by itself with exit code 101 (it panicked)
      | task 01234567: Essential container in task exited, exit code 101
      |   thread 'main' panicked
      hint: read its log: `deployer logs --stack clock --profile work --since 1h`
      hint: fix the program or its settings, then run `deployer up` again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_answering_well_is_taken_back() {
    for report in [down("the answer has status 500"), skewed(&[Some(OURS)])] {
        let world = FakeWorld::new(there_and_back());
        let text = update(watched(world).finding([answers(OURS), report])).await;
        assert!(text.contains("passed the check, but is "), "{text}");
        assert!(text.contains("is restored and answers"), "{text}");
        assert!(text.ends_with("exit code 6\n"), "{text}");
    }
}
