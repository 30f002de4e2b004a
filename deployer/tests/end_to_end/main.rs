//! The whole path as a user walks it: `make up`, `make up` again, a change under load, kills, mistakes, `make down`; in a
//! fresh copy of the project, against the emulator, with real containers.
//!
//! What is asserted is seen from outside: over HTTP, from the Docker engine, from the emulator's API and the process
//! table. Of the program's own output only what it promises is read: exit codes, and the messages that people get.

#[path = "../builders/base_image.rs"]
mod base_image;
#[path = "../../../app/tests/service/browser.rs"]
mod browser;
mod characters;
mod copy;
#[path = "../credentials/endpoint.rs"]
#[expect(dead_code, reason = "the tests of credentials use more of it")]
mod endpoint;
mod example;
mod failures;
mod faulty;
mod fresh;
mod gate;
mod guarded;
mod held;
mod interrupts;
mod keeper;
mod kinds;
mod listing;
mod load;
mod outside;
#[path = "../credentials/profiles.rs"]
mod profiles;
#[path = "../chaos/request.rs"]
mod request;
mod review;
mod run;
mod second;
mod unreachable;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use copy::Copy;
use load::Load;
use outside::Outside;
use run::{CleanUp, Finished, Surroundings};

/// What the change under load changes: a constant of the service.
const CONSTANT: (&str, &str) = (
    "const HEAD_LIMIT: usize = 16 * 1024;",
    "const HEAD_LIMIT: usize = 20 * 1024;",
);
const FAULTY: &str = "deployer/tests/end_to_end/faulty/deployer.toml";
const FAULTY_DOCKERFILE: &str = "deployer/tests/end_to_end/faulty/Dockerfile";
const SOURCE: &str = "app/src/server.rs";

fn step(text: &str) {
    println!("\n==== {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_path() {
    let copy = Copy::of_the_project();
    let surroundings = Surroundings::new(&copy);
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);

    step("1. the first `make up`");
    let first = surroundings.make("up");
    first.succeeded();
    assert!(
        !first.stderr.contains("does not take the SBOM"),
        "the SBOM is not attached: {}",
        first.stderr
    );
    assert_up(&surroundings, &outside).await;
    let before = outside.containers().await;
    let version = outside.version().await;
    guarded::check(&surroundings, &outside).await;

    step("2. `make up` again changes nothing");
    let updated_at = outside.stack_updated_at().await;
    let events = outside.stack_event_count().await;
    let again = surroundings.make("up");
    again.succeeded();
    assert!(
        again.stdout.contains("Nothing changed"),
        "it does not say so"
    );
    assert_eq!(
        outside.containers().await,
        before,
        "containers were replaced"
    );
    assert_eq!(
        outside.stack_updated_at().await,
        updated_at,
        "the stack was updated"
    );
    assert_eq!(
        outside.stack_event_count().await,
        events,
        "the stack saw events"
    );
    let began = Instant::now();
    surroundings.deployer(&["up", "--local"]).succeeded();
    let took = began.elapsed();
    println!("unchanged `up` took {:.2} s", took.as_secs_f64());
    assert!(
        took < Duration::from_secs(5),
        "an unchanged `up` took {took:?}"
    );

    let lines = surroundings.deployer(&["up", "--local", "--output", "json"]);
    lines.succeeded();
    assert_eq!(lines.stderr, "", "something is said beside the JSON Lines");
    let events: Vec<serde_json::Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    assert_eq!(events.first().expect("a line")["event"], "started");
    assert_eq!(events.last().expect("a line")["event"], "succeeded");

    step("each kind of credentials deploys");
    kinds::deploy(&surroundings);

    step("3. a change rolls over under load");
    let load = Load::start(outside.url().await, outside.port());
    load.wait_for_requests(50).await;
    copy.replace(SOURCE, CONSTANT.0, CONSTANT.1);
    surroundings.make("up").succeeded();
    let at_the_end = load.requests();
    load.wait_for_requests(at_the_end + 50).await;
    let result = load.stop().await;
    println!(
        "{} requests, failed: {:?}, versions: {:?}",
        result.requests, result.failures, result.versions
    );
    assert!(
        result.failures.is_empty(),
        "{} of {} requests failed: {:?}",
        result.failures.len(),
        result.requests,
        result.failures
    );
    let changed = outside.version().await;
    assert_ne!(changed, version, "the old version still answers");
    assert!(result.versions.contains(&version) && result.versions.contains(&changed));
    outside.wait_for_running_containers(2).await;
    let after = outside.containers().await;
    assert!(
        after.iter().all(|id| !before.contains(id)),
        "a container of the old version is left"
    );

    step("4. mistakes end in one clear message, and the service goes on");
    mistakes(&surroundings, &copy);
    assert_eq!(
        outside.version().await,
        changed,
        "a mistake changed what runs"
    );
    assert_eq!(
        outside.containers().await,
        after,
        "a mistake changed what runs"
    );

    step("5. `make down` leaves nothing");
    surroundings.make("down").succeeded();
    assert_gone(&surroundings, &outside).await;
    let nothing = surroundings.make("down");
    nothing.succeeded();
    assert!(
        nothing.stdout.contains("nothing to delete"),
        "it does not say so: {}",
        nothing.stdout
    );

    step("6. killed at any moment, the next run converges");
    copy.replace(FAULTY_DOCKERFILE, "ENV FAULT=none", "ENV FAULT=exits");
    kills(&surroundings, &outside).await;
    surroundings.deployer(&["down", "--local"]).succeeded();
    assert_gone(&surroundings, &outside).await;
}

