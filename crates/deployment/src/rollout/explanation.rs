//! Evidence and diagnosis for people: the cause, the lines that show it, what to do. Pure.

use super::{Context, Diagnosis, Evidence, FailedTask, ServiceEvent, Target, diagnose};
use super::{dedupe_key, without_service};
use support::printable::printable;

/// Kinds of failed tasks that are shown, and kinds of targets.
const KINDS_SHOWN: usize = 2;
/// Messages of the service that are shown.
const EVENTS_SHOWN: usize = 3;

/// What to tell people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// Why it failed: the diagnosis, or else what was said.
    pub cause: Option<String>,
    /// What shows it, top down.
    pub lines: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Evidence {
    /// Explains a failure of which ECS or CloudFormation said this.
    ///
    /// A diagnosis takes the place of what was said as the cause; what was said stays, as the first line.
    pub fn explain(&self, said: Option<&str>, context: &Context<'_>) -> Explanation {
        let mut lines = Vec::new();
        let (cause, hints) = match diagnose(self, said, context) {
            Some(Diagnosis { message, hints }) => {
                lines.extend(said.map(str::to_owned));
                (Some(message), hints)
            }
            None => (said.map(str::to_owned), Vec::new()),
        };
        let rollback = self.rollback_reason.as_deref();
        let rollback = rollback.filter(|reason| said.is_none_or(|said| !said.contains(reason)));
        lines.extend(rollback.map(str::to_owned));
        if let (Some(threshold), 1..) = (self.threshold, self.failed_tasks) {
            lines.push(format!("failed tasks {}/{threshold}", self.failed_tasks));
        }
        self.tell_tasks(&mut lines);
        self.tell_targets(&mut lines);
        self.tell_events(&mut lines);
        let lines = lines.iter().map(|line| printable(line)).collect();
        Explanation {
            cause: cause.map(|cause| printable(&cause)),
            lines,
            hints,
        }
    }

    fn tell_tasks(&self, lines: &mut Vec<String>) {
        let groups = self.groups();
        for (failed, more) in groups.iter().take(KINDS_SHOWN) {
            lines.push(headline(failed));
            lines.extend(
                failed
                    .log
                    .iter()
                    .map(|line| format!("  {}", line.trim_end())),
            );
            if *more > 0 {
                lines.push(format!("and {more} more like it"));
            }
        }
        let others: usize = groups
            .iter()
            .skip(KINDS_SHOWN)
            .map(|(_, more)| more + 1)
            .sum();
        if others > 0 {
            lines.push(format!("and {others} that failed in other ways"));
        }
    }

    fn tell_targets(&self, lines: &mut Vec<String>) {
        let kind = |target: &Target| {
            (
                target.state.clone(),
                target.reason.clone(),
                target.description.clone(),
            )
        };
        let mut told: Vec<(&Target, usize)> = Vec::new();
        for target in &self.targets {
            match told
                .iter_mut()
                .find(|(first, _)| kind(first) == kind(target))
            {
                Some((_, more)) => *more += 1,
                None => told.push((target, 0)),
            }
        }
        for (target, more) in told.into_iter().take(KINDS_SHOWN) {
            let more = if more > 0 {
                format!(", and {more} more like it")
            } else {
                String::new()
            };
            lines.push(format!("{}{more}", target.in_words()));
        }
    }

    /// The newest messages that say what nothing else shows.
    fn tell_events(&self, lines: &mut Vec<String>) {
        let shown_otherwise = |event: &&ServiceEvent| {
            let message = event.message.to_lowercase();
            let of_targets = !self.targets.is_empty() && message.contains("unhealthy");
            let of_tasks = !self.tasks.is_empty()
                && (message.contains("deployment failed")
                    || message.contains("consistently start tasks"));
            of_targets || of_tasks
        };
        let telling: Vec<&ServiceEvent> = self
            .events
            .iter()
            .filter(|event| !shown_otherwise(event))
            .collect();
        for event in telling
            .iter()
            .skip(telling.len().saturating_sub(EVENTS_SHOWN))
        {
            let message = without_service(&event.message);
            // A task of which this was said is shown above, with the same words.
            if !lines
                .iter()
                .any(|line| dedupe_key(line).contains(&dedupe_key(reason_in(message))))
            {
                lines.push(format!("service: {message}"));
            }
        }
    }
}

/// The part of a message that follows `Reason: `, or all of it.
fn reason_in(message: &str) -> &str {
    message
        .split_once("Reason: ")
        .map_or(message, |(_, reason)| reason)
        .trim_end_matches('.')
}

/// One line about a task that failed.
fn headline(failed: &FailedTask) -> String {
    let task = &failed.task;
    let short = task.id.get(..8).unwrap_or(&task.id);
    format!("task {short}: {}", task.in_words())
}

impl super::StoppedTask {
    /// How it ended, for people.
    pub fn in_words(&self) -> String {
        let code = self
            .exit_code
            .map(|code| format!(", exit code {code}"))
            .unwrap_or_default();
        format!("{}{code}", self.words().unwrap_or("no reason is given"))
    }
}

impl Target {
    /// What is wrong with it, for people.
    pub fn in_words(&self) -> String {
        let mut words = format!("target {} is {}", self.id, self.state);
        for more in [&self.reason, &self.description].into_iter().flatten() {
            words.push_str(": ");
            words.push_str(more);
        }
        words
    }
}

#[cfg(test)]
mod tests;
