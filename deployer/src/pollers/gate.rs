//! An update of a stack whose service passes a gate: ECS pauses the deployment before any public request reaches the new version, and
//! what is found through the gate's header decides how it goes on.

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

/// Why a version did not pass.
#[derive(Debug, Clone)]
pub enum Objection {
    /// Its clock is proven wrong.
    ProvenWrong(Checked),
    /// It refuses the check.
    Refused(Refusal),
    /// The check did not succeed in time; this is what it found last.
    TimedOut(Option<Checked>),
}

/// How a version is checked at the gate.
#[async_trait]
pub trait Checking: Send + Sync {
    /// Returns the check of the tasks that are deployed there; `None` where the health of the targets is enough.
    async fn at_the_gate(&self, names: &ServiceNames) -> Option<Verification<'_>>;

    /// Returns how long it may take.
    fn limit(&self) -> Duration;
}

/// Who decides at the gate.
pub struct Gate<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    intent: Intent,
    checking: &'a dyn Checking,
    /// The hook that was met last, when, and what asks through the header.
    met: Option<(String, Instant, Option<Verification<'a>>)>,
    objection: Option<Objection>,
    /// ARN of the deployment that was rolled back: what comes after it restores the version of before.
    rolled_back: Option<String>,
    /// The hook that was answered last: each answer is told once.
    answered: Option<String>,
}

impl<'a> Gate<'a> {
    /// Prepares to decide.
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

    async fn poll(&mut self, names: &ServiceNames) -> Remote<()> {
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
            None if since.elapsed() < self.checking.limit() => return Ok(()),
            None => Objection::TimedOut(check.last().cloned()),
        };
        self.objection = Some(objection);
        self.intent = Intent::Undo;
        self.answer(paused, HookAnswer::RollBack).await
    }

    async fn answer(&mut self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
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
            // Somebody else answered, or the response to our own answer was lost: the next look tells.
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

/// Follows an update, and decides at the gate if there is one.
pub struct GatedUpdate<'a> {
    update: UpdatePoller<'a>,
    gate: Option<Gate<'a>>,
}

impl<'a> GatedUpdate<'a> {
    /// Adds a gate to an update.
    pub fn new(update: UpdatePoller<'a>, gate: Option<Gate<'a>>) -> Self {
        Self { update, gate }
    }

    /// Takes the new version back where it waits: somebody has cancelled. `token` is that of the request that cancels.
    pub fn undo(&mut self, token: &RequestToken) {
        self.update.also(token);
        if let Some(gate) = &mut self.gate {
            gate.intent = Intent::Undo;
        }
    }

    /// Returns why the new version did not pass the gate, if it did not.
    pub fn objection(&self) -> Option<&Objection> {
        self.gate.as_ref().and_then(|gate| gate.objection.as_ref())
    }
}

#[async_trait]
impl Poller for GatedUpdate<'_> {
    type End = UpdateEnd;

    async fn poll(&mut self) -> Remote<Option<UpdateEnd>> {
        let end = self.update.poll().await?;
        if end.is_none()
            && let Some(gate) = &mut self.gate
            && let Some(names) = self.update.at_the_gate()
        {
            gate.poll(&names).await?;
        }
        Ok(end)
    }
}
