//! Deployments while the world falls apart: between the deployer and the emulator stands a proxy that throttles, fails, resets, cuts
//! and garbles what goes through it. Every command has to end well, and what it leaves has to be right, as seen from outside.
//!
//! `CHAOS_ROUNDS` is how many times everything is brought up, changed and taken down; `CHAOS_SEED` repeats a run. The first
//! rounds let each call meet each fault once, the others let one request in five go wrong.

#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/copy.rs"]
mod copy;
mod fault;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/load.rs"]
mod load;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/outside.rs"]
mod outside;
mod proxy;
mod request;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/run.rs"]
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use copy::Copy;
use fault::{Plan, QUICK};
use outside::Outside;
use proxy::Proxy;
use run::{CleanUp, Surroundings};

/// Of a hundred requests, those that go wrong in the random rounds.
const PERCENT: u64 = 20;
/// Rounds unless told otherwise: each fault once for each call.
const ROUNDS: usize = QUICK.len();
/// The Docker engine may take this long to remove a container whose task has ended.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);
/// Emulators that are used at the same time: most of the time is spent waiting.
const LANES: usize = 4;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn deployments_survive() {
    let rounds = variable("CHAOS_ROUNDS").map_or(ROUNDS, |rounds| {
        usize::try_from(rounds).expect("a small number")
    });
    let seed = variable("CHAOS_SEED").unwrap_or_else(rand::random);
    println!("{rounds} rounds, CHAOS_SEED={seed}");
    let lanes = LANES.min(rounds);
    let began = Instant::now();
    // One for all: another folder would be compiled anew.
    let copy = Arc::new(Copy::of_the_project());
    let running: Vec<_> = (0..lanes)
        .map(|lane| {
            let rounds = (lane..rounds).step_by(lanes).collect();
            tokio::spawn(run_lane(Arc::clone(&copy), lane, rounds, seed))
        })
        .collect();
    let mut met = BTreeMap::new();
    let mut failed = false;
    for lane in running {
        match lane.await {
            Ok(more) => {
                for (what, times) in more {
                    *met.entry(what).or_insert(0) += times;
                }
            }
            // It said why.
            Err(_) => failed = true,
        }
    }
    report(&met);
    println!("{rounds} rounds in {:.0} s", began.elapsed().as_secs_f64());
    assert!(!failed, "not every round went well; CHAOS_SEED={seed}");
}

fn report(met: &BTreeMap<(String, String), usize>) {
    let calls: BTreeSet<_> = met.keys().map(|(call, _)| call).collect();
    for call in calls {
        let faults = met.iter().filter(|((of, _), _)| of == call);
        let faults: Vec<_> = faults
            .map(|((_, fault), times)| format!("{fault} {times}"))
            .collect();
        println!("{call}: {}", faults.join(", "));
    }
}

/// Runs these rounds one after the other, at an emulator of their own.
async fn run_lane(
    copy: Arc<Copy>,
    number: usize,
    rounds: Vec<usize>,
    seed: u64,
) -> BTreeMap<(String, String), usize> {
    let dockerfile = format!("Dockerfile.{number}");
    let config = format!("deployer-{number}.toml");
    let usual = copy.read("deployer.toml");
    let own = usual.replace("\"Dockerfile\"", &format!("\"{dockerfile}\""));
    assert_ne!(own, usual);
    copy.write(&config, &own);
    copy.write(&dockerfile, &copy.read("Dockerfile"));
    let surroundings = Surroundings::new(&copy).with("DEPLOYER_CONFIG", &config);
    let _clean_up = CleanUp(&surroundings);
    let lane = Lane::start(&copy, &surroundings, dockerfile).await;
    for round in rounds {
        lane.round(round, seed).await;
    }
    tokio::task::block_in_place(|| surroundings.deployer(&["down", "--local"])).succeeded();
    lane.proxy.met()
}

/// A copy of the project, an emulator, and a proxy in front of it.
struct Lane<'a> {
    copy: &'a Copy,
    /// Through the proxy.
    through: Surroundings,
    outside: Outside,
    proxy: Proxy,
    /// Its name.
    dockerfile: String,
}

