//! Entry point of the `deployer` program: see `deployer --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    deployer::run()
}
