//! How long it takes to be told how to use it.

use std::time::Duration;

use crate::output::note;
use crate::process::{Error, command, run};
use crate::report::Table;
use crate::setting::Setting;
use crate::stats::order;

/// Longest time of one call.
const LIMIT: Duration = Duration::from_secs(20);

/// Measures ours and the two that the script calls.
pub(crate) fn measure(setting: &Setting) -> Result<Table, Error> {
    let deployer = setting.deployer.display().to_string();
    let contestants = [
        ("deployer --help", deployer.as_str(), "--help"),
        ("docker --help", "docker", "--help"),
        ("aws --version", "aws", "--version"),
    ];
    let rounds = setting.rounds(10);
    note(&format!("help, {rounds} rounds"));
    let mut table = Table::new("Help", contestants[0].0);
    for round in 0..=rounds {
        for index in order(contestants.len(), round) {
            let Some((name, program, argument)) = contestants.get(index) else {
                continue;
            };
            let mut called = command(program);
            crate::script::prepare(setting, 4566, &mut called);
            let took = run(called.arg(argument), LIMIT)?.took;
            if round > 0 {
                table.add(("time", "ms"), name, took.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(table.finish())
}
