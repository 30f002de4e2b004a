//! Log groups and the last lines of a stream.

use async_trait::async_trait;

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{Logs, Remote, RemoteErrorKind};

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
                    .collect())
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
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
