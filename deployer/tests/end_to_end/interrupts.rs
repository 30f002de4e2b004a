//! Ctrl-C and SIGTERM in each phase, two runs at once, readers that go away.

use crate::copy::Copy;
use crate::faulty::Faulty;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const INT: &str = "INT";
const TERM: &str = "TERM";

#[tokio::test(flavor = "multi_thread")]
async fn interrupts() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let faulty = Faulty::new(&copy, &surroundings);

    step("a first deployment that is interrupted leaves nothing");
    let first = faulty.start("unhealthy", &[]);
    first.wait_for("rollout: new");
    first.signal(INT);
    let finished = first.finish();
    finished.failed_with(130, &["interrupted", "the new stack is deleted"]);
    assert_eq!(outside.stack_status().await, None);

    step("the version that everything else has to leave in place");
    faulty.deploy("none", &[]).succeeded();
    let version = outside.version().await;

    step("before anything is started, it ends at once");
    let early = faulty.start("unhealthy", &[]);
    early.wait_for("up: stack");
    early.signal(INT);
    early.finish().failed_with(130, &["interrupted"]);
    assert_eq!(outside.version().await, version);

    step("while the new version rolls out");
    let rolling = faulty.start("unhealthy", &[]);
    rolling.wait_for("update: done");
    rolling.wait_for("rollout: new");
    rolling.signal(INT);
    rolling
        .finish()
        .failed_with(130, &["interrupted", "is restored and answers"]);
    assert_eq!(outside.version().await, version);

    step("while it is checked; SIGTERM means the same");
    let checking = faulty.start("broken", &["--verify-timeout", "2m"]);
    checking.wait_for("check: DOWN");
    checking.signal(TERM);
    checking
        .finish()
        .failed_with(130, &["interrupted", "is restored and answers"]);
    assert_eq!(outside.version().await, version);

    step("a second one leaves at once, and the next run comes back to it");
    let leaving = faulty.start("unhealthy", &[]);
    leaving.wait_for("update: done");
    leaving.signal(INT);
    leaving.wait_for("press Ctrl-C again to exit at once");
    leaving.signal(INT);
    leaving.finish().failed_with(130, &["continues"]);
    faulty.deploy("none", &[]).succeeded();
    assert_eq!(outside.version().await, version);

    step("`--on-interrupt detach` leaves at once; `status --watch` follows what goes on");
    let detached = faulty.start("unhealthy", &["--on-interrupt", "detach"]);
    detached.wait_for("update: done");
    detached.signal(INT);
    detached.finish().failed_with(130, &["continues"]);
    let status = surroundings.deployer(&["status", "--local", "--watch"]);
    status.succeeded();
    assert!(status.stderr.contains("rollout:"), "{}", status.stderr);
    faulty.deploy("none", &[]).succeeded();

    step("two runs at once: the second waits and says for what, or does not want to wait");
    let one = faulty.start("unhealthy", &[]);
    one.wait_for("update: done");
    let impatient = surroundings.deployer(&["up", "--local", "--no-wait"]);
    impatient.failed_with(7, &["another run is deploying this stack", "process "]);
    let another = surroundings.start(&["up", "--local"]);
    another.wait_for("another run is deploying this stack (`deployer up`) (process ");
    one.finish().failed_with(4, &["/health answers 500"]);
    another.signal(INT);
    another.finish().failed_with(130, &["interrupted"]);
    faulty.deploy("none", &[]).succeeded();
    assert_eq!(outside.version().await, version);

    step("two runs on two machines: whoever comes later is left alone by the one before");
    let one = faulty.start("broken", &["--verify-timeout", "30s"]);
    one.wait_for("check: DOWN");
    let elsewhere = surroundings.with("XDG_STATE_HOME", &copy.path("state-of-another-machine"));
    let other = Faulty::new(&copy, &elsewhere).deploy("none", &["--force"]);
    other.succeeded();
    one.finish().failed_with(
        7,
        &["somebody else has deployed meanwhile, which is left alone"],
    );
    assert_eq!(outside.version().await, version);

    step("readers that go away do not matter");
    surroundings
        .deployer_without_readers(&["up", "--local"])
        .succeeded();
    assert_ne!(outside.version().await, version);

    step("a deletion is not undone");
    let down = surroundings.start(&["down", "--local"]);
    down.wait_for("delete");
    down.signal(INT);
    let finished = down.finish();
    // Deleting takes a second here: it was followed to its end, or over, so that the proof was broken off.
    assert!(
        matches!(finished.code, Some(0 | 130)),
        "{:?}",
        finished.code
    );
    assert_eq!(outside.stack_status().await, None, "it is not gone");
    surroundings.deployer(&["down", "--local"]).succeeded();
    assert_eq!(outside.stack_status().await, None);
}
