//! Log groups, the last lines of one stream, and the lines of all streams of a group.

use async_trait::async_trait;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::json;

use super::Aws;
use super::error::incomplete;
use crate::remote::{LogLine, LogPage, Logs, Remote, RemoteErrorKind};
use deployment::names::{LogGroupName, LogStreamName};

/// Maximum length of a line of evidence, characters. A service may write a megabyte without a line
/// break.
const LONGEST: usize = 2000;

/// Result of `GetLogEvents` and `FilterLogEvents`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Events {
    events: Option<Vec<Event>>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "eventId")]
    id: Option<String>,
    timestamp: Option<i64>,
    log_stream_name: Option<String>,
    message: Option<String>,
}

/// Result of `DescribeLogGroups`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    log_groups: Option<Vec<Group>>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(rename = "logGroupName")]
    name: Option<String>,
}

#[async_trait]
impl Logs for Aws {
    async fn tail(
        &self,
        group: &LogGroupName,
        stream: &LogStreamName,
        lines: u16,
    ) -> Remote<Vec<String>> {
        let input = json!({
            "logGroupName": group,
            "logStreamName": stream,
            "limit": lines,
            // Selects the newest lines, which still come oldest first.
            "startFromHead": false,
        });
        match self.cloudwatchlogs.call("GetLogEvents", input).await {
            Ok(Events { events, .. }) => {
                let events = events.ok_or_else(|| incomplete("GetLogEvents", "events"))?;
                Ok(events
                    .into_iter()
                    .filter_map(|event| event.message)
                    .map(|message| message.chars().take(LONGEST).collect())
                    .collect())
            }
            // Without a stream, the task has not logged anything.
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn lines(
        &self,
        group: &LogGroupName,
        stream: Option<&LogStreamName>,
        since_ms: i64,
        next: Option<&str>,
    ) -> Remote<LogPage> {
        let mut input = json!({ "logGroupName": group, "startTime": since_ms });
        if let Some(stream) = stream {
            input["logStreamNames"] = json!([stream]);
        }
        if let Some(next) = next {
            input["nextToken"] = next.into();
        }
        let answer = self.cloudwatchlogs.call("FilterLogEvents", input).await;
        let answer: Events = match answer {
            Ok(answer) => answer,
            // A log stream is created with its first line.
            Err(error) if error.kind == RemoteErrorKind::NotFound && stream.is_some() => {
                return Ok(LogPage::default());
            }
            Err(error) => return Err(error),
        };
        let lines = answer
            .events
            .ok_or_else(|| incomplete("FilterLogEvents", "events"))?;
        let lines = lines.into_iter();
        let lines = lines.map(|event| LogLine {
            id: event.id.unwrap_or_default(),
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

    async fn group_exists(&self, group: &LogGroupName) -> Remote<bool> {
        let input = json!({ "logGroupNamePrefix": group });
        let answer: Groups = self.cloudwatchlogs.call("DescribeLogGroups", input).await?;
        let groups = answer
            .log_groups
            .ok_or_else(|| incomplete("DescribeLogGroups", "log groups"))?;
        // The parameter is a prefix, so that other groups may be listed as well.
        let mut names = groups.iter().filter_map(|group| group.name.as_deref());
        Ok(names.any(|name| name == group.as_str()))
    }
}
