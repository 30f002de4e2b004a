//! Explanation of a failed rollout for people: cause, evidence and hints. Pure.

use super::{Context, Diagnosis, Evidence, FailedTask, ServiceEvent, Target, diagnose};
use super::{dedupe_key, without_service};
use support::printable::printable;

/// Maximum number of groups of failed tasks, and of targets, in an explanation.
const KINDS_SHOWN: usize = 2;
/// Maximum number of service events in an explanation.
const EVENTS_SHOWN: usize = 3;

/// Cause, evidence and hints, ready to print.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// Diagnosed cause, or else the reported reason.
    pub cause: Option<String>,
    /// Lines of evidence, in the order of display.
    pub lines: Vec<String>,
    /// Suggested fixes.
    pub hints: Vec<String>,
}

impl Evidence {
    /// Explains a failure for which ECS or CloudFormation gave the reason `said`.
    ///
    /// A diagnosis replaces that reason as the cause; the reason becomes the first line of
    /// evidence.
    pub fn explain(&self, said: Option<&str>, context: &Context<'_>) -> Explanation {
        let mut lines = Vec::new();
        let (cause, hints) = match diagnose(self, said, context) {
            Some(Diagnosis { message, hints }) => {
                lines.extend(said.map(str::to_owned));
                (Some(message), hints)
            }
            None => (said.map(str::to_owned), Vec::new()),
        };
        // CloudFormation's reason often quotes the one of ECS.
        let rollback = self.rollback_reason.as_deref();
        let rollback = rollback.filter(|reason| said.is_none_or(|said| !said.contains(reason)));
        lines.extend(rollback.map(str::to_owned));
        if let (Some(threshold), 1..) = (self.threshold, self.failed_tasks) {
            lines.push(format!("failed tasks {}/{threshold}", self.failed_tasks));
        }
        self.tell_tasks(&mut lines);
        self.tell_targets(&mut lines);
        self.tell_events(&mut lines);
        // Logs and reasons come from outside, and may contain terminal control sequences.
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
        // The identifier is left out: it differs between targets with the same problem.
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

    /// Adds the newest service events that say something the other lines do not.
    fn tell_events(&self, lines: &mut Vec<String>) {
        // ECS repeats in its events what targets and stopped tasks show in more detail.
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
            // The events come oldest first, and the newest say most about the failure.
            .skip(telling.len().saturating_sub(EVENTS_SHOWN))
        {
            let message = without_service(&event.message);
            // Skipped if a line above has the same reason, as for a task that could not start.
            if !lines
                .iter()
                .any(|line| dedupe_key(line).contains(&dedupe_key(reason_in(message))))
            {
                lines.push(format!("service: {message}"));
            }
        }
    }
}

/// Returns the part of a message after `Reason: `, or all of it.
fn reason_in(message: &str) -> &str {
    message
        .split_once("Reason: ")
        .map_or(message, |(_, reason)| reason)
        .trim_end_matches('.')
}

/// Describes a failed task in one line.
fn headline(failed: &FailedTask) -> String {
    let task = &failed.task;
    let short = task.id.get(..8).unwrap_or(&task.id);
    format!("task {short}: {}", task.in_words())
}

impl super::StoppedTask {
    /// Describes how the task stopped, for people.
    pub fn in_words(&self) -> String {
        let code = self
            .exit_code
            .map(|code| format!(", exit code {code}"))
            .unwrap_or_default();
        format!("{}{code}", self.words().unwrap_or("no reason is given"))
    }
}

impl Target {
    /// Describes the problem of the target, for people.
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
