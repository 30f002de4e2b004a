//! Completion scripts and man pages of a program, generated from its clap command.

use std::io;
use std::path::Path;

use clap::{Command, ValueEnum};
use clap_complete::aot;

/// Shells that have completion scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Source it, or write it to a folder of bash-completion.
    Bash,
    /// Write it as `_PROGRAM` to a folder of `fpath`.
    Zsh,
    /// Write it as `PROGRAM.fish` to `~/.config/fish/completions`.
    Fish,
}

/// Returns the completion script of a program.
pub fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a man page of the program, and one of each of its commands, into an existing folder.
pub fn write_man_pages(command: Command, folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(command, folder)
}
