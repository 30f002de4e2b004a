//! Deployment of a version, with an automatic rollback if it does not work. Shared by `up` and
//! `rollback`.
//!
//! ```text
//! propose ─► agree ─► execute ─► follow the update ─► follow the rollout ─► check ─► done
//!                                       │                   └───────┬─────────┘
//!                              CloudFormation rolls back        restore the previous version, check that too
//! ```

mod attach;
mod auto_rollback;
mod drift;
mod gate;
mod previous;
mod release;
mod traffic;
mod update;
mod verify;
mod way_back;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use clock::Kind;

use crate::checks::public_url;
use crate::cli::CheckFrom;
use crate::context::{Context, missing_output};
use crate::explain::{command_line, command_line_with};
use crate::host::Host;
use crate::pollers::{Check, Probe, PublicUrl, ServiceNames, Working, check_once, is_refused};
use crate::stack_operations::ROUNDS;
use crate::verdict::{self, Findings, OfImage};
use aws::remote::World;
use deployment::cost::{self, Estimate};
use deployment::error::{Failure, FailureKind};
use deployment::event::Probed;
use deployment::event::{Event, Phase, Summary};
use deployment::names::{DeploymentId, Digest, ImageUri};
use deployment::stack::Observed;
use deployment::stack::before::{BeforeUp, before_up};
use deployment::stack::purpose::Purpose;
use deployment::stack::request::{Definition, Template, Wanted};
use deployment::template;

use auto_rollback::OwnVersion;
use deployment::stack::template_names::{OutputName, ParameterName};
pub(crate) use traffic::Rules;
use update::Execution;

/// Environment of a deployment.
#[derive(Clone, Copy)]
pub(crate) struct Deployer<'a> {
    /// Settings, event sink and cancellation token.
    pub(crate) context: Context<'a>,
    /// AWS account.
    pub(crate) world: &'a dyn World,
    /// Host: sends external checks and asks the user.
    pub(crate) host: &'a dyn Host,
    /// Set if this run created the stack. A cancellation then deletes all of it, and there is
    /// nothing to restore.
    pub(crate) stack_is_new: bool,
    /// Set if an earlier version is requested.
    pub(crate) is_rollback: bool,
    /// Set if the running version is a clock. The next one then has to be one too, unless the
    /// settings say otherwise.
    pub(crate) was_a_clock: bool,
    /// Probe of the public URL, while the service is changed.
    pub(crate) probe: Option<&'a Probe<'a>>,
}

/// Request for a deployment.
pub(crate) struct DeployRequest {
    /// Template and parameters, including the image.
    pub(crate) wanted: Wanted,
    /// Image that has to respond. It is in the registry: either pushed by this run, or found there.
    pub(crate) image: ImageUri,
    /// Purpose of the deployment.
    pub(crate) purpose: Purpose,
}

/// Deployment that was verified.
pub(crate) struct Deployed {
    /// Set if anything was changed.
    pub(crate) changed: bool,
    /// Names of the service and its resources.
    pub(crate) names: ServiceNames,
    /// Public URL of the service.
    pub(crate) url: PublicUrl,
    /// Proof that it works.
    pub(crate) proof: Proof,
    /// Result of the probe, if there was something to probe.
    pub(crate) probe: Option<Probed>,
}

/// Proof that a version works.
pub(crate) enum Proof {
    /// External check.
    Check(Box<Working>),
    /// Health checks of the load balancer alone, described together with what they do not prove.
    TargetHealth(String),
}

/// Failure of a deployment.
enum DeployError {
    /// The previous version is in place, or nothing can be done about it from here.
    Final(Failure),
    /// The new version is in place and does not work.
    NeedsRollback(Failure),
}

impl DeployError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Final(failure) | Self::NeedsRollback(failure) => failure,
        }
    }
}

impl<'a> Deployer<'a> {
    /// Creates the environment of a new version for an existing stack.
    pub(crate) const fn new(
        context: Context<'a>,
        world: &'a dyn World,
        host: &'a dyn Host,
    ) -> Self {
        Self {
            context,
            world,
            host,
            stack_is_new: false,
            is_rollback: false,
            was_a_clock: false,
            probe: None,
        }
    }
}