/// The service is up, as somebody without our programs sees it; and our own programs say so too.
async fn assert_up(surroundings: &Surroundings, outside: &Outside) {
    let url = outside.url().await;
    let body = surroundings.curl(&url);
    let answer: serde_json::Value = serde_json::from_str(&body).expect("the answer is JSON");
    let now = answer["now"].as_str().expect("the time is there");
    let now = chrono::DateTime::parse_from_rfc3339(now).expect("the time is RFC 3339");
    let off = (chrono::Utc::now() - now.to_utc()).abs();
    assert!(
        off < chrono::TimeDelta::seconds(1),
        "the clock is {off} off"
    );

    assert_eq!(outside.containers().await.len(), 2, "two containers run");
    assert_eq!(outside.instances(40).await.len(), 2, "two instances answer");
    let status = outside.stack_status().await.expect("there is a stack");
    assert!(
        matches!(status.as_str(), "UPDATE_COMPLETE" | "CREATE_COMPLETE"),
        "{status}"
    );

    let check = surroundings.checker(&[
        &url,
        "--connect-to",
        &format!("127.0.0.1:{}", outside.port()),
        "--output",
        "json",
    ]);
    check.succeeded();
    let line: serde_json::Value =
        serde_json::from_str(check.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["verdict"], "ok");
    assert!(
        line["instances"][0]["uncertainty_ms"].is_number(),
        "no offset with uncertainty: {line}"
    );

    let status = surroundings.deployer(&["status", "--local", "--output", "json"]);
    status.succeeded();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("one JSON object");
    for key in ["stack", "status", "url", "image", "version", "tasks"] {
        assert!(!status[key].is_null(), "`{key}` is missing in {status}");
    }
    assert_eq!(status["version"], answer["version"]);
    assert_eq!(status["tasks"].as_array().map(Vec::len), Some(2));
}

/// No container, no emulator, and so no stack.
async fn assert_gone(surroundings: &Surroundings, outside: &Outside) {
    assert_eq!(outside.containers().await, Vec::<String>::new());
    assert!(!outside.emulator_answers().await, "the emulator still runs");
    assert_eq!(surroundings.emulator_processes(), Vec::<u32>::new());
    assert_eq!(
        outside.images().await,
        Vec::<String>::new(),
        "images are left in Docker"
    );
}

