//! `deployer completions` and `deployer man-pages`: what packages install beside the program.

use std::path::PathBuf;

use async_trait::async_trait;
use clap::CommandFactory as _;
use command_line::Shell;

use super::{Cli, CommandResult, Done, Execute};
use crate::cli::Shared;
use crate::context::Context;
use crate::pollers::LogReader;
use deployment::error::Failure;

/// Settings of `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Shell that reads the script.
    pub shell: Shell,
}

impl Completions {
    fn script(&self) -> Done {
        let script = command_line::completions(Cli::command(), self.shell);
        Done::with(CommandResult::Text(script))
    }
}

#[async_trait(?Send)]
impl Execute for Completions {
    async fn execute(&self, _: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        Ok(self.script())
    }

    // The script contains the program's name, which must not be read as a suggested command.
    fn environment<'a>(&'a self, _: &'a Shared) -> Option<&'a str> {
        None
    }

    // A shell asks for it wherever it starts.
    fn without_settings(&self, _: Failure) -> Result<Done, Failure> {
        Ok(self.script())
    }
}

/// Settings of `man-pages`.
#[derive(Debug, clap::Args)]
pub struct ManPages {
    /// Existing folder that gets a page for each command.
    pub folder: PathBuf,
}

impl ManPages {
    fn write(&self) -> Result<Done, Failure> {
        command_line::write_man_pages(Cli::command(), &self.folder).map_err(|error| {
            Failure::preflight(format!("cannot write to `{}`", self.folder.display()))
                .because(error)
                .hint("name an existing folder: `deployer man-pages FOLDER`")
        })?;
        Ok(Done::REPORTED)
    }
}

#[async_trait(?Send)]
impl Execute for ManPages {
    async fn execute(&self, _: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        self.write()
    }

    fn without_settings(&self, _: Failure) -> Result<Done, Failure> {
        self.write()
    }
}
