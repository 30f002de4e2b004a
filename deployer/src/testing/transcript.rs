//! What was reported and what was changed, in one order, as text.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use super::DIGEST;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Reporter, Sink};

/// The text so far. Reports stand as people read them, changes to the world behind `>`.
#[derive(Clone, Default)]
pub(crate) struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    /// A sink that writes into this transcript.
    pub(crate) fn sink(&self) -> Sink {
        Sink::new(Box::new(self.clone()))
    }

    /// Writes down a change to the world.
    pub(super) fn changed(&self, what: &str) {
        self.line(&format!("> {what}"));
    }

    /// Writes down how the command ended, as the program does at its end; returns all of the text.
    pub(crate) fn end(&self, result: Result<(), Failure>) -> String {
        match result {
            Ok(()) => self.line("exit code 0"),
            Err(failure) => {
                let exit_code = failure.kind.exit_code();
                if failure.kind != FailureKind::Held {
                    self.sink().send(&Event::Failed { exit_code, failure });
                }
                self.line(&format!("exit code {exit_code}"));
            }
        }
        self.text()
    }

    /// All of the text, digests shortened.
    pub(crate) fn text(&self) -> String {
        let short = DIGEST.get(..19).unwrap();
        self.0.lock().unwrap().replace(DIGEST, short)
    }

    pub(crate) fn line(&self, line: &str) {
        let mut text = self.0.lock().unwrap();
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

impl Reporter for Transcript {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        super::schema::assert_event(event);
        if let Event::PhaseStarted { phase } = event {
            self.line(&format!("{}: started", phase.title()));
        }
        if let Some(words) = crate::report::in_words(&timeless(event)) {
            self.line(&words);
        }
    }
}

/// The event without what differs from run to run: phases are timed by the real clock, even where tokio's stands still.
fn timeless(event: &Event) -> Event {
    let mut event = event.clone();
    if let Event::PhaseEnded { seconds, .. }
    | Event::Deleted { seconds, .. }
    | Event::ServesAgain { seconds, .. } = &mut event
    {
        *seconds = 0.0;
    }
    // How many requests are sent during the pauses between two looks is a matter of chance.
    let counted = |probe: &mut deployment::event::Probed| {
        probe.requests = 1000;
        probe.failed = probe.failed.min(1);
    };
    if let Event::Probed { probe } = &mut event {
        counted(probe);
    }
    if let Event::Succeeded { summary } = &mut event {
        summary.probe.as_mut().map(counted);
        summary.seconds = 0.0;
        for timing in &mut summary.timings {
            timing.seconds = 0.0;
        }
    }
    event
}
