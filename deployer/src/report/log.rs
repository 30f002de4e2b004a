//! Events as log lines: one line per change, with its time.
//!
//! Resources that complete within the same second share a line. A heartbeat follows if nothing
//! changes for long.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::progress::Progress;
use super::text;
use deployment::event::Event;
use deployment::stack::resource::describe;
use deployment::stack::resource_status::{ResourceProgress, ResourceStatus};

/// Silence after which a heartbeat is logged.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Maximum length of a line with a list, in characters.
const WIDTH: usize = 120;
/// Indentation as wide as the time at the start of a line.
const INDENT: &str = "          ";
/// Time that a completed resource waits for others to share its line.
const TOGETHER: TimeDelta = TimeDelta::seconds(1);

/// State of the log.
#[derive(Default)]
pub(super) struct Log {
    progress: Progress,
    done: Option<Done>,
    /// Time of the last line.
    said: Option<DateTime<Utc>>,
}

/// Resources that reached the same status at the same time.
struct Done {
    at: DateTime<Utc>,
    status: ResourceStatus,
    /// Display names of the resources.
    names: Vec<String>,
}

impl Log {
    /// Processes an event; returns the lines that are ready.
    pub(super) fn take(&mut self, at: DateTime<Utc>, event: &Event) -> String {
        self.progress.take(at, event);
        let mut lines = String::new();
        match done(event) {
            Some((status, name)) => match &mut self.done {
                Some(done) if done.status == *status && at - done.at < TOGETHER => {
                    done.names.push(name);
                }
                Some(_) | None => {
                    lines = self.rest();
                    self.done = Some(Done {
                        at,
                        status: status.clone(),
                        names: vec![name],
                    });
                }
            },
            // A resource that starts produces no line, so it does not separate those that complete.
            None if matches!(event, Event::ResourceChanged { .. })
                && text::line(event).is_none() => {}
            None => {
                // The collected line comes first, because its resources completed earlier.
                lines = self.rest();
                if let Some(line) = text::line(event) {
                    let is_list = matches!(event, Event::Proposed { .. });
                    let line = if is_list { wrapped(&line) } else { line };
                    lines.push_str(&stamped(at, &line));
                }
            }
        }
        // The first event starts the time to the heartbeat, even without a line.
        if !lines.is_empty() || self.said.is_none() {
            self.said = Some(at);
        }
        lines
    }

    /// Returns the running phases as a title; `None` if no phase runs.
    pub(super) fn title(&self) -> Option<String> {
        let phases = self.progress.phases.iter();
        let titles: Vec<&str> = phases.map(|running| running.phase.title()).collect();
        (!titles.is_empty()).then(|| titles.join(", "))
    }

    /// Returns the lines that are due by now.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) -> String {
        let waited = |done: &Done| now - done.at >= TOGETHER;
        if self.done.as_ref().is_some_and(waited) {
            self.said = Some(now);
            return self.rest();
        }
        let silent = self
            .said
            .map(|said| (now - said).to_std().unwrap_or_default());
        if silent.is_none_or(|silent| silent < HEARTBEAT) {
            return String::new();
        }
        self.said = Some(now);
        let under_way = self.progress.in_words(now);
        let under_way = under_way.map(|text| stamped(now, &format!("… still at it: {text}")));
        under_way.unwrap_or_default()
    }

    /// Returns the collected line of completed resources.
    pub(super) fn rest(&mut self) -> String {
        let Some(Done { at, status, names }) = self.done.take() else {
            return String::new();
        };
        let count = match names.len() {
            1 => String::new(),
            count => format!("{count} resources: "),
        };
        let line = format!("{status} {count}{}", names.join(", "));
        stamped(at, &wrapped(&line))
    }
}

/// Returns status and display name of a resource that completed without a remark.
fn done(event: &Event) -> Option<(&ResourceStatus, String)> {
    if let Event::ResourceChanged {
        logical_id,
        resource_type,
        status,
        reason: None,
    } = event
        // The stack itself gets a line of its own.
        && resource_type != "AWS::CloudFormation::Stack"
        && status.progress() == ResourceProgress::Complete
    {
        return Some((
            status,
            format!("{} ({logical_id})", describe(resource_type)),
        ));
    }
    None
}

