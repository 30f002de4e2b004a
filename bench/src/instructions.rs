//! Instructions of the program itself per request, counted by callgrind. Hardly affected by noise.

use std::path::Path;
use std::time::Duration;

use crate::http::{Connection, free_port};
use crate::output::note;
use crate::process::{Error, Running, command};
use crate::report::Table;
use crate::servers::{Kind, Server};
use crate::setting::Setting;

pub(crate) const EACH: &str = "instructions/request";

/// Requests of the two runs. Their difference excludes the start and end of the process.
const FEW: u32 = 200;
const MANY: u32 = 1200;
/// Time limit of the start: callgrind slows everything down fifty times.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Counts the instructions of every server that is one process.
pub(crate) fn measure(setting: &Setting, servers: &[Server]) -> Result<Table, Error> {
    let baseline = servers.first().map_or("", |server| server.name);
    let mut table = Table::new("App: instructions in the program", baseline);
    for server in servers {
        let Kind::Program(path) = &server.kind else {
            continue;
        };
        note(&format!("instructions of {}", server.name));
        let few = count(setting, path, FEW)?;
        let many = count(setting, path, MANY)?;
        let each = (many - few) / f64::from(MANY - FEW);
        table.add((EACH, ""), server.name, each);
    }
    Ok(table.finish())
}

/// Counts the instructions of a run with this many requests on one connection, from start to end.
fn count(setting: &Setting, program: &Path, requests: u32) -> Result<f64, Error> {
    let file = setting.scratch().join("callgrind.out");
    let port = free_port()?;
    let mut valgrind = command("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(program).env("PORT", port.to_string());
    let process = Running::start(&mut valgrind)?;
    let mut connection = Connection::open(port, START_LIMIT)?;
    for _ in 0..requests {
        connection.get("/now")?;
    }
    // callgrind writes the count when the process ends.
    drop(process);
    let counts = std::fs::read_to_string(&file).map_err(Error::at(file.display()))?;
    total(&counts)
        .ok_or_else(|| Error::Failed("callgrind has written no count of instructions".to_owned()))
}

/// Parses the total in callgrind's file.
fn total(counts: &str) -> Option<f64> {
    let line = |label: &str| counts.lines().find_map(|line| line.strip_prefix(label));
    let total = line("totals:").or_else(|| line("summary:"))?;
    total.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn totals_are_read() {
        assert_eq!(
            total("events: Ir\nfn=(1)\n1 2\ntotals: 12345\n"),
            Some(12345.0)
        );
        assert_eq!(total("summary: 77 1\n"), Some(77.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
