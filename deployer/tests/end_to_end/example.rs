//! The image by itself, and a service of another kind: nothing is known of it but its own `deployer.toml` and Dockerfile.

use crate::base_image::Base;
use crate::copy::Copy;
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const EXAMPLE: [&str; 3] = ["--local", "--config", "examples/greeter/deployer.toml"];
const DOCKERFILE: &str = "examples/greeter/Dockerfile";

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

    step("a change and the way back are not noticed");
    copy.write(EXAMPLE[2], &settings);
    let dockerfile = copy.read(DOCKERFILE);
    copy.replace(DOCKERFILE, "USER", "LABEL changed=yes\nUSER");
    let load = Load::start_any(now.trim_end_matches("now").to_owned(), outside.port());
    load.wait_for_requests(20).await;
    deployer("up").succeeded();
    assert_ne!(outside.version().await, version);
    deployer("rollback").succeeded();
    assert_eq!(outside.version().await, version);
    let at_the_end = load.requests();
    load.wait_for_requests(at_the_end + 20).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());

    step("on a base, it runs as a user that only the base knows, and read-only");
    let folder = tempfile::tempdir().expect("a folder");
    let base = Base::new(folder.path(), &[]);
    let dockerfile = dockerfile
        .replace("FROM scratch\n", &format!("FROM {}\n", base.reference))
        .replace("USER 65532:65532", "USER nonroot")
        .replace(
            "/greeter\nUSER",
            "/greeter\nCOPY --chown=nonroot *.toml /home/nonroot/\nUSER",
        );
    copy.write(DOCKERFILE, &dockerfile);
    let as_nonroot = format!("{settings}user = \"nonroot\"\n");
    copy.write(EXAMPLE[2], &as_nonroot);
    let based = deployer("up");
    based.succeeded();
    let told = format!("base image {} is sha256:", base.reference);
    assert!(based.stderr.contains(&told), "{}", based.stderr);
    assert_ne!(outside.version().await, version);
    assert_eq!(surroundings.curl(now.trim_end_matches("now")), "hello\n");
    outside.wait_for_running_containers(2).await;
    for container in outside.inspect_running().await {
        assert_eq!(container["Config"]["User"], "nonroot");
        assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true);
        let variables = container["Config"]["Env"].to_string();
        assert!(variables.contains("SSL_CERT_FILE=/etc/ssl"), "{variables}");
        let labels = &container["Config"]["Labels"];
        assert_eq!(
            labels["org.opencontainers.image.base.name"],
            *base.reference
        );
    }
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
