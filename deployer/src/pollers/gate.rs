//! Stack update whose service passes a gate. ECS pauses the deployment before any public request
//! reaches the new version. The result of a check through the gate's header decides whether it
//! continues.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::check::{Refusal, Verification, Verified};
use super::{
    ReleaseFailure, ReleasePoller, ServiceNames, StackEnd, StackPoller, UpdateEnd, UpdatePoller,
};
use crate::poll::Poller;
use aws::remote::{Remote, RemoteError, World};
use deployment::event::{Checked, Event, Probed, Sampled, Sink};
use deployment::names::{ClusterName, RequestToken, ServiceName, TaskDefinitionArn};
use deployment::rollout::gate::{
    ActiveDeployment, AtTheGate, Counts, HookAnswer, Intent, LifecycleStage, PausedDeployment,
    decide, fails_in_public,
};
use deployment::stack::Observed;
use deployment::stack::template_names::{OutputName, ResourceName};

/// Reason why a version did not pass the gate.
#[derive(Debug, Clone)]
pub enum Objection {
    /// The clock of the version is proven wrong.
    ProvenWrong(Checked),
    /// The version rejects the check.
    Refused(Refusal),
    /// The check did not pass in time. Holds its last findings.
    TimedOut(Option<Checked>),
    /// Public requests fail since the new version gets some of them: their counts, and the reason of
    /// the first one.
    Public(Counts, Option<String>),
    /// The user decided against it.
    Declined,
    /// It was held for the user, and rolled back before the user decided.
    Undecided,
    /// It passes the check, but requests to it fail now and then.
    Unreliable(Sampled),
}

/// Version that was rolled back at the gate.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// Reason.
    pub objection: Objection,
    /// Set if it received public requests, in the steps before.
    pub had_traffic: bool,
}

/// Check of a version at the gate.
#[async_trait]
pub trait Checking: Send + Sync {
    /// Returns the check of the tasks behind the gate, or `None` if target health suffices.
    async fn at_the_gate(&self, names: &ServiceNames) -> Option<Verification<'_>>;

    /// Returns the time limit of the check; `None` leaves it to the timeout of the hook.
    fn limit(&self) -> Option<Duration>;

    /// Returns the public requests of this run so far. Absent for a first version: without a
    /// previous one, public requests fail until it gets all of them.
    fn public(&self) -> Option<Probed>;

    /// Asks the user to decide about a version that passed the check. Returns `None` if nobody can
    /// be asked.
    async fn decision(&self, paused: PausedDeployment) -> Option<HookAnswer>;
}

type Decision<'a> = Pin<Box<dyn Future<Output = Option<HookAnswer>> + Send + 'a>>;

/// Answers to lifecycle hooks. Each one is reported once.
struct Answers<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    /// Last hook that was answered.
    last: Option<String>,
    /// Set if the last poll answered a hook.
    is_given: bool,
    /// Hook that did not wait any more when it was answered, and the answer.
    late: Option<(PausedDeployment, HookAnswer)>,
}

impl<'a> Answers<'a> {
    const fn new(world: &'a dyn World, sink: &'a Sink) -> Self {
        Self {
            world,
            sink,
            last: None,
            is_given: false,
            late: None,
        }
    }

