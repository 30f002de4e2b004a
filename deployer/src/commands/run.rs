//! `deployer run`: runs one command in a task of its own, next to the service.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use tokio::time::Instant;

use super::{Done, Execute};
use crate::cli::Continues;
use crate::context::{Context, Running, connect};
use crate::poll::{self, Outcome, Poller, Terms};
use crate::pollers::{LogEnd, LogPoller, LogReader};
use aws::remote::{OneOff, OneOffNetwork, Remote, TaskState, World};
use deployment::error::{Failure, FailureKind};
use deployment::names::{ClusterName, RequestToken};
use deployment::rollout::{Ended, Evidence, FailedTask, StopCode, StoppedTask};

#[cfg(test)]
mod tests;

/// Number of polls without new lines after which the log of a stopped task counts as complete.
const QUIET_LOOKS: u8 = 2;
/// Time limit for a task to stop. ECS kills it after `StopTimeout`, two minutes at most.
const STOP_LIMIT: Duration = Duration::from_mins(4);

/// Value of `startedBy` for the tasks of this command.
const STARTED_BY: &str = "deployer-run";

/// Settings of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The command. Replaces the image's `CMD`; its `ENTRYPOINT` stays.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[async_trait(?Send)]
impl Execute for Run {
    fn is_log_stream(&self) -> bool {
        true
    }

    fn shows_output(&self) -> bool {
        true
    }

    fn continues(&self) -> Continues {
        Continues::Task
    }

    async fn execute(
        &self,
        context: Context<'_>,
        output: &mut dyn LogReader,
    ) -> Result<Done, Failure> {
        context.require_emulator().await?;
        let connection = connect(context).await?;
        let world = connection.world.as_ref();
        let exit_code = run(context, world, &self.command, output).await?;
        Ok(Done {
            result: None,
            exit_code,
        })
    }
}

/// Runs the command in the deployed version. Returns its exit code.
async fn run(
    context: Context<'_>,
    world: &dyn World,
    command: &[String],
    output: &mut dyn LogReader,
) -> Result<u8, Failure> {
    let service = context.require_service(world).await?;
    // A task may exist from here on, which has to be stopped before the exit.
    let _guard = context.cancellation.guard();
    let started = start(context, world, &service, command).await?;
    let mut task = CommandTask {
        context,
        world,
        cluster: &service.names.cluster,
        // From the start of the log: its stream belongs to this task alone.
        log: LogPoller::new(world, &service.names.log_group, 0, output).of_task(&started),
        id: started,
        read: 0,
        stopped: None,
        quiet_looks: 0,
        is_stopping: false,
    };
    let timeout = context.config.timeout;
    let failure = match task.follow(context, timeout).await {
        Ok(Outcome::Completed(End::Stopped(stopped))) => return exit_code(context, stopped),
        Ok(Outcome::Completed(End::NotTaken(error))) => {
            Failure::new(FailureKind::Unexpected, "cannot write to standard output").because(error)
        }
        Ok(Outcome::TimedOut) => Failure::new(
            FailureKind::Busy,
            format!("the command did not end within {} s", timeout.as_secs()),
        )
        .hint("allow more time: `--timeout 1h`"),
        Ok(Outcome::Cancelled) => Failure::interrupted(),
        Err(failure) => failure,
    };
    Err(task.stop_after(failure).await)
}

async fn start(
    context: Context<'_>,
    world: &dyn World,
    Running { names, .. }: &Running,
    command: &[String],
) -> Result<String, Failure> {
    let task = OneOff {
        cluster: &names.cluster,
        task_definition: &names.task_definition,
        network: OneOffNetwork::OfService(&names.service),
        command,
        started_by: STARTED_BY,
    };
    // Idempotency token: a retry after a lost response must not run the command twice.
    let token = RequestToken::new(format!("run-{:032x}", rand::random::<u128>()));
    world
        .run_task(&task, &token)
        .await
        .map_err(|error| context.remote_failure(&error))
}

