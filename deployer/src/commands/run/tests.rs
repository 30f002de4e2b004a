//! Transcripts of `run`: what is started, shown, returned and stopped.

use std::io;
use std::time::Duration;

use chrono::DateTime;

use super::run;
use crate::pollers::LogReader;
use crate::testing::answer::{active, ended, stopped};
use crate::testing::moment::{absent, at, error, expired};
use crate::testing::{FakeHost, FakeWorld, Transcript};
use aws::remote::{LogLine, LogPage, RemoteErrorKind};

/// Writes lines into the transcript.
struct Output {
    transcript: Transcript,
    is_closed: bool,
}

impl LogReader for Output {
    fn take(&mut self, lines: &[LogLine]) -> io::Result<()> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for line in lines {
            self.transcript.line(&line.message);
        }
        Ok(())
    }
}

fn world() -> FakeWorld {
    FakeWorld::new([at("UPDATE_COMPLETE").with_image('0')])
}

async fn running(host: FakeHost) -> String {
    running_into(host, false).await
}

async fn running_into(host: FakeHost, is_closed: bool) -> String {
    let command = async |context: crate::context::Context<'_>, host: &FakeHost| {
        let mut output = Output {
            transcript: host.world().transcript(),
            is_closed,
        };
        let command = ["migrate".to_owned(), "--all".to_owned()];
        let code = run(context, host.world(), &command, &mut output).await?;
        host.says(&format!("returned {code}"));
        Ok(())
    };
    host.run(command).await
}

fn page(at_ms: i64, messages: &[&str]) -> LogPage {
    let line = |message: &&str| LogLine {
        id: format!("{at_ms} {message}"),
        at: DateTime::from_timestamp_millis(at_ms).unwrap(),
        stream: "app/app/0123456789abcdef".to_owned(),
        message: (*message).to_owned(),
    };
    LogPage {
        lines: messages.iter().map(line).collect(),
        next: None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_output_is_shown_as_it_comes_and_to_its_end() {
    let world = world()
        .task([None, active("PENDING"), active("RUNNING"), ended(0)])
        .lines([
            page(0, &[]),
            page(0, &[]),
            page(1, &["one"]),
            page(2, &["two"]),
            page(2, &["two"]),
            // Later than the end of the task.
            page(3, &["three"]),
            page(3, &[]),
        ]);
    insta::assert_snapshot!(running(FakeHost::new(world)).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    one
    two
    three
    returned 0
    exit code 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_exit_code_is_that_of_the_command() {
    let world = world().task([ended(3)]).lines([page(1, &["no"])]);
    insta::assert_snapshot!(running(FakeHost::new(world)).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    no
    the command ended with exit code 3
    returned 3
    exit code 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_stops_the_task() {
    let world = world().task([
        active("RUNNING"),
        active("RUNNING"),
        stopped("UserInitiated", "stopped by `deployer run`", Some(143)),
    ]);
    let host = FakeHost::new(world).interrupted_after(Duration::from_secs(4));
    insta::assert_snapshot!(running(host).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    ^C
    stopping task 0123456789abcdef of clock-cluster
    > StopTask 0123456789abcdef
    the task was stopped
    error: interrupted
    exit code 130
    "#);
}

#[tokio::test(start_paused = true)]
async fn so_does_a_timeout() {
    let forever = world().task([active("RUNNING")]);
    let host = FakeHost::new(forever).with(|config| config.timeout = Duration::from_mins(1));
    insta::assert_snapshot!(running(host).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    stopping task 0123456789abcdef of clock-cluster
    > StopTask 0123456789abcdef
    warning: the task may still run: `aws ecs stop-task --cluster clock-cluster --task 0123456789abcdef`
    error: the command did not end within 60 s
      hint: allow more time: `--timeout 1h`
    exit code 7
    "#);
}

#[tokio::test(start_paused = true)]
async fn and_output_that_nobody_takes() {
    let stopped = stopped("UserInitiated", "stopped by `deployer run`", Some(143));
    let world = world().task([active("RUNNING"), stopped]).lines([
        page(1, &["one"]),
        page(2, &["two"]),
        page(2, &[]),
    ]);
    insta::assert_snapshot!(running_into(FakeHost::new(world), true).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    stopping task 0123456789abcdef of clock-cluster
    > StopTask 0123456789abcdef
    the task was stopped
    error: cannot write to standard output
      because: broken pipe
    exit code 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_stopped_is_named() {
    let world = world()
        .task([active("RUNNING")])
        .failing("StopTask", expired());
    let host = FakeHost::new(world).interrupted_after(Duration::from_secs(4));
    insta::assert_snapshot!(running(host).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    ^C
    stopping task 0123456789abcdef of clock-cluster
    > StopTask 0123456789abcdef (refused)
    warning: the task may still run (StopTask: the security token included in the request is expired (ExpiredToken)): `aws ecs stop-task --cluster clock-cluster --task 0123456789abcdef`
    error: interrupted
    exit code 130
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_start() {
    let reason =
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found";
    let world = world().task([
        active("PENDING"),
        stopped("TaskFailedToStart", reason, None),
    ]);
    insta::assert_snapshot!(running(FakeHost::new(world)).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    error: the command could not be started
      because: the image is not in the repository
      | task 01234567: CannotPullContainerError: pull image manifest has been retried 1 time(s): not found
      hint: somebody or a lifecycle rule deleted it: `deployer up` pushes what is missing
    exit code 3
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_others_stop() {
    let world = world().task([stopped("UserInitiated", "by hand", Some(0))]);
    insta::assert_snapshot!(running(FakeHost::new(world)).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"]
    error: the task was stopped before the command ended
      | task 01234567: by hand, exit code 0
    exit code 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn without_a_service_or_the_right_nothing_is_started() {
    insta::assert_snapshot!(running(FakeHost::new(FakeWorld::new([absent()]))).await, @r"
    error: there is no stack `clock`
      hint: `deployer up` makes it; is this the right account, region and `--stack`?
    exit code 3
    ");
    let denied = error(
        RemoteErrorKind::Denied,
        "AccessDeniedException",
        "not authorized",
    );
    let world = world().failing("RunTask", denied);
    insta::assert_snapshot!(running(FakeHost::new(world)).await, @r#"
    > RunTask arn:task-definition/clock:2 ["migrate", "--all"] (refused)
    error: these AWS credentials may not do what is needed
      because: RunTask: not authorized (AccessDeniedException)
    exit code 3
    "#);
}
