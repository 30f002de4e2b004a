//! `deployer schema`: prints the JSON Schema of a file that is read, or of output.

use async_trait::async_trait;
use clap::ValueEnum;

use super::{CommandResult, Done, Execute};
use crate::config;
use crate::context::Context;
use crate::pollers::LogReader;
use deployment::error::Failure;

/// Settings of `schema`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// What the schema is of.
    #[arg(value_enum, default_value_t)]
    pub of: Of,
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// `deployer.toml`.
    #[default]
    Config,
    /// Each line that `--output json` writes while a command runs.
    Events,
    /// The object that `--output json` prints as the result of a command.
    Results,
    /// Each line of `logs --output json`.
    Logs,
}

impl Schema {
    fn schema(&self) -> Done {
        Done::with(match self.of {
            Of::Config => CommandResult::Document(config::schema::schema()),
            of @ (Of::Events | Of::Results | Of::Logs) => CommandResult::Schema(of),
        })
    }
}

#[async_trait(?Send)]
impl Execute for Schema {
    async fn execute(&self, _: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        Ok(self.schema())
    }

    // It is asked for while the configuration is still being written.
    fn without_settings(&self, _: Failure) -> Result<Done, Failure> {
        Ok(self.schema())
    }
}
