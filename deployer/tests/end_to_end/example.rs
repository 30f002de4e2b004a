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
