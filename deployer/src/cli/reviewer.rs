//! `deployer reviewer`.

use clap::{Args, Subcommand};

use crate::commands::reviewer::Wish;
use deployment::stack::reviewer::Principal;

/// Settings of `reviewer`.
#[derive(Debug, Args)]
pub struct Reviewer {
    /// What to do.
    #[command(subcommand)]
    pub command: ReviewerCommand,
}

/// What to do about reviewers.
#[derive(Debug, Subcommand)]
pub enum ReviewerCommand {
    /// Let somebody look, until `revoke` or `down`. What was granted before is replaced.
    Grant(Grant),
    /// End what was granted.
    Revoke,
}

/// Settings of `reviewer grant`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Grant {
    /// Make a user with a password, which is printed once and kept nowhere.
    #[arg(long)]
    pub user: bool,

    /// Make a role that this account (`…:root`), role or user may take, for an hour at a time.
    #[arg(long, value_name = "ARN")]
    pub role: Option<Principal>,
}

impl ReviewerCommand {
    /// As it is typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Grant(_) => "reviewer grant",
            Self::Revoke => "reviewer revoke",
        }
    }

    /// What it wishes.
    pub fn wish(&self) -> Wish {
        match self {
            Self::Grant(Grant {
                role: Some(principal),
                ..
            }) => Wish::Role(principal.clone()),
            Self::Grant(Grant { role: None, .. }) => Wish::User,
            Self::Revoke => Wish::Nobody,
        }
    }
}