    async fn give(&mut self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        match self.world.answer_hook(paused, answer).await {
            Ok(()) => {
                self.is_given = true;
                self.report(paused, answer);
                Ok(())
            }
            // Somebody else answered, or the response to our own answer was lost. The next poll
            // shows which.
            Err(error) if error.kind.is_refusal() => {
                self.late = Some((paused.clone(), answer));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn report(&mut self, paused: &PausedDeployment, answer: HookAnswer) {
        let hook = Some(paused.hook.clone());
        if std::mem::replace(&mut self.last, hook.clone()) != hook {
            self.sink.send(&Event::GateAnswered {
                stage: paused.stage.clone(),
                passed: answer == HookAnswer::Continue,
            });
        }
    }

    /// Begins a poll, which found these deployments. Reports the late answer of the one before if
    /// ECS acts on the same one.
    fn begin(&mut self, active: &[ActiveDeployment]) {
        self.is_given = false;
        let Some((paused, answer)) = self.late.take() else {
            return;
        };
        let mut waiting = active.iter().flat_map(|active| &active.paused);
        let mut same = active.iter().filter(|active| active.arn == paused.arn);
        let goes_on = same.any(|active| active.status.goes_on());
        if !waiting.any(|one| one.hook == paused.hook)
            && goes_on == (answer == HookAnswer::Continue)
        {
            self.report(&paused, answer);
        }
    }
}

/// Decision at the gate.
pub struct Gate<'a> {
    world: &'a dyn World,
    sink: &'a Sink,
    answers: Answers<'a>,
    intent: Intent,
    checking: &'a dyn Checking,
    /// Last hook reached, the time it was reached, and the check through the header.
    met: Option<(String, Instant, Option<Verification<'a>>)>,
    /// Public requests of the comparisons.
    compared: Counts,
    /// Public requests before the new version got any.
    before_traffic: Option<Counts>,
    rejection: Option<Rejection>,
    /// Last comparison in which requests to the new version failed.
    unreliable: Option<Sampled>,
    /// Task definition that served before, if there was one.
    previous: Option<TaskDefinitionArn>,
    /// ARNs of the deployments that were paused before this run gave up on its version.
    seen: BTreeSet<String>,
    /// Deployment that passed the check and is held, and the question about it.
    held: Option<(PausedDeployment, Decision<'a>)>,
    /// ARN of the deployment that was rolled back. Any later deployment restores the previous
    /// version.
    rolled_back: Option<String>,
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
            answers: Answers::new(world, sink),
            intent,
            checking,
            met: None,
            compared: Counts::default(),
            before_traffic: None,
            rejection: None,
            unreliable: None,
            previous: None,
            seen: BTreeSet::new(),
            held: None,
            rolled_back: None,
        }
    }

    /// Lets this task definition, which served before, pass on the way back.
    #[must_use]
    pub fn restoring(self, previous: Option<&str>) -> Self {
        Self {
            previous: previous.map(TaskDefinitionArn::new),
            ..self
        }
    }

    /// Returns the intent for a paused deployment.
    fn intent_for(&self, paused: &PausedDeployment, names: &ServiceNames) -> Intent {
        let is_previous = self.previous.as_ref() == Some(&paused.task_definition);
        // CloudFormation goes back on its own when another resource fails, or when somebody cancels.
        // An update that keeps the task definition goes back to the same one.
        let is_back = paused.task_definition != names.task_definition
            || (self.intent == Intent::Undo && !self.seen.contains(&paused.arn));
        match &self.rolled_back {
            Some(arn) if *arn == paused.arn => Intent::Undo,
            Some(_) => Intent::Restore,
            None if is_previous && is_back => Intent::Restore,
            None => self.intent,
        }
    }

    /// Closes the question about a held version that waits no more.
    fn close_the_question(&mut self, active: &[ActiveDeployment]) {
        let Some((held, _)) = &self.held else {
            return;
        };
        let mut waiting = active.iter().flat_map(|active| &active.paused);
        if waiting.any(|paused| paused.hook == held.hook) {
            return;
        }
        let mut same = active.iter().filter(|active| active.arn == held.arn);
        if same.any(|active| active.status.goes_on()) {
            self.sink.note(
                "somebody else has let the version pass: there is nothing to decide any more",
            );
            self.intent = Intent::Prove;
        } else {
            self.rejection = Some(Rejection {
                objection: Objection::Undecided,
                had_traffic: false,
            });
        }
        self.held = None;
    }

    /// Polls once for deployments at the gate, and checks or answers them. Returns the one that is
    /// held if nobody can be asked about it.
    pub async fn poll(&mut self, names: &ServiceNames) -> Remote<Option<PausedDeployment>> {
        let active = self
            .world
            .active_deployments(&names.cluster, &names.service);
        let active = active.await?;
        self.answers.begin(&active);
        self.close_the_question(&active);
        for paused in active.into_iter().flat_map(|active| active.paused) {
            let intent = self.intent_for(&paused, names);
            if self.intent != Intent::Undo {
                self.seen.insert(paused.arn.clone());
            }
            let answer = match decide(&paused, Some(&names.task_definition), intent) {
                AtTheGate::Answer(answer) => Some(answer),
                AtTheGate::Check => self.check(&paused, names).await?,
                AtTheGate::Hold => match self.hold(&paused, names).await? {
                    Held::Decided(answer) => answer,
                    Held::NobodyToAsk => return Ok(Some(paused)),
                },
                AtTheGate::Leave => None,
            };
            if let Some(answer) = answer {
                self.answer(&paused, answer).await?;
            }
        }
        Ok(None)
    }

    /// Checks the version, then leaves the answer to the user.
    async fn hold(&mut self, paused: &PausedDeployment, names: &ServiceNames) -> Remote<Held> {
        let is_held = self
            .held
            .as_ref()
            .is_some_and(|(held, _)| held.hook == paused.hook);
        if !is_held {
            match self.check(paused, names).await? {
                Some(HookAnswer::Continue) => {}
                answer => return Ok(Held::Decided(answer)),
            }
        }
        let (_, asking) = self
            .held
            .get_or_insert_with(|| (paused.clone(), self.checking.decision(paused.clone())));
        // The hook has to be polled while the question is open: it may expire.
        let answer = match poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await {
            Poll::Pending => return Ok(Held::Decided(None)),
            Poll::Ready(None) => return Ok(Held::NobodyToAsk),
            Poll::Ready(Some(answer)) => answer,
        };
        self.held = None;
        match answer {
            HookAnswer::Continue => self.intent = Intent::Prove,
            HookAnswer::RollBack => {
                self.rejection = Some(Rejection {
                    objection: Objection::Declined,
                    had_traffic: false,
                });
                self.intent = Intent::Undo;
            }
        }
        Ok(Held::Decided(Some(answer)))
    }

    /// Polls the check. Returns the answer once there is a verdict.
    async fn check(
        &mut self,
        paused: &PausedDeployment,
        names: &ServiceNames,
    ) -> Remote<Option<HookAnswer>> {
        // ECS returns the paused deployment on every poll. The check must keep its state across
        // polls.
        let is_known = self
            .met
            .as_ref()
            .is_some_and(|(hook, ..)| *hook == paused.hook);
        if !is_known {
            self.sink.send(&Event::GateReached {
                stage: paused.stage.clone(),
                share: paused.share,
                is_first: self.checking.public().is_none(),
            });
            let check = self.checking.at_the_gate(names).await;
            self.met = Some((paused.hook.clone(), Instant::now(), check));
        }
        let failing = self.failing_in_public();
        let Some((_, since, Some(check))) = &mut self.met else {
            return Ok(Some(HookAnswer::Continue));
        };
        let mut passed = false;
        let objection = if let Some(failing) = failing {
            let probe = self.checking.public();
            let first = probe.and_then(|probe| probe.first_failure);
            Some(Objection::Public(failing, first))
        } else {
            match check.poll().await? {
                Some(Verified::ProvenWrong(found)) => Some(Objection::ProvenWrong(found)),
                Some(Verified::Refused(refusal)) => Some(Objection::Refused(refusal)),
                Some(Verified::Working(_)) => {
                    let share = self.checking.public().map(|_| paused.share);
                    let (new, public) = check.compare(share).await;
                    if let Some(public) = &public {
                        self.compared.requests += u64::from(public.requests);
                        self.compared.failed += u64::from(public.failed);
                    }
                    passed = new.failed == 0;
                    self.unreliable = (!passed).then(|| new.clone());
                    self.sink.send(&Event::GateCompared { new, public });
                    None
                }
                None => None,
            }
        };
        // Time limit of the check alone: the update as a whole has its own.
        let limit = self.checking.limit();
        let is_late = limit.is_some_and(|limit| since.elapsed() >= limit);
        let late = is_late.then(|| match self.unreliable.take() {
            Some(sampled) => Objection::Unreliable(sampled),
            None => Objection::TimedOut(check.last().cloned()),
        });
        // Public requests that failed before are no objection: the new version may be the remedy.
        if passed && self.failing_in_public().is_none() {
            return Ok(Some(HookAnswer::Continue));
        }
        let Some(objection) = objection.or(late) else {
            return Ok(None);
        };
        self.rejection = Some(Rejection {
            objection,
            had_traffic: paused.share > 0.0,
        });
        // A rejected version must not pass at a later hook of the same deployment.
        self.intent = Intent::Undo;
        Ok(Some(HookAnswer::RollBack))
    }

    /// Returns the counts since the new version gets public requests, if they fail.
    fn failing_in_public(&self) -> Option<Counts> {
        let (before, now) = self.before_traffic.as_ref().zip(self.counts())?;
        fails_in_public(before, &now).then(|| now.since(before))
    }

    /// Returns the counts of all public requests so far.
    fn counts(&self) -> Option<Counts> {
        self.checking.public().map(|probe| Counts {
            requests: probe.requests + self.compared.requests,
            failed: probe.failed + self.compared.failed,
        })
    }

    async fn answer(&mut self, paused: &PausedDeployment, answer: HookAnswer) -> Remote<()> {
        // Set before the call: if its response is lost, ECS may still have acted on it.
        if answer == HookAnswer::RollBack {
            self.rolled_back = Some(paused.arn.clone());
        }
        if paused.stage == LifecycleStage::PreProductionTrafficShift {
            self.before_traffic = self.before_traffic.or_else(|| self.counts());
        }
        self.answers.give(paused, answer).await
    }
}

/// Deployments at the gate while an operation is in progress on their stack.
pub struct UnderWay<'a> {
    world: &'a dyn World,
    /// Stack, whose outputs are of the previous version: they need not name a gate, or a service.
    stack: Observed,
    service: Option<ServiceName>,
}

impl<'a> UnderWay<'a> {
    /// Finds the deployments of this stack's service.
    pub fn new(world: &'a dyn World, stack: &Observed) -> Self {
        let service = stack.output(OutputName::ServiceName);
        Self {
            world,
            stack: stack.clone(),
            service: service.map(ServiceName::new),
        }
    }

