//! Questions to whoever sits at the terminal.

use std::io::IsTerminal as _;

/// Can standard error move its cursor?
pub(crate) fn is_capable_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let terminal = std::io::stderr().is_terminal();
    terminal && !dumb
}

/// Returns whether somebody can read a question and answer it.
pub(crate) fn is_interactive() -> bool {
    is_capable_terminal() && std::io::stdin().is_terminal()
}

/// Reads the answer to a question that was asked. Anything but a yes is a no.
pub(crate) fn read_agreement() -> bool {
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}
