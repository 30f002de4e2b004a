//! `deployer completions` and `deployer man-pages`: what packages install beside the program; and
//! `deployer complete`, which the scripts ask for names that only this machine knows.

use std::path::PathBuf;

use async_trait::async_trait;
use clap::{CommandFactory as _, ValueEnum};
use command_line::Shell;

use super::{Cli, CommandResult, Done, Execute};
use crate::cli::Shared;
use crate::context::Context;
use crate::pollers::LogReader;
use crate::state;
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
        Done::with(CommandResult::Text(with_names(&script, self.shell)))
    }
}

/// Returns the script with values of options that only this machine knows: names of stacks, and
/// digests.
fn with_names(script: &str, shell: Shell) -> String {
    match shell {
        // The generated function offers files after these options.
        Shell::Bash => format!("{script}\n{BASH}"),
        // Adds to what is offered.
        Shell::Fish => format!("{script}\n{FISH}"),
        Shell::Zsh => {
            let lines = script.lines().map(|line| {
                let action = match line {
                    line if line.starts_with("'--stack=[") => "_deployer_stacks",
                    line if line.starts_with("'--to=[") => "_deployer_versions",
                    line => return line.to_owned(),
                };
                line.replace(":_default'", &format!(":{action}'"))
            });
            let script: Vec<String> = lines.collect();
            // Defined before the last lines call the function.
            script
                .join("\n")
                .replacen("\n_deployer() {", &format!("\n{ZSH}\n_deployer() {{"), 1)
                + "\n"
        }
    }
}

const BASH: &str = r#"_deployer_names() {
    case "$3" in
        --stack) COMPREPLY=($(compgen -W "$("$1" complete stacks 2>/dev/null)" -- "$2")) ;;
        --to) COMPREPLY=($(compgen -W "$("$1" complete versions 2>/dev/null)" -- "$2")) ;;
        *) _deployer "$@" ;;
    esac
}
complete -F _deployer_names -o nosort -o bashdefault -o default deployer 2>/dev/null ||
    complete -F _deployer_names -o bashdefault -o default deployer
"#;
const FISH: &str = "\
complete -c deployer -l stack -x -a '(deployer complete stacks 2>/dev/null)'
complete -c deployer -n '__fish_deployer_using_subcommand rollback' -l to -x -a '(deployer complete versions 2>/dev/null)'
";
const ZSH: &str = r#"_deployer_stacks() {
    compadd -- ${(f)"$(deployer complete stacks 2>/dev/null)"}
}

_deployer_versions() {
    compadd -V versions -- ${(f)"$(deployer complete versions 2>/dev/null)"}
}
"#;

/// What a script asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Stacks that were deployed from this machine.
    Stacks,
    /// Digests of images that were deployed from this machine, the newest first.
    Versions,
}

/// Settings of `complete`.
#[derive(Debug, clap::Args)]
pub struct Complete {
    /// What is completed.
    #[arg(value_enum)]
    pub names: Names,
}

impl Complete {
    /// Reads the journals alone: who has pressed a key waits for the answer.
    fn names(&self) -> Done {
        let mut names = match self.names {
            Names::Stacks => state::deployed_stacks(),
            Names::Versions => state::deployed_versions(),
        };
        names.push(String::new());
        Done::with(CommandResult::Text(names.join("\n")))
    }
}

#[async_trait(?Send)]
impl Execute for Complete {
    async fn execute(&self, _: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        Ok(self.names())
    }

    // The line is not complete yet, and neither may be the configuration.
    fn without_settings(&self, _: Failure) -> Result<Done, Failure> {
        Ok(self.names())
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
