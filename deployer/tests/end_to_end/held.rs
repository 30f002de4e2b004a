//! A person decides at the gate, and goes back within the bake time: under load, no request fails, and none meets a version that
//! nobody approved.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::copy::Copy;
use crate::faulty::{Faulty, SETTINGS};
use crate::gate::assert_only_proven;
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Finished, Surroundings};
use crate::step;

const HELD: i32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    // Five minutes on AWS, one here.
    let settings =
        copy.read(SETTINGS) + "\n[deployment]\nstrategy = \"blue-green\"\nbake_minutes = 5\n";
    copy.write(SETTINGS, &settings);
    let service = Faulty::new(&copy, &surroundings);
    let run = |command: &str| surroundings.deployer(&[command, "--local", "--config", SETTINGS]);
    let held = |finished: Finished| {
        assert_eq!(finished.code, Some(HELD), "{}", finished.stderr);
        assert!(
            finished.stdout.contains("waits at the gate"),
            "{}",
            finished.stdout
        );
    };
    // Without a bake time, which each of them would wait for.
    let quick = [
        "--hold",
        "--config",
        "deployer/tests/end_to_end/faulty/quick.toml",
    ];
    copy.write(
        quick[2],
        &settings.replace("bake_minutes = 5", "bake_minutes = 0"),
    );

    step("the first version of all waits, too");
    held(service.deploy("none", &quick[..1]));
    run("rollback").failed_with(4, &["the first version was removed"]);
    service.deploy_with(quick[2], "none", &[]).succeeded();
    let first = outside.version().await;
    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;

    step("held, then rolled back");
    held(service.deploy_with(quick[2], "none-declined", &quick[..1]));
    assert_eq!(outside.version().await, first);
    let again = service.deploy_with(quick[2], "none-another", &[]);
    again.failed_with(7, &["waits at the gate for a decision"]);
    let back = run("rollback");
    back.succeeded();
    assert!(
        back.stderr.contains("answers everywhere again"),
        "{}",
        back.stderr
    );
    assert_eq!(outside.version().await, first);
    run("continue").failed_with(3, &["nothing waits at the gate"]);

    step("held, then approved");
    held(service.deploy_with(quick[2], "none-approved", &quick[..1]));
    assert_eq!(outside.version().await, first);
    surroundings
        .deployer(&["continue", "--local", "--config", quick[2]])
        .succeeded();
    let approved = outside.version().await;
    assert_ne!(approved, first);

    step("rolled back while it bakes");
    let baking = service.start("none-baking", &["--yes"]);
    baking.wait_for("gate: passed");
    let mut versions = BTreeSet::from([first, approved.clone()]);
    let new = loop {
        let versions = outside.versions().await;
        match versions.into_iter().find(|version| *version != approved) {
            Some(new) => break new,
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    versions.insert(new);
    // The other run holds the lock, and ends when ECS goes back.
    let back = run("rollback");
    back.succeeded();
    assert!(back.stderr.contains("BAKE_TIME"), "{}", back.stderr);
    assert!(
        back.stderr.contains("answers everywhere again"),
        "{}",
        back.stderr
    );
    baking.finish().failed_with(
        4,
        &[
            "the previous state is restored",
            "because: service (Service)",
        ],
    );
    assert_eq!(outside.version().await, approved);

    assert_only_proven(load, &versions).await;
    surroundings.deployer(&["down", "--local"]).succeeded();
}
