//! Update of the stack: creates a change set, shows it, asks for consent and executes it.

use std::time::Duration;

use super::gate::VersionAtGate;
use super::previous::Previous;
use super::{DeployError, Deployer};
use crate::cancellation::ShutdownGuard;
use crate::config::Config;
use crate::context::{Context, new_token};
use crate::explain::command_line;
use crate::poll::Outcome;
use crate::pollers::{
    ChangeSetPoller, Gate, GatedEnd, GatedUpdate, ReleasePoller, StackPoller, UpdateEnd,
    UpdatePoller,
};
use aws::remote::{RemoteErrorKind, World};
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::event::{Event, Phase};
use deployment::names::{ChangeSetId, Digest, ImageUri};
use deployment::rollout::Ended;
use deployment::rollout::gate::{Intent, PausedDeployment};
use deployment::stack::Observed;
use deployment::stack::before::{BeforeUp, before_up};
use deployment::stack::change::Change;
use deployment::stack::decide::{During, Operation};
use deployment::stack::purpose::Purpose;
use deployment::stack::request::{Proposal, Wanted};
use deployment::stack::template_names::{OutputName, ParameterName};
use deployment::stack::{reviewer, tags, zones};
use deployment::template;

/// Update that CloudFormation has accepted.
pub(super) struct Execution<'a> {
    /// Stack before the update.
    pub(super) stack: Observed,
    /// Previous deployment.
    pub(super) previous: Previous,
    /// Name of the operation in events.
    operation: &'static str,
    /// Types of the affected resources.
    resource_types: Vec<String>,
    watch: UpdatePoller<'a>,
    /// Purpose of the update.
    purpose: Purpose,
    /// Digest of the image that has to pass the gate, if the template has one.
    gate: Option<Digest>,
    /// Set if the service waits for a release command.
    has_release: bool,
    _guard: ShutdownGuard,
}

impl<'a> Execution<'a> {
    /// Returns the update in progress that `watch` follows. The image with this digest has to pass
    /// the gate.
    pub(super) fn attached(
        context: Context<'_>,
        stack: &Observed,
        previous: Previous,
        watch: UpdatePoller<'a>,
        digest: Digest,
    ) -> Self {
        Self {
            stack: stack.clone(),
            previous,
            operation: "attach",
            resource_types: Vec::new(),
            watch,
            purpose: Purpose::Up,
            gate: Some(digest),
            // A version at the gate has passed it.
            has_release: false,
            _guard: context.cancellation.guard(),
        }
    }
}

/// Change set that can be executed.
pub(crate) struct Proposed {
    /// Id of the change set.
    pub(crate) change_set: ChangeSetId,
    /// Changes that it would make.
    pub(crate) changes: Vec<Change>,
    /// Digest of the image that has to pass the gate, if the template has one.
    gate: Option<Digest>,
    /// Set if the service waits for a release command.
    has_release: bool,
    /// Set if the template has one target group.
    has_one_group: bool,
}

/// Returns the digest of the image that has to pass the gate, if the template has one.
fn image_at_the_gate(wanted: &Wanted) -> Option<Digest> {
    let image = wanted.parameters.get(ParameterName::ImageUri.as_str());
    let image = image.filter(|_| template::is_gated(wanted.template.text()));
    let image = image.and_then(|image| image.parse::<ImageUri>().ok());
    image.map(|image| image.digest().clone())
}

/// Maximum number of changes that a question lists.
const LISTED: usize = 10;