    /// Returns the deployments that wait for an answer.
    pub async fn paused(&mut self) -> Remote<Vec<PausedDeployment>> {
        let active = self.active().await?.into_iter();
        Ok(active.flat_map(|active| active.paused).collect())
    }

    /// Returns the deployments that have not ended.
    pub async fn active(&mut self) -> Remote<Vec<ActiveDeployment>> {
        let Some(cluster) = self.stack.output(OutputName::ClusterName) else {
            return Ok(Vec::new());
        };
        if self.service.is_none() {
            let resources = self.world.resources(&self.stack.id).await?.into_iter();
            let mut services =
                resources.filter(|resource| resource.logical_id == ResourceName::Service.as_str());
            let id = services.find_map(|resource| resource.physical_id);
            self.service = id.map(ServiceName::new);
        }
        match &self.service {
            Some(service) => {
                let cluster = ClusterName::new(cluster);
                self.world.active_deployments(&cluster, service).await
            }
            None => Ok(Vec::new()),
        }
    }

    /// Returns whether a deployment restores the previous version, which has served before.
    pub fn restores(&self, paused: &PausedDeployment) -> bool {
        let previous = self.stack.output(OutputName::TaskDefinitionArn);
        previous == Some(paused.task_definition.as_str())
    }

    /// Returns the names with the version that waits.
    pub fn names(&self, paused: &PausedDeployment) -> Option<ServiceNames> {
        let service = self.service.as_ref()?;
        ServiceNames::with(
            &self.stack,
            service.as_str(),
            paused.task_definition.as_str(),
        )
        .ok()
    }

