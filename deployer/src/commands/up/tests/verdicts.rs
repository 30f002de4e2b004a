//! What a deployment that has passed its check says of its image.

use super::{FakeHost, bringing_up_on};
use crate::testing::answer::skewed;
use crate::testing::moment::at;
use crate::testing::{DIGEST, FakeWorld};
use deployment::error::Failure;
use deployment::stack::request::Proposal;

fn unchanged() -> FakeHost {
    FakeHost::new(FakeWorld::new([at("UPDATE_COMPLETE")]).proposals([Proposal::Empty]))
}

#[tokio::test(start_paused = true)]
async fn a_version_that_passed_is_told_with_its_image() {
    let host = unchanged();
    let attached = host.attached();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
    let attached = attached.lock().unwrap();
    let [(image, verdict, changed)] = attached.as_slice() else {
        panic!("{attached:?}");
    };
    let expected = format!("registry.example/clock-repository@{DIGEST}");
    assert_eq!((image.as_str(), *changed), (expected.as_str(), false));
    assert_eq!(verdict.predicate["result"], "PASSED");
    let passed = &verdict.predicate["passedTests"];
    assert_eq!(*passed, serde_json::json!(["check from outside: clock"]));
}

#[tokio::test(start_paused = true)]
async fn one_that_did_not_is_not() {
    let version = Some("0.1.0+0123456789ab");
    let host = unchanged().finding([skewed(&[version, version])]);
    let attached = host.attached();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 5\n"), "{text}");
    assert!(attached.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refuses_it_is_a_warning() {
    let refused = Failure::preflight("cannot attach the verdict").because("status 403");
    let text = bringing_up_on(unchanged().refusing_verdicts(refused)).await;
    let warning = "the verdict is not attached to the image: status 403\n";
    assert!(text.contains(warning), "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}