fn mistakes(surroundings: &Surroundings, copy: &Copy) {
    let up = ["up", "--local"];
    let check = |what: &str, finished: &Finished, words: &[&str]| {
        println!(
            "-- {what}: {}",
            finished.stderr.lines().last().unwrap_or_default()
        );
        finished.failed_with(3, words);
    };

    let original = copy.read("deployer.toml");
    copy.write("deployer.toml", "stack = \n");
    check(
        "invalid toml",
        &surroundings.deployer(&up),
        &["`deployer.toml` is not valid", "line 1"],
    );
    copy.write("deployer.toml", "stack = \"clock\"\ntasks = 2\n");
    check(
        "unknown setting",
        &surroundings.deployer(&up),
        &["unknown field `tasks`"],
    );
    copy.remove("deployer.toml");
    check(
        "no toml",
        &surroundings.deployer(&up),
        &["cannot read `deployer.toml`", "--config"],
    );
    copy.write("deployer.toml", &original);

    check(
        "missing template",
        &surroundings.deployer(&["up", "--local", "--template", "infra/none.yaml"]),
        &["cannot read the template", "infra/none.yaml"],
    );
    copy.write(
        "infra/broken.yaml",
        "Resources:\n  Nothing:\n    Type: AWS::Does::NotExist\n",
    );
    check(
        "refused template",
        &surroundings.deployer(&["up", "--local", "--template", "infra/broken.yaml"]),
        &["CloudFormation refuses", "hint:"],
    );
    copy.remove("infra/broken.yaml");

    let dockerfile = copy.read("Dockerfile");
    copy.write(
        "Dockerfile",
        &dockerfile.replace("STOPSIGNAL", "RUN echo hello\nSTOPSIGNAL"),
    );
    check(
        "RUN in the final stage",
        &surroundings.deployer(&["up", "--local", "--builder", "native"]),
        &["line ", "RUN", "hint:"],
    );
    copy.write("Dockerfile", &dockerfile);

    copy.replace(
        SOURCE,
        "const HEAD_LIMIT: usize",
        "const HEAD_LIMIT: nonsense",
    );
    check(
        "compile error",
        &surroundings.deployer(&up),
        &["does not compile", "nonsense", "server.rs"],
    );
    copy.replace(
        SOURCE,
        "const HEAD_LIMIT: nonsense",
        "const HEAD_LIMIT: usize",
    );

    check(
        "Docker stopped",
        &surroundings
            .with("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .deployer(&up),
        &["no Docker engine answers", "hint:"],
    );

    // A port of something else: it accepts and says nothing.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("bound").port();
    let taken = surroundings.with("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{taken}"));
    check(
        "occupied port",
        &taken.deployer(&up),
        &[
            "is taken by something that is not the emulator",
            "--endpoint-url",
        ],
    );

    // Changed, so that there is something to push.
    copy.replace(SOURCE, "20 * 1024", "24 * 1024");
    check(
        "push refused",
        &surroundings.deployer(&["up", "--local", "--registry", "127.0.0.1:1"]),
        &["cannot push the image to 127.0.0.1:1", "hint:"],
    );
    copy.replace(SOURCE, "24 * 1024", "20 * 1024");

    let no_tools = surroundings
        .without_python()
        .with("XDG_CACHE_HOME", &copy.path("cache"));
    let elsewhere = no_tools.with(
        "AWS_ENDPOINT_URL",
        &format!("http://127.0.0.1:{}", run::free_port()),
    );
    check(
        "no Python",
        &elsewhere.deployer(&up),
        &["cannot run Python", "python3"],
    );

    let aws = surroundings.without_aws();
    check(
        "no region",
        &aws.deployer(&["up"]),
        &["no AWS region is set", "--local"],
    );
    check(
        "no credentials",
        &aws.deployer(&["up", "--region", "eu-central-1"]),
        &["no usable AWS credentials", "--local"],
    );
    surroundings
        .deployer(&["up", "--local", "--timeout", "soon"])
        .failed_with(2, &["not a duration"]);
    surroundings
        .deployer(&["sideways"])
        .failed_with(2, &["unrecognized"]);
}

/// Seed of what happens at random: `E2E_SEED`, or another one each time. It is printed.
fn seed() -> u64 {
    let seed = std::env::var("E2E_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("E2E_SEED={seed}");
    seed
}

/// Kills `up` and `down` by turns, at 25 random moments; every time the next run has to get there.
async fn kills(surroundings: &Surroundings, outside: &Outside) {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    for number in 1..=25 {
        let moment = Duration::from_millis(random.random_range(10..2500));
        if number % 2 == 1 {
            // Every now and then in the middle of a change that does not work, and of the way back.
            if number % 3 == 0 {
                surroundings.deployer(&["up", "--local"]).succeeded();
                let faulty = ["up", "--local", "--config", FAULTY];
                surroundings.deployer_killed_after(&faulty, moment * 4);
            } else {
                surroundings.deployer_killed_after(&["up", "--local"], moment);
            }
            // Every now and then the emulator dies with it, and forgets everything.
            if number % 5 == 0 {
                surroundings.kill_emulator();
            }
            surroundings.deployer(&["up", "--local"]).succeeded();
            outside.wait_for_running_containers(2).await;
            assert!(outside.version().await.contains('+'), "{moment:?}");
        } else {
            surroundings.deployer_killed_after(&["down", "--local"], moment);
            if number % 6 == 0 {
                // Back up again from whatever that left.
                surroundings.deployer(&["up", "--local"]).succeeded();
                outside.wait_for_running_containers(2).await;
            }
            surroundings.deployer(&["down", "--local"]).succeeded();
            assert_gone(surroundings, outside).await;
        }
    }
}