impl Deployer<'_> {
    /// Deploys the request. Rolls back if the new version does not work.
    pub(crate) async fn deploy(
        &self,
        found: &Observed,
        request: &DeployRequest,
    ) -> Result<Deployed, Failure> {
        let reconciled = Box::pin(self.reconcile(found)).await?;
        let found = &reconciled.stack;
        self.expect_rules(found, &request.wanted).await?;
        let running = self.running(found).await?;
        let execution = self.start(found, &request.wanted, &request.purpose).await?;
        let force = self.context.config.force;
        let changed = execution.is_some() || force;
        // Without a change, no task is replaced, so there is no availability to observe.
        let probe = running.as_ref().filter(|_| changed);
        let probe = probe.map(|(check, _)| Probe::new(self.context.sink, self.host, check));
        let deployer = Deployer {
            // Later checks have to demand a clock if the running version is one.
            was_a_clock: running.as_ref().is_some_and(|(_, told)| *told),
            probe: probe.as_ref(),
            ..*self
        };
        // Boxed: the future of a whole deployment is large.
        let work = Box::pin(async {
            let Some(execution) = execution else {
                let stack = self.observe_again(found).await?;
                // Correcting drift may have replaced the tasks already.
                let deployment = if force && !reconciled.replaced {
                    deployer.replace_tasks(&stack).await?
                } else {
                    reconciled.deployment.clone()
                };
                let proving = deployer.prove_and_watch(&stack, request.image.digest(), deployment);
                let proven = tokio::select! {
                    biased;
                    proven = proving => proven,
                    // Replaced tasks wait at the gate too, and no update answers for them.
                    failure = Box::pin(self.keep_the_gate(&stack)) => {
                        Err(DeployError::Final(failure))
                    }
                };
                return proven.map_err(|error| self.unchanged(error));
            };
            // An update is in progress from here on. A cancellation has to undo it before the exit.
            let _guard = self.context.cancellation.guard();
            Box::pin(deployer.carry_out(execution, request)).await
        });
        let (names, url, proof) = self.probed(probe.as_ref(), work).await?;
        let probe = probe.as_ref().map(Probe::seen);
        Ok(Deployed {
            changed,
            names,
            url,
            proof,
            probe,
        })
    }

    /// Takes over a deployment that waits at the gate: checks it once more, lets it pass, and follows
    /// it to its end. Rolls back if the new version does not work.
    pub(crate) async fn take_over(
        &self,
        found: &Observed,
    ) -> Result<(Deployed, DeployRequest), Failure> {
        let (execution, request) = self.attach_at_the_gate(found).await?;
        // Of the first version of all, nothing runs before it has passed.
        let running = match found.output(OutputName::TaskDefinitionArn) {
            Some(_) => self.running(found).await?,
            None => None,
        };
        let probe = running.as_ref();
        let probe = probe.map(|(check, _)| Probe::new(self.context.sink, self.host, check));
        let deployer = Deployer {
            was_a_clock: running.as_ref().is_some_and(|(_, told)| *told),
            probe: probe.as_ref(),
            ..*self
        };
        // A cancellation has to roll the version back before the exit.
        let _guard = self.context.cancellation.guard();
        let work = Box::pin(deployer.carry_out(execution, &request));
        let (names, url, proof) = self.probed(probe.as_ref(), work).await?;
        let deployed = Deployed {
            changed: true,
            names,
            url,
            proof,
            probe: probe.as_ref().map(Probe::seen),
        };
        Ok((deployed, request))
    }

    /// Runs `work`, and probes the service meanwhile.
    async fn probed<T>(&self, probe: Option<&Probe<'_>>, work: impl Future<Output = T>) -> T {
        let Some(probe) = probe else {
            return work.await;
        };
        let result = probe.during(work).await;
        self.context.sink.send(&Event::Probed {
            probe: probe.seen(),
        });
        result
    }

    /// Returns the check that suits the running version, and whether that version is a clock. Asks
    /// the service only if the settings leave it open.
    async fn running(&self, found: &Observed) -> Result<Option<(Check, bool)>, Failure> {
        let context = self.context;
        let url = found.output(OutputName::Url);
        // Without checks from here, nothing can be said about responses.
        let is_asked = context.config.check_from == CheckFrom::Outside;
        let Some(url) = url.filter(|_| is_asked && found.image().is_some()) else {
            return Ok(None);
        };
        let url = &public_url(context.config, url)?;
        let Ok(names) = ServiceNames::of_stack(found) else {
            return Ok(context.first_check(url).map(|check| (check, false)));
        };
        let checks = context.checks(self.world, &names, url).await;
        if let [only] = checks.as_slice() {
            return Ok(Some((only.clone(), false)));
        }
        let once = async { Ok(check_once(self.host, &checks, 0).await) };
        let Some((check, report)) = context.unless_cancelled(once).await? else {
            return Ok(None);
        };
        let told = check.kind() == Kind::Clock && !report.instances.is_empty();
        // There may be no service that could respond. Then the first check is as good as any.
        let fits = report.failure.is_none() || is_refused(&report);
        let check = Some(check)
            .filter(|_| fits)
            .or_else(|| checks.first().cloned());
        Ok(check.map(|check| (check, told)))
    }

    /// Makes ECS replace the tasks of the current version.
    async fn replace_tasks(&self, stack: &Observed) -> Result<Option<DeploymentId>, Failure> {
        let names = ServiceNames::of_stack(stack).map_err(missing_output)?;
        self.context
            .sink
            .note("nothing to change, but the tasks are to be replaced all the same");
        self.world
            .redeploy(&names.cluster, &names.service, None)
            .await
            .map_err(|error| self.context.remote_failure_under_way(&error))
    }

    /// Returns the failure of a version that was found, not deployed. There is nothing to restore,
    /// so the user has to decide.
    fn unchanged(&self, error: DeployError) -> Failure {
        let message = match &error {
            DeployError::NeedsRollback(failure) if failure.kind == FailureKind::RolledBack => {
                "nothing had to be changed, but the version in place does not run".to_owned()
            }
            DeployError::NeedsRollback(failure) if failure.kind == FailureKind::CheckFailed => {
                format!("nothing had to be changed, but {}", failure.message)
            }
            DeployError::Final(_) | DeployError::NeedsRollback(_) => return error.into_failure(),
        };
        let config = self.context.config;
        Failure {
            kind: FailureKind::Stuck,
            message,
            ..error.into_failure()
        }
        .hint(format!(
            "go back to the version before: `{}`",
            command_line(config, "rollback")
        ))
        .hint(format!(
            "or start it again: `{}`",
            command_line_with(config, "up", "--force")
        ))
    }

    /// Reports the result of the deployment since `began`.
    pub(crate) async fn tell(
        &self,
        deployed: Deployed,
        stack: &Observed,
        request: &DeployRequest,
        began: Instant,
    ) {
        let Context { config, sink, .. } = self.context;
        self.attach_verdict(&deployed, stack, request).await;
        let names = &deployed.names;
        let tasks = self.world.tasks(&names.cluster, &names.service).await;
        let (check, unproven) = match deployed.proof {
            Proof::Check(working) => (Some(working.checked), working.unproven),
            Proof::TargetHealth(unproven) => (None, Some(unproven)),
        };
        sink.send(&Event::Succeeded {
            summary: Box::new(Summary {
                changed: deployed.changed,
                url: deployed.url.shown,
                image: request.image.to_string(),
                version: check.as_ref().and_then(|check| check.version.clone()),
                // The deployment has succeeded, even if its tasks cannot be listed.
                tasks: tasks.unwrap_or_default(),
                check,
                unproven,
                probe: deployed.probe,
                cost: self.context.cost(stack, request),
                delete: command_line(config, "down"),
                timings: sink.timings(),
                seconds: began.elapsed().as_secs_f64(),
            }),
        });
    }

    /// Attaches the verdict to the image. The deployment has succeeded, even if that fails.
    async fn attach_verdict(&self, deployed: &Deployed, stack: &Observed, request: &DeployRequest) {
        let Context { config, sink, .. } = self.context;
        let (check, unproven) = match &deployed.proof {
            Proof::Check(working) => (Some(&working.checked), working.unproven.as_deref()),
            Proof::TargetHealth(unproven) => (None, Some(unproven.as_str())),
        };
        let findings = Findings {
            stack,
            url: &deployed.url.shown,
            check,
            unproven,
            probe: deployed.probe.as_ref(),
            at: chrono::Utc::now(),
        };
        let verdict = verdict::statement(config, &findings);
        let image = &request.image;
        let of_image = OfImage {
            image,
            stack: &stack.id,
            statement: &verdict,
            changed: deployed.changed,
        };
        let attach = self.host.attach(self.context, self.world, &of_image);
        match self.context.unless_cancelled(attach).await {
            Ok(true) => sink.send(&Event::VerdictAttached {
                image: image.to_string(),
                result: verdict::result(&verdict),
            }),
            Ok(false) => {}
            // Whoever cancels now wants the end, and not a warning.
            Err(failure) if failure.kind == FailureKind::Interrupted => {}
            Err(failure) => {
                let cause = failure.cause.unwrap_or(failure.message);
                sink.warn(format!("the verdict is not attached to the image: {cause}"));
            }
        }
    }

    /// Starts the update, after waiting for operations of others. Returns `None` if there is
    /// nothing to change.
    async fn start(
        &self,
        found: &Observed,
        wanted: &Wanted,
        purpose: &Purpose,
    ) -> Result<Option<Execution<'_>>, Failure> {
        let mut before = found.clone();
        for _ in 0..ROUNDS {
            match self.try_to_start(&before, wanted, purpose).await {
                Err(failure) if failure.kind == FailureKind::Busy && self.context.config.wait => {
                    let why = failure.cause.unwrap_or(failure.message);
                    self.context
                        .sink
                        .note(format!("somebody else was faster: looking again ({why})"));
                    // The change set is based on a state that no longer exists, so the next round
                    // creates another.
                    before = self.at_rest(&before).await?;
                }
                result => return result,
            }
        }
        Err(Context::never_rests())
    }

    /// Applies a change that does not affect the running version, and follows it to its end.
    /// Returns false if there is nothing to change.
    pub(crate) async fn change(
        &self,
        found: &Observed,
        wanted: &Wanted,
        purpose: &Purpose,
    ) -> Result<bool, Failure> {
        let Some(execution) = self.start(found, wanted, purpose).await? else {
            return Ok(false);
        };
        let _guard = self.context.cancellation.guard();
        let update = self.follow_update(execution);
        match self.context.sink.phase(Phase::Update, update).await {
            Ok(()) => Ok(true),
            Err(error) => Err(error.into_failure()),
        }
    }

    /// Waits until the stack can be updated.
    pub(crate) async fn at_rest(&self, stack: &Observed) -> Result<Observed, Failure> {
        for _ in 0..ROUNDS {
            let found = self.observe_again(stack).await?;
            match before_up(Some(&found.status)) {
                BeforeUp::Update => return Ok(found),
                BeforeUp::Attach => {
                    self.context.wait_for(self.world, &found).await?;
                }
                BeforeUp::Create
                | BeforeUp::Recreate
                | BeforeUp::ContinueRollback
                | BeforeUp::Refuse { .. } => {
                    return Err(Failure::new(
                        FailureKind::Busy,
                        format!("the stack is {} meanwhile", found.status),
                    )
                    .hint("run the same command again"));
                }
            }
        }
        Err(Context::never_rests())
    }

    /// Reads the stack again.
    pub(crate) async fn observe_again(&self, stack: &Observed) -> Result<Observed, Failure> {
        self.world
            .observe((&stack.id).into())
            .await
            .map_err(|error| self.context.remote_failure_under_way(&error))?
            // A deleted stack can still be described by its id.
            .filter(|stack| stack.status != deployment::stack::status::StackStatus::DeleteComplete)
            .ok_or_else(|| Failure::new(FailureKind::Busy, "somebody deleted the stack meanwhile"))
    }

    /// Follows the update and its rollout. Rolls back if the new version does not work.
    async fn carry_out(
        &self,
        execution: Execution<'_>,
        request: &DeployRequest,
    ) -> Result<(ServiceNames, PublicUrl, Proof), Failure> {
        let stack = execution.stack.clone();
        let previous = execution.previous.clone();
        let update = self.follow_update(execution);
        match self.context.sink.phase(Phase::Update, update).await {
            Ok(()) => {}
            Err(DeployError::Final(failure)) => return Err(failure),
            Err(DeployError::NeedsRollback(failure)) => {
                let ours = OwnVersion {
                    image: request.image.clone(),
                    task_definition: None,
                };
                return Err(self
                    .roll_back_automatically(failure, &stack, &previous, &ours)
                    .await);
            }
        }
        let stack = self.observe_again(&stack).await?;
        let ours = OwnVersion {
            image: request.image.clone(),
            task_definition: stack
                .output(OutputName::TaskDefinitionArn)
                .map(str::to_owned),
        };
        // Somebody else's update may have started right after ours. Its version is not ours to
        // check or to roll back.
        if ours.is_replaced_in(&stack) {
            return Err(superseded_before_the_check());
        }
        match self
            .prove_and_watch(&stack, request.image.digest(), None)
            .await
        {
            Ok(proven) => Ok(proven),
            Err(DeployError::Final(failure)) => Err(failure),
            Err(DeployError::NeedsRollback(failure)) => Err(self
                .roll_back_automatically(failure, &stack, &previous, &ours)
                .await),
        }
    }

    /// Verifies the deployed version, and keeps polling it for the bake time in the settings.
    async fn prove_and_watch(
        &self,
        stack: &Observed,
        digest: &Digest,
        deployment: Option<DeploymentId>,
    ) -> Result<(ServiceNames, PublicUrl, Proof), DeployError> {
        let (names, url, proof) = self.prove(stack, digest, deployment).await?;
        if !self.context.config.watch_for.is_zero() {
            let work = self.watch(&names, &proof);
            self.context.sink.phase(Phase::Watch, work).await?;
        }
        Ok((names, url, proof))
    }

    /// Verifies the deployed version as if it had just been deployed.
    pub(crate) async fn prove_running(
        &self,
        stack: &Observed,
        digest: &Digest,
    ) -> Result<(), Failure> {
        let proven = self.prove(stack, digest, None).await;
        proven.map(drop).map_err(DeployError::into_failure)
    }

    /// Follows the rollout and checks the version from outside. With a deployment id, only that
    /// deployment counts.
    async fn prove(
        &self,
        stack: &Observed,
        digest: &Digest,
        deployment: Option<DeploymentId>,
    ) -> Result<(ServiceNames, PublicUrl, Proof), DeployError> {
        let missing = |key| DeployError::NeedsRollback(missing_output(key));
        let names = ServiceNames::of_stack(stack).map_err(missing)?;
        let url = stack.output(OutputName::Url).ok_or(OutputName::Url);
        let url = url.map_err(missing)?;
        let url = public_url(self.context.config, url).map_err(DeployError::NeedsRollback)?;
        let sink = self.context.sink;
        let rollout = self.rollout(&names, deployment);
        let tasks = sink.phase(Phase::Rollout, rollout).await?;
        let work = self.verify(&names, &url, digest, tasks);
        let proof = sink.phase(Phase::Check, work).await?;
        Ok((names, url, proof))
    }
}