/// Returns the exit code of the command if it ended on its own.
fn exit_code(context: Context<'_>, task: StoppedTask) -> Result<u8, Failure> {
    let ended = match &task.stop_code {
        Some(StopCode::EssentialContainerExited | StopCode::Unknown(_)) | None => task.exit_code,
        // The task never started or was stopped from outside: the exit code is not the command's
        // own.
        Some(_) => None,
    };
    if let Some(code) = ended {
        if code != 0 {
            let reason = task.container_reason.map(|reason| format!(": {reason}"));
            let reason = reason.unwrap_or_default();
            context
                .sink
                .note(format!("the command ended with exit code {code}{reason}"));
        }
        // Exit codes of a process are a byte on Unix.
        return Ok(u8::try_from(code).unwrap_or(u8::MAX));
    }
    let failure = if task.exit_code.is_none() {
        Failure::preflight("the command could not be started")
    } else {
        let message = "the task was stopped before the command ended";
        Failure::new(FailureKind::Unexpected, message)
    };
    let evidence = Evidence {
        tasks: vec![FailedTask {
            task,
            log: Vec::new(),
        }],
        ..Evidence::default()
    };
    Err(context.explained(failure, &evidence, Ended::ForGood))
}

/// End of polling a task.
enum End {
    /// The task has stopped, and its log was read.
    Stopped(StoppedTask),
    /// The receiver takes no more output.
    NotTaken(io::Error),
}

/// Task that runs one command, with its log.
struct CommandTask<'a> {
    context: Context<'a>,
    world: &'a dyn World,
    cluster: &'a ClusterName,
    id: String,
    log: LogPoller<'a>,
    /// Number of lines read so far.
    read: u64,
    stopped: Option<StoppedTask>,
    quiet_looks: u8,
    /// Set once the task was asked to stop. Output errors are ignored from then on.
    is_stopping: bool,
}

impl CommandTask<'_> {
    async fn follow(
        &mut self,
        context: Context<'_>,
        limit: Duration,
    ) -> Result<Outcome<End>, Failure> {
        let terms = Terms {
            pace: context.config.access.pace,
            deadline: Instant::now() + limit,
            cancellation: Some(context.cancellation),
        };
        poll::to_end(self, terms, context.sink)
            .await
            .map_err(|error| context.remote_failure_under_way(&error))
    }

    /// Stops the task and waits for that. Warns if it may still be running.
    async fn stop_after(mut self, failure: Failure) -> Failure {
        // A second cancellation must not leave the task running.
        let context = self.context.uncancellable();
        self.is_stopping = true;
        let (id, cluster) = (&self.id, self.cluster);
        // A second Ctrl-C ends the program here, and says no more than that the task may run.
        context
            .sink
            .note(format!("stopping task {id} of {cluster}"));
        let stopped = match self.world.stop_task(self.cluster, &self.id).await {
            Ok(()) => self.follow(context, STOP_LIMIT).await,
            Err(error) => Err(context.remote_failure_under_way(&error)),
        };
        if self.stopped.is_some() {
            context.sink.note("the task was stopped");
            return failure;
        }
        let why = match stopped {
            Err(Failure { cause, .. }) => cause.map(|cause| format!(" ({cause})")),
            Ok(_) => None,
        };
        context.sink.warn(format!(
            "the task may still run{}: `aws ecs stop-task --cluster {} --task {}`",
            why.unwrap_or_default(),
            self.cluster,
            self.id
        ));
        failure
    }
}

#[async_trait]
impl Poller for CommandTask<'_> {
    type End = End;

    async fn poll(&mut self) -> Remote<Option<End>> {
        if self.stopped.is_none()
            && let Some(TaskState::Stopped(task)) = self.world.task(self.cluster, &self.id).await?
        {
            self.stopped = Some(task);
        }
        let read = match self.log.poll().await? {
            Some(LogEnd::NotTaken(error)) if !self.is_stopping => {
                return Ok(Some(End::NotTaken(error)));
            }
            Some(LogEnd::Read(lines)) => lines,
            Some(LogEnd::NotTaken(_)) | None => self.read,
        };
        let is_quiet = std::mem::replace(&mut self.read, read) == read;
        let Some(task) = &self.stopped else {
            return Ok(None);
        };
        // The last lines may arrive after the end of the task.
        self.quiet_looks = if is_quiet { self.quiet_looks + 1 } else { 0 };
        // A task without an exit code never started its container, so no lines follow.
        let is_complete = task.exit_code.is_none() || self.quiet_looks >= QUIET_LOOKS;
        Ok(is_complete.then(|| End::Stopped(task.clone())))
    }
}
