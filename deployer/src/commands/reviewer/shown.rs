//! Access details for reviewers. Pure.

use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::context::{Connection, missing_output};
use crate::explain::command_line;
use deployment::error::Failure;
use deployment::names::StackName;
use deployment::partition::Partition;
use deployment::stack::Observed;
use deployment::stack::reviewer::Password;
use deployment::stack::template_names::{OutputName, ParameterName};

/// Result of `reviewer`, as one object in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Reviewing {
    /// Set if anything was changed.
    pub changed: bool,
    /// Current access. Absent if nobody has any.
    #[serde(flatten)]
    pub given: Option<Given>,
}

/// Access of reviewers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Given {
    /// Name of the stack.
    pub stack: StackName,
    /// Account of the stack.
    pub account: String,
    /// Principal of the reviewers.
    #[serde(flatten)]
    pub access: Access,
    /// URL to sign in or to assume the role. Absent with an emulator, which has no console.
    pub sign_in_url: Option<String>,
    /// URL of the stack in the console.
    pub stack_url: Option<String>,
    /// Command that revokes the access.
    pub revoke: String,
}

/// Principal of reviewers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Access {
    /// IAM user.
    User {
        /// Name of the user.
        user: String,
        /// Password of the user, shown only once.
        #[serde(serialize_with = "revealed")]
        #[schemars(with = "String")]
        password: Password,
    },
    /// IAM role.
    Role {
        /// ARN of the role.
        role: String,
    },
}

fn revealed<S: Serializer>(password: &Password, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(password.reveal())
}

/// Returns the access that the stack grants. `password` is that of its user.
pub(super) fn given(
    config: &Config,
    connection: &Connection,
    stack: &Observed,
    password: Option<Password>,
) -> Result<Option<Given>, Failure> {
    let output = |name| {
        let value = stack.output(name).map(str::to_owned);
        value.ok_or_else(|| missing_output(name))
    };
    let (access, sign_in) = match (stack.parameter(ParameterName::ReviewerKind), password) {
        (Some("user"), Some(password)) => {
            let user = output(OutputName::ReviewerUserName)?;
            (Access::User { user, password }, sign_in(connection))
        }
        (Some("role"), None) => {
            let role = output(OutputName::ReviewerRoleArn)?;
            let url = switch_role(connection, &role, config.stack.as_str());
            (Access::Role { role }, url)
        }
        // Without its password, a user is of no use to a reviewer.
        _ => return Ok(None),
    };
    let is_there = !config.access.local;
    Ok(Some(Given {
        stack: config.stack.clone(),
        account: connection.caller.account.clone(),
        access,
        sign_in_url: sign_in.filter(|_| is_there),
        stack_url: stack_page(connection, stack.id.as_str()).filter(|_| is_there),
        revoke: command_line(config, "reviewer revoke"),
    }))
}

/// Returns the domains of the console and of its sign-in page, for the partition of an ARN.
fn domains(arn: &str) -> Option<(&'static str, &'static str)> {
    Partition::of_arn(arn)?.console()
}

fn sign_in(connection: &Connection) -> Option<String> {
    let (_, sign_in) = domains(&connection.caller.arn)?;
    Some(format!(
        "https://{}.{sign_in}/console",
        connection.caller.account
    ))
}

fn switch_role(connection: &Connection, role: &str, stack: &str) -> Option<String> {
    let (_, sign_in) = domains(role)?;
    // A role may have a path, which is part of the name in this URL.
    let name = role.split_once(":role/").map_or(role, |(_, name)| name);
    Some(format!(
        "https://{sign_in}/switchrole?account={}&roleName={name}&displayName={stack}",
        connection.caller.account
    ))
}

fn stack_page(connection: &Connection, id: &str) -> Option<String> {
    let (console, _) = Partition::of_region(&connection.region).console()?;
    let region = &connection.region;
    // The console expects the ARN percent-encoded in the fragment.
    let id = id.replace(':', "%3A").replace('/', "%2F");
    Some(format!(
        "https://{region}.{console}/cloudformation/home?region={region}#/stacks/stackinfo?stackId={id}"
    ))
}