impl<'a> Lane<'a> {
    async fn start(copy: &'a Copy, surroundings: &Surroundings, dockerfile: String) -> Self {
        // Leaves an emulator that runs and nothing in it.
        let proxy = Proxy::start(surroundings.port).await;
        let direct = surroundings
            .with("AWS_REGION", "us-east-1")
            .with("AWS_ACCESS_KEY_ID", "test")
            .with("AWS_SECRET_ACCESS_KEY", "test");
        tokio::task::block_in_place(|| {
            surroundings.deployer(&["up", "--local"]).succeeded();
            direct.deployer(&["down"]).succeeded();
        });
        let through = direct
            .with(
                "AWS_ENDPOINT_URL",
                &format!("http://127.0.0.1:{}", proxy.port),
            )
            .with("DEPLOYER_REGISTRY", &format!("localhost:{}", proxy.port))
            .with(
                "DEPLOYER_CONNECT_TO",
                &format!("127.0.0.1:{}", surroundings.port),
            );
        Self {
            copy,
            through,
            outside: Outside::new(surroundings),
            proxy,
            dockerfile,
        }
    }

    /// Up, changed, the same again, down.
    async fn round(&self, round: usize, seed: u64) {
        self.describe(&format!("{round} a"));
        self.command("up", round, seed).await;
        let first = self.assert_up().await;
        self.describe(&format!("{round} b"));
        self.command("up", round, seed.rotate_left(1)).await;
        let second = self.assert_up().await;
        assert_ne!(first, second, "the change did not arrive");
        if round < QUICK.len() {
            self.command("up", round, seed).await;
            assert_eq!(self.assert_up().await, second, "what did not change did");
        }
        self.command("down", round, seed.rotate_left(2)).await;
        assert_eq!(self.outside.stack_status().await, None);
        self.assert_containers(0).await;
    }

    /// Changes the image without compiling anything.
    fn describe(&self, what: &str) {
        let label = format!("LABEL chaos=\"{what}\"\nSTOPSIGNAL");
        let usual = self.copy.read("Dockerfile");
        let changed = usual.replace("STOPSIGNAL", &label);
        assert_ne!(changed, usual);
        self.copy.write(&self.dockerfile, &changed);
    }

    /// Runs a command through the proxy; it has to end well.
    async fn command(&self, name: &str, round: usize, seed: u64) {
        let plan = if round < QUICK.len() {
            // Few hang, and none in the first rounds: each costs half a minute.
            let hangs = round.checked_sub(4).map(|round| 4 * round + 2);
            Plan::each_once(round, hangs)
        } else {
            let number = u64::try_from(round).expect("a small number");
            Plan::random(PERCENT, seed.wrapping_add(number))
        };
        self.proxy.follow(plan);
        let began = Instant::now();
        let finished = tokio::task::block_in_place(|| self.through.deployer(&[name]));
        let seconds = began.elapsed().as_secs_f64();
        if !finished.is_success() {
            println!(
                "round {round}, `{name}` failed; the proxy saw\n{}",
                self.proxy.log()
            );
        }
        println!("round {round}, `{name}`: {seconds:.0} s");
        finished.succeeded();
    }

    /// The service is up; returns its version.
    async fn assert_up(&self) -> String {
        let status = self.outside.stack_status().await;
        let status = status.expect("there is a stack");
        assert!(
            matches!(status.as_str(), "UPDATE_COMPLETE" | "CREATE_COMPLETE"),
            "{status}"
        );
        self.assert_containers(2).await;
        self.outside.version().await
    }

    /// So many containers are there, as soon as the Docker engine has removed those that ended.
    async fn assert_containers(&self, count: usize) {
        let mut found = self.outside.containers().await;
        let began = Instant::now();
        while found.len() != count && began.elapsed() < REMOVED_WITHIN {
            tokio::time::sleep(Duration::from_millis(500)).await;
            found = self.outside.containers().await;
        }
        assert_eq!(found.len(), count, "{found:?}");
    }
}
