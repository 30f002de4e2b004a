//! What is asked of CloudFormation, and what it is asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::change::Change;
use super::resource_status::ResourceStatus;

/// The template of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Template {
    /// This text.
    Text(String),
    /// The one that the stack has (`UsePreviousTemplate`). Its text is only read here: `GetTemplate` returns `?` for every character
    /// outside ASCII, so that sending it again would not be the same.
    Deployed(String),
}

impl Template {
    /// Its text, to be read.
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

/// What CloudFormation shows in place of a value under `NoEcho`.
pub const HIDDEN: &str = "****";

/// A template with its parameter values. Some of them are secret: only their names are ever shown.
#[derive(Clone, Default)]
pub struct Wanted {
    /// The template.
    pub template: Template,
    /// Parameter key → value, as far as it is known.
    pub parameters: BTreeMap<String, String>,
    /// Parameters that keep the value they have (`UsePreviousValue`): what `DescribeStacks` returns may not be that value.
    pub kept: BTreeSet<String>,
    /// All tags of the stack; absent: they stay as they are.
    pub tags: Option<BTreeMap<String, String>>,
    /// What CloudFormation wants to have acknowledged, besides `CAPABILITY_IAM`.
    pub capabilities: Vec<String>,
    /// Does CloudFormation end before what it made is ready (its EXPRESS mode)?
    pub express: bool,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wanted")
            .field("parameters", &self.parameters.keys())
            .field("kept", &self.kept)
            .field("express", &self.express)
            .finish_non_exhaustive()
    }
}

/// One resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Name in the template.
    pub logical_id: String,
    /// Name or ARN in the account.
    pub physical_id: Option<String>,
    /// For example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Its status.
    pub status: ResourceStatus,
}

impl Resource {
    /// What it is, its names and where it stands, for people.
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

/// Where a change set stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// It is still being computed.
    Pending,
    /// It can be executed.
    Ready(Vec<Change>),
    /// It would change nothing.
    Empty,
    /// It could not be computed.
    Failed(String),
}

/// What a stack was made of, the last time that something was deployed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Text of the template.
    pub template: String,
    /// Parameter key → value; values under `NoEcho` come as asterisks.
    pub parameters: BTreeMap<String, String>,
    /// Tags of the stack.
    pub tags: BTreeMap<String, String>,
}

/// A parameter that a template declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateParameter {
    /// Its name.
    pub name: String,
    /// Its value where none is given.
    pub default: Option<String>,
}
