//! Benchmark of the checker: whole checks compared with probes of Prometheus' blackbox exporter, and
//! a thousand targets on one core.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::http::{Connection, free_port};
use crate::output::note;
use crate::process::{Error, Running, command, pinned};
use crate::report::Table;
use crate::servers::{Kind, Server, children_times, read, resident, times};
use crate::setting::Setting;
use crate::stats::take_turns;
use crate::wrk;

pub(crate) const CHECKER: &str = "checker";
pub(crate) const HTTP: &str = "checker --kind http";
pub(crate) const BLACKBOX: &str = "blackbox_exporter";
pub(crate) const WHOLE: &str = "whole checks/s of one core";
pub(crate) const ERROR: &str = "error, p99";
pub(crate) const MEMORY: &str = "memory";

/// Number of concurrent connections to the exporter.
const CONNECTIONS: &str = "8";
/// Seconds of a round of the exporter.
const SECONDS: u64 = 2;
const ROUNDS: usize = 8;

/// Series of checks of one service by many names.
struct Series {
    kind: &'static str,
    targets: u32,
    interval: Duration,
    /// Number of checks of each target.
    checks: u32,
}

/// Load of about half a core, so that checks are neither rare nor queued.
const fn busy(kind: &'static str) -> Series {
    Series {
        kind,
        targets: 600,
        interval: Duration::from_millis(100),
        checks: 40,
    }
}

const THOUSAND: Series = Series {
    kind: "clock",
    targets: 1_000,
    interval: Duration::from_secs(30),
    checks: 3,
};

/// Measures whole checks and many targets.
pub(crate) fn measure(setting: &Setting, app: &Path, checker: &Path) -> Result<[Table; 2], Error> {
    let service = Server {
        name: "app",
        kind: Kind::Program(app.to_owned()),
    };
    let service = service.start(setting.client_core)?;
    let url = format!("http://127.0.0.1:{}/now", service.port);
    Ok([
        whole_checks(setting, &url, checker)?,
        targets(setting, &url, checker)?,
    ])
}

fn whole_checks(setting: &Setting, url: &str, checker: &Path) -> Result<Table, Error> {
    let blackbox = Blackbox::start(setting)?;
    let mut table = Table::new("Checker: whole checks", CHECKER);
    note("whole checks");
    let contestants = [
        (CHECKER, Some(busy("clock"))),
        (HTTP, Some(busy("http"))),
        (BLACKBOX, None),
    ];
    take_turns(
        setting.rounds(ROUNDS),
        &contestants,
        |(name, series), counts| {
            let rate = match series {
                Some(series) => {
                    let done = series.run(setting, url, checker)?;
                    f64::from(series.targets * series.checks) / done.spent
                }
                None => blackbox.probe(setting, url)?,
            };
            table.add_if(counts, name, &[(WHOLE, "", rate)]);
            Ok(())
        },
    )?;
    Ok(table.finish())
}

fn unexpected(program: impl Display, output: &str) -> Error {
    Error::Failed(format!("unexpected output of {program}: {output}"))
}

/// Prometheus blackbox exporter, pinned to a core.
struct Blackbox {
    process: Running,
    port: u16,
}

impl Blackbox {
    fn start(setting: &Setting) -> Result<Self, Error> {
        let port = free_port()?;
        let file = setting.scratch().join("blackbox.yml");
        let modules =
            "modules: {http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n";
        std::fs::write(&file, modules).map_err(Error::at(file.display()))?;
        let mut pinned = pinned(setting.server_core, "prometheus-blackbox-exporter");
        pinned.arg(format!("--config.file={}", file.display()));
        pinned.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        // No log line per probe, because writing it would count as the exporter's work.
        pinned.arg("--log.level=error").env("GOMAXPROCS", "1");
        let process = Running::start(&mut pinned)?;
        Ok(Self { process, port })
    }

    /// Returns the number of probes per second of processor time.
    fn probe(&self, setting: &Setting, url: &str) -> Result<f64, Error> {
        let path = format!("/probe?module=http&target={url}");
        let output = Connection::open(self.port, Duration::from_secs(20))?.get(&path)?;
        // Checked once before the load, because wrk only sees status 200 for failed probes, too.
        if !output.contains("probe_success 1") {
            return Err(unexpected(BLACKBOX, &output));
        }
        let before = self.processor_time()?;
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let wrk = wrk::load(setting, CONNECTIONS, SECONDS, &url)?;
        Ok(wrk.requests / (self.processor_time()? - before))
    }

    fn processor_time(&self) -> Result<f64, Error> {
        let (user, system) = times(&read(&format!("/proc/{}/stat", self.process.id()))?);
        Ok(user + system)
    }
}