    /// Warns that hooks cannot be read or answered, if the stack is known to have a gate: many
    /// endpoints do not know service deployments.
    pub fn warn(&self, sink: &Sink, error: &RemoteError) {
        if self.stack.output(OutputName::OtherTargetGroupArn).is_some() {
            sink.warn(format!("the gate: {error}"));
        }
    }
}

/// Operation of somebody else that ends with the previous version, or with none. Lets the previous
/// version pass the gate and rolls back any other one. Without answers, both would wait for the
/// timeout of their hooks.
pub struct WayBack<'a> {
    watch: StackPoller<'a>,
    answers: Answers<'a>,
    /// Absent once hooks cannot be read or answered.
    deployments: Option<UnderWay<'a>>,
}

impl<'a> WayBack<'a> {
    /// Follows an operation on this stack.
    pub fn new(
        world: &'a dyn World,
        sink: &'a Sink,
        watch: StackPoller<'a>,
        stack: &Observed,
    ) -> Self {
        Self {
            watch,
            answers: Answers::new(world, sink),
            deployments: Some(UnderWay::new(world, stack)),
        }
    }

    async fn answer(&mut self) -> Remote<()> {
        let Some(deployments) = &mut self.deployments else {
            return Ok(());
        };
        let active = deployments.active().await?;
        self.answers.begin(&active);
        for paused in active.into_iter().flat_map(|active| active.paused) {
            let intent = if deployments.restores(&paused) {
                Intent::Restore
            } else {
                Intent::Undo
            };
            if let AtTheGate::Answer(answer) =
                decide(&paused, Some(&paused.task_definition), intent)
            {
                self.answers.give(&paused, answer).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Poller for WayBack<'_> {
    type End = StackEnd;

    async fn poll(&mut self) -> Remote<Option<StackEnd>> {
        let end = self.watch.poll().await?;
        if end.is_none()
            && let Err(error) = self.answer().await
        {
            if error.kind.is_passing() {
                return Err(error);
            }
            // The operation ends without answers too, when the hooks time out.
            if let Some(deployments) = self.deployments.take() {
                deployments.warn(self.answers.sink, &error);
            }
        }
        Ok(end)
    }

    fn changes_soon(&self) -> bool {
        self.deployments.is_some() && self.answers.is_given
    }
}

/// State of a version that is held.
enum Held {
    /// The answer, once there is one.
    Decided(Option<HookAnswer>),
    /// Nobody can be asked.
    NobodyToAsk,
}

/// End of an update that may pass a gate.
pub enum GatedEnd {
    /// The update ended.
    Ended(Box<UpdateEnd>),
    /// The new version passed the check, and waits for a decision.
    Held(PausedDeployment),
}

/// Update with an optional release command and an optional gate.
pub struct GatedUpdate<'a> {
    update: UpdatePoller<'a>,
    release: Option<ReleasePoller<'a>>,
    gate: Option<Gate<'a>>,
    /// End of the update, while the task of the release command is stopped.
    end: Option<UpdateEnd>,
    /// Set once hooks cannot be read or answered.
    is_deaf: bool,
}

impl<'a> GatedUpdate<'a> {
    /// Combines an update with a release command and a gate.
    pub fn new(
        update: UpdatePoller<'a>,
        release: Option<ReleasePoller<'a>>,
        gate: Option<Gate<'a>>,
    ) -> Self {
        Self {
            update,
            release,
            gate,
            end: None,
            is_deaf: false,
        }
    }

    /// Stops the release command, and rejects the version at the gate, after a cancellation. `token` belongs to the request that
    /// cancels the update.
    pub fn undo(&mut self, token: &RequestToken) {
        self.update.also(token);
        if let Some(release) = &mut self.release {
            release.undo();
        }
        if let Some(gate) = &mut self.gate {
            gate.intent = Intent::Undo;
            gate.held = None;
        }
    }

    /// Returns the reason why the release command did not succeed, if it did not.
    pub fn release_failure(&self) -> Option<&ReleaseFailure> {
        self.release.as_ref().and_then(ReleasePoller::failure)
    }

    /// Returns the command that stops the task of the release command, if it may still run.
    pub fn running_release(&self) -> Option<String> {
        self.release.as_ref().and_then(ReleasePoller::remedy)
    }

    /// Returns why the new version did not pass the gate, if it did not.
    pub fn rejection(&self) -> Option<Rejection> {
        let gate = self.gate.as_ref()?;
        // The update may end before the hook is read again.
        let undecided = || {
            gate.held.as_ref().map(|_| Rejection {
                objection: Objection::Undecided,
                had_traffic: false,
            })
        };
        gate.rejection.clone().or_else(undecided)
    }
}

#[async_trait]
impl Poller for GatedUpdate<'_> {
    type End = GatedEnd;

    async fn poll(&mut self) -> Remote<Option<GatedEnd>> {
        let end = match self.end.take() {
            Some(end) => Some(end),
            None => self.update.poll().await?,
        };
        if let Some(release) = &mut self.release {
            if end.is_some() && release.is_running() {
                // Somebody else has rolled the update back.
                release.undo();
            }
            let polled = match end {
                None => release.poll().await,
                Some(_) if release.is_running() => release.poll().await,
                Some(_) => Ok(()),
            };
            if polled.is_err() || release.is_running() {
                self.end = end;
                return polled.map(|()| None);
            }
        }
        if let Some(mut end) = end {
            // Tasks of a version that was at the gate ran, even if ECS lists none any more.
            if self.gate.as_ref().is_some_and(|gate| gate.met.is_some()) {
                end.evidence.had_tasks = Some(true);
            }
            return Ok(Some(GatedEnd::Ended(Box::new(end))));
        }
        // An update that has ended leaves no paused deployment behind.
        if let Some(gate) = &mut self.gate
            && !self.is_deaf
            && let Some(names) = self.update.at_the_gate()
        {
            return match gate.poll(&names).await {
                Ok(held) => Ok(held.map(GatedEnd::Held)),
                Err(error) if error.kind.is_passing() => Err(error),
                Err(error) => {
                    // The update goes on without answers, and ends when the hook times out.
                    self.is_deaf = true;
                    let warning = "; without an answer, ECS takes the new version back when its hook times out";
                    gate.sink.warn(format!("the gate: {error}{warning}"));
                    Ok(None)
                }
            };
        }
        Ok(None)
    }

    fn changes_soon(&self) -> bool {
        let gate = self.gate.as_ref();
        !self.is_deaf && gate.is_some_and(|gate| gate.answers.is_given)
    }
}
