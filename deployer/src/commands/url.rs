//! `deployer url`: prints the URL of the service, for scripts.

use async_trait::async_trait;
use serde::Serialize;

use super::{CommandResult, Done, Execute};
use crate::checks::public_url;
use crate::context::{Context, connect, missing_output};
use crate::pollers::LogReader;
use aws::remote::World;
use deployment::error::Failure;
use deployment::stack::template_names::OutputName;

#[cfg(test)]
mod tests;

/// Settings of `url`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {}

#[async_trait(?Send)]
impl Execute for Args {
    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        context.require_emulator().await?;
        let connection = connect(context).await?;
        let address = find(context, connection.world.as_ref()).await?;
        Ok(Done::with(CommandResult::Address(address)))
    }
}

/// URL of the service.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Address {
    /// URL as a user can open it from this host.
    pub url: String,
}

async fn find(context: Context<'_>, world: &dyn World) -> Result<Address, Failure> {
    // The stack has a URL before it has a service, and no program answers there until then.
    let stack = context.require_service(world).await?.stack;
    let url = stack.output(OutputName::Url);
    let url = url.ok_or_else(|| missing_output(OutputName::Url))?;
    Ok(Address {
        url: public_url(context.config, url)?.shown,
    })
}
