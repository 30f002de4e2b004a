//! Benchmark of the checker: the cost of a probe compared with Prometheus' blackbox exporter and a
//! plain loop, and a thousand targets on one core.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::http::{Connection, free_port};
use crate::output::note;
use crate::process::{Error, Running, command, pinned, run};
use crate::report::Table;
use crate::servers::{Kind, Server, read, resident, times};
use crate::setting::Setting;
use crate::stats::take_turns;
use crate::wrk;

pub(crate) const CHECKER: &str = "checker";
pub(crate) const REQWEST: &str = "reqwest loop";
pub(crate) const BLACKBOX: &str = "blackbox_exporter";
pub(crate) const PROBES: &str = "probes/s of one core";
pub(crate) const ERROR: &str = "error, p99";
pub(crate) const MEMORY: &str = "memory";

/// Number of concurrent connections.
const CONNECTIONS: &str = "8";
/// Seconds of a round of one contestant.
const SECONDS: u64 = 2;
const ROUNDS: usize = 8;
const TARGETS: usize = 1_000;
const INTERVAL: Duration = Duration::from_secs(30);
/// Number of checks of each target.
const CHECKS: u64 = 3;

/// Programs that are compiled for this part.
pub(crate) struct Programs {
    pub(crate) checker: PathBuf,
    pub(crate) probe: PathBuf,
    pub(crate) reqwest: PathBuf,
}

/// Measures probes and targets.
pub(crate) fn measure(
    setting: &Setting,
    app: &Path,
    programs: &Programs,
) -> Result<[Table; 2], Error> {
    let service = Server {
        name: "app",
        kind: Kind::Program(app.to_owned()),
    };
    let service = service.start(setting.client_core)?;
    let url = format!("http://127.0.0.1:{}/now", service.port);
    Ok([
        probes(setting, &url, programs)?,
        targets(setting, &url, programs)?,
    ])
}

fn probes(setting: &Setting, url: &str, programs: &Programs) -> Result<Table, Error> {
    let blackbox = Blackbox::start(setting)?;
    let mut table = Table::new("Checker: probes", CHECKER);
    note("probes");
    let contestants = [
        (CHECKER, Some(&programs.probe)),
        (REQWEST, Some(&programs.reqwest)),
        (BLACKBOX, None),
    ];
    take_turns(
        setting.rounds(ROUNDS),
        &contestants,
        |(name, program), counts| {
            let (count, seconds) = match program {
                Some(program) => looped(setting, program, url)?,
                None => blackbox.probe(setting, url)?,
            };
            table.add_if(counts, name, &[(PROBES, "", count / seconds)]);
            Ok(())
        },
    )?;
    Ok(table.finish())
}

/// Returns the number of answers, and the seconds of processor time for them.
fn looped(setting: &Setting, program: &Path, url: &str) -> Result<(f64, f64), Error> {
    let mut pinned = pinned(setting.server_core, program);
    pinned.args([url, &SECONDS.to_string(), CONNECTIONS]);
    let output = run(&mut pinned, Duration::from_mins(1))?.stdout;
    let mut numbers = output.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(count)), Some(Ok(seconds))) if seconds > 0.0 => Ok((count, seconds)),
        _ => Err(unexpected(program.display(), &output)),
    }
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

    fn probe(&self, setting: &Setting, url: &str) -> Result<(f64, f64), Error> {
        let path = format!("/probe?module=http&target={url}");
        let output = Connection::open(self.port, Duration::from_secs(20))?.get(&path)?;
        // Checked once before the load, because wrk only sees status 200 for failed probes, too.
        if !output.contains("probe_success 1") {
            return Err(unexpected(BLACKBOX, &output));
        }
        let before = self.processor_time()?;
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let wrk = wrk::load(setting, CONNECTIONS, SECONDS, &url)?;
        Ok((wrk.requests, self.processor_time()? - before))
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

/// Measures a thousand targets. All are one service on this machine, whose clock is ours, so that
/// every offset is an error.
fn targets(setting: &Setting, url: &str, programs: &Programs) -> Result<Table, Error> {
    let seconds = INTERVAL.as_secs();
    note(&format!(
        "{TARGETS} targets every {seconds} s, {CHECKS} checks of each"
    ));
    let mut text = format!("interval = \"{seconds}s\"\n");
    for number in 0..TARGETS {
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
    pinned.arg(&programs.checker).arg("--config").arg(&file);
    pinned.args(["--output", "json", "--count", &CHECKS.to_string()]);
    pinned.env("OUTPUT", &output);
    let mut process = Running::start(&mut pinned)?;
    let (mut memory, mut spent) = (0.0_f64, 0.0_f64);
    while !process.has_ended() {
        crate::process::check()?;
        std::thread::sleep(Duration::from_millis(200));
        let of = |what: &str| read(&format!("/proc/{}/{what}", process.id()));
        // The process may have ended since the check above.
        if let (Ok(status), Ok(stat)) = (of("status"), of("stat")) {
            memory = memory.max(resident(&status));
            let (user, system) = times(&stat);
            spent = spent.max(user + system);
        }
    }
    let lines = std::fs::read_to_string(&output).map_err(Error::at(output.display()))?;
    let (mut errors, mut lateness) = (Vec::new(), Vec::new());
    for line in lines.lines() {
        let line: Line =
            serde_json::from_str(line).map_err(|error| unexpected(CHECKER, &error.to_string()))?;
        if line.event != "check" {
            continue;
        }
        if line.verdict != "ok" {
            return Err(Error::Failed(format!(
                "a check has the verdict {}",
                line.verdict
            )));
        }
        errors.extend(
            line.instances
                .iter()
                .filter_map(|one| one.offset_ms)
                .map(f64::abs),
        );
        lateness.extend(line.late_ms.as_f64());
    }
    // Missing checks would make the percentiles look better than they are.
    let expected = TARGETS * usize::try_from(CHECKS).unwrap_or_default();
    if errors.len() != expected {
        return Err(Error::Failed(format!(
            "{} of {expected} checks",
            errors.len()
        )));
    }
    let mut table = Table::new("Checker: a thousand targets on one core", CHECKER);
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let whole = (seconds * CHECKS) as f64;
    for (quantity, unit, value) in [
        ("error, median", "ms", percentile(&mut errors, 50)),
        (ERROR, "ms", percentile(&mut errors, 99)),
        ("late, p99", "ms", percentile(&mut lateness, 99)),
        (MEMORY, "MB", memory / 1e6),
        ("of the core", "%", spent / whole * 100.0),
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
