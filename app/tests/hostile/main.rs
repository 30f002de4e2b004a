//! Clients that mean no good, all at once, and one that does: it is served throughout, within
//! bounded memory, by a program that goes on.
//!
//! `HOSTILE_SECONDS` is how long random bytes are sent: 5 unless it says otherwise, 300 with `make
//! hostile`.

mod attacks;
#[expect(dead_code, reason = "shared with the tests of the service")]
#[path = "../service/running.rs"]
mod running;
mod smuggling;
#[expect(dead_code, reason = "shared with the tests of the service")]
#[path = "../service/support.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attacks::Idle;
use running::Running;
use support::{Connection, within};
use tokio::task::JoinSet;

/// Connections that say nothing.
const IDLE: usize = 10_000;
/// Most memory that the program may need at any time, in KiB: a little, and for each connection no
/// more than its buffers.
const MEMORY: u64 = 32 * 1024 + 24 * (IDLE as u64 + 1_000);
/// The witness may wait for an answer as long as this, on a machine that has the attackers to run,
/// too.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

fn seconds() -> Duration {
    let seconds = std::env::var("HOSTILE_SECONDS");
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().expect("a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_throughout() {
    allow_many_descriptors();
    let running = Running::start(|_| {});
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    let stop = Arc::new(AtomicBool::new(false));
    let witness = tokio::spawn(witness(address, Arc::clone(&stop)));
    let memory = tokio::spawn(watch_memory(running.child.id(), Arc::clone(&stop)));

    let idle = Idle::open(address, IDLE).await;
    println!(
        "{IDLE} idle connections: {} KiB",
        resident(running.child.id())
    );
    let until = Instant::now() + seconds();
    let over = Arc::new(AtomicBool::new(false));
    let idle = tokio::spawn(idle.hold(Arc::clone(&over)));
    let mut attacks = JoinSet::new();
    attacks.spawn(attacks::slow_heads(address, 200, until));
    attacks.spawn(attacks::huge_heads(address, until));
    attacks.spawn(attacks::pipelines(address, until));
    attacks.spawn(attacks::never_read(address, 50, until));
    attacks.spawn(attacks::half_closed(address, until));
    attacks.spawn(attacks::reset(address, until));
    attacks.spawn(smuggling::repeatedly(address, until));
    let random = Arc::new(AtomicU64::new(0));
    for _ in 0..8 {
        attacks.spawn(attacks::random_bytes(address, until, Arc::clone(&random)));
    }
    while let Some(attack) = attacks.join_next().await {
        attack.expect("the attack went as it should");
    }
    // Those that were there before are no worse off.
    over.store(true, Ordering::Relaxed);
    idle.await.expect("they are held").ask().await;
    stop.store(true, Ordering::Relaxed);
    let (answers, longest) = witness.await.expect("the witness is served");
    let peak = memory.await.expect("memory can be read");
    println!(
        "{} messages of random bytes; {answers} answers to the witness, the slowest after {longest:?}; at most {peak} KiB",
        random.load(Ordering::Relaxed)
    );
    assert!(longest < SERVED_WITHIN, "{longest:?}");
    assert!(peak < MEMORY, "{peak} KiB");

    running.signal("TERM");
    let (status, _, stderr) = running.finish();
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(stderr, "", "nothing of this is worth a word");
}

/// Asks on a connection that is kept and on a new one, until it is told to stop. Gives how many
/// answers there were, and the longest wait for one.
async fn witness(address: SocketAddr, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let mut kept = Connection::open(address).await;
    let (mut answers, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        for is_new in [false, true] {
            let start = Instant::now();
            if is_new {
                ask(&mut Connection::open(address).await, answers).await;
            } else {
                ask(&mut kept, answers).await;
            }
            longest = longest.max(start.elapsed());
            answers += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (answers, longest)
}

async fn ask(connection: &mut Connection, number: u64) {
    let response = connection.get(&format!("/now?nonce={number}")).await;
    assert_eq!(response.status, 200);
    // Its own answer, and nobody else's.
    let nonce = format!(r#""nonce":"{number}""#);
    assert!(response.body.contains(&nonce), "{}", response.body);
}

/// The most memory that the process had, in KiB.
async fn watch_memory(process: u32, stop: Arc<AtomicBool>) -> u64 {
    let mut peak = 0;
    while !stop.load(Ordering::Relaxed) {
        peak = peak.max(resident(process));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    peak
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Of the program, too, which inherits it.
fn allow_many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = IDLE as u64 + 2_000;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most >= needed),
        "needs {needed} open files: raise the hard limit (ulimit -Hn)"
    );
    if limit.current.is_some_and(|current| current < needed) {
        let wanted = Rlimit {
            current: Some(needed),
            ..limit
        };
        setrlimit(Resource::Nofile, wanted).expect("it is below the hard limit");
    }
}

/// Reads until the other end closes, at most as long as others have patience. What came is
/// returned.
async fn everything(connection: Connection) -> Vec<u8> {
    within(connection.rest()).await
}