/// Line of the checker's output.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    instances: Vec<Instance>,
    #[serde(default)]
    late_ms: serde_json::Value,
}

#[derive(Deserialize)]
struct Instance {
    offset_ms: Option<f64>,
}

/// Outcome of a series.
struct Done {
    checks: Vec<Line>,
    /// Seconds of processor time of the whole run, its start included.
    spent: f64,
    /// Peak, bytes.
    memory: f64,
}

impl Series {
    /// Runs the checker. Fails unless each check is there and OK.
    fn run(&self, setting: &Setting, url: &str, checker: &Path) -> Result<Done, Error> {
        let milliseconds = self.interval.as_millis();
        let mut text = format!("interval = \"{milliseconds}ms\"\n");
        for number in 0..self.targets {
            let _ = writeln!(text, "[[target]]\nurl = \"{url}?target={number}\"");
        }
        let folder = setting.scratch();
        let (file, output) = (folder.join("targets.toml"), folder.join("checks.jsonl"));
        std::fs::write(&file, text).map_err(Error::at(file.display()))?;
        let mut pinned = command("sh");
        // Output goes to a file, because nothing reads that of a background program.
        pinned.args([
            "-c",
            r#"exec "$@" >"$OUTPUT""#,
            "sh",
            "taskset",
            "--cpu-list",
        ]);
        pinned.arg(setting.server_core.to_string());
        pinned.arg(checker).arg("--config").arg(&file);
        pinned.args(["--kind", self.kind, "--output", "json"]);
        pinned.args(["--count", &self.checks.to_string()]);
        pinned.env("OUTPUT", &output);
        let before = children_times()?;
        let mut process = Running::start(&mut pinned)?;
        let mut memory = 0.0_f64;
        while !process.has_ended() {
            crate::process::check()?;
            std::thread::sleep(Duration::from_millis(20));
            // The process may have ended since the check above.
            if let Ok(status) = read(&format!("/proc/{}/status", process.id())) {
                memory = memory.max(resident(&status));
            }
        }
        let spent = children_times()? - before;
        let text = std::fs::read_to_string(&output).map_err(Error::at(output.display()))?;
        let lines = text.lines().map(serde_json::from_str);
        let lines: Vec<Line> = lines
            .collect::<Result<_, _>>()
            .map_err(|error| unexpected(CHECKER, &error.to_string()))?;
        let checks: Vec<Line> = lines.into_iter().filter(|it| it.event == "check").collect();
        // Missing and failed checks would make the figures look better than they are.
        let expected = usize::try_from(self.targets * self.checks).unwrap_or(usize::MAX);
        let good = checks.iter().filter(|it| it.verdict == "ok").count();
        if good != expected || checks.len() != expected {
            return Err(Error::Failed(format!(
                "{good} of {} checks are OK, not {expected}",
                checks.len()
            )));
        }
        Ok(Done {
            checks,
            spent,
            memory,
        })
    }
}

/// Measures a thousand targets. All are one service on this machine, whose clock is ours, so that
/// every offset is an error.
fn targets(setting: &Setting, url: &str, checker: &Path) -> Result<Table, Error> {
    let series = THOUSAND;
    note(&format!(
        "{} targets every {} s, {} checks of each",
        series.targets,
        series.interval.as_secs(),
        series.checks
    ));
    let done = series.run(setting, url, checker)?;
    let instances = done.checks.iter().flat_map(|it| &it.instances);
    let mut errors: Vec<f64> = instances
        .filter_map(|one| one.offset_ms.map(f64::abs))
        .collect();
    let lateness = done.checks.iter().filter_map(|it| it.late_ms.as_f64());
    let mut lateness: Vec<f64> = lateness.collect();
    if errors.len() != done.checks.len() {
        return Err(Error::Failed(format!(
            "{} of {} checks measured an offset",
            errors.len(),
            done.checks.len()
        )));
    }
    let mut table = Table::new("Checker: a thousand targets on one core", CHECKER);
    let whole = series.interval.as_secs_f64() * f64::from(series.checks);
    for (quantity, unit, value) in [
        ("error, median", "ms", percentile(&mut errors, 50)),
        (ERROR, "ms", percentile(&mut errors, 99)),
        ("late, p99", "ms", percentile(&mut lateness, 99)),
        (MEMORY, "MB", done.memory / 1e6),
        ("of the core", "%", done.spent / whole * 100.0),
    ] {
        table.add((quantity, unit), CHECKER, value);
    }
    Ok(table.finish())
}

/// Returns the percentile by nearest rank.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 99).to_bits(), 198.0_f64.to_bits());
        assert_eq!(percentile(&mut values, 50).to_bits(), 100.0_f64.to_bits());
        assert_eq!(percentile(&mut [], 50).to_bits(), 0.0_f64.to_bits());
    }
}
