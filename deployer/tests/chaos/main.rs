//! Deployments while the world falls apart: between the deployer and the emulator stands a proxy that throttles, fails, resets, cuts
//! and garbles what goes through it. Every command has to end well, and what it leaves has to be right, as seen from outside.
//!
//! `CHAOS_ROUNDS` is how many times everything is brought up, changed and deleted; `CHAOS_SEED` repeats a run. In the first
//! rounds each call goes wrong once a command, each time in a way that it has not met yet, until it has met all of them; in
//! the others one request in five goes wrong.

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
mod plan;
mod proxy;
mod request;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/run.rs"]
mod run;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use copy::Copy;
use fault::QUICK;
use outside::Outside;
use plan::{Ledger, Plan};
use proxy::Proxy;
use run::{CleanUp, Finished, Surroundings};

/// Of a hundred requests, those that go wrong in the random rounds.
const PERCENT: u64 = 20;
/// Rounds in which each call goes wrong once a command: enough of them for each call to meet each fault, a hang too.
const EACH_ONCE: usize = QUICK.len() + 3;
/// A project whose program ends at once, and what it is deployed with.
const FAULTY: [&str; 3] = [
    "up",
    "--config",
    "deployer/tests/end_to_end/faulty/deployer.toml",
];
const FAULTY_DOCKERFILE: &str = "deployer/tests/end_to_end/faulty/Dockerfile";
/// Emulators that are used at the same time: most of the time is spent waiting.
const LANES: usize = 4;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn deployments_survive() {
    let rounds = variable("CHAOS_ROUNDS").map_or(EACH_ONCE, |rounds| {
        usize::try_from(rounds).expect("a small number")
    });
    let seed = variable("CHAOS_SEED").unwrap_or_else(rand::random);
    println!("{rounds} rounds, CHAOS_SEED={seed}");
    let began = Instant::now();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let bench = Arc::new(Bench {
        // One for all: another folder would be compiled again.
        copy: Copy::of_the_project(),
        seed,
        // Each costs half a minute: there is time for them where there is time for everything.
        hangs: rounds >= EACH_ONCE,
        // A short run has both kinds of rounds, too.
        each_once: EACH_ONCE.min(rounds.div_ceil(2)),
        ledger: Arc::clone(&ledger),
    });
    let ends_at_once = bench.copy.read(FAULTY_DOCKERFILE);
    let ends_at_once = ends_at_once.replace("ENV FAULT=none", "ENV FAULT=exits");
    bench.copy.write(FAULTY_DOCKERFILE, &ends_at_once);
    let lanes = LANES.min(rounds);
    let running: Vec<_> = (0..lanes)
        .map(|lane| {
            let rounds = (lane..rounds).step_by(lanes).collect();
            tokio::spawn(run_lane(Arc::clone(&bench), lane, rounds))
        })
        .collect();
    let mut failed = false;
    for lane in running {
        // It said why.
        failed |= lane.await.is_err();
    }
    let ledger = ledger.lock().expect("unpoisoned");
    println!("{ledger}");
    println!(
        "{} requests on connections that were kept, {} of which went wrong",
        ledger.later, ledger.later_faults
    );
    println!("{rounds} rounds in {:.0} s", began.elapsed().as_secs_f64());
    assert!(!failed, "not every round went well; CHAOS_SEED={seed}");
    assert_eq!(ledger.gaps(rounds >= EACH_ONCE), Vec::<String>::new());
    assert!(ledger.later_faults > 0, "no connection was ever kept");
}

/// What all lanes share.
struct Bench {
    copy: Copy,
    seed: u64,
    /// May requests hang?
    hangs: bool,
    /// So many rounds are those in which each call goes wrong once.
    each_once: usize,
    ledger: Arc<Mutex<Ledger>>,
}

/// Runs these rounds one after the other, at an emulator of their own.
async fn run_lane(bench: Arc<Bench>, number: usize, rounds: Vec<usize>) {
    let copy = &bench.copy;
    let dockerfile = format!("Dockerfile.{number}");
    let config = format!("deployer-{number}.toml");
    let usual = copy.read("deployer.toml");
    let own = usual.replace("\"Dockerfile\"", &format!("\"{dockerfile}\""));
    assert_ne!(own, usual);
    copy.write(&config, &own);
    let baking = format!("deployer-{number}-baking.toml");
    let bakes = "\n[deployment]\nstrategy = \"blue-green\"\nbake_minutes = 10\n";
    copy.write(&baking, &(own + bakes));
    copy.write(&dockerfile, &copy.read("Dockerfile"));
    let surroundings = Surroundings::new(copy).with("DEPLOYER_CONFIG", &config);
    let _clean_up = CleanUp(&surroundings);
    let lane = Lane::start(&bench, &surroundings, dockerfile, baking).await;
    for round in rounds {
        lane.round(round).await;
    }
    tokio::task::block_in_place(|| surroundings.deployer(&["down", "--local"])).succeeded();
    assert_eq!(lane.outside.containers().await, Vec::<String>::new());
}

/// Whether new versions pass a gate in this round: in every other one.
const fn is_gated(round: usize) -> bool {
    round % 2 == 1
}

/// Options of `up` in this round.
const fn strategy(round: usize) -> &'static [&'static str] {
    if is_gated(round) {
        &["--strategy", "blue-green"]
    } else {
        &[]
    }
}

/// An emulator, and a proxy in front of it.
struct Lane<'a> {
    bench: &'a Bench,
    /// Through the proxy.
    through: Surroundings,
    outside: Outside,
    proxy: Proxy,
    /// Its name.
    dockerfile: String,
    /// Settings with a bake time that no round waits for.
    baking: String,
}

