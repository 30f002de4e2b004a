//! Failures of a command: the kind decides the exit code, the hints say what to do next.

use std::fmt;

use serde::Serialize;

/// Kind of a failure. The only place where exit codes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An internal error, or one that no other kind describes.
    Unexpected,
    /// The command line is wrong.
    Usage,
    /// Configuration, credentials, tools or the program are not ready to deploy; this run changed
    /// nothing.
    Preflight,
    /// The deployment failed, and the previous version (if any) is restored.
    RolledBack,
    /// The stack is in a status that a person has to resolve.
    Stuck,
    /// The deployed version does not answer as expected.
    CheckFailed,
    /// Another operation is in progress on the stack.
    Busy,
    /// The version is healthy by the load balancer's health checks, but unreachable from here; it
    /// stays.
    Unproven,
    /// The new version waits at the gate for a decision. Not a failure: [`Event::Held`] tells it.
    ///
    /// [`Event::Held`]: crate::event::Event::Held
    Held,
    /// Ctrl-C, SIGTERM, or a terminal that was closed (SIGHUP).
    Interrupted,
}

impl FailureKind {
    /// Returns the exit code, as documented in `deployer --help`.
    pub const fn exit_code(self) -> u8 {
        // 8 is the code of `plan --exit-code` for pending changes; 130 is the code of SIGINT in
        // shells.
        match self {
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Preflight => 3,
            Self::RolledBack => 4,
            Self::Stuck => 5,
            Self::CheckFailed => 6,
            Self::Busy => 7,
            Self::Unproven => 9,
            Self::Held => 10,
            Self::Interrupted => 130,
        }
    }
}

impl FailureKind {
    /// Returns the kind to report if the rollback is still in progress when the command gives up
    /// waiting.
    #[must_use]
    pub const fn still_under_way(self) -> Self {
        match self {
            // Whoever pressed Ctrl-C expects 130, whatever the stack does afterwards.
            Self::Interrupted => Self::Interrupted,
            Self::Unexpected
            | Self::Usage
            | Self::Preflight
            | Self::RolledBack
            | Self::Stuck
            | Self::CheckFailed
            | Self::Busy
            | Self::Unproven
            | Self::Held => Self::Busy,
        }
    }
}

/// State that a failed deployment left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aftermath {
    /// The previous version is restored.
    RestoredPrevious,
    /// The previous version is restored, except for some part that could not be restored exactly.
    PartlyRestored,
    /// The new version is removed; nothing ran before it.
    RemovedVersion,
    /// The stack that this run created is deleted.
    RemovedStack,
    /// The stack that this run created could not be deleted.
    LeftStack,
    /// The new version is still in place.
    LeftAsIs,
    /// Another deployment or operation took over, and this run leaves it alone.
    LeftToOthers,
    /// Restoring the previous version failed: it is not known what runs.
    NotRestored,
    /// The rollback was still in progress when the command ended.
    StillRollingBack,
}

/// Failed command: message, cause, evidence and hints, each in its own field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Failure {
    /// Kind, which decides the exit code.
    pub kind: FailureKind,
    /// Failure in the user's terms, as a fragment that starts in lower case.
    pub message: String,
    /// State that it left behind, if a deployment had started; `message` says it in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// Cause, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Lines of evidence: stopped tasks, log lines, compiler messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Suggested next steps; commands stand between backticks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Failure {
    /// Builds a failure of this kind with only a message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            aftermath: None,
            cause: None,
            evidence: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Builds a failure that keeps the command from starting: see [`FailureKind::Preflight`].
    pub fn preflight(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Preflight, message)
    }

    /// Builds the failure of a cancelled command: see [`FailureKind::Interrupted`].
    pub fn interrupted() -> Self {
        Self::new(FailureKind::Interrupted, "interrupted")
    }

    /// Returns the failure with another kind.
    #[must_use]
    pub fn of_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }

    /// Sets the cause.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Sets the state that it left behind. `words` continue the message, starting with the
    /// punctuation.
    #[must_use]
    pub fn leaving(mut self, aftermath: Aftermath, words: &str) -> Self {
        self.aftermath = Some(aftermath);
        self.message.push_str(words);
        self
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn with_evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a hint, if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        // Evidence and hints are left to the reporters.
        match &self.cause {
            Some(cause) => write!(formatter, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        use FailureKind as K;
        let codes = [
            K::Unexpected,
            K::Usage,
            K::Preflight,
            K::RolledBack,
            K::Stuck,
            K::CheckFailed,
            K::Busy,
            K::Unproven,
            K::Held,
            K::Interrupted,
        ]
        .map(FailureKind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 9, 10, 130]);
    }
}
