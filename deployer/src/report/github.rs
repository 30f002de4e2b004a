//! Reporter for GitHub Actions: the log of the job, and the summary on the page of its run.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::LOG_TICK;
use super::color::Paint;
use super::markdown::JobSummary;
use super::text::{self, Words};
use super::workflow::{Workflow, annotation};
use deployment::event::{Event, Reporter};

/// Returns whether this process runs in a job of GitHub Actions.
pub(super) fn is_here() -> bool {
    std::env::var("GITHUB_ACTIONS").as_deref() == Ok("true")
}

/// Reporter for GitHub Actions.
pub(super) struct GitHub {
    workflow: Arc<Mutex<Workflow>>,
    summary: JobSummary,
    paint: Paint,
}

impl GitHub {
    pub(super) fn new(paint: Paint) -> Self {
        let workflow = Arc::new(Mutex::new(Workflow::default()));
        let tick = move |workflow: &mut Workflow| print(&workflow.tick(super::steady_now()), paint);
        super::keep_ticking(&workflow, LOG_TICK, tick);
        Self {
            workflow,
            summary: JobSummary::default(),
            paint,
        }
    }
}

fn print(lines: &str, paint: Paint) {
    if !lines.is_empty() {
        super::commands_to_stderr(&paint.log(lines));
    }
}

impl Reporter for GitHub {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        let at = super::steady_now();
        // Held while printing, so that lines of the timer thread stay in order.
        let mut workflow = self.workflow.lock().unwrap_or_else(PoisonError::into_inner);
        print(&workflow.take(at, event), self.paint);
        if let Words::Result(text) = text::words(event) {
            super::to_stdout(&text);
        }
        if let Some(summary) = self.summary.take(event) {
            append_summary(&summary);
        }
    }
}

/// Appends to the job summary, if there is one. An error is only a warning.
pub(super) fn append_summary(markdown: &str) {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return;
    };
    let file = std::fs::File::options()
        // All commands of a step share the file.
        .append(true)
        .create(true)
        .open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(markdown.as_bytes())) {
        let message = format!("cannot write the job summary: {error}");
        super::commands_to_stderr(&annotation("warning", "deployer", &message));
    }
}
