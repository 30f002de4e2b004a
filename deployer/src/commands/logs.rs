//! `deployer logs`: shows the log of all tasks, by time.

use super::{Done, Execute};
use crate::config::duration;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::Args;
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::context::{Connection, Context, connect};
use crate::poll::{self, Outcome, Terms};
use crate::pollers::{LogEnd, LogPoller};
use aws::remote::{RemoteErrorKind, World};
use deployment::error::{Failure, FailureKind};
use deployment::names::LogGroupName;
use deployment::stack::template_names::OutputName;

#[cfg(test)]
mod tests;

/// Time limit that no reader reaches.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// Settings of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Follow the log until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,

    /// Show entries since this long ago.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub since: String,
}

#[async_trait(?Send)]
impl Execute for Logs {
    fn is_log_stream(&self) -> bool {
        true
    }

    async fn execute(
        &self,
        context: Context<'_>,
        lines: &mut dyn LogReader,
    ) -> Result<Done, Failure> {
        let settings = LogSettings {
            follow: self.follow,
            since: duration("--since", &self.since)?,
        };
        run(context, settings, lines).await?;
        Ok(Done::REPORTED)
    }
}

/// Part of the log to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Set if new lines are shown as they arrive.
    pub follow: bool,
    /// Age of the oldest lines to show.
    pub since: Duration,
}

/// Runs the command. Lines go to `reader`.
pub async fn run(
    context: Context<'_>,
    settings: LogSettings,
    reader: &mut dyn LogReader,
) -> Result<(), Failure> {
    context.require_emulator().await?;
    let connection = connect(context).await?;
    show(context, connection, settings, Utc::now(), reader).await
}

/// Shows the existing lines, and new ones if requested.
async fn show(
    context: Context<'_>,
    connection: Connection,
    settings: LogSettings,
    now: DateTime<Utc>,
    reader: &mut dyn LogReader,
) -> Result<(), Failure> {
    let world = connection.world.as_ref();
    let log = find(context, world).await?;
    let since = i64::try_from(settings.since.as_millis()).unwrap_or(i64::MAX);
    // CloudWatch Logs rejects a negative start time.
    let since_ms = now.timestamp_millis().saturating_sub(since).max(0);
    let mut watch = LogPoller::new(world, &log.group, since_ms, reader);
    // Read the existing lines first, so that an empty log can be explained before following it.
    let Some(read) = self::read(context, &mut watch, &log).await? else {
        return Ok(());
    };
    // A stack without a service may still have the log of an earlier one.
    if read == 0 && !log.has_service {
        return Err(Failure::preflight(format!(
            "the stack `{}` has no service, and nothing was logged lately",
            context.config.stack
        ))
        .hint("`deployer up` deploys one")
        .hint("look further back: `--since 24h`"));
    }
    if settings.follow {
        watch.go_on();
        self::read(context, &mut watch, &log).await.map(|_| ())
    } else {
        if read == 0 {
            context
                .sink
                .note("nothing was logged in that time: `--since 24h` looks further back");
        }
        Ok(())
    }
}

/// Reads to the current end. Returns `None` if the reader takes no more lines.
async fn read(
    context: Context<'_>,
    watch: &mut LogPoller<'_>,
    log: &Log,
) -> Result<Option<u64>, Failure> {
    let terms = Terms {
        pace: context.config.access.pace,
        deadline: Instant::now() + FOR_EVER,
        cancellation: Some(context.cancellation),
    };
    match poll::to_end(watch, terms, context.sink).await {
        Ok(Outcome::Completed(LogEnd::Read(lines))) => Ok(Some(lines)),
        // A closed pipe is normal: `deployer logs | head`.
        Ok(Outcome::Completed(LogEnd::NotTaken(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(None)
        }
        Ok(Outcome::Completed(LogEnd::NotTaken(error))) => {
            Err(Failure::new(FailureKind::Unexpected, "cannot write to standard output").because(error))
        }
        // Not reached in practice: see `FOR_EVER`.
        Ok(Outcome::TimedOut) => Ok(None),
        Ok(Outcome::Cancelled) => Err(Failure::interrupted()),
        Err(error) if error.kind == RemoteErrorKind::NotFound => {
            Err(Failure::preflight(format!("there is no log group `{}`", log.group))
                .because(error)
                .hint("somebody deleted it: make one of that name again, or `deployer down` and `deployer up`"))
        }
        Err(error) => Err(context.remote_failure(&error)),
    }
}

/// Log of the service.
struct Log {
    group: LogGroupName,
    has_service: bool,
}

/// Finds the log group in the stack's outputs.
async fn find(context: Context<'_>, world: &dyn World) -> Result<Log, Failure> {
    let name = &context.config.stack;
    let stack = context.require_stack(world).await?;
    let Some(group) = stack.output(OutputName::LogGroupName) else {
        return Err(
            Failure::preflight(format!("the stack `{name}` names no log group"))
                .because(format!(
                    "it is {}, without the output `LogGroupName`",
                    stack.status
                ))
                .hint("`deployer up` completes it"),
        );
    };
    Ok(Log {
        group: LogGroupName::new(group),
        has_service: stack.output(OutputName::ServiceName).is_some(),
    })
}
