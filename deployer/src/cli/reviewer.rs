//! Arguments of `deployer reviewer`.

use clap::{Args, Subcommand};

use deployment::stack::reviewer::{Principal, ReviewerAccess};

/// Settings of `reviewer`.
#[derive(Debug, Args)]
pub struct Reviewer {
    /// The subcommand.
    #[command(subcommand)]
    pub command: ReviewerCommand,
}

/// Subcommands of `reviewer`.
#[derive(Debug, Subcommand)]
pub enum ReviewerCommand {
    /// Grant access until `revoke` or `down`. Replaces an earlier grant.
    Grant(Grant),
    /// Revoke the access.
    Revoke,
}

/// Settings of `reviewer grant`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Grant {
    /// Create a user with a password, which is printed once and stored nowhere.
    #[arg(long)]
    pub user: bool,

    /// Create a role that this account (`…:root`), role or user may assume, for an hour at a time.
    #[arg(long, value_name = "ARN")]
    pub role: Option<Principal>,
}

impl ReviewerCommand {
    /// Returns the subcommand as typed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Grant(_) => "reviewer grant",
            Self::Revoke => "reviewer revoke",
        }
    }

    /// What it wishes.
    pub fn access(&self) -> ReviewerAccess {
        match self {
            Self::Grant(Grant {
                role: Some(principal),
                ..
            }) => ReviewerAccess::Role(principal.clone()),
            Self::Grant(Grant { role: None, .. }) => ReviewerAccess::User,
            Self::Revoke => ReviewerAccess::Nobody,
        }
    }
}
