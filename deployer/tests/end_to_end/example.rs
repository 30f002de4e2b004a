//! The image by itself, and a service of another kind: nothing is known of it but its own `deployer.toml` and Dockerfile.

use crate::copy::Copy;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const EXAMPLE: [&str; 3] = ["--local", "--config", "examples/greeter/deployer.toml"];

#[tokio::test(flavor = "multi_thread")]
async fn another_service() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let deployer = |command: &str| {
        let mut arguments = vec![command];
        arguments.extend(EXAMPLE);
        surroundings.deployer(&arguments)
    };

    step("the example is deployed by its own settings");
    deployer("up").succeeded();
    let now = outside.url().await;
    let greeting = surroundings.curl(now.trim_end_matches("now"));
    assert_eq!(greeting, "hello\n");
    assert_eq!(outside.containers().await.len(), 2);
    let version = outside.version().await;

    step("and is not deployed twice");
    let again = deployer("up");
    again.succeeded();
    assert!(again.stdout.contains("Nothing changed"), "{}", again.stdout);
    assert_eq!(outside.version().await, version);

    step("it may be checked without a clock");
    let settings = copy.read(EXAMPLE[2]);
    let with = |check: &str| copy.write(EXAMPLE[2], &format!("{settings}\n[check]\n{check}\n"));
    with("path = \"/\"");
    let checked = deployer("up");
    checked.succeeded();
    assert!(
        checked.stderr.contains("/ tells no time"),
        "{}",
        checked.stderr
    );
    let words = "OK, HTTP 200; the load balancer calls 2 of 2 targets healthy";
    assert!(checked.stdout.contains(words), "{}", checked.stdout);
    with("path = \"/\"\ncontains = \"hello\"\nheaders = { X-Key = \"1\" }");
    deployer("up").succeeded();
    deployer("status").succeeded();

    step("and what it refuses is not waited for");
    with("path = \"/missing\"\nstatus = 200");
    let refused = deployer("up");
    refused.failed_with(
        5,
        &[
            "waiting does not help",
            "answered 404 Not Found",
            "set `path` to what answers",
        ],
    );
    deployer("down").succeeded();
}

#[test]
fn two_folders_give_the_same_digest() {
    let digest = |copy: &Copy| {
        let surroundings = Surroundings::new(copy);
        let arguments = ["image", "inspect", "--output", "json"];
        let inspected = surroundings.deployer(&arguments);
        inspected.succeeded();
        let line = inspected.stdout.lines().last().expect("an object");
        let image: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(image["packages"].as_u64() > Some(10), "{image}");
        image["digest"].as_str().expect("a digest").to_owned()
    };
    step("the same project in two folders");
    assert_eq!(digest(&Copy::of_the_project()), digest(&Copy::elsewhere()));
}
