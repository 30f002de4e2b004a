//! A machine without a way to the load balancer; what somebody changes by hand; and a version that crashes after its check.

use crate::copy::Copy;
use crate::faulty::Faulty;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings, free_port};
use crate::step;

#[tokio::test(flavor = "multi_thread")]
async fn unreachable() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let service = Faulty::new(&copy, &surroundings);
    // Nothing listens there.
    let closed = format!("127.0.0.1:{}", free_port());
    let cut_off = |fault: &str, more: &[&str]| {
        service.deploy(fault, &[&["--connect-to", closed.as_str()], more].concat())
    };
    let relying = ["--check", "target-health"];

    step("a first version that is healthy and cannot be reached stays, unproven");
    let first = cut_off("none", &["--verify-timeout", "3s"]);
    let words = [
        "cannot be reached from this machine",
        "2 of 2 targets healthy",
        "--check target-health",
    ];
    first.failed_with(9, &words);
    outside.wait_for_running_containers(2).await;
    let version = outside.version().await;

    step("from then on that is found before anything changes, and by `doctor`");
    cut_off("unhealthy", &[]).failed_with(3, &["cannot be reached", "nothing was changed"]);
    assert_eq!(outside.version().await, version);
    let doctor = surroundings.deployer(&["doctor", "--local", "--connect-to", &closed]);
    assert_eq!(doctor.code, Some(3));
    let is_told = |line: &str| line.starts_with("error") && line.contains("reachable");
    assert!(doctor.stdout.lines().any(is_told), "{}", doctor.stdout);

    step("the load balancer alone may be relied on; what that does not prove is said");
    let good = cut_off("none-of-them", &relying);
    good.succeeded();
    let unproven = "Not proven: that the service can be reached";
    assert!(good.stdout.contains(unproven), "{}", good.stdout);
    let good = outside.version().await;
    assert_ne!(good, version);

    step("a bad version is rolled back all the same");
    let words = ["/health answers 500", "is restored and is healthy"];
    cut_off("unhealthy", &relying).failed_with(4, &words);
    assert_eq!(outside.version().await, good);

    step("a number of tasks that was set by hand is named, and set right by what is printed");
    outside.set_tasks(0).await;
    outside.wait_for_running_containers(0).await;
    let words = ["somebody set 0 tasks by hand, the stack wants 2", "--force"];
    service.deploy("none-of-them", &[]).failed_with(5, &words);
    service.deploy("none-of-them", &["--force"]).succeeded();
    assert_eq!(outside.version().await, good);
    outside.wait_for_running_containers(2).await;

    step("a service that was deleted by hand is made again");
    outside.delete_service().await;
    outside.wait_for_running_containers(0).await;
    service.deploy("none-of-them", &[]).succeeded();
    assert_eq!(outside.version().await, good);
    outside.wait_for_running_containers(2).await;

    step("a version that crashes after its check is rolled back, and `status` tells of the crash");
    let crashing = service.deploy("late", &["--watch-for", "3m"]);
    let words = [
        "did not keep running",
        "exit code 3",
        "is restored and answers",
    ];
    crashing.failed_with(4, &words);
    assert_eq!(outside.version().await, good);
    let status = surroundings.deployer(&["status", "--local"]);
    status.succeeded();
    assert!(
        status.stdout.contains("of another version"),
        "{}",
        status.stdout
    );

    surroundings.deployer(&["down", "--local"]).succeeded();
    assert_eq!(outside.stack_status().await, None);
}
