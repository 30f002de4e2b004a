//! The service runs; it is looked at from outside.

use super::{FakeHost, bringing_up_on};
use crate::config::CheckSettings;
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, down, page, refused, skewed, targets, timeless};
use crate::testing::moment::at;
use clock::Kind;
use deployment::stack::request::Proposal;
use std::time::Duration;

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

/// The same with these settings, and targets in these states.
async fn check_with(
    change: impl FnOnce(&mut CheckSettings),
    states: &[&str],
    reports: impl IntoIterator<Item = clock::Report>,
) -> String {
    let world = FakeWorld::new([at("UPDATE_COMPLETE").with_image('a')])
        .proposals([Proposal::Empty])
        // The first ones are those of the rollout.
        .targets([targets(HEALTHY), targets(states)]);
    let host = FakeHost::new(world).finding(reports);
    let host = host.with(|config| {
        config.check = CheckSettings::default();
        change(&mut config.check);
    });
    let text = bringing_up_on(host).await;
    let (_, check) = text.split_once("check: started\n").unwrap();
    check.to_owned()
}

const HEALTHY: &[&str] = &["healthy", "healthy"];

#[tokio::test(start_paused = true)]
async fn a_service_that_tells_no_time_is_checked_without_a_clock() {
    let reports = [
        // The version that runs is asked before anything is changed.
        refused("404 Not Found"),
        page(None),
        down("no connection"),
        refused("404 Not Found"),
        timeless(),
        page(Some("1.2")),
    ];
    insta::assert_snapshot!(check_with(|_| (), HEALTHY, reports).await, @r"
    check: DOWN (no connection)
    check: without a clock, at http://clock.example/health: /now tells no time (answered without a timestamp: the body is not valid JSON)
    check: OK, HTTP 200
    check: done in 0.0 s
    Nothing changed: the service was up to date, and is up.
      url       http://clock.example/now
      version   1.2
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, HTTP 200; the load balancer calls 2 of 2 targets healthy. Not proven: which version answers, and that every task does
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_tells_the_time_has_to_be_right() {
    let reports = [answers("0.1.0+aaaaaaaaaaaa"), answers("0.1.0+0123456789ab")];
    insta::assert_snapshot!(check_with(|_| (), HEALTHY, reports).await, @r"
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
    // And goes on to tell it.
    let reports = [answers("0.1.0+aaaaaaaaaaaa"), refused("404 Not Found")];
    insta::assert_snapshot!(check_with(|_| (), HEALTHY, reports).await, @r#"
    check: DOWN (answered 404 Not Found)
    error: nothing had to be changed, but http://clock.example/now does not pass the check, and waiting does not help
      because: answered 404 Not Found
      | the load balancer calls 2 of 2 targets healthy
      hint: if the service tells no time, set `kind = "http"` under `[check]` in `deployer.toml`, and `path` to what answers; if it tells it elsewhere, set `path` and `field`
      hint: look yourself: `curl -i http://clock.example/now`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_a_healthy_service_refuses_is_not_waited_for() {
    let kind = |kind| move |check: &mut CheckSettings| check.kind = Some(kind);
    let began = tokio::time::Instant::now();
    let text = check_with(kind(Kind::Clock), HEALTHY, [refused("404 Not Found")]).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    insta::assert_snapshot!(text, @r#"
    check: DOWN (answered 404 Not Found)
    error: nothing had to be changed, but http://clock.example/now does not pass the check, and waiting does not help
      because: answered 404 Not Found
      | the load balancer calls 2 of 2 targets healthy
      hint: if the service tells no time, set `kind = "http"` under `[check]` in `deployer.toml`, and `path` to what answers; if it tells it elsewhere, set `path` and `field`
      hint: look yourself: `curl -i http://clock.example/now`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    "#);
    let text = check_with(kind(Kind::Http), HEALTHY, [refused("401 Unauthorized")]).await;
    insta::assert_snapshot!(text, @r#"
    check: DOWN (answered 401 Unauthorized)
    error: nothing had to be changed, but http://clock.example/health does not pass the check, and waiting does not help
      because: answered 401 Unauthorized
      | the load balancer calls 2 of 2 targets healthy
      hint: send what the service asks for, `headers = { Authorization = "@FILE" }`, or ask elsewhere, `path = "/PATH"`: under `[check]` in `deployer.toml`
      hint: look yourself: `curl -i http://clock.example/health`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    "#);

    // What may pass is waited for, and so is a target.
    for (states, report) in [
        (HEALTHY, refused("429 Too Many Requests")),
        (HEALTHY, refused("503 Service Unavailable")),
        (&["healthy", "initial"], refused("404 Not Found")),
    ] {
        let began = tokio::time::Instant::now();
        let text = check_with(kind(Kind::Http), states, [report]).await;
        assert!(began.elapsed() > Duration::from_secs(100), "{text}");
        assert!(text.contains("allow more time"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_clock_the_targets_count() {
    let http = |check: &mut CheckSettings| check.kind = Some(Kind::Http);
    let text = check_with(http, &["healthy", "initial"], [page(None)]).await;
    insta::assert_snapshot!(text, @r"
    check: OK, HTTP 200 (1 of 2 targets are healthy)
    error: nothing had to be changed, but http://clock.example/health answers, but not as deployed, after 120 s
      because: 1 of 2 targets are healthy
      hint: look yourself: `curl -i http://clock.example/health`
      hint: allow more time: `--verify-timeout 5m`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
    // A version that names an image has to be ours.
    let text = check_with(http, HEALTHY, [page(Some("1+aaaaaaaaaaaa"))]).await;
    insta::assert_snapshot!(text, @r"
    check: OK, HTTP 200 (version 1+aaaaaaaaaaaa answers, which is not of image 0123456789ab)
    error: nothing had to be changed, but http://clock.example/health answers, but not as deployed, after 120 s
      because: version 1+aaaaaaaaaaaa answers, which is not of image 0123456789ab
      hint: look yourself: `curl -i http://clock.example/health`
      hint: allow more time: `--verify-timeout 5m`
      hint: go back to the version before: `deployer rollback --stack clock --profile work`
      hint: or start it again: `deployer up --stack clock --profile work --force`
    exit code 5
    ");
    let text = check_with(http, HEALTHY, [page(Some("1+0123456789ab"))]).await;
    insta::assert_snapshot!(text, @r"
    check: OK, HTTP 200
    check: done in 0.0 s
    Nothing changed: the service was up to date, and is up.
      url       http://clock.example/now
      version   1+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, HTTP 200; the load balancer calls 2 of 2 targets healthy. Not proven: that every task answers
      time      0.0 s: image 0.0 s, push 0.0 s, plan 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}