/// Keeps the first [`LISTED`] lines, and adds how many there are besides.
fn first_of(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

/// Returns the failure for a change that CloudFormation rejects.
fn refused(config: &Config, cause: impl std::fmt::Display) -> Failure {
    let cause = cause.to_string();
    let usual = || format!("check the template: `{}`", config.template.lint());
    let hint = zones::hint(&cause).map_or_else(usual, str::to_owned);
    Failure::preflight("CloudFormation refuses the change")
        .because(cause)
        .hint(hint)
}

impl<'a> Deployer<'a> {
    /// Creates a change set, asks for consent and starts it. Returns `None` if it would change
    /// nothing.
    pub(super) async fn try_to_start(
        &self,
        stack: &Observed,
        wanted: &Wanted,
        purpose: &Purpose,
    ) -> Result<Option<Execution<'a>>, Failure> {
        let work = self.propose(stack, wanted, purpose);
        let proposed = self.context.sink.phase(Phase::Plan, work).await?;
        let Some(proposed) = proposed else {
            return Ok(None);
        };
        // While the question is open, a cancellation has to wait until the change set is discarded.
        let _guard = self.context.cancellation.guard();
        let agreed = self.context.unless_cancelled(self.agree(&proposed.changes));
        if let Err(failure) = agreed.await {
            self.discard(&proposed.change_set).await;
            return Err(failure);
        }
        let previous = self.remember(stack, wanted, &proposed.changes).await;
        self.execute(stack, &proposed, purpose, previous)
            .await
            .map(Some)
    }

    /// Creates a change set. Returns `None` if it would change nothing.
    pub(crate) async fn propose(
        &self,
        stack: &Observed,
        wanted: &Wanted,
        purpose: &Purpose,
    ) -> Result<Option<Proposed>, Failure> {
        let context = self.context;
        // A cancellation from here on waits until the change set is discarded.
        let _guard = context.cancellation.guard();
        let mut wanted = wanted.clone();
        reviewer::keep(stack, wanted.template.text(), &mut wanted.parameters);
        zones::keep(stack, &mut wanted);
        // An automatic rollback restores exactly the previous tags.
        if *purpose != Purpose::AutomaticRollback {
            // A request replaces all tags, so it names the existing ones together with ours.
            wanted.tags = wanted.tags.and_then(|ours| tags::added(&ours, &stack.tags));
        }
        let proposed = self.propose_exactly(stack, &wanted, purpose).await;
        let moves = match &proposed {
            Ok(Some(proposed)) => zones::move_with(&proposed.changes),
            Ok(None) => false,
            Err(failure) => failure.cause.as_deref().is_some_and(zones::are_too_few),
        };
        // A subnet cannot move to another zone, so such a change would fail.
        if !moves || !zones::pin(stack, &mut wanted) {
            return proposed;
        }
        if let Ok(Some(proposed)) = &proposed {
            self.discard(&proposed.change_set).await;
        }
        context.sink.note(
            "the account's default subnets are in other zones than the stack: it stays where it is",
        );
        self.propose_exactly(stack, &wanted, purpose).await
    }

    /// Creates a change set for exactly this request.
    async fn propose_exactly(
        &self,
        stack: &Observed,
        wanted: &Wanted,
        purpose: &Purpose,
    ) -> Result<Option<Proposed>, Failure> {
        let context = self.context;
        let config = context.config;
        let id = self
            .world
            .propose(&stack.id, wanted, &new_token(purpose))
            .await
            .map_err(|error| {
                let failure = context.remote_failure(&error);
                let about_the_request =
                    error.kind == RemoteErrorKind::Refused && error.is_invalid_request();
                if about_the_request && failure.kind != FailureKind::Busy {
                    refused(config, &error)
                } else {
                    failure
                }
            });
        let id = match id {
            Ok(id) => id,
            Err(failure) => return Err(self.unless_the_stack_changed(stack, failure).await),
        };
        let mut subject = ChangeSetPoller {
            world: self.world,
            id: &id,
        };
        let proposal = match context.poll_for(&mut subject, config.timeout).await {
            Ok(Outcome::Completed(proposal)) => Ok(proposal),
            Ok(Outcome::Cancelled) => Err(Failure::interrupted()),
            Ok(Outcome::TimedOut) => Err(Failure::new(
                FailureKind::Unexpected,
                format!(
                    "the change set was not ready within {} s",
                    config.timeout.as_secs()
                ),
            )
            .hint("nothing was changed: try again")),
            Err(failure) => Err(failure),
        };
        let proposal = match proposal {
            Ok(proposal) => proposal,
            Err(failure) => {
                self.discard(&id).await;
                return Err(failure);
            }
        };
        match proposal {
            Proposal::Ready(changes) => {
                context.sink.send(&Event::Proposed {
                    changes: changes.clone(),
                });
                Ok(Some(Proposed {
                    change_set: id,
                    changes,
                    gate: image_at_the_gate(wanted),
                    has_release: template::has_release(wanted.template.text()),
                    has_one_group: !template::is_gated(wanted.template.text()),
                }))
            }
            Proposal::Empty => {
                self.discard(&id).await;
                context.sink.send(&Event::Unchanged);
                Ok(None)
            }
            Proposal::Failed(reason) => {
                self.discard(&id).await;
                Err(refused(config, reason))
            }
            Proposal::Pending => Err(Failure::new(
                FailureKind::Unexpected,
                "the change set is not ready",
            )),
        }
    }

    /// Returns the reason of a rejected change: the template, unless somebody has brought the stack
    /// into a state that allows no update.
    async fn unless_the_stack_changed(&self, stack: &Observed, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Preflight {
            return failure;
        }
        match self.observe_again(stack).await {
            Err(gone) if gone.kind == FailureKind::Busy => gone,
            Ok(found) if before_up(Some(&found.status)) != BeforeUp::Update => Failure::new(
                FailureKind::Busy,
                "another operation is under way on the stack",
            )
            .because(format!("it is {} meanwhile", found.status))
            .hint("wait for it: run the same command again"),
            Ok(_) | Err(_) => failure,
        }
    }

    /// Deletes a change set that will not be executed. Errors are ignored: a leftover change set
    /// has no effect.
    pub(crate) async fn discard(&self, change_set: &ChangeSetId) {
        let _ = self.world.discard(change_set).await;
    }

    /// Asks for consent if existing resources would be replaced or removed.
    async fn agree(&self, changes: &[Change]) -> Result<(), Failure> {
        let lines: Vec<String> = changes
            .iter()
            .filter(|change| change.needs_agreement())
            .map(Change::line)
            .collect();
        if lines.is_empty() || self.context.config.consent.agreed {
            return Ok(());
        }
        let lines = first_of(lines);
        let not_agreed = |message: &str| {
            Failure::preflight(message)
                .with_evidence(lines.clone())
                .hint("look at all of it: `deployer plan`")
        };
        let question = match lines.as_slice() {
            [line] => format!("This would {line}. Go on?"),
            lines => format!("This would\n  {}\nGo on?", lines.join("\n  ")),
        };
        match self.host.agrees(self.context, &question).await {
            Some(true) => Ok(()),
            Some(false) => Err(not_agreed("not agreed to: nothing was changed")),
            None => Err(not_agreed(
                "something that exists would be replaced or removed, and there is nobody to ask",
            )
            .hint("agree to it: `--yes`")),
        }
    }

    pub(super) async fn execute(
        &self,
        stack: &Observed,
        proposed: &Proposed,
        purpose: &Purpose,
        previous: Previous,
    ) -> Result<Execution<'a>, Failure> {
        let context = self.context;
        if proposed.has_one_group {
            self.leave_the_second_group(stack).await?;
        }
        let failed = |error| context.remote_failure(&error);
        let token = new_token(purpose);
        let (world, sink): (&'a dyn World, _) = (self.world, context.sink);
        // Prepared before the request, so that earlier events are known and not taken for its own.
        let watch = StackPoller::prepare(world, sink, Operation::Update, stack, Some(&token))
            .await
            .map_err(failed)?;
        // The update may be in progress from here on, even if the response is lost. A cancellation
        // has to undo it.
        let duty = context.cancellation.guard();
        world
            .execute(&stack.id, &proposed.change_set, &token)
            .await
            .map_err(failed)?;
        Ok(Execution {
            stack: stack.clone(),
            previous,
            operation: "update",
            resource_types: proposed
                .changes
                .iter()
                .map(|change| change.resource_type.clone())
                .collect(),
            watch: UpdatePoller::new(world, sink, watch, stack),
            purpose: purpose.clone(),
            gate: proposed.gate.clone(),
            has_release: proposed.has_release,
            _guard: duty,
        })
    }

    /// Follows the update to its end. Cancels it after a timeout or on cancellation.
    pub(super) async fn follow_update(&self, execution: Execution<'a>) -> Result<(), DeployError> {
        let context = self.context;
        let Execution {
            stack,
            operation,
            resource_types,
            watch,
            purpose,
            gate,
            has_release,
            ..
        } = execution;
        let back = purpose == Purpose::AutomaticRollback;
        context.sink.send(&Event::OperationStarted {
            operation,
            stack_id: stack.id.clone(),
            resource_types,
        });
        let is_held = purpose == Purpose::HeldUp;
        let settings = &context.config.settings;
        // Waiting that the settings ask for does not count.
        let minutes =
            settings.waiting_minutes() + if is_held { settings.gate_minutes() } else { 0 };
        let limit = context.config.timeout + Duration::from_mins(minutes.into());
        let version = match &gate {
            Some(digest) => VersionAtGate::new(self, &stack, digest).map_err(DeployError::Final)?,
            None => None,
        };
        let intent = if back {
            Intent::Restore
        } else if is_held {
            Intent::Hold
        } else {
            Intent::Prove
        };
        let gate = version.as_ref();
        let gate = gate.map(|version| {
            let gate = Gate::new(self.world, context.sink, intent, version);
            gate.restoring(stack.output(OutputName::TaskDefinitionArn))
        });
        let release = has_release.then(|| ReleasePoller::new(self.world, context.sink, &stack.id));
        let mut watch = GatedUpdate::new(watch, release, gate);
        let followed = context.poll_for(&mut watch, limit).await;
        let why = match followed.map_err(DeployError::Final)? {
            Outcome::Completed(GatedEnd::Held(paused)) => return Err(self.held(&paused)),
            Outcome::Completed(GatedEnd::Ended(end)) => {
                // Somebody else may have answered the hook first. Only a rolled back update
                // confirms the rejection.
                let is_restored = end.stack.during == During::RolledBack;
                let failure = watch.release_failure().filter(|_| is_restored);
                if let Some(failure) = failure.cloned() {
                    return Err(DeployError::Final(self.not_released(failure)));
                }
                let rejection = watch.rejection().filter(|_| is_restored);
                return match version.as_ref().zip(rejection) {
                    Some((version, rejection)) => {
                        Err(DeployError::Final(version.not_passed(rejection)))
                    }
                    None => self.judge(*end, None, back),
                };
            }
            Outcome::TimedOut => context.overdue("the update"),
            Outcome::Cancelled => Failure::interrupted(),
        };
        context.sink.note("cancelling the update");
        let token = new_token(&Purpose::Cancel);
        // Makes the gate reject a version that waits there, and counts the events of the
        // cancellation as ours.
        watch.undo(&token);
        let cancelled = context.cancel_update(self.world, &stack, &token).await;
        cancelled.map_err(DeployError::Final)?;
        // One cancellation is enough: the rollback runs to its end.
        let uncancellable = Deployer {
            context: context.uncancellable(),
            ..*self
        };
        let followed = uncancellable.context.poll_for(&mut watch, limit).await;
        if let Some(remedy) = watch.running_release() {
            context
                .sink
                .warn(format!("the release command may still run: `{remedy}`"));
        }
        match followed.map_err(DeployError::Final)? {
            Outcome::Completed(GatedEnd::Ended(end)) => self.judge(*end, Some(why), back),
            Outcome::Completed(GatedEnd::Held(_)) | Outcome::TimedOut | Outcome::Cancelled => Err(DeployError::Final(
                Failure {
                    kind: why.kind.still_under_way(),
                    ..why
                }
                .leaving(Aftermath::StillRollingBack, "")
                .hint("cancelling takes long, and continues: `deployer status --watch` follows it"),
            )),
        }
    }

    /// Reports a version that waits at the gate, and ends the run.
    fn held(&self, paused: &PausedDeployment) -> DeployError {
        let config = self.context.config;
        self.context.sink.send(&Event::Held {
            stage: paused.stage.clone(),
            expires_at: paused.expires_at,
            continue_with: command_line(config, "continue"),
            rollback_with: command_line(config, "rollback"),
        });
        let message = "the new version waits at the gate for a decision";
        DeployError::Final(Failure::new(FailureKind::Held, message))
    }

    /// Converts the end of an update into a result. `cancelled` is the reason of a cancellation,
    /// and `back` is set for an automatic rollback.
    fn judge(
        &self,
        end: UpdateEnd,
        cancelled: Option<Failure>,
        back: bool,
    ) -> Result<(), DeployError> {
        let UpdateEnd {
            stack: end,
            evidence,
        } = end;
        let explained = |failure: Failure| {
            let failure = failure.because(end.cause_or_none());
            self.context.explained(failure, &evidence, Ended::ForGood)
        };
        let failure = match (end.during, cancelled) {
            (During::Succeeded, None) => return Ok(()),
            // The cancellation came too late. The new version is deployed, and is rolled back like
            // one that fails.
            (During::Succeeded, Some(why)) => return Err(DeployError::NeedsRollback(why)),
            (During::RolledBack, Some(why)) => {
                let words = "; the update was cancelled, and the previous state is restored";
                let failure = why.leaving(Aftermath::RestoredPrevious, words);
                self.context.explained(failure, &evidence, Ended::ForGood)
            }
            (During::RolledBack, None) if end.taken_over => {
                Failure::new(FailureKind::Busy, "somebody else has cancelled the update")
                    .leaving(
                        Aftermath::RestoredPrevious,
                        "; the previous state is restored",
                    )
                    .hint("`deployer status` shows what runs")
            }
            (During::RolledBack, None) if back => explained(
                Failure::new(FailureKind::Stuck, "CloudFormation did not get back to it").leaving(
                    Aftermath::LeftAsIs,
                    ", and the version that does not work is still in place",
                ),
            ),
            (During::RolledBack, None) => explained(
                Failure::new(FailureKind::RolledBack, "the update failed").leaving(
                    Aftermath::RestoredPrevious,
                    "; the previous state is restored",
                ),
            )
            .hint("fix what it names, then run `deployer up` again"),
            (During::LeftToDelete, _) if end.is_gone() => {
                Failure::new(FailureKind::Busy, "somebody deleted the stack meanwhile")
                    .hint("`deployer up` creates it again")
            }
            (During::Stuck, _) if end.failed_to_go() => Failure::new(
                FailureKind::Stuck,
                "somebody tried to delete the stack meanwhile, which failed",
            )
            .because(
                end.stack
                    .as_ref()
                    .and_then(|stack| stack.reason.as_deref())
                    .unwrap_or("CloudFormation gives no reason"),
            )
            .hint("`deployer down` says what holds it, and tries again"),
            (
                During::Stuck
                | During::LeftToDelete
                | During::KeepLooking
                | During::KeepLookingAtUnknown,
                _,
            ) => explained(
                Failure::new(FailureKind::Stuck, "the update failed")
                    .leaving(Aftermath::NotRestored, ", and so did its rollback"),
            )
            .hint("`deployer up` continues the rollback once what it names is fixed"),
        };
        Err(DeployError::Final(failure))
    }
}
