//! Log groups, the last lines of a stream, and the lines of all streams.

use async_trait::async_trait;
use chrono::DateTime;

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{LogLine, LogPage, Logs, Remote, RemoteErrorKind};

/// Letters of a line that is evidence: a service may write a megabyte without a break.
const LONGEST: usize = 2000;

#[async_trait]
impl Logs for Aws {
    async fn tail(&self, group: &str, stream: &str, lines: u16) -> Remote<Vec<String>> {
        let answer = self
            .cloudwatchlogs
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .limit(i32::from(lines))
            .start_from_head(false)
            .send()
            .await
            .map_err(error::of("GetLogEvents"));
        match answer {
            Ok(answer) => {
                let events = answer
                    .events
                    .ok_or_else(|| incomplete("GetLogEvents", "events"))?;
                Ok(events
                    .into_iter()
                    .filter_map(|event| event.message)
                    .map(|message| message.chars().take(LONGEST).collect())
                    .collect())
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn lines(&self, group: &str, since_ms: i64, next: Option<&str>) -> Remote<LogPage> {
        let answer = self
            .cloudwatchlogs
            .filter_log_events()
            .log_group_name(group)
            .start_time(since_ms)
            .set_next_token(next.map(str::to_owned))
            .send()
            .await
            .map_err(error::of("FilterLogEvents"))?;
        let lines = answer
            .events
            .ok_or_else(|| error::incomplete("FilterLogEvents", "events"))?;
        let lines = lines.into_iter();
        let lines = lines.map(|event| LogLine {
            id: event.event_id.unwrap_or_default(),
            at: event
                .timestamp
                .and_then(DateTime::from_timestamp_millis)
                .unwrap_or_default(),
            stream: event.log_stream_name.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        });
        Ok(LogPage {
            lines: lines.collect(),
            next: answer.next_token,
        })
    }

    async fn group_exists(&self, group: &str) -> Remote<bool> {
        let answer = self
            .cloudwatchlogs
            .describe_log_groups()
            .log_group_name_prefix(group)
            .send()
            .await
            .map_err(error::of("DescribeLogGroups"))?;
        let groups = answer
            .log_groups
            .ok_or_else(|| incomplete("DescribeLogGroups", "log groups"))?;
        Ok(groups
            .iter()
            .any(|found| found.log_group_name() == Some(group)))
    }
}
