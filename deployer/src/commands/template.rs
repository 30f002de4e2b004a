//! `deployer template`: prints the template that is deployed, or ejects the built-in one.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use clap::Args;

use super::{CommandResult, Done, Execute};
use crate::cli::StrategyOption;
use crate::config::{Overrides, TemplateSource};
use crate::context::Context;
use crate::pollers::LogReader;
use crate::template;
use deployment::error::Failure;

/// Default file for an ejected template, relative to the folder of `deployer.toml`.
const EJECTED: &str = "infra/service.yaml";

/// Settings of `template`.
#[derive(Debug, Args)]
pub struct Template {
    /// Write the built-in template, with empty slots, to FILE, to be changed from there. An existing file stays as it is.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = EJECTED)]
    pub eject: Option<PathBuf>,

    /// The strategy.
    #[command(flatten)]
    pub strategy: StrategyOption,
}

#[async_trait(?Send)]
impl Execute for Template {
    fn overrides(&self) -> Overrides {
        Overrides::of_template(&self.strategy)
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let Some(file) = &self.eject else {
            return Ok(Done::with(CommandResult::Template {
                template: template::read(context)?,
            }));
        };
        let path = context.config.root.join(file);
        eject(&path).map_err(|error| {
            let failure = Failure::preflight(format!("cannot write `{}`", path.display()));
            let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
            failure.because(error).hint(if exists {
                "name another file: `deployer template --eject FILE`"
            } else {
                "name a file in a folder that can be written to: `deployer template --eject FILE`"
            })
        })?;
        context.sink.note(format!(
            "the template is in `{}`; to use it, set in `deployer.toml`: `template = \"{}\"`",
            path.display(),
            file.display()
        ));
        Ok(Done::REPORTED)
    }
}

fn eject(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = template::source(&TemplateSource::BuiltIn)
        .map_err(|failure| std::io::Error::other(failure.message))?;
    // Never overwrites: the file may hold somebody's changes.
    let mut file = std::fs::File::create_new(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())
}
