//! Requests to CloudFormation, and the data in its responses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::change::Change;
use super::resource_status::ResourceStatus;

/// Template of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Template {
    /// Text to send.
    Text(String),
    /// Deployed template (`UsePreviousTemplate`).
    ///
    /// Its text is only read here: `GetTemplate` returns `?` for every character outside ASCII, so
    /// that sending it again would change it.
    Deployed(String),
}

impl Template {
    /// Returns the text for reading.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Deployed(text) => text,
        }
    }
}

impl Default for Template {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// Placeholder of CloudFormation for a value under `NoEcho`.
pub const HIDDEN: &str = "****";

/// Template with its parameter values.
///
/// Some values are secret: `Debug` shows only the names.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Template to deploy.
    pub template: Template,
    /// Known parameter values by key.
    pub parameters: BTreeMap<String, String>,
    /// Parameters that keep their value (`UsePreviousValue`), because `DescribeStacks` may return a
    /// different one.
    pub kept: BTreeSet<String>,
    /// All tags of the stack; `None` keeps the existing ones.
    pub tags: Option<BTreeMap<String, String>>,
    /// Capabilities to acknowledge in addition to `CAPABILITY_IAM`.
    pub capabilities: Vec<String>,
    /// Set if CloudFormation completes before the resources are ready (its EXPRESS mode).
    pub express: bool,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wanted")
            .field("parameters", &self.parameters.keys())
            .field("kept", &self.kept)
            .field("express", &self.express)
            // The template is left out for its length.
            .finish_non_exhaustive()
    }
}

/// Resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Name in the template.
    pub logical_id: String,
    /// Name or ARN in the account.
    pub physical_id: Option<String>,
    /// Type, for example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Status of the resource.
    pub status: ResourceStatus,
}

impl Resource {
    /// Describes the resource with its names and its status.
    pub fn line(&self) -> String {
        let what = super::resource::describe(&self.resource_type);
        let Self {
            logical_id, status, ..
        } = self;
        match &self.physical_id {
            Some(name) => format!("{what} {name} ({logical_id}): {status}"),
            None => format!("{what} {logical_id}: {status}"),
        }
    }
}

/// State of a change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// The change set is being created.
    Pending,
    /// The change set can be executed.
    Ready(Vec<Change>),
    /// The change set contains no changes.
    Empty,
    /// The creation of the change set failed.
    Failed(String),
}

/// Definition of a stack, as of its last deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Text of the template.
    pub template: String,
    /// Parameter values by key; values under `NoEcho` come as asterisks.
    pub parameters: BTreeMap<String, String>,
    /// Tags of the stack.
    pub tags: BTreeMap<String, String>,
}

/// Parameter that a template declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateParameter {
    /// Name of the parameter.
    pub name: String,
    /// Default value, if there is one.
    pub default: Option<String>,
}
