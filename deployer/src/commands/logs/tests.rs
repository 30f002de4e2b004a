//! Transcripts of `logs`: what is asked for, what is shown, what is said beside it.

use std::sync::Arc;

use super::*;
use crate::testing::moment::{Moment, absent, at, error, expired, throttled};
use crate::testing::{FakeWorld, Transcript, connection, settings};
use aws::remote::{LogLine, LogPage};

/// Takes so many lines, then none any more.
struct Taking {
    transcript: Transcript,
    lines: usize,
    refusal: io::ErrorKind,
}

impl LogReader for Taking {
    fn take(&mut self, lines: &[LogLine]) -> io::Result<()> {
        for line in lines {
            if self.lines == 0 {
                return Err(self.refusal.into());
            }
            self.lines -= 1;
            let at = line.at.timestamp_millis();
            self.transcript
                .line(&format!("{at} {} {}", line.stream, line.message));
        }
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// A line of a task, its name the identifier too.
fn line(at_ms: i64, task: &str, message: &str) -> LogLine {
    LogLine {
        id: format!("{at_ms} {task} {message}"),
        at: DateTime::from_timestamp_millis(at_ms).unwrap(),
        stream: task.to_owned(),
        message: message.to_owned(),
    }
}

fn page(lines: impl IntoIterator<Item = LogLine>, next: Option<&str>) -> LogPage {
    LogPage {
        lines: lines.into_iter().collect(),
        next: next.map(str::to_owned),
    }
}

/// Runs the command at 100,000 ms, with a reader that takes so many lines.
async fn reading(world: FakeWorld, follow: bool, lines: usize, refusal: io::ErrorKind) -> String {
    let config = settings();
    let transcript = world.transcript();
    let sink = transcript.sink();
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &crate::cancellation::CancellationToken::default(),
    };
    let mut reader = Taking {
        transcript: transcript.clone(),
        lines,
        refusal,
    };
    let settings = LogSettings {
        follow,
        since: MINUTE,
    };
    let now = DateTime::from_timestamp_millis(100_000).unwrap();
    let world: Arc<FakeWorld> = world.shared();
    let result = show(context, connection(&world), settings, now, &mut reader).await;
    transcript.end(result)
}

/// The same, with one that takes everything.
async fn shown(world: FakeWorld) -> String {
    reading(world, false, usize::MAX, io::ErrorKind::BrokenPipe).await
}

fn running() -> Moment {
    at("UPDATE_COMPLETE")
}

#[tokio::test(start_paused = true)]
async fn all_pages_by_time_and_each_line_once() {
    let world = FakeWorld::new([running()]).lines([
        page(
            [line(50_002, "b", "two"), line(50_001, "a", "one")],
            Some("page 2"),
        ),
        page([], Some("page 3")),
        page([line(50_002, "b", "two"), line(50_003, "a", "three")], None),
    ]);
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    50001 a one
    50002 b two
    ? lines since 40000, page 2
    ? lines since 40000, page 3
    50003 a three
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn passing_failures_are_survived_where_they_happen() {
    let world = FakeWorld::new([running()])
        .lines([page([line(50_001, "a", "one")], None)])
        .failing("FilterLogEvents", throttled())
        .failing("FilterLogEvents", throttled());
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    warning: FilterLogEvents: rate exceeded (Throttling); looking again
    ? lines since 40000
    ? lines since 40000
    50001 a one
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn following_goes_on_until_nobody_reads() {
    let world = FakeWorld::new([running()]).lines([
        page([line(50_001, "a", "one")], None),
        page([], None),
        page([line(90_001, "a", "two")], None),
        page(
            [
                line(89_001, "b", "late"),
                line(90_001, "a", "two"),
                line(90_002, "a", "three"),
            ],
            None,
        ),
        page([line(90_003, "a", "not taken")], None),
    ]);
    let text = reading(world, true, 4, io::ErrorKind::BrokenPipe).await;
    insta::assert_snapshot!(text, @r"
    ? lines since 40000
    50001 a one
    ? lines since 40000
    ? lines since 40000
    90001 a two
    ? lines since 70001
    89001 b late
    90002 a three
    ? lines since 70002
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_is_an_error() {
    let world = FakeWorld::new([running()]).lines([page([line(50_001, "a", "one")], None)]);
    let text = reading(world, false, 0, io::ErrorKind::StorageFull).await;
    insta::assert_snapshot!(text, @r"
    ? lines since 40000
    error: cannot write to standard output
      because: no storage space
    exit code 1
    ");
}

#[tokio::test(start_paused = true)]
async fn nothing_was_logged() {
    insta::assert_snapshot!(shown(FakeWorld::new([running()])).await, @r"
    ? lines since 40000
    nothing was logged in that time: `--since 24h` looks further back
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn no_stack() {
    insta::assert_snapshot!(shown(FakeWorld::new([absent()])).await, @r"
    error: there is no stack `clock`
      hint: `deployer up` makes it; is this the right account, region and `--stack`?
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn no_log_group_yet() {
    let world = FakeWorld::new([at("CREATE_IN_PROGRESS").without_output("LogGroupName")]);
    insta::assert_snapshot!(shown(world).await, @r"
    error: the stack `clock` names no log group
      because: it is CREATE_IN_PROGRESS, without the output `LogGroupName`
      hint: `deployer up` completes it
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_log_group_that_was_deleted() {
    let gone = error(
        RemoteErrorKind::NotFound,
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    );
    let world = FakeWorld::new([running()]).failing("FilterLogEvents", gone);
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    error: there is no log group `clock-loggroup`
      because: FilterLogEvents: The specified log group does not exist. (ResourceNotFoundException)
      hint: somebody deleted it: make one of that name again, or `deployer down` and `deployer up`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn no_service_and_no_lines() {
    let world = FakeWorld::new([at("CREATE_COMPLETE").without_output("ServiceName")]);
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    error: the stack `clock` has no service, and nothing was logged lately
      hint: `deployer up` deploys one
      hint: look further back: `--since 24h`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn lines_of_a_first_version_that_failed() {
    let world = FakeWorld::new([at("UPDATE_ROLLBACK_COMPLETE").without_output("ServiceName")])
        .lines([page([line(50_001, "a", "panicked")], None)]);
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    50001 a panicked
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expired() {
    let world = FakeWorld::new([running()]).failing("FilterLogEvents", expired());
    insta::assert_snapshot!(shown(world).await, @r"
    ? lines since 40000
    error: the AWS credentials are not accepted
      because: FilterLogEvents: the security token included in the request is expired (ExpiredToken)
      hint: log in again: `aws sso login --profile work`
    exit code 3
    ");
}
