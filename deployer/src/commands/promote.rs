//! `deployer promote`: deploys the image of one environment to another.

use async_trait::async_trait;
use clap::Args;

use super::{Done, Execute, up};
use crate::cli::{Continues, DeployOptions, OnInterrupt, Shared};
use crate::config::{self, Config, Overrides};
use crate::context::Context;
use crate::deploy::Deployer;
use crate::explain::in_environment;
use crate::host::{Host, LocalHost};
use crate::pollers::LogReader;
use deployment::error::{Failure, FailureKind};
use deployment::names::{Digest, ImageUri, StackId};
use deployment::stack::before::{BeforeUp, before_up};

#[cfg(test)]
mod tests;

/// Settings of `promote`.
#[derive(Debug, Default, Args)]
pub struct Promote {
    /// Environment whose image is deployed.
    #[arg(value_name = "FROM")]
    pub from: String,

    /// Environment to deploy it to. Default: that of `--env`, or the settings outside of environments.
    #[arg(value_name = "TO")]
    pub to: Option<String>,

    /// Ask before the new version takes requests, as `up --hold` does.
    #[arg(long, env = "DEPLOYER_HOLD")]
    pub hold: bool,

    /// The deployment.
    #[command(flatten)]
    pub deploy: DeployOptions,
}

#[async_trait(?Send)]
impl Execute for Promote {
    fn reported_as(&self) -> Option<&'static str> {
        Some("promote")
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            deploy: self.deploy.clone(),
            hold: self.hold,
            ..Overrides::default()
        }
    }

    fn environment<'a>(&'a self, shared: &'a Shared) -> Option<&'a str> {
        self.to.as_deref().or(shared.environment())
    }

    fn settings(&self, shared: &Shared) -> Result<Config, Failure> {
        let of = |environment: Option<&str>, overrides| {
            let shared = Shared {
                environment: environment.map(str::to_owned),
                ..shared.clone()
            };
            config::load(&shared, overrides)
        };
        let from = of(Some(&self.from), self.overrides())?;
        let to = of(self.environment(shared), self.overrides())?;
        if from.stack == to.stack {
            return Err(Failure::new(
                FailureKind::Usage,
                format!("both environments are the stack `{}`", to.stack),
            )
            .hint("name two environments, and no `--stack`"));
        }
        // The image is not built again, so it has to run on the target's CPU architecture.
        let (runs_on, wanted) = (from.image.architecture, to.image.architecture);
        if runs_on != wanted {
            return Err(Failure::preflight(format!(
                "the image is for {runs_on}, and `{}` is for {wanted}",
                to.stack
            ))
            .hint("set the same `architecture` under `[service]` for both environments"));
        }
        Ok(Config {
            promoted_from: Some(Box::new(from)),
            ..to
        })
    }

    fn on_interrupt(&self) -> OnInterrupt {
        self.deploy.on_interrupt
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        Box::pin(run(context)).await?;
        Ok(Done::REPORTED)
    }
}

async fn run(context: Context<'_>) -> Result<(), Failure> {
    let source = context.config.promoted_from.as_deref();
    // `settings` always sets it for this command.
    let source = source.ok_or_else(|| Failure::new(FailureKind::Unexpected, "no environment"))?;
    let source = Context {
        config: source,
        ..context
    };
    source.require_emulator().await?;
    // The commands in its hints have to name the other environment.
    let of_source = |failure: Failure| {
        let environment = source.config.environment.as_deref();
        let hints = failure.hints.iter();
        Failure {
            hints: hints
                .map(|hint| in_environment(hint, environment))
                .collect(),
            ..failure
        }
    };
    let (image, stack) = proven(source, &LocalHost).await.map_err(of_source)?;
    let image = source.promoted(&image, &stack).await.map_err(of_source)?;
    Box::pin(up::deploy(context, &image)).await
}

/// Returns the image that the environment runs, and its stack, after the same check as for a
/// deployment.
async fn proven(context: Context<'_>, host: &dyn Host) -> Result<(ImageUri, StackId), Failure> {
    let environment = context.config.environment.as_deref().unwrap_or_default();
    let connection = host.connect(context).await?.announced(context.sink);
    let world = connection.world.as_ref();
    let stack = context.require_service(world).await?.stack;
    let unproven = |cause: String| {
        Failure::preflight(format!(
            "`{environment}` is not proven: nothing is promoted"
        ))
        .because(cause)
    };
    // An operation in progress may be about to replace the version that would be promoted.
    if before_up(Some(&stack.status)) != BeforeUp::Update {
        return Err(unproven(format!("its stack is {}", stack.status))
            .hint("`deployer status --watch` waits for an operation in progress"));
    }
    let digest = stack.image().and_then(Digest::of_image);
    let digest = digest.ok_or_else(|| unproven("its stack names no image".to_owned()))?;
    let deployer = Deployer::new(context, world, host);
    Box::pin(deployer.prove_running(&stack, &digest))
        .await
        // A failed check of the source must not look like a rolled back deployment.
        .map_err(|failure| {
            if failure.kind == FailureKind::Interrupted {
                return failure;
            }
            let cause = failure.cause.map(|cause| format!(": {cause}"));
            unproven(format!("{}{}", failure.message, cause.unwrap_or_default()))
                .with_evidence(failure.evidence)
        })?;
    context.sink.note(format!(
        "`{environment}` runs {}, and passed its check",
        digest.short()
    ));
    let repository = context.repository_of(world, &stack).await?;
    let address = context.address_of(world, &repository).await?;
    Ok((address.image(digest), stack.id))
}
