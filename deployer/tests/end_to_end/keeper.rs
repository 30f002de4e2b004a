//! A service with the needs of others, in `keeper/`: a workspace, a configuration file, a secret, a writable folder, a release command, its
//! own port and health path. What keeps it from starting on Fargate keeps it from starting here, and is named. What one environment has
//! proven is promoted to the other.

use crate::copy::Copy;
use crate::load::Load;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const SETTINGS: &str = "deployer/tests/end_to_end/keeper/deployer.toml";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_the_needs_of_others() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let up = || surroundings.deployer(&["up", "--local", "--config", SETTINGS]);

    step("without its secret it does not start, and the secret is named");
    up().failed_with(3, &["/keeper/token"]);

    step("with it, it does");
    surroundings.put_parameter("/keeper/token", "let-me");
    let first = up();
    first.succeeded();
    let words = "release command: succeeded";
    assert!(first.stderr.contains(words), "{}", first.stderr);
    let url = outside.url().await;
    let url = url.trim_end_matches("now");
    let kept = format!("{url}note");
    let put = |token: &str| {
        let header = format!("authorization: {token}");
        let put = [
            "--silent",
            "--fail",
            "--request",
            "PUT",
            "--data",
            "kept",
            "--header",
            &header,
            &kept,
        ];
        surroundings.finish("curl", &put).is_success()
    };
    assert_eq!(surroundings.curl(url), "this keeps what you send");
    assert!(!put("guessed") && put("let-me"));
    assert_eq!(surroundings.curl(&kept), "kept");

    step("a change of its environment rolls over under load");
    let load = Load::start_any(url.to_owned(), outside.port());
    load.wait_for_requests(20).await;
    copy.replace(SETTINGS, "this keeps what you send", "kept here");
    up().succeeded();
    outside.wait_for_running_containers(1).await;
    let before = outside.running_containers().await;

    step("a release command that fails changes nothing that runs");
    copy.replace(SETTINGS, "kept here", "too early");
    up().failed_with(
        4,
        &[
            "the release command ended with exit code 1",
            "no such table: greetings",
            "no task of the new version was started",
        ],
    );
    copy.replace(SETTINGS, "too early", "kept here");
    outside.wait_for_running_containers(1).await;
    assert_eq!(outside.running_containers().await, before);
    let at_the_end = load.requests();
    load.wait_for_requests(at_the_end + 20).await;
    let result = load.stop().await;
    assert!(result.failures.is_empty(), "{:?}", result.failures);
    assert_eq!(surroundings.curl(url), "kept here");

    step("a folder that is not writable");
    let usual = copy.read(SETTINGS);
    copy.replace(SETTINGS, "writable = [\"/data\"]", "");
    up().failed_with(4, &["Read-only file system"]);
    copy.write(SETTINGS, &usual);

    step("a health path that it does not have");
    copy.replace(SETTINGS, "health_path = \"/\"", "health_path = \"/health\"");
    copy.replace(SETTINGS, "kept here", "never seen");
    // A new health check replaces nothing, so nobody is asked.
    up().failed_with(4, &["/health answers 404", "set `health_path`"]);
    copy.write(SETTINGS, &usual);
    assert_eq!(surroundings.curl(url), "kept here");

    promote(&surroundings, &outside, &copy).await;

    step("and it leaves nothing");
    surroundings
        .deployer(&["down", "--local", "--config", SETTINGS])
        .succeeded();
    assert_eq!(outside.containers().await, Vec::<String>::new());
}

/// Brings another version to staging, and from there to production, which is the service of before.
async fn promote(surroundings: &Surroundings, outside: &Outside, copy: &Copy) {
    let usual = copy.read(SETTINGS);
    let production = format!(
        "[environments.production]\nstack = \"{}\"\n",
        outside.stack()
    );
    let staging = "[environments.staging]\nstack = \"keeper-staging\"\n";
    let of_both = format!("{usual}\n{production}\n{staging}");
    copy.write(SETTINGS, &of_both);
    // The file names the stacks.
    let environments = surroundings.with("DEPLOYER_STACK", "");
    let run = |command: &str, more: &[&str]| {
        let usual = ["--local", "--config", SETTINGS];
        let words = [command.split(' ').collect(), usual.to_vec(), more.to_vec()];
        environments.deployer(&words.concat())
    };
    let image = |environment: &str| {
        let status = run("status", &["--env", environment, "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("an object");
        let image = status["image"].as_str().expect("an image").to_owned();
        image.rsplit_once('@').expect("a digest").1.to_owned()
    };

    step("another version runs in staging");
    let file = "deployer/tests/end_to_end/keeper/keeper.conf";
    copy.write(
        file,
        &format!("{}note = another version\n", copy.read(file)),
    );
    let up = run("up", &["--env", "staging", "--output", "json"]);
    up.succeeded();
    assert!(
        up.stdout.contains("\"event\":\"verdict_attached\""),
        "{}",
        up.stdout
    );
    let (before, proven) = (image("production"), image("staging"));
    assert_ne!(before, proven);

    step("as long as it is not proven, it is not promoted");
    let check = "[environments.staging.check]\ncontains = \"something else\"\n";
    copy.write(SETTINGS, &format!("{of_both}{check}"));
    let quickly = ["--verify-timeout", "1s"];
    run("promote staging production", &quickly)
        .failed_with(3, &["`staging` is not proven: nothing is promoted"]);
    assert_eq!(image("production"), before);

    step("once it is, production gets the same image and its SBOM");
    copy.write(SETTINGS, &of_both);
    let promoted = run("promote staging production", &[]);
    promoted.succeeded();
    for what in ["SBOM", "verdict"] {
        assert!(!promoted.stderr.contains(what), "{}", promoted.stderr);
    }
    assert_eq!(image("production"), proven);
    let history = run("history", &["--env", "production"]);
    assert!(history.stdout.contains("promote"), "{}", history.stdout);

    step("and goes back under load");
    let url = outside.url().await;
    let load = Load::start_any(url.trim_end_matches("now").to_owned(), outside.port());
    load.wait_for_requests(20).await;
    run("rollback", &["--env", "production"]).succeeded();
    assert_eq!(image("production"), before);
    let at_the_end = load.requests();
    load.wait_for_requests(at_the_end + 20).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    run("down", &["--env", "staging"]).succeeded();
    copy.write(SETTINGS, &usual);
}
