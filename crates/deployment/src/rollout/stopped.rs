//! Recent task failures, which a service with status "running" may hide. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{StopCode, StoppedTask};

/// Age limit of a reported failure. ECS itself forgets stopped tasks after about an hour.
const LATELY: TimeDelta = TimeDelta::hours(1);

/// Group of tasks that stopped in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StoppedLately {
    /// Number of tasks.
    pub count: usize,
    /// Set if the tasks are of the version that should run.
    pub current: bool,
    /// Reason of the last one.
    pub reason: Option<String>,
    /// Stop code of the last one.
    pub stop_code: Option<StopCode>,
    /// Exit code of the container.
    pub exit_code: Option<i32>,
    /// Time at which the first one stopped, if known.
    pub since: Option<DateTime<Utc>>,
    /// Time at which the last one stopped, if known.
    pub last: Option<DateTime<Utc>>,
}

/// Groups the tasks that failed within the last hour.
///
/// The task definition `current` comes first, then the largest group.
pub fn stopped_lately(
    tasks: &[StoppedTask],
    current: &str,
    now: DateTime<Utc>,
) -> Vec<StoppedLately> {
    // Tasks without a time are kept: ECS would not list them if they were old.
    let is_recent = |task: &&StoppedTask| task.stopped_at.is_none_or(|at| at + LATELY >= now);
    let mut failed: Vec<&StoppedTask> = tasks
        .iter()
        .filter(is_recent)
        .filter(|task| task.is_failure())
        .collect();
    // Oldest first, so that the last of each group is the newest.
    failed.sort_by_key(|task| task.stopped_at);
    let mut groups: Vec<Vec<&StoppedTask>> = Vec::new();
    for task in failed {
        let is_alike = |group: &&mut Vec<&StoppedTask>| {
            group.first().is_some_and(|first| {
                first.has_same_cause_as(task) && first.task_definition == task.task_definition
            })
        };
        match groups.iter_mut().find(is_alike) {
            Some(group) => group.push(task),
            None => groups.push(vec![task]),
        }
    }
    let mut groups: Vec<StoppedLately> = groups
        .iter()
        .filter_map(|group| {
            let last = group.last()?;
            Some(StoppedLately {
                count: group.len(),
                current: last.task_definition == current,
                reason: last.words().map(str::to_owned),
                stop_code: last.stop_code.clone(),
                exit_code: last.exit_code,
                // Tasks without a time sort first, so that the first known time is the oldest.
                since: group.iter().find_map(|task| task.stopped_at),
                last: last.stopped_at,
            })
        })
        .collect();
    // `false` sorts before `true`: the current version comes first.
    groups.sort_by_key(|group| (!group.current, std::cmp::Reverse(group.count)));
    groups
}

impl StoppedLately {
    /// Describes the group in one line.
    pub fn line(&self) -> String {
        let plural = if self.count == 1 { "" } else { "s" };
        let whose = if self.current {
            ""
        } else {
            " of another version"
        };
        let time = |at: DateTime<Utc>| at.format("%H:%M:%SZ").to_string();
        let when = match (self.since.map(time), self.last.map(time)) {
            (Some(first), Some(last)) if first != last => format!(", from {first} to {last}"),
            (Some(first), _) => format!(" at {first}"),
            (None, _) => String::new(),
        };
        let reason = self.reason.as_deref().unwrap_or("no reason is given");
        let code = self.exit_code;
        let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
        format!("{} task{plural}{whose}{when}: {reason}{code}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(minutes: i64, definition: &str, exit_code: i32) -> StoppedTask {
        StoppedTask {
            id: format!("{minutes}"),
            task_definition: definition.to_owned(),
            stop_code: Some(StopCode::EssentialContainerExited),
            reason: Some("Essential container in task exited".to_owned()),
            container_reason: None,
            exit_code: Some(exit_code),
            stopped_at: DateTime::from_timestamp(1_795_341_840 + 60 * minutes, 0),
        }
    }

    #[test]
    fn a_crash_loop_shows() {
        let asked = StoppedTask {
            stop_code: Some(StopCode::UserInitiated),
            ..task(58, "clock:2", 0)
        };
        let tasks = [
            task(57, "clock:2", 3),
            task(-30, "clock:2", 3),
            task(55, "clock:2", 3),
            task(56, "clock:2", 3),
            task(40, "clock:1", 7),
            task(41, "clock:1", 7),
            task(42, "clock:2", 137),
            asked,
        ];
        let now = DateTime::from_timestamp(1_795_341_840 + 3600, 0).unwrap();
        let lines: Vec<String> = stopped_lately(&tasks, "clock:2", now)
            .iter()
            .map(StoppedLately::line)
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        3 tasks, from 10:59:00Z to 11:01:00Z: Essential container in task exited, exit code 3
        1 task at 10:46:00Z: Essential container in task exited, exit code 137
        2 tasks of another version, from 10:44:00Z to 10:45:00Z: Essential container in task exited, exit code 7
        ");
        assert!(stopped_lately(&[], "clock:2", now).is_empty());
    }
}
