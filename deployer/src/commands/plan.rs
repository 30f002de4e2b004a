//! `deployer plan`: shows what `up` would change. Creates a change set and deletes it again, and
//! builds the image without pushing it.

#[cfg(test)]
mod tests;

use super::{CommandResult, Done, Execute};
use crate::cli::{Continues, ServiceOptions};
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::commands::status::ABSENT;
use crate::context::{Context, connect};
use crate::deploy::Deployer;
use crate::host::{Host, ImageBuilder, LocalHost};
use crate::stack_operations::ROUNDS;
use crate::template;
use aws::remote::World;
use deployment::cost::{self, Estimate};
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Phase};
use deployment::names::{Digest, StackName};
use deployment::stack::Observed;
use deployment::stack::before::{BeforePlan, before_plan};
use deployment::stack::change::{Change, ChangeAction};
use deployment::stack::purpose::Purpose;
use deployment::stack::resource::resources_of;
use deployment::stack::template_names::ParameterName;

/// Settings of `plan`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,

    /// Exit code 8 if something would change.
    #[arg(long)]
    pub exit_code: bool,

    /// Exit with code 7 instead of waiting for another operation.
    #[arg(long)]
    pub no_wait: bool,

    /// Plan for the image in this file, written by `image build --archive`, instead of building one.
    #[arg(long, value_name = "FILE")]
    pub image_archive: Option<PathBuf>,
}

#[async_trait(?Send)]
impl Execute for Args {
    fn reported_as(&self) -> Option<&'static str> {
        Some("plan")
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            service: self.service_options.clone(),
            image_archive: self.image_archive.clone(),
            no_wait: self.no_wait,
            ..Overrides::default()
        }
    }

    fn continues(&self) -> Continues {
        Continues::ChangeSet
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        done(context, self.exit_code).await
    }
}

/// Exit code of `plan --exit-code` if something would change. No failure uses it, so a pipeline
/// cannot mistake a mistyped option for a change.
const WOULD_CHANGE: u8 = 8;

/// Runs the command, and sets the exit code if requested.
pub(super) async fn done(context: Context<'_>, exit_code: bool) -> Result<Done, Failure> {
    let plan = Box::pin(run(context)).await?;
    let would_change = exit_code && plan.changes_something();
    Ok(Done {
        exit_code: if would_change { WOULD_CHANGE } else { 0 },
        ..Done::with(CommandResult::Plan(Box::new(plan)))
    })
}

/// Planned changes, as one object in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Plan {
    /// Name of the stack.
    pub stack: StackName,
    /// Current status, or `ABSENT`.
    pub status: String,
    /// Planned action.
    #[serde(rename = "course")]
    pub action: PlanAction,
    /// Planned changes.
    pub changes: Vec<Change>,
    /// Check of the service, if it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// Tags in the settings, which are added to those of the stack.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Digest of the running image, if there is one.
    pub image_before: Option<String>,
    /// Digest of the image to deploy.
    pub image_after: String,
    /// Current cost in US dollars per hour without traffic; 0 if there is no stack. Absent with an
    /// emulator, and if prices are not known.
    pub cost_per_hour_before: Option<f64>,
    /// Cost after the deployment.
    #[serde(rename = "cost_per_hour_after")]
    pub cost_after: Option<Estimate>,
}

/// Action on a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// Create it.
    Create,
    /// Delete it, and create it again.
    Recreate,
    /// Update it.
    Update,
    /// Nothing to do.
    Nothing,
    /// Continue a stuck rollback. The changes are only known after it.
    ContinueRollback,
}

impl Plan {
    /// Returns whether `up` would change anything.
    pub fn changes_something(&self) -> bool {
        self.action != PlanAction::Nothing
    }
}

/// Runs the command.
pub async fn run(context: Context<'_>) -> Result<Plan, Failure> {
    context.warn_of_settings();
    // Read first: a mistake in the template is reported without a build.
    let template = template::read(context)?;
    let image = context.plan_image().await?;
    let world = async {
        if context.emulator_is_absent().await? {
            return Ok(None);
        }
        let connection = connect(context).await?.announced(context.sink);
        Ok::<_, Failure>(Some((connection.world, connection.region)))
    };
    // The digest is only known after a build. Without it, every plan would show a new image.
    let build = async {
        let work = image.build(context);
        let built = context.sink.phase(Phase::Image, work).await?;
        built.digest().parse::<Digest>().map_err(|error| {
            Failure::new(FailureKind::Unexpected, "the image has no proper digest").because(error)
        })
    };
    // Concurrently, so that wrong credentials are reported before the build has ended.
    let (found, digest) = tokio::try_join!(world, build)?;
    let (world, region) = found.unzip();
    let planner = Planner {
        context,
        template: &template,
        digest,
        region: region.filter(|_| !context.config.access.local),
    };
    match world {
        Some(world) => planner.plan(world.as_ref(), &LocalHost).await,
        None => Ok(planner.everything(None, PlanAction::Create)),
    }
}

