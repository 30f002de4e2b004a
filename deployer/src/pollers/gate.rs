//! Stack update whose service passes a gate. ECS pauses the deployment before any public request
//! reaches the new version. The result of a check through the gate's header decides whether it
//! continues.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::check::{Refusal, Verification, Verified};
use super::{ServiceNames, UpdateEnd, UpdatePoller};
use crate::poll::Poller;
use aws::remote::{Remote, RemoteErrorKind, World};
use deployment::event::{Checked, Event, Sink};
use deployment::names::RequestToken;
use deployment::rollout::gate::{AtTheGate, HookAnswer, Intent, PausedDeployment, decide};

/// Reason why a version did not pass the gate.
#[derive(Debug, Clone)]
pub enum Objection {
    /// The clock of the version is proven wrong.
    ProvenWrong(Checked),
    /// The version rejects the check.
    Refused(Refusal),
    /// The check did not pass in time. Holds its last findings.
    TimedOut(Option<Checked>),
}

/// Check of a version at the gate.
#[async_trait]
pub trait Checking: Send + Sync {
    /// Returns the check of the tasks behind the gate, or `None` if target health suffices.
    async fn at_the_gate(&self, names: &ServiceNames) -> Option<Verification<'_>>;

    /// Returns the time limit of the check; `None` leaves it to the timeout of the hook.
    fn limit(&self) -> Option<Duration>;
}

/// Decision at the gate.
pub struct Gate<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    intent: Intent,
    checking: &'a dyn Checking,
    /// Last hook reached, the time it was reached, and the check through the header.
    met: Option<(String, Instant, Option<Verification<'a>>)>,
    objection: Option<Objection>,
    /// ARN of the deployment that was rolled back. Any later deployment restores the previous
    /// version.
    rolled_back: Option<String>,
    /// Last hook that was answered. Each answer is reported once.
    answered: Option<String>,
}

impl<'a> Gate<'a> {
    /// Creates a gate for this intent.
    pub fn new(
        world: &'a dyn World,
        sink: &'a Sink,
        intent: Intent,
        checking: &'a dyn Checking,
    ) -> Self {
        Self {
            world,
            sink,
            intent,
            checking,
            met: None,
            objection: None,
            rolled_back: None,
            answered: None,
        }
    }

    /// Polls once for deployments at the gate, and checks or answers them.
    pub async fn poll(&mut self, names: &ServiceNames) -> Remote<()> {
        let paused = self
            .world
            .paused_deployments(&names.cluster, &names.service);
        for paused in paused.await? {
            let intent = match &self.rolled_back {
                Some(arn) if *arn == paused.arn => Intent::Undo,
                Some(_) => Intent::Restore,
                None => self.intent,
            };
            match decide(&paused, Some(&names.task_definition), intent) {
                AtTheGate::Answer(answer) => self.answer(&paused, answer).await?,
                AtTheGate::Check => self.check(&paused, names).await?,
                AtTheGate::Leave => {}
            }
        }
        Ok(())
    }

    async fn check(&mut self, paused: &PausedDeployment, names: &ServiceNames) -> Remote<()> {
        // ECS returns the paused deployment on every poll. The check must keep its state across
        // polls.
        let is_known = self
            .met
            .as_ref()
            .is_some_and(|(hook, ..)| *hook == paused.hook);
        if !is_known {
            self.sink.send(&Event::GateReached {
                stage: paused.stage.clone(),
            });
            let check = self.checking.at_the_gate(names).await;
            self.met = Some((paused.hook.clone(), Instant::now(), check));
        }
        let Some((_, since, Some(check))) = &mut self.met else {
            return self.answer(paused, HookAnswer::Continue).await;
        };
        let objection = match check.poll().await? {
            Some(Verified::Working(_)) => {
                return self.answer(paused, HookAnswer::Continue).await;
            }
            Some(Verified::ProvenWrong(found)) => Objection::ProvenWrong(found),
            Some(Verified::Refused(refusal)) => Objection::Refused(refusal),
            // Time limit of the check alone: the update as a whole has its own.
            None if self
                .checking
                .limit()
                .is_none_or(|limit| since.elapsed() < limit) =>
            {
                return Ok(());
            }
            None => Objection::TimedOut(check.last().cloned()),
        };
        self.objection = Some(objection);
        // A rejected version must not pass at a later hook of the same deployment.
        self.intent = Intent::Undo;
        self.answer(paused, HookAnswer::RollBack).await
    }

    async fn answer(&mut self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        // Set before the call: if its response is lost, ECS may still have acted on it.
        if answer == HookAnswer::RollBack {
            self.rolled_back = Some(paused.arn.clone());
        }
        match self.world.answer_hook(paused, answer).await {
            Ok(()) => {
                let hook = Some(paused.hook.clone());
                if std::mem::replace(&mut self.answered, hook.clone()) != hook {
                    self.sink.send(&Event::GateAnswered {
                        stage: paused.stage.clone(),
                        passed: answer == HookAnswer::Continue,
                    });
                }
                Ok(())
            }
            // Somebody else answered, or the response to our own answer was lost. The next poll
            // shows which.
            Err(error)
                if matches!(
                    error.kind,
                    RemoteErrorKind::Refused | RemoteErrorKind::NotFound
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Update with an optional gate.
pub struct GatedUpdate<'a> {
    update: UpdatePoller<'a>,
    gate: Option<Gate<'a>>,
}

impl<'a> GatedUpdate<'a> {
    /// Combines an update with a gate.
    pub fn new(update: UpdatePoller<'a>, gate: Option<Gate<'a>>) -> Self {
        Self { update, gate }
    }

    /// Rejects the version at the gate after a cancellation. `token` belongs to the request that
    /// cancels the update.
    pub fn undo(&mut self, token: &RequestToken) {
        self.update.also(token);
        if let Some(gate) = &mut self.gate {
            gate.intent = Intent::Undo;
        }
    }

    /// Returns the reason why the new version did not pass the gate, if it did not.
    pub fn objection(&self) -> Option<&Objection> {
        self.gate.as_ref().and_then(|gate| gate.objection.as_ref())
    }
}

#[async_trait]
impl Poller for GatedUpdate<'_> {
    type End = UpdateEnd;

    async fn poll(&mut self) -> Remote<Option<UpdateEnd>> {
        let end = self.update.poll().await?;
        // An update that has ended leaves no paused deployment behind.
        if end.is_none()
            && let Some(gate) = &mut self.gate
            && let Some(names) = self.update.at_the_gate()
        {
            gate.poll(&names).await?;
        }
        Ok(end)
    }
}
