//! Output: the report on standard output, progress and errors on standard error.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the only file that prints"
)]

/// Prints progress or a note.
pub(crate) fn note(text: &str) {
    eprintln!("acceptance: {text}");
}

/// Prints the reason why something failed, and what to do.
pub(crate) fn error(text: &str) {
    eprintln!("acceptance: error: {text}");
}

/// Prints the result.
pub(crate) fn result(text: &str) {
    print!("{text}");
}
