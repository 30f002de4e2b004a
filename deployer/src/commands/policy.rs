//! `deployer policy`: prints the IAM policy for deploying this stack.

use async_trait::async_trait;
use clap::Args;

use super::{CommandResult, Done, Execute};
use crate::cli::StrategyOption;
use crate::config::Overrides;
use crate::context::Context;
use crate::pollers::LogReader;
use crate::template;
use deployment::error::Failure;
use deployment::{names, policy};

/// Settings of `policy`.
#[derive(Debug, Args)]
pub struct Policy {
    /// Permissions boundary that the stack's roles and users must have, as in the template's parameter `PermissionsBoundary`.
    /// Default: AWS's policy for pulling images and writing logs.
    #[arg(long, value_name = "ARN", value_parser = boundary)]
    pub boundary: Option<String>,

    /// Print the additional policy for `deployer reviewer` instead: the right to create one user or role within the boundary.
    #[arg(long, requires = "boundary")]
    pub reviewers: bool,

    /// Print a permissions boundary instead, for a service with secrets or permissions: what its roles need, and nothing else.
    #[arg(long, conflicts_with_all = ["boundary", "reviewers"])]
    pub as_boundary: bool,

    /// The strategy.
    #[command(flatten)]
    pub strategy: StrategyOption,
}

/// Parses the ARN of a policy, in the form that the template accepts.
fn boundary(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", owner, policy]
            if partition.starts_with("aws")
                && (*owner == "aws" || names::is_account(owner))
                && policy
                    .strip_prefix("policy/")
                    // A wildcard or a policy variable would match other policies too.
                    .is_some_and(|name| !name.is_empty() && !name.contains(['*', '?', '$'])) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(
            "expected the ARN of a policy, such as `arn:aws:iam::123456789012:policy/bounds`"
                .to_owned(),
        ),
    }
}

#[async_trait(?Send)]
impl Execute for Policy {
    fn overrides(&self) -> Overrides {
        Overrides::of_template(&self.strategy)
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let Context { config, sink, .. } = context;
        let region = config.access.region.as_deref().ok_or_else(|| {
            Failure::preflight("a policy is for one region, and none is set")
                .hint("give it with `--region`, or set `region` in `deployer.toml`")
        })?;
        let scope = policy::Scope {
            region,
            account: config.account.as_deref(),
            stack: &config.stack,
            boundary: self.boundary.as_deref(),
        };
        let permissions = template::permissions(config)?;
        let settings = &config.settings;
        let policy = if self.as_boundary {
            policy::boundary(&scope, settings, permissions.as_deref())?
        } else if self.reviewers {
            policy::reviewing(&scope)?
        } else {
            policy::refuse_without_boundary(&scope, settings, permissions.is_some())?;
            // A warning, because standard output holds nothing but the policy.
            sink.warn(policy::caution(&scope));
            policy::deploying(&scope)?
        };
        Ok(Done::with(CommandResult::Document(policy)))
    }
}
