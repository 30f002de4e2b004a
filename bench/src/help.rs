//! Time that programs take to print their usage.

use std::time::Duration;

use crate::output::note;
use crate::process::{Error, command, run};
use crate::report::Table;
use crate::script::prepare;
use crate::setting::Setting;
use crate::stats::take_turns;

/// Maximum time of one call.
const LIMIT: Duration = Duration::from_secs(20);

/// Measures the deployer and the two programs that the script calls.
pub(crate) fn measure(setting: &Setting) -> Result<Table, Error> {
    let deployer = setting.deployer.display().to_string();
    let contestants = [
        ("deployer --help", deployer.as_str(), "--help"),
        ("docker --help", "docker", "--help"),
        ("aws --version", "aws", "--version"),
    ];
    note("help");
    let mut table = Table::new("Help", contestants[0].0);
    take_turns(
        setting.rounds(10),
        &contestants,
        |(name, program, argument), counts| {
            let mut called = command(program);
            prepare(setting, 4566, &mut called);
            let took = run(called.arg(argument), LIMIT)?.took;
            table.add_if(counts, name, &[("time", "ms", took.as_secs_f64() * 1e3)]);
            Ok(())
        },
    )?;
    Ok(table.finish())
}
