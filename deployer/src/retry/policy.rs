//! How long a call that fails in passing is repeated.

use std::time::Duration;

/// A call that takes longer than this is worth a warning.
const WORTH_A_WARNING: Duration = Duration::from_secs(10);

/// How long a call is repeated: until both are over, so that calls that hang are repeated too.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryPolicy {
    time: Duration,
    attempts: u32,
}

impl RetryPolicy {
    /// For what a deployment cannot go on without.
    pub(super) const LONG: Self = Self {
        time: Duration::from_mins(3),
        attempts: 5,
    };
    /// For the first call of all: nothing was started yet, and a wrong address should be told soon.
    pub(super) const FIRST: Self = Self {
        time: Duration::from_secs(20),
        attempts: 5,
    };
    /// For what can be done without, such as log lines.
    pub(super) const SHORT: Self = Self {
        time: Duration::from_secs(5),
        attempts: 2,
    };

    /// May there be another attempt after this many, if it begins this long after the first?
    pub(super) fn allows(self, attempts: u32, after: Duration) -> bool {
        attempts < self.attempts || after <= self.time
    }

    /// Does it take so long that people should know why?
    pub(super) fn is_worth_a_warning(elapsed: Duration) -> bool {
        elapsed >= WORTH_A_WARNING
    }
}
