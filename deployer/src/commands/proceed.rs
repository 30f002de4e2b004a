//! `deployer continue`: lets a version pass that `up --hold` has left at the gate.

use std::time::Instant;

use async_trait::async_trait;
use clap::Args;

use super::{Done, Execute};
use crate::cli::{Continues, DeployOptions, OnInterrupt};
use crate::config::Overrides;
use crate::context::Context;
use crate::deploy::Deployer;
use crate::host::{Host, LocalHost};
use crate::pollers::LogReader;
use deployment::error::Failure;

#[cfg(test)]
mod tests;

/// Settings of `continue`.
#[derive(Debug, Default, Args)]
pub struct Continue {
    /// The deployment.
    #[command(flatten)]
    pub deploy: DeployOptions,
}

#[async_trait(?Send)]
impl Execute for Continue {
    fn reported_as(&self) -> Option<&'static str> {
        Some("continue")
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            deploy: self.deploy.clone(),
            ..Overrides::default()
        }
    }

    fn on_interrupt(&self) -> OnInterrupt {
        self.deploy.on_interrupt
    }

    fn continues(&self) -> Continues {
        Continues::Operation
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        context.require_emulator().await?;
        Box::pin(run(context, &LocalHost)).await?;
        Ok(Done::REPORTED)
    }
}

async fn run(context: Context<'_>, host: &dyn Host) -> Result<(), Failure> {
    let began = Instant::now();
    let connection = host.connect(context).await?.announced(context.sink);
    let _only_one = host.only_one(context, "continue", &connection).await?;
    let world = connection.world.as_ref();
    let stack = context.require_stack(world).await?;
    let deployer = Deployer::new(context, world, host);
    let (deployed, request) = Box::pin(deployer.take_over(&stack)).await?;
    Box::pin(deployer.tell(deployed, &stack, &request, began)).await;
    Ok(())
}
