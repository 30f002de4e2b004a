//! A service with the needs of others, in `keeper/`: a workspace, a configuration file, a secret, a writable folder, its own port and
//! health path. What keeps it from starting on Fargate keeps it from starting here, and is named.

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
    up().succeeded();
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
    let agreed = ["up", "--local", "--config", SETTINGS, "--yes"];
    let failed = surroundings.deployer(&agreed);
    failed.failed_with(4, &["/health answers 404", "set `health_path`"]);
    copy.write(SETTINGS, &usual);
    assert_eq!(surroundings.curl(url), "kept here");

    step("and it leaves nothing");
    surroundings
        .deployer(&["down", "--local", "--config", SETTINGS])
        .succeeded();
    assert_eq!(outside.containers().await, Vec::<String>::new());
}
