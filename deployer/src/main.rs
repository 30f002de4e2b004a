//! Deploys, updates, checks and deletes: see `deployer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    deployer::run()
}
