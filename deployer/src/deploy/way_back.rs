//! Fast way back: has ECS take back a deployment in progress, while CloudFormation still waits for
//! it.

use tokio::time::{Instant, sleep};

use super::Deployer;
use crate::checks::public_url;
use crate::cli::CheckFrom;
use crate::poll::{self, Outcome, Terms};
use crate::pollers::{ServiceNames, UnderWay, Verification, Verified};
use aws::access::Pace;
use aws::remote::RemoteErrorKind;
use deployment::error::Failure;
use deployment::event::{Event, Phase};
use deployment::names::ImageUri;
use deployment::rollout::gate::{HookAnswer, TakeBack, take_back};
use deployment::stack::Observed;
use deployment::stack::template_names::OutputName;

/// Number of attempts if the deployment changes between reading and answering.
const TRIES: usize = 3;
/// Pause between two checks whether the previous version answers again: the result is a duration.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

impl Deployer<'_> {
    /// Has ECS take back the deployment in progress. Returns false if only CloudFormation can.
    pub(crate) async fn turn_back(&self, stack: &Observed) -> Result<bool, Failure> {
        let (context, world) = (self.context, self.world);
        let failed = |error| context.remote_failure_under_way(&error);
        let mut deployments = UnderWay::new(world, stack);
        let before = stack.output(OutputName::TaskDefinitionArn);
        for _ in 0..TRIES {
            let active = match deployments.active().await {
                Ok(active) => active,
                // Many endpoints do not know service deployments.
                Err(error) if !error.kind.is_passing() => {
                    deployments.warn(context.sink, &error);
                    return Ok(false);
                }
                Err(error) => return Err(failed(error)),
            };
            let mut active = active.into_iter();
            let Some(active) = active.find(|one| Some(one.task_definition.as_str()) != before)
            else {
                return Ok(false);
            };
            let requested = Instant::now();
            let asked = match take_back(&active) {
                TakeBack::CancelUpdate => return Ok(false),
                TakeBack::UnderWay => Ok(()),
                TakeBack::AnswerHook(paused) => {
                    let note = "a version waits at the gate: ECS takes it back";
                    context.sink.note(note);
                    world.answer_hook(&paused, HookAnswer::RollBack).await
                }
                TakeBack::Stop => {
                    context.sink.note(format!(
                        "a deployment is under way ({}): ECS moves the traffic back",
                        active.stage
                    ));
                    world.stop_deployment(&active.arn).await
                }
            };
            match asked {
                Ok(()) => {
                    let work = async {
                        self.traffic_is_back(&mut deployments, &active.arn).await;
                        self.serves_again(stack, requested).await
                    };
                    context.sink.phase(Phase::Back, work).await?;
                    return Ok(true);
                }
                // It has changed since it was read.
                Err(error) if error.kind.is_refusal() => {
                    sleep(context.config.access.pace.poll).await;
                }
                Err(error) if error.kind == RemoteErrorKind::Denied => {
                    let warning = format!("{error}; cancelling the update instead");
                    context.sink.warn(warning);
                    return Ok(false);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(false)
    }

    /// Waits until ECS sends no public request to this deployment any more. Until then, answers of
    /// the previous version prove little: it may have got some requests all along.
    async fn traffic_is_back(&self, deployments: &mut UnderWay<'_>, arn: &str) {
        let context = self.context;
        let deadline = Instant::now() + context.config.verify_timeout;
        let pause = context.config.access.pace.poll.min(PAUSE);
        // The stack is followed to its end whatever is found here.
        while Instant::now() < deadline && !context.cancellation.is_cancelled() {
            if let Ok(active) = deployments.active().await {
                let mut same = active.iter().filter(|active| active.arn == arn);
                if same.all(|active| active.share <= 0.0) {
                    return;
                }
            }
            sleep(pause).await;
        }
    }

    /// Waits until the previous version answers all public requests, and reports how long that took
    /// since the request.
    async fn serves_again(&self, stack: &Observed, requested: Instant) -> Result<(), Failure> {
        let (context, world) = (self.context, self.world);
        let (Ok(names), Some(url)) = (ServiceNames::of_stack(stack), stack.output(OutputName::Url))
        else {
            // The first version of all: nothing serves without it.
            return Ok(());
        };
        let image = world.image_of(&names.task_definition).await;
        let image = image.map_err(|error| context.remote_failure_under_way(&error))?;
        let image = image.and_then(|image| image.parse::<ImageUri>().ok());
        let is_asked = context.config.check_from == CheckFrom::Outside;
        let Some(image) = image.filter(|_| is_asked) else {
            return Ok(());
        };
        let url = public_url(context.config, url)?;
        let checks = context.checks(world, &names, &url).await;
        let service = world.service(&names.cluster, &names.service).await;
        let tasks = service.ok().flatten();
        let tasks = tasks.and_then(|service| service.tasks_of(names.task_definition.as_str()));
        let tasks = tasks.unwrap_or(context.config.service.tasks);
        let tasks = (world, &names, tasks);
        let mut subject = Verification::new(context.sink, self.host, checks, image.digest(), tasks);
        let pace = context.config.access.pace;
        let terms = Terms {
            pace: Pace {
                poll: pace.poll.min(PAUSE),
                ..pace
            },
            deadline: Instant::now() + context.config.verify_timeout,
            cancellation: Some(context.cancellation),
        };
        let polled = poll::to_end(&mut subject, terms, context.sink).await;
        match polled.map_err(|error| context.remote_failure_under_way(&error))? {
            Outcome::Completed(Verified::Working(working)) => {
                context.sink.send(&Event::ServesAgain {
                    seconds: requested.elapsed().as_secs_f64(),
                    check: working.checked,
                });
            }
            Outcome::Cancelled => return Err(Failure::interrupted()),
            // The check after the rollback of the stack decides.
            Outcome::Completed(Verified::ProvenWrong(_) | Verified::Refused(_))
            | Outcome::TimedOut => context.sink.warn(
                "the previous version does not pass the check yet: following the stack all the same",
            ),
        }
        Ok(())
    }
}
