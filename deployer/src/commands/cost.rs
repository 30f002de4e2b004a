//! `deployer cost`: shows what the service costs, by part and region.

use async_trait::async_trait;
use clap::Args;

use super::{CommandResult, Done, Execute};
use crate::cli::ServiceOptions;
use crate::config::Overrides;
use crate::context::Context;
use crate::pollers::LogReader;
use deployment::cost;
use deployment::error::{Failure, FailureKind};

/// Settings of `cost`.
#[derive(Debug, Default, Args)]
pub struct Cost {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,
}

#[async_trait(?Send)]
impl Execute for Cost {
    fn overrides(&self) -> Overrides {
        Overrides {
            service: self.service_options.clone(),
            ..Overrides::default()
        }
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let config = context.config;
        // The command works offline, so the region may be unknown. Prices of the usual region still
        // give an idea.
        let region = config.access.region.as_deref();
        let region = region.unwrap_or(cost::USUAL_REGION);
        let sizes = cost::Sizes::of_parameters(region, &config.parameters);
        let sizes = sizes.ok_or_else(|| {
            let message = "the sizes of the service are not known";
            Failure::new(FailureKind::Unexpected, message)
        })?;
        Ok(Done::with(CommandResult::Cost(cost::table(&sizes))))
    }
}