/// Wraps a list to lines of at most [`WIDTH`], except for longer items. Continuation lines are
/// indented below the first one.
fn wrapped(list: &str) -> String {
    let mut lines = vec![String::new()];
    for item in list.split_inclusive([',', ';']) {
        let width = lines.last().map_or(0, |line| line.chars().count());
        if width > 0 && width + item.trim_end().chars().count() > WIDTH - INDENT.len() {
            lines.push(item.trim_start().to_owned());
        } else if let Some(line) = lines.last_mut() {
            line.push_str(item);
        }
    }
    lines.join(&format!("\n{INDENT}"))
}

/// Returns a line with its time.
fn stamped(at: DateTime<Utc>, line: &str) -> String {
    format!("{} {line}\n", at.format("%H:%M:%SZ"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{STACK, at, changed, operation, phase};
    use deployment::event::Phase;

    #[test]
    fn what_is_done_within_a_second_shares_a_line() {
        let mut log = Log::default();
        let steps = [
            (0, changed("Vpc", "AWS::EC2::VPC", "CREATE_IN_PROGRESS")),
            (100, changed("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE")),
            (200, changed("Role", "AWS::IAM::Role", "CREATE_IN_PROGRESS")),
            (900, changed("Role", "AWS::IAM::Role", "CREATE_COMPLETE")),
            (
                1200,
                changed("Cluster", "AWS::ECS::Cluster", "CREATE_COMPLETE"),
            ),
            (1300, changed("Subnet", "AWS::EC2::Subnet", "CREATE_FAILED")),
            (1400, changed("clock", STACK, "CREATE_COMPLETE")),
        ];
        let lines = steps.map(|(millis, event)| log.take(at(millis), &event));
        insta::assert_snapshot!(lines.concat(), @r#"
        10:04:05Z CREATE_COMPLETE 2 resources: VPC (Vpc), role (Role)
        10:04:06Z CREATE_COMPLETE cluster (Cluster)
        10:04:06Z CREATE_FAILED subnet (Subnet): no capacity: 50%, "try" again
        10:04:06Z CREATE_COMPLETE stack (clock)
        "#);
        assert_eq!(log.tick(at(9_000)), "");
    }

    #[test]
    fn a_long_list_takes_several_lines() {
        let mut log = Log::default();
        for number in 1..=25 {
            let name = format!("Subnet{number}");
            log.take(
                at(0),
                &changed(&name, "AWS::EC2::Subnet", "DELETE_COMPLETE"),
            );
        }
        let lines = log.tick(at(1000));
        assert!(
            lines.starts_with("10:04:05Z DELETE_COMPLETE 25 resources: subnet (Subnet1), subnet")
        );
        assert!(lines.lines().count() > 3, "{lines}");
        for line in lines.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        for line in lines.lines().skip(1) {
            assert!(line.starts_with("          subnet (Subnet"), "{line}");
        }
        let words: Vec<&str> = lines.split_whitespace().collect();
        assert!(
            words
                .join(" ")
                .ends_with("subnet (Subnet24), subnet (Subnet25)")
        );
    }

    #[test]
    fn a_sign_of_life_names_what_is_under_way() {
        let mut log = Log::default();
        log.take(at(0), &phase(Phase::Image));
        let compiled = Event::Compiled {
            crates: 57,
            name: "hyper".to_owned(),
        };
        log.take(at(0), &compiled);
        log.take(at(0), &phase(Phase::Create));
        log.take(at(0), &operation("create", &[]));
        let service = changed("Service", "AWS::ECS::Service", "CREATE_IN_PROGRESS");
        log.take(at(500), &service);
        let done = changed("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE");
        log.take(at(1000), &done);
        let ticks = [1900, 2000, 30_900, 31_000, 31_100, 61_000];
        let lines = ticks.map(|millis| log.tick(at(millis)));
        insta::assert_snapshot!(lines.concat(), @"
        10:04:06Z CREATE_COMPLETE VPC (Vpc)
        10:05:06Z … still at it: image for 1 min 01 s (compiled 57 crates: hyper), create for 1 min 01 s: service (Service)
        ");
    }
}
