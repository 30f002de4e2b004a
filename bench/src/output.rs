//! What this program says: the report on standard output, and where it is on standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the only file that prints"
)]

/// Where the benchmark is, or what is odd.
pub(crate) fn note(text: &str) {
    eprintln!("bench: {text}");
}

/// Why there is no report.
pub(crate) fn error(text: &str) {
    eprintln!("bench: error: {text}");
}

/// The result.
pub(crate) fn result(text: &str) {
    print!("{text}");
}
