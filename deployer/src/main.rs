//! Deploys, updates, checks and takes down: see `deployer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    deployer::run()
}