impl<'a> Lane<'a> {
    async fn start(
        bench: &'a Bench,
        surroundings: &Surroundings,
        dockerfile: String,
        baking: String,
    ) -> Self {
        // Leaves an emulator that runs and nothing in it.
        let proxy = Proxy::start(surroundings.port, Arc::clone(&bench.ledger)).await;
        let direct = surroundings.with_credentials();
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
            bench,
            through,
            outside: Outside::new(surroundings),
            proxy,
            dockerfile,
            baking,
        }
    }

    /// Up, changed, the same again, taken back, a version that fails, down.
    async fn round(&self, round: usize) {
        let seed = self.bench.seed;
        self.describe(&format!("{round} a"));
        self.command("up", round, seed).await;
        let first = self.assert_up().await;
        self.describe(&format!("{round} b"));
        if is_gated(round) {
            // A person decides, in a run of their own.
            let held = [&["up", "--hold"], strategy(round)].concat();
            let held = self.run(&held, round, seed.rotate_left(1)).await;
            assert_eq!(held.code, Some(10), "{}", held.stderr);
            self.command("continue", round, seed.rotate_left(4)).await;
        } else {
            self.command("up", round, seed.rotate_left(1)).await;
        }
        let second = self.assert_up().await;
        assert_ne!(first, second, "the change did not arrive");
        if round < self.bench.each_once {
            self.command("up", round, seed).await;
            assert_eq!(self.assert_up().await, second, "what did not change did");
        }
        if is_gated(round) {
            // Rare otherwise: this call has to meet each fault, too.
            let times = if round < self.bench.each_once { 2 } else { 1 };
            for time in 0..times {
                self.describe(&format!("{round} c{time}"));
                self.take_back(round, seed.rotate_left(5 + time), &second)
                    .await;
            }
        }
        if round / LANES % 3 == 0 {
            // At the gate, CloudFormation itself restores what was there.
            let words = if is_gated(round) {
                "restored"
            } else {
                "is restored and answers"
            };
            let faulty = [&FAULTY[..], strategy(round)].concat();
            self.run(&faulty, round, seed.rotate_left(3))
                .await
                .failed_with(4, &[words]);
            // Those that ended are kept for a while, as evidence.
            self.outside.wait_for_running_containers(2).await;
            let serving = self.outside.version().await;
            assert_eq!(serving, second, "the old version is gone");
        }
        self.command("down", round, seed.rotate_left(2)).await;
        assert_eq!(self.outside.stack_status().await, None);
        // Those that ended by themselves go with the emulator.
        self.outside.wait_for_running_containers(0).await;
    }

    /// Deploys a version and takes it back while it bakes, from another run.
    async fn take_back(&self, round: usize, seed: u64, serving: &str) {
        self.follow(round, seed);
        let up = ["up", "--config", &self.baking];
        let baking = tokio::task::block_in_place(|| {
            let up = self.through.start(&up);
            up.wait_for("gate: passed");
            up
        });
        while !self
            .outside
            .versions()
            .await
            .iter()
            .all(|version| version != serving)
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let back = ["rollback", "--config", &self.baking];
        self.run(&back, round, seed).await.succeeded();
        tokio::task::block_in_place(|| baking.finish()).failed_with(4, &["restored"]);
        self.outside.wait_for_running_containers(2).await;
        assert_eq!(self.outside.version().await, serving, "it was not restored");
    }

    /// Changes the image without compiling anything.
    fn describe(&self, what: &str) {
        let label = format!("LABEL chaos=\"{what}\"\nSTOPSIGNAL");
        let usual = self.bench.copy.read("Dockerfile");
        let changed = usual.replace("STOPSIGNAL", &label);
        assert_ne!(changed, usual);
        self.bench.copy.write(&self.dockerfile, &changed);
    }

    /// Runs a command through the proxy; it has to end well.
    async fn command(&self, name: &str, round: usize, seed: u64) {
        let more = if name == "up" { strategy(round) } else { &[] };
        let arguments = [&[name], more].concat();
        let finished = self.run(&arguments, round, seed).await;
        if !finished.is_success() {
            println!(
                "round {round}, `{name}` failed; the proxy saw\n{}",
                self.proxy.log()
            );
        }
        finished.succeeded();
    }

    /// Decides what happens to the next requests.
    fn follow(&self, round: usize, seed: u64) {
        let plan = if round < self.bench.each_once {
            Plan::each_once(self.bench.hangs)
        } else {
            let number = u64::try_from(round).expect("a small number");
            Plan::random(PERCENT, seed.wrapping_add(number))
        };
        self.proxy.follow(plan);
    }

    /// Runs a command through the proxy.
    async fn run(&self, arguments: &[&str], round: usize, seed: u64) -> Finished {
        self.follow(round, seed);
        let began = Instant::now();
        let finished = tokio::task::block_in_place(|| self.through.deployer(arguments));
        let seconds = began.elapsed().as_secs_f64();
        println!("round {round}, `{}`: {seconds:.0} s", arguments[0]);
        finished
    }

    /// The service is up; returns its version.
    async fn assert_up(&self) -> String {
        let status = self.outside.stack_status().await;
        let status = status.expect("there is a stack");
        assert!(
            matches!(status.as_str(), "UPDATE_COMPLETE" | "CREATE_COMPLETE"),
            "{status}"
        );
        self.outside.wait_for_running_containers(2).await;
        self.outside.version().await
    }
}