struct Planner<'a> {
    context: Context<'a>,
    template: &'a str,
    digest: Digest,
    /// Region of the stack. Absent with an emulator, which costs nothing.
    region: Option<String>,
}

impl Planner<'_> {
    async fn plan(&self, world: &dyn World, host: &dyn Host) -> Result<Plan, Failure> {
        let context = self.context;
        for _ in 0..ROUNDS {
            let found = context.observe(world).await?;
            context.sink.send(&Event::StackFound {
                status: found.as_ref().map(|stack| stack.status.clone()),
            });
            let decision = before_plan(found.as_ref().map(|stack| &stack.status));
            match (decision, &found) {
                (BeforePlan::Everything, _) | (_, None) => {
                    return Ok(self.everything(found.as_ref(), PlanAction::Create));
                }
                (BeforePlan::Recreate, _) => {
                    return Ok(self.everything(found.as_ref(), PlanAction::Recreate));
                }
                // CloudFormation creates no change set for a stack whose rollback is stuck.
                (BeforePlan::AfterRollback, Some(stack)) => {
                    return Ok(self.shown(Some(stack), PlanAction::ContinueRollback, Vec::new()));
                }
                (BeforePlan::Propose, Some(stack)) => {
                    let deployer = Deployer::new(context, world, host);
                    return self.propose(deployer, stack).await;
                }
                (BeforePlan::Attach, Some(stack)) => {
                    context.wait_for(world, stack).await?;
                }
                (BeforePlan::Refuse { remedy }, Some(stack)) => {
                    return Err(Context::refused(stack, remedy));
                }
            }
        }
        Err(Context::never_rests())
    }

    async fn propose(&self, deployer: Deployer<'_>, stack: &Observed) -> Result<Plan, Failure> {
        let repository = self.context.repository_of(deployer.world, stack).await?;
        let address = self.context.address_of(deployer.world, &repository).await?;
        let image = address.image(self.digest.clone());
        let wanted = self.context.wanted(self.template, Some(&image));
        let work = deployer.propose(stack, &wanted, &Purpose::Plan);
        match self.context.sink.phase(Phase::Plan, work).await? {
            Some(proposed) => {
                deployer.discard(&proposed.change_set).await;
                // The change set was only needed for its list of changes.
                Ok(self.shown(Some(stack), PlanAction::Update, proposed.changes))
            }
            None => Ok(self.shown(Some(stack), PlanAction::Nothing, Vec::new())),
        }
    }

    /// Returns a plan that creates every resource of the template.
    fn everything(&self, stack: Option<&Observed>, action: PlanAction) -> Plan {
        let changes = resources_of(self.template)
            .into_iter()
            .map(|resource| Change {
                action: ChangeAction::Add,
                logical_id: resource.logical_id,
                physical_id: None,
                resource_type: resource.resource_type,
                replacement: None,
                properties: Vec::new(),
                causes: None,
            });
        self.shown(stack, action, changes.collect())
    }

    fn shown(&self, stack: Option<&Observed>, action: PlanAction, changes: Vec<Change>) -> Plan {
        let image = stack.and_then(Observed::image);
        Plan {
            stack: self.context.config.stack.clone(),
            status: stack.map_or_else(|| ABSENT.to_owned(), |stack| stack.status.to_string()),
            action,
            changes,
            check: self.context.config.check.words(),
            tags: self.context.config.tags.clone(),
            image_before: image
                .and_then(Digest::of_image)
                .map(|digest| digest.to_string()),
            image_after: self.digest.to_string(),
            cost_per_hour_before: self.cost_before(stack),
            cost_after: self.cost_after(),
        }
    }

    fn cost_before(&self, stack: Option<&Observed>) -> Option<f64> {
        let region = self.region.as_deref()?;
        match stack {
            Some(stack) => cost::of_parameters(region, &stack.parameters)?.per_hour(),
            None => Some(0.0),
        }
    }

    fn cost_after(&self) -> Option<Estimate> {
        let mut parameters = self.context.config.parameters.clone();
        // A stack without an image has no tasks to pay for. Any non-empty value will do here.
        parameters.insert(ParameterName::ImageUri.to_string(), self.digest.to_string());
        cost::of_parameters(self.region.as_deref()?, &parameters)
    }
}
