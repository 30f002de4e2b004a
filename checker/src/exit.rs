//! Exit codes by the convention of monitoring plugins. The usual codes (2 for a usage error, 101
//! for a panic) mean something else here, so every exit uses this type.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::series::State;

/// Exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success: up, and every clock right.
    Ok,
    /// Warning: up and right, but with a warning.
    Warning,
    /// Critical: down, or a clock that is off.
    Critical,
    /// Unknown: undecided, wrong usage, or an internal error.
    Unknown,
}

impl Exit {
    const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Critical, Self::Unknown];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

impl From<State> for Exit {
    fn from(state: State) -> Self {
        match state {
            State::Ok => Self::Ok,
            State::Warning => Self::Warning,
            // Both are proven faults of the service, unlike an unknown state.
            State::Down | State::Skewed => Self::Critical,
            State::Unknown => Self::Unknown,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// State after the last check, for signals that end the program during the next one.
#[derive(Debug)]
pub(crate) struct LastState(AtomicU8);

impl Default for LastState {
    fn default() -> Self {
        // A signal before the first check exits with this code, because nothing is known yet.
        Self(AtomicU8::new(Exit::Unknown.code()))
    }
}

impl LastState {
    pub(crate) fn set(&self, exit: Exit) {
        // Relaxed, because no other memory is published through the code.
        self.0.store(exit.code(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Exit {
        let code = self.0.load(Ordering::Relaxed);
        Exit::ALL
            .into_iter()
            .find(|exit| exit.code() == code)
            .unwrap_or(Exit::Unknown)
    }
}

/// Exits immediately, whatever other threads are doing.
#[expect(
    clippy::exit,
    reason = "a second signal and a panic must end the program even when its main task is stuck"
)]
pub(crate) fn now(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}

/// Panics if a test demands it through a variable. No input makes the program panic.
#[cfg(debug_assertions)]
pub(crate) fn panic_if_told_to() {
    assert!(
        std::env::var_os("CHECKER_TEST_PANIC").is_none(),
        "on purpose"
    );
}

#[cfg(not(debug_assertions))]
pub(crate) fn panic_if_told_to() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_state_is_unknown_at_first() {
        let last = LastState::default();
        assert_eq!(last.get(), Exit::Unknown);
        for exit in Exit::ALL {
            last.set(exit);
            assert_eq!(last.get(), exit);
        }
    }

    #[test]
    #[ignore = "ends the process: for the test below, in a process of its own"]
    fn panics() {
        crate::output::on_panic();
        panic!("on purpose");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "an exit code can only be seen from outside"
    )]
    fn a_panic_is_unknown_and_one_line() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "exit::tests::panics"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("internal error at "), "{stderr}");
        assert!(
            stderr.contains(": on purpose (a bug: report this line"),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
