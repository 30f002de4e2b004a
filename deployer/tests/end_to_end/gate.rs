//! The gate: what is wrong with a version is found before any public request reaches it, and the one of before serves throughout.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::copy::Copy;
use crate::faulty::{Faulty, SETTINGS};
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Finished, Surroundings};
use crate::step;

/// What is wrong with a version, how its deployment ends, and what the message names.
const CASES: [(&str, i32, &str); 5] = [
    ("exits", 4, "exit code 7"),
    ("unhealthy", 4, "the update failed"),
    ("wrong-clock", 6, "did not pass the gate"),
    ("broken", 6, "did not pass the gate"),
    ("wrong-version", 6, "did not pass the gate"),
];
/// Strategies with a gate.
const GATED: [&str; 3] = ["blue-green", "linear", "canary"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_unproven_serves() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    let deploy = |fault: &str, strategy: &str| deploy(&service, fault, strategy);

    step("a first deployment without a gate, and the way to one under load");
    deploy("none", "rolling").succeeded();
    let first = outside.version().await;
    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;
    deploy("none", "blue-green").succeeded();
    let mut proven = BTreeSet::from([first.clone(), outside.version().await]);
    step("and back again, while the second target group serves");
    deploy("none-back", "rolling").succeeded();
    proven.insert(outside.version().await);
    deploy("none-again", "blue-green").succeeded();
    proven.insert(outside.version().await);

    let refused = CASES.map(|case| ("blue-green", case));
    for (strategy, case) in refused.into_iter().chain([("linear", CASES[2])]) {
        assert_refused(&service, &outside, strategy, case).await;
    }

    for strategy in ["blue-green", "linear", "canary", "rolling"] {
        step(&format!("{strategy}: a good version"));
        let variant = format!("none-{strategy}");
        let finished = deploy(&variant, strategy);
        finished.succeeded();
        let passed = finished.stderr.matches("gate: passed").count();
        let steps = match strategy {
            "blue-green" => 1,
            "linear" => 1 + 4,
            "canary" => 1 + 2,
            _ => 0,
        };
        assert_eq!(passed, steps, "{}", finished.stderr);
        proven.insert(outside.version().await);
    }

    step("killed at the gate, the next run converges");
    proven.extend(kills(&outside, &service, 2).await);

    assert_only_proven(load, &proven).await;
    assert!(proven.len() >= 5, "{proven:?}");

    step("rolled back, and deleted, while a version waits at the gate");
    kill_at_the_gate(&service);
    let rollback = ["rollback", "--local", "--config", SETTINGS, "--yes"];
    assert_no_waiting(&surroundings.deployer(&rollback));
    kill_at_the_gate(&service);
    assert_no_waiting(&surroundings.deployer(&["down", "--local"]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "15 versions that are refused take five minutes: `make gate`"]
async fn nothing_wrong_serves_with_any_strategy() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    for strategy in GATED {
        deploy(&service, &format!("none-{strategy}"), strategy).succeeded();
        let proven = BTreeSet::from([outside.version().await]);
        let load = Load::start(outside.url().await, outside.port());
        load.wait_for_requests(50).await;
        for case in CASES {
            assert_refused(&service, &outside, strategy, case).await;
        }
        assert_only_proven(load, &proven).await;
    }
    for (strategy, percent) in [("linear", 25), ("canary", 10)] {
        deploy(&service, &format!("none-{strategy}-again"), strategy).succeeded();
        assert_first_step_only(&service, &outside, strategy, percent).await;
    }
    surroundings.deployer(&["down", "--local"]).succeeded();
}

/// Deploys a version with this fault.
fn deploy(service: &Faulty<'_>, fault: &str, strategy: &str) -> Finished {
    let options = ["--strategy", strategy, "--verify-timeout", "20s", "--yes"];
    service.deploy(fault, &options)
}

/// A version with a fault is refused, and the one of before is there again.
async fn assert_refused(
    service: &Faulty<'_>,
    outside: &Outside,
    strategy: &str,
    (fault, exit_code, words): (&str, i32, &str),
) {
    step(&format!("{strategy}: a version with a fault: {fault}"));
    let before = outside.version().await;
    let finished = deploy(service, fault, strategy);
    finished.failed_with(exit_code, &[words, "restored"]);
    assert_eq!(outside.version().await, before, "{fault}");
}

/// A version that passes the gate and turns bad afterwards gets the first step's share of the requests at most.
async fn assert_first_step_only(
    service: &Faulty<'_>,
    outside: &Outside,
    strategy: &str,
    percent: usize,
) {
    step(&format!(
        "{strategy}: a version that turns bad behind the gate"
    ));
    let before = outside.version().await;
    let load = Load::start(outside.url().await, outside.port());
    let finished = deploy(service, "turns-bad", strategy);
    finished.failed_with(6, &["restored"]);
    let unproven = version_of(&finished.stderr);
    assert_eq!(outside.version().await, before);
    let result = load.stop().await;
    let failed = result.failures.len();
    println!("{} requests, {failed} failed", result.requests);
    // It answered well, and then failed: the share is that of both.
    assert!(result.versions.is_subset(&BTreeSet::from_iter(
        [Some(before), unproven].into_iter().flatten()
    )));
    assert!(failed > 0, "it never turned bad");
    assert!(
        failed * 100 <= result.requests * percent,
        "more than {percent} %"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "25 kills take a quarter of an hour: `make gate`"]
async fn killed_at_any_moment() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    service.deploy("none", &OPTIONS).succeeded();
    let mut proven = BTreeSet::from([outside.version().await]);
    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;
    proven.extend(kills(&outside, &service, 25).await);
    assert_only_proven(load, &proven).await;
    surroundings.deployer(&["down", "--local"]).succeeded();
}

/// Starts a version that does not pass, and kills the deployer while it waits.
fn kill_at_the_gate(service: &Faulty<'_>) {
    let running = service.start("broken", &OPTIONS);
    running.wait_for("gate: the new version runs");
    running.signal("KILL");
    running.finish();
}

/// A command answered for the run that was killed.
fn assert_no_waiting(finished: &Finished) {
    finished.succeeded();
    let stderr = &finished.stderr;
    assert!(!stderr.contains("hook timed out"), "{stderr}");
}

/// Ends the load: no request failed, and none was answered by another version than these.
pub(crate) async fn assert_only_proven(load: Load, proven: &BTreeSet<String>) {
    let result = load.stop().await;
    println!(
        "{} requests, {} failed",
        result.requests,
        result.failures.len()
    );
    assert_eq!(result.failures, Vec::<String>::new());
    let unproven: Vec<&String> = result.versions.difference(proven).collect();
    assert!(
        unproven.is_empty(),
        "unproven versions answered: {unproven:?}"
    );
}

const OPTIONS: [&str; 5] = [
    "--strategy",
    "blue-green",
    "--verify-timeout",
    "20s",
    "--yes",
];

/// Kills deployments of versions with a wrong clock, and of good ones, at random moments; each time, the next run has to end well.
/// Returns the good versions.
async fn kills(outside: &Outside, service: &Faulty<'_>, count: usize) -> BTreeSet<String> {
    let seed = crate::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut proven = BTreeSet::new();
    for number in 0..count {
        let is_bad = number % 2 == 0;
        // What follows the name of a fault makes another version, and no fault.
        let fault = if is_bad {
            "wrong-clock".to_owned()
        } else {
            format!("none-{seed}-{number}")
        };
        let moment = Duration::from_millis(random.random_range(10..9000));
        println!("---- {fault}, killed after {moment:?}");
        let running = service.start(&fault, &OPTIONS);
        tokio::time::sleep(moment).await;
        running.signal("KILL");
        let killed = running.finish();
        // A good one may have passed before, or been let pass by the run that follows.
        proven.extend(version_of(&killed.stderr).filter(|_| !is_bad));
        let after = format!("none-{seed}-{number}-after");
        let converged = service.deploy(&after, &OPTIONS);
        assert_no_waiting(&converged);
        proven.insert(outside.version().await);
    }
    proven
}

/// The version that a run has packed.
fn version_of(stderr: &str) -> Option<String> {
    let (before, _) = stderr.split_once(" packed: ")?;
    let digest = before.rsplit(' ').next()?;
    Some(format!("0.1.0+{digest}"))
}
