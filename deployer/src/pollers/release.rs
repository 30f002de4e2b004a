//! Release command of an update: runs in a task of the new version while CloudFormation waits, and
//! decides whether the service changes.

use deployment::event::{Event, Sink};
use deployment::names::{RequestToken, StackId};
use deployment::rollout::StoppedTask;
use deployment::template::{RELEASE_STARTED_BY, Release, WaitingRelease};

use super::log_stream;
use aws::remote::{OneOff, OneOffNetwork, Remote, RemoteError, RemoteErrorKind, TaskState, World};

/// Number of log lines to keep as evidence.
const LOG_LINES: u16 = 20;
/// Number of reads that find the same log lines after which they count as complete.
const QUIET_READS: u8 = 2;

/// Reason why a release command did not succeed.
#[derive(Debug, Clone)]
pub enum ReleaseFailure {
    /// Its task could not be started.
    NotStarted(RemoteError),
    /// Its task stopped; the last lines of its log.
    Stopped(Box<StoppedTask>, Vec<String>),
    /// ECS does not know the task anymore.
    Forgotten,
}

/// Task that runs the command.
struct Running {
    waiting: WaitingRelease,
    release: Release,
    id: String,
    /// Set once the task was asked to stop.
    is_stopping: bool,
    /// Last log lines, and how often they were found.
    log: (Vec<String>, u8),
}

enum Step {
    /// CloudFormation does not wait for the command yet.
    Waiting,
    /// A task runs the command.
    Running(Box<Running>),
    /// CloudFormation has the answer.
    Answered,
}

/// Poller for the release command of an update.
pub struct ReleasePoller<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    stack: StackId,
    step: Step,
    /// Set if the update is rolled back: the command must not go on.
    is_undone: bool,
    failure: Option<ReleaseFailure>,
}

impl<'a> ReleasePoller<'a> {
    /// Creates a poller for an update of this stack.
    pub fn new(world: &'a dyn World, sink: &'a Sink, stack: &StackId) -> Self {
        Self {
            world,
            sink,
            stack: stack.clone(),
            step: Step::Waiting,
            is_undone: false,
            failure: None,
        }
    }

    /// Returns the reason why the command did not succeed, if it did not.
    pub fn failure(&self) -> Option<&ReleaseFailure> {
        self.failure.as_ref()
    }

    /// Stops the command from now on instead of running it.
    pub fn undo(&mut self) {
        self.is_undone = true;
    }

    /// Returns whether the task may still run.
    pub fn is_running(&self) -> bool {
        matches!(self.step, Step::Running(_))
    }

    /// Returns the command that stops the task, if it may still run.
    pub fn remedy(&self) -> Option<String> {
        let Step::Running(running) = &self.step else {
            return None;
        };
        let (cluster, id) = (&running.release.cluster, &running.id);
        Some(format!("aws ecs stop-task --cluster {cluster} --task {id}"))
    }

