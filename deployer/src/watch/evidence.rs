//! What shows why tasks failed: how they ended, and what they logged last.

use std::collections::HashSet;

use crate::event::{Event, Sink};
use crate::remote::World;
use crate::rollout::StoppedTask;
use crate::watch::ServiceNames;

/// Log lines that are shown of a failed task.
const LOG_LINES: u16 = 10;
/// Failed tasks that are shown; more say the same again.
const TASKS_SHOWN: usize = 2;
/// Name of the container in the template, and prefix of its log streams.
const CONTAINER: &str = "app";

/// Collects it, while it can still be had.
pub struct Evidence<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    known: HashSet<String>,
    lines: Vec<String>,
}

impl<'a> Evidence<'a> {
    /// Nothing yet.
    pub fn new(world: &'a dyn World, sink: &'a Sink) -> Self {
        Self {
            world,
            sink,
            known: HashSet::new(),
            lines: Vec::new(),
        }
    }

    /// What was found so far, as lines for people.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Records tasks of our task definition that failed, on first sight: their traces vanish soon. Failing to fetch them changes nothing.
    pub async fn gather(&mut self, names: &ServiceNames) {
        let Ok(stopped) = self
            .world
            .stopped_tasks(&names.cluster, &names.service)
            .await
        else {
            return;
        };
        for task in stopped {
            let ours = task.task_definition == names.task_definition && task.is_failure();
            if !ours || !self.known.insert(task.id.clone()) || self.known.len() > TASKS_SHOWN {
                continue;
            }
            let stream = format!("{CONTAINER}/{CONTAINER}/{}", task.id);
            let log = self
                .world
                .tail(&names.log_group, &stream, LOG_LINES)
                .await
                .unwrap_or_default();
            self.lines.push(headline(&task));
            self.lines
                .extend(log.iter().map(|line| format!("  {}", line.trim_end())));
            self.sink.send(&Event::TaskFailed { task, log });
        }
    }
}

/// One line about a task that failed.
fn headline(task: &StoppedTask) -> String {
    let short = task.id.get(..8).unwrap_or(&task.id);
    let code = task
        .exit_code
        .map(|code| format!(", exit code {code}"))
        .unwrap_or_default();
    let reason = task.reason.as_deref().unwrap_or("no reason is given");
    format!("task {short}: {reason}{code}")
}
