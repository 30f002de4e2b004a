//! Questions to the user at the terminal.

use std::io::IsTerminal as _;

/// Returns whether standard error is a terminal that can move its cursor.
pub(crate) fn is_capable_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    #[expect(clippy::disallowed_methods, reason = "reporters print")]
    let terminal = std::io::stderr().is_terminal();
    terminal && !dumb
}

/// Returns whether the user can read a question and answer it.
// Questions go to standard error, because standard output carries results.
pub(crate) fn is_interactive() -> bool {
    is_capable_terminal() && std::io::stdin().is_terminal()
}

/// Reads the answer to a question that was shown before. Anything but a yes counts as no.
pub(crate) fn read_agreement() -> bool {
    // A read error and the end of input count as no, too: an answer is never assumed.
    read_line().is_some_and(|answer| matches!(answer.as_str(), "y" | "Y" | "yes" | "Yes"))
}

/// Reads one line without its ends. Returns `None` at the end of input.
pub(crate) fn read_line() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_owned()),
    }
}