/// Returns the failure if somebody else's deployment replaced ours before the check.
fn superseded_before_the_check() -> Failure {
    Failure::new(
        FailureKind::Busy,
        "somebody else has deployed meanwhile, which is left alone",
    )
    .hint("`deployer status` shows what runs")
}

impl Context<'_> {
    /// Builds a request that changes only these parameters.
    pub(crate) fn changed_only(
        &self,
        deployed: Definition,
        changed: BTreeMap<String, String>,
    ) -> Wanted {
        let mut parameters = deployed.parameters;
        let kept = parameters
            .keys()
            .filter(|name| !changed.contains_key(*name));
        let kept = kept.cloned().collect();
        // Kept values stay in the map: the gate and the cost estimate read them from it.
        // An earlier version needs no release command. Without a change of the version, there is
        // none to run.
        let earlier = changed.contains_key(ParameterName::ImageUri.as_str());
        let template = template::without_release(&deployed.template).filter(|_| earlier);
        parameters.extend(changed);
        Wanted {
            template: template.map_or(Template::Deployed(deployed.template), Template::Text),
            parameters,
            kept,
            // Without tags in a request, CloudFormation keeps those of the stack.
            tags: None,
            capabilities: self.config.capabilities.clone(),
            express: false,
        }
    }

    /// Builds a request from the settings of this run: an ASCII template, its parameters, and an
    /// optional image.
    pub(crate) fn wanted(&self, template: &str, image: Option<&ImageUri>) -> Wanted {
        let config = self.config;
        let mut parameters = config.parameters.clone();
        if let Some(image) = image {
            parameters.insert(ParameterName::ImageUri.to_string(), image.to_string());
        }
        // The release command needs the image.
        let template = match image {
            Some(_) if template::has_release(template) => {
                template::with_release_of(template, &parameters)
            }
            Some(_) => template.to_owned(),
            None => template::without_release(template).unwrap_or_else(|| template.to_owned()),
        };
        Wanted {
            template: Template::Text(template),
            parameters,
            kept: BTreeSet::new(),
            tags: (!config.tags.is_empty()).then(|| config.tags.clone()),
            capabilities: config.capabilities.clone(),
            express: config.express,
        }
    }

    /// Returns the hourly cost of the requested stack in US dollars, or `None` for a local
    /// emulator.
    fn cost(&self, stack: &Observed, request: &DeployRequest) -> Option<Estimate> {
        if self.config.access.local {
            return None;
        }
        cost::of_stack(&stack.id, &request.wanted.parameters)
    }
}
