//! The `checker` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    checker::program::main()
}