    /// Polls once. Starts the command when CloudFormation waits for it, and answers when it has
    /// ended.
    pub async fn poll(&mut self) -> Remote<()> {
        match std::mem::replace(&mut self.step, Step::Answered) {
            Step::Answered => Ok(()),
            Step::Running(mut running) => {
                let followed = self.follow(&mut running).await;
                if !matches!(followed, Ok(true)) {
                    self.step = Step::Running(running);
                }
                followed.map(drop)
            }
            Step::Waiting => {
                self.step = Step::Waiting;
                let events = self.world.newest_events(&self.stack).await?;
                match WaitingRelease::among(&events) {
                    Some(waiting) if self.is_undone => self.answer(&waiting, false).await,
                    Some(waiting) => self.start(waiting).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn start(&mut self, waiting: WaitingRelease) -> Remote<()> {
        match self.try_to_start(&waiting).await {
            Ok(running) => {
                self.step = Step::Running(Box::new(running));
                Ok(())
            }
            Err(error) if error.kind.is_passing() => Err(error),
            // Nothing else will answer, and CloudFormation would wait for an hour.
            Err(error) => {
                self.failure = Some(ReleaseFailure::NotStarted(error));
                self.answer(&waiting, false).await
            }
        }
    }

    async fn try_to_start(&self, waiting: &WaitingRelease) -> Remote<Running> {
        let operation = "DescribeStackResource";
        let metadata = self.world.metadata(&self.stack, &waiting.logical_id);
        let metadata = metadata.await?.unwrap_or_default();
        let release = Release::parse(&metadata).map_err(|error| RemoteError {
            kind: RemoteErrorKind::Refused,
            operation,
            code: None,
            message: format!("unexpected metadata of {}: {error}", waiting.logical_id),
            request_id: None,
        })?;
        let token = waiting.token();
        let mut id = None;
        for task in self.world.one_off_tasks(&release.cluster).await? {
            if task.started_by == token {
                // A run that was killed has started it.
                id = Some(task.id);
            } else if task.started_by.starts_with(RELEASE_STARTED_BY) {
                // Two of them might change the same data.
                self.sink.note(format!(
                    "stopping the release command of an earlier deployment, task {}",
                    task.id
                ));
                self.world.stop_task(&release.cluster, &task.id).await?;
            }
        }
        let id = if let Some(id) = id {
            id
        } else {
            let task = OneOff {
                cluster: &release.cluster,
                task_definition: &release.task_definition,
                network: OneOffNetwork::These(release.network()),
                command: &release.command,
                started_by: &token,
            };
            let token = RequestToken::new(&token);
            self.world.run_task(&task, &token).await?
        };
        self.sink.send(&Event::ReleaseStarted {
            command: release.command.clone(),
            task: id.clone(),
        });
        Ok(Running {
            waiting: waiting.clone(),
            release,
            id,
            is_stopping: false,
            log: (Vec::new(), 0),
        })
    }

    /// Polls the task. Returns whether it has stopped and CloudFormation has the answer.
    async fn follow(&mut self, running: &mut Running) -> Remote<bool> {
        let cluster = &running.release.cluster;
        let stopped = match self.world.task(cluster, &running.id).await? {
            Some(TaskState::Active(_)) => {
                if self.is_undone && !running.is_stopping {
                    self.world.stop_task(cluster, &running.id).await?;
                    running.is_stopping = true;
                }
                return Ok(false);
            }
            Some(TaskState::Stopped(task)) => Some(task),
            None => None,
        };
        let exit_code = stopped.as_ref().and_then(|task| task.exit_code);
        let succeeded = exit_code == Some(0) && !self.is_undone;
        // Without an exit code, its container was never started and logged nothing.
        if !succeeded && exit_code.is_some() && !self.is_undone && !self.has_log(running).await {
            return Ok(false);
        }
        if running.is_stopping {
            self.sink.note("the release command was stopped");
        } else if !succeeded && self.failure.is_none() {
            let log = std::mem::take(&mut running.log.0);
            self.failure = Some(match stopped {
                Some(task) => ReleaseFailure::Stopped(Box::new(task), log),
                None => ReleaseFailure::Forgotten,
            });
        }
        self.answer(&running.waiting, succeeded).await?;
        self.sink.send(&Event::ReleaseEnded {
            passed: succeeded,
            exit_code,
        });
        Ok(true)
    }

    /// Reads the end of the log. Returns whether it is complete: lines may arrive after the task
    /// has stopped.
    async fn has_log(&self, running: &mut Running) -> bool {
        let stream = log_stream(&running.id);
        let group = &running.release.log_group;
        // The log only explains the failure, so an error must not replace it.
        let lines = self.world.tail(group, &stream, LOG_LINES).await;
        let lines = lines.unwrap_or_default();
        let (known, reads) = &mut running.log;
        *reads = if *known == lines { *reads + 1 } else { 0 };
        *known = lines;
        *reads >= QUIET_READS
    }

    async fn answer(&mut self, waiting: &WaitingRelease, succeeded: bool) -> Remote<()> {
        let signal = self
            .world
            .signal(&self.stack, &waiting.logical_id, succeeded);
        match signal.await {
            Ok(()) => {}
            // The update has ended, or another run of this program has answered.
            Err(error) if error.kind.is_refusal() => {}
            Err(error) => return Err(error),
        }
        self.step = Step::Answered;
        Ok(())
    }
}
