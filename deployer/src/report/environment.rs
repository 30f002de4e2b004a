//! Reporter that adds the environment to the commands in messages.

use chrono::{DateTime, Utc};

use crate::explain::in_environment;
use deployment::error::Failure;
use deployment::event::{Event, Reporter};

/// Passes events on to another reporter, with the environment added to their commands.
pub(super) struct InEnvironment {
    pub(super) inner: Box<dyn Reporter>,
    pub(super) name: String,
}

impl InEnvironment {
    fn text(&self, text: &str) -> String {
        in_environment(text, Some(&self.name))
    }
}

impl Reporter for InEnvironment {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        let mut event = event.clone();
        // Commands in other events come from `command_line`, which names the environment itself.
        if let Event::Warned { message }
        | Event::Noted { message }
        | Event::NothingThere { message }
        | Event::EmulatorKept { reason: message } = &mut event
        {
            *message = self.text(message);
        }
        if let Event::Failed { failure, .. } = &mut event {
            let hints = failure.hints.iter().map(|hint| self.text(hint));
            *failure = Failure {
                message: self.text(&failure.message),
                cause: failure.cause.as_deref().map(|cause| self.text(cause)),
                hints: hints.collect(),
                // Evidence stays as it is, because it quotes AWS and the program's log.
                ..failure.clone()
            };
        }
        self.inner.report(at, &event);
    }
}
