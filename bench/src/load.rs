//! Benchmark of the service against raw hyper, axum and nginx: throughput, latency, processor time,
//! memory, start.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{Connection, free_port};
use crate::output::note;
use crate::process::{Error, Running};
use crate::report::Table;
use crate::servers::{Kind, Server, Serving};
use crate::setting::Setting;
use crate::stats::take_turns;
use crate::wrk;

pub(crate) const APP: &str = "app";
pub(crate) const HYPER: &str = "hyper";
pub(crate) const AXUM: &str = "axum";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const THROUGHPUT: &str = "requests/s";
pub(crate) const SLOWEST: &str = "p99";
pub(crate) const IDLE: &str = "memory, idle";
pub(crate) const START: &str = "start to first answer";

/// Connections that wrk keeps busy.
const CONNECTIONS: &str = "64";
/// Seconds of a round of one server.
const SECONDS: u64 = 2;
/// Rounds. Many short ones, because on a shared machine neighbouring ones differ by a tenth.
const ROUNDS: usize = 24;
/// Starts of each server.
const STARTS: usize = 20;
/// Maximum time to the first answer.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Returns all servers, ours first.
pub(crate) fn servers(app: &Path, hyper: &Path, axum: &Path, nginx: &Path) -> [Server; 4] {
    let program = |path: &Path| Kind::Program(path.to_owned());
    [
        (APP, program(app)),
        (HYPER, program(hyper)),
        (AXUM, program(axum)),
        (NGINX, Kind::Nginx(nginx.to_owned())),
    ]
    .map(|(name, kind)| Server { name, kind })
}

/// Measures load, start and memory.
pub(crate) fn measure(setting: &Setting, servers: &[Server]) -> Result<[Table; 2], Error> {
    let mut load = Table::new("App: under load", APP);
    let mut rest = Table::new("App: start and memory", APP);
    note("start to first answer");
    take_turns(setting.rounds(STARTS), servers, |server, counts| {
        let start = start(server)?.as_secs_f64() * 1e3;
        rest.add_if(counts, server.name, &[(START, "ms", start)]);
        Ok(())
    })?;
    let mut running = Vec::new();
    // All servers keep running between their turns, so that no round measures a start.
    for server in servers {
        let serving = server.start(setting.server_core)?;
        rest.add((IDLE, "MB"), server.name, serving.memory()? / 1e6);
        running.push((server.name, serving));
    }
    note("load");
    take_turns(
        setting.rounds(ROUNDS),
        &running,
        |(name, serving), counts| {
            let measured = one_round(setting, serving)?;
            rest.add_if(
                counts,
                name,
                &[("memory, loaded", "MB", serving.memory()? / 1e6)],
            );
            load.add_if(counts, name, &measured);
            Ok(())
        },
    )?;
    Ok([load.finish(), rest.finish()])
}

/// Returns the time from the call that starts a program to its first answer, without pinning.
fn start(server: &Server) -> Result<Duration, Error> {
    let port = free_port()?;
    let mut command = server.command(port, None)?;
    let started = Instant::now();
    let process = Running::start(&mut command)?;
    Connection::open(port, START_LIMIT)?.get("/now")?;
    let took = started.elapsed();
    // Ends the process outside the measured time.
    drop(process);
    Ok(took)
}

fn one_round(
    setting: &Setting,
    serving: &Serving,
) -> Result<[(&'static str, &'static str, f64); 5], Error> {
    let url = format!("http://127.0.0.1:{}/now", serving.port);
    let before = serving.times()?;
    let wrk = wrk::load(setting, CONNECTIONS, SECONDS, &url)?;
    let after = serving.times()?;
    // Processor time in user mode, and including the kernel's.
    let user = after.0 - before.0;
    let all = user + after.1 - before.1;
    Ok([
        (THROUGHPUT, "", wrk.throughput),
        ("p50", "µs", wrk.p50),
        (SLOWEST, "µs", wrk.p99),
        ("user time/request", "µs", user * 1e6 / wrk.requests),
        ("all time/request", "µs", all * 1e6 / wrk.requests),
    ])
}
