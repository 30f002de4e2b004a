//! The service runs; it is looked at from outside.

use super::{FakeHost, bringing_up_on};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, down, skewed};
use crate::testing::moment::at;
use deployment::stack::request::Proposal;

/// The transcript from the check on, when checks find this, one after the other.
async fn check(reports: impl IntoIterator<Item = clock::Report>) -> String {
    let world = FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Empty]);
    let text = bringing_up_on(FakeHost::new(world).finding(reports)).await;
    let (_, check) = text.split_once("check: started\n").unwrap();
    check.to_owned()
}

#[tokio::test(start_paused = true)]
async fn it_may_take_a_while_to_answer() {
    let reports = [
        down("no connection"),
        down("no connection"),
        down("the answer has status 503"),
        answers("0.1.0+0123456789ab"),
    ];
    insta::assert_snapshot!(check(reports).await, @r"
    check: DOWN (no connection)
    check: DOWN (the answer has status 503)
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    Nothing changed: the service was up to date, and is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn the_version_before_does_not_count() {
    let reports = [answers("0.1.0+aaaaaaaaaaaa"), answers("0.1.0+0123456789ab")];
    insta::assert_snapshot!(check(reports).await, @r"
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances (version 0.1.0+aaaaaaaaaaaa answers, which is not of image 0123456789ab)
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    Nothing changed: the service was up to date, and is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer() {
    insta::assert_snapshot!(check([down("the answer has status 503")]).await, @"
    check: DOWN (the answer has status 503)
    error: nothing had to be changed, but http://clock.example/now is DOWN after 120 s
      because: the answer has status 503
      hint: look yourself: `curl -i http://clock.example/now`
      hint: allow more time: `--verify-timeout 5m`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_from_another_image() {
    insta::assert_snapshot!(check([answers("0.1.0+aaaaaaaaaaaa")]).await, @"
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances (version 0.1.0+aaaaaaaaaaaa answers, which is not of image 0123456789ab)
    error: nothing had to be changed, but http://clock.example/now still answers from another version after 120 s
      because: version 0.1.0+aaaaaaaaaaaa answers, which is not of image 0123456789ab
      hint: look yourself: `curl -i http://clock.example/now`
      hint: allow more time: `--verify-timeout 5m`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

/// The new version, with its image's digest.
const OURS: Option<&str> = Some("0.1.0+0123456789ab");
const ANOTHER: Option<&str> = Some("0.1.0+aaaaaaaaaaaa");

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_proven_wrong_ends_the_wait_at_once() {
    let began = tokio::time::Instant::now();
    let text = check([down("no connection"), skewed(&[OURS, OURS])]).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    insta::assert_snapshot!(text, @"
    check: DOWN (no connection)
    check: SKEWED, offset +3000.0 ms ± 1.0 ms, 2 instances (the clock of instance `instance-0` is at least 2.999 s ahead)
    error: nothing had to be changed, but http://clock.example/now is SKEWED, proven twice in a row
      because: the clock of instance `instance-0` is at least 2.999 s ahead
      hint: look yourself: `curl -i http://clock.example/now`
      hint: waiting does not help: check the program, and this machine's own clock
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_clock_may_be_that_of_another_version_or_of_a_moment() {
    let good = || answers("0.1.0+0123456789ab");
    for reports in [
        // Once is no proof.
        vec![skewed(&[OURS]), good()],
        vec![
            skewed(&[OURS]),
            down("no connection"),
            skewed(&[OURS]),
            good(),
        ],
        // Whose clock it is has to be known.
        vec![skewed(&[OURS, ANOTHER]), skewed(&[OURS, ANOTHER]), good()],
        vec![skewed(&[OURS, None]), skewed(&[OURS, None]), good()],
        vec![skewed(&[]), skewed(&[]), good()],
    ] {
        let text = check(reports).await;
        assert!(text.contains("exit code 0"), "{text}");
    }
}
