//! Retry policies: limits of time and attempts for transient errors.

use std::time::Duration;

/// Time after which a call that is still retried deserves a warning.
const WORTH_A_WARNING: Duration = Duration::from_secs(10);

/// Retry policy: retries continue until both limits are reached, so that calls that hang are
/// retried, too.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryPolicy {
    time: Duration,
    attempts: u32,
}

impl RetryPolicy {
    /// Policy for calls that a deployment depends on.
    pub(super) const LONG: Self = Self {
        time: Duration::from_mins(3),
        attempts: 5,
    };
    /// Policy for the first call of a run. Nothing was started yet, and a wrong endpoint should be
    /// reported soon.
    pub(super) const FIRST: Self = Self {
        time: Duration::from_secs(20),
        attempts: 5,
    };
    /// Policy for optional information, such as log lines.
    pub(super) const SHORT: Self = Self {
        time: Duration::from_secs(5),
        attempts: 2,
    };

    /// Returns whether another attempt is allowed after `attempts` of them. `after` is the time
    /// from the first attempt to its start.
    pub(super) fn allows(self, attempts: u32, after: Duration) -> bool {
        attempts < self.attempts || after <= self.time
    }

    /// Returns whether the user should be told about the delay.
    pub(super) fn is_worth_a_warning(elapsed: Duration) -> bool {
        elapsed >= WORTH_A_WARNING
    }
}
