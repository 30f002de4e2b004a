//! The service against raw hyper, axum and nginx: throughput and delay, processor time, memory, start.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{Connection, free_port};
use crate::output::note;
use crate::process::{Error, Running, command, run};
use crate::report::Table;
use crate::servers::{Kind, Server, Serving};
use crate::setting::Setting;
use crate::stats::order;

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
/// Rounds: many short ones, for on a shared machine single ones differ by a tenth from their neighbours.
const ROUNDS: usize = 24;
/// Starts of each server.
const STARTS: usize = 20;

/// All servers: the first is ours.
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

/// Measures all of it.
pub(crate) fn measure(setting: &Setting, servers: &[Server]) -> Result<[Table; 2], Error> {
    let mut load = Table::new("App: under load", APP);
    let mut rest = Table::new("App: start and memory", APP);
    starts(setting, servers, &mut rest)?;
    let mut running = Vec::new();
    for server in servers {
        let serving = server.start(setting.server_core)?;
        rest.add((IDLE, "MB"), server.name, serving.memory()? / 1e6);
        running.push((server.name, serving));
    }
    let rounds = setting.rounds(ROUNDS);
    for round in 0..=rounds {
        note(&format!("load, round {round} of {rounds}"));
        for index in order(running.len(), round) {
            let Some((name, serving)) = running.get(index) else {
                continue;
            };
            let measured = one_round(setting, serving)?;
            if round == 0 {
                continue;
            }
            load.add((THROUGHPUT, ""), name, measured.wrk.throughput);
            load.add(("p50", "µs"), name, measured.wrk.median);
            load.add((SLOWEST, "µs"), name, measured.wrk.slowest);
            load.add(("user time/request", "µs"), name, measured.user);
            load.add(("all time/request", "µs"), name, measured.all);
            rest.add(("memory, loaded", "MB"), name, measured.memory / 1e6);
        }
    }
    Ok([load.finish(), rest.finish()])
}

/// From the call that starts a program to its first answer, without pinning.
fn starts(setting: &Setting, servers: &[Server], table: &mut Table) -> Result<(), Error> {
    let rounds = setting.rounds(STARTS);
    note(&format!("start to first answer, {rounds} rounds"));
    for round in 0..=rounds {
        for index in order(servers.len(), round) {
            let Some(server) = servers.get(index) else {
                continue;
            };
            let port = free_port()?;
            let mut start = server.command(port, None)?;
            let started = Instant::now();
            let process = Running::start(&mut start)?;
            Connection::open(port, Duration::from_secs(20))?.get("/now")?;
            let took = started.elapsed();
            process.stop();
            if round > 0 {
                table.add((START, "ms"), server.name, took.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(())
}

/// A round of one server.
struct Measured {
    wrk: Wrk,
    /// Microseconds of processor time for each request: in the program, and with the kernel's share.
    user: f64,
    all: f64,
    /// Resident, bytes.
    memory: f64,
}

fn one_round(setting: &Setting, serving: &Serving) -> Result<Measured, Error> {
    let before = serving.times()?;
    let mut wrk = command("taskset");
    wrk.args(["--cpu-list", &setting.client_core.to_string(), "wrk"]);
    wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--latency"]);
    wrk.args(["--duration", &format!("{SECONDS}s")]);
    wrk.arg(format!("http://127.0.0.1:{}/now", serving.port));
    let said = run(&mut wrk, Duration::from_secs(SECONDS + 20))?.stdout;
    let memory = serving.memory()?;
    let after = serving.times()?;
    let wrk = Wrk::parse(&said)
        .ok_or_else(|| Error::Failed(format!("wrk says something else: {said}")))?;
    let user = after.0 - before.0;
    let all = user + after.1 - before.1;
    Ok(Measured {
        user: user * 1e6 / wrk.requests,
        all: all * 1e6 / wrk.requests,
        memory,
        wrk,
    })
}

/// What wrk says.
#[derive(Debug, PartialEq)]
struct Wrk {
    requests: f64,
    /// Requests a second.
    throughput: f64,
    /// Microseconds that half of the requests, and 99 of 100, do not exceed.
    median: f64,
    slowest: f64,
}

impl Wrk {
    /// Nothing where requests failed: a server that refuses is fast.
    fn parse(text: &str) -> Option<Self> {
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            return None;
        }
        let after = |label: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim().strip_prefix(label));
            line.map(str::trim)
        };
        let requests = text
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        Some(Self {
            requests: requests?.0.trim().parse().ok()?,
            throughput: after("Requests/sec:")?.parse().ok()?,
            median: microseconds(after("50%")?)?,
            slowest: microseconds(after("99%")?)?,
        })
    }
}

fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .into_iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Running 3s test @ http://127.0.0.1:8080/now
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.86ms  210.00us   3.02ms   75.00%
    Req/Sec    74.01k     2.00k   78.00k    66.67%
  Latency Distribution
     50%  812.00us
     75%    1.00ms
     90%    1.20ms
     99%    1.51ms
  221052 requests in 3.00s, 45.12MB read
Requests/sec:  73684.12
Transfer/sec:     15.04MB
";

    #[test]
    fn what_wrk_says() {
        let expected = Wrk {
            requests: 221_052.0,
            throughput: 73_684.12,
            median: 812.0,
            slowest: 1510.0,
        };
        assert_eq!(Wrk::parse(SAID), Some(expected));
    }

    #[test]
    fn failed_requests_are_no_result() {
        let failed = format!("{SAID}  Non-2xx or 3xx responses: 3\n");
        assert_eq!(Wrk::parse(&failed), None);
        assert_eq!(Wrk::parse(""), None);
    }
}
