//! The gate: what is wrong with a version is found before any public request reaches it, and the one of before serves throughout.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::copy::Copy;
use crate::faulty::Faulty;
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

/// What is wrong with a version, how its deployment ends, and what the message names.
const CASES: [(&str, i32, &str); 4] = [
    ("exits", 4, "exit code 7"),
    ("unhealthy", 4, "the update failed"),
    ("wrong-clock", 6, "did not pass the gate"),
    ("broken", 6, "did not pass the gate"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_unproven_serves() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    let deploy = |fault: &str, strategy: &str| {
        let options = ["--strategy", strategy, "--verify-timeout", "20s", "--yes"];
        service.deploy(fault, &options)
    };

    step("a first deployment without a gate, and the way to one under load");
    deploy("none", "rolling").succeeded();
    let first = outside.version().await;
    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;
    deploy("none", "blue-green").succeeded();
    let mut proven = BTreeSet::from([first.clone(), outside.version().await]);

    let refused = CASES.map(|case| ("blue-green", case));
    for (strategy, (fault, exit_code, words)) in refused.into_iter().chain([("linear", CASES[2])]) {
        step(&format!("{strategy}: a version with a fault: {fault}"));
        let before = outside.version().await;
        let finished = deploy(fault, strategy);
        finished.failed_with(exit_code, &[words, "restored"]);
        assert_eq!(outside.version().await, before, "{fault}");
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
    surroundings.deployer(&["down", "--local"]).succeeded();
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

/// Ends the load: no request failed, and none was answered by another version than these.
async fn assert_only_proven(load: Load, proven: &BTreeSet<String>) {
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
        service.deploy(&after, &OPTIONS).succeeded();
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
