//! How a command can end badly: the kind decides the exit code, the hints say what to do next.

use std::fmt;

use serde::Serialize;

/// What kind of end a failed command came to. The only place where exit codes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something that should not happen, or that no other kind describes.
    Unexpected,
    /// The command line is wrong.
    Usage,
    /// Configuration, credentials, tools or the program itself are not ready to deploy; nothing was changed by this run.
    Preflight,
    /// The deployment failed; the version before it (if any) is restored.
    RolledBack,
    /// The stack is in a state that needs a person.
    Stuck,
    /// What was deployed does not answer as it should.
    CheckFailed,
    /// Another operation is under way on the stack.
    Busy,
    /// What was deployed is healthy, as the load balancer has it, but cannot be reached from here; it stays.
    Unproven,
    /// Ctrl-C, SIGTERM, or a terminal that was closed.
    Interrupted,
}

impl FailureKind {
    /// The exit code that stands for this kind, as documented in `deployer --help`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Preflight => 3,
            Self::RolledBack => 4,
            Self::Stuck => 5,
            Self::CheckFailed => 6,
            Self::Busy => 7,
            Self::Unproven => 9,
            Self::Interrupted => 130,
        }
    }
}

impl FailureKind {
    /// The kind where what was to be rolled back does not end in time.
    #[must_use]
    pub const fn still_under_way(self) -> Self {
        match self {
            Self::Interrupted => Self::Interrupted,
            Self::Unexpected
            | Self::Usage
            | Self::Preflight
            | Self::RolledBack
            | Self::Stuck
            | Self::CheckFailed
            | Self::Busy
            | Self::Unproven => Self::Busy,
        }
    }
}

/// What a failed deployment left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aftermath {
    /// The version before is restored.
    RestoredPrevious,
    /// The version before is restored, but something of it could not be restored exactly.
    PartlyRestored,
    /// The new version is removed again; nothing ran before it.
    RemovedVersion,
    /// The stack that this run created is deleted again.
    RemovedStack,
    /// The stack that this run created could not be deleted.
    LeftStack,
    /// The new version is still in place.
    LeftAsIs,
    /// Another deployment or operation took over, and is left alone.
    LeftToOthers,
    /// Restoring the version before failed: what runs is not known.
    NotRestored,
    /// The rollback was still under way at the end.
    StillRollingBack,
}

/// A command that failed: what, why, the evidence, and what to do next, each apart from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: FailureKind,
    /// What failed, as a fragment that begins in lower case.
    pub message: String,
    /// What it left behind, where a deployment had started; `message` says it in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// Why, where something was said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Lines that show it: stopped tasks, log lines, compiler messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do next; commands stand between backticks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of this kind with nothing but its message.
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

    /// Something that keeps the command from starting: see [`FailureKind::Preflight`].
    pub fn preflight(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Preflight, message)
    }

    /// Ctrl-C, SIGTERM, or a terminal that was closed: see [`FailureKind::Interrupted`].
    pub fn interrupted() -> Self {
        Self::new(FailureKind::Interrupted, "interrupted")
    }

    /// Changes the kind.
    #[must_use]
    pub fn of_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds why it failed.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Adds what it left behind. `words` continue the message, from the punctuation on.
    #[must_use]
    pub fn leaving(mut self, aftermath: Aftermath, words: &str) -> Self {
        self.aftermath = Some(aftermath);
        self.message.push_str(words);
        self
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what to do next, where there is something to say.
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
            K::Interrupted,
        ]
        .map(FailureKind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 9, 130]);
    }
}
