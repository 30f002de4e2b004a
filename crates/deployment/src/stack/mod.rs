//! What CloudFormation says about a stack, and what follows from it. Pure: knows neither tokio nor an SDK.

pub mod ascii;
pub mod before;
pub mod change;
pub mod decide;
pub mod history;
pub mod past;
pub mod purpose;
pub mod request;
pub mod resource;
pub mod resource_status;
pub mod reviewer;
pub mod status;
pub mod tags;
pub mod template_names;
pub mod zones;

use crate::names::{RequestToken, StackId};
use resource_status::ResourceStatus;
use status::StackStatus;
use template_names::{OutputName, ParameterName};

/// A stack as it was seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which stack this is.
    pub id: StackId,
    /// Its status.
    pub status: StackStatus,
    /// What the service says about the status, if anything.
    pub reason: Option<String>,
    /// Output key → value.
    pub outputs: std::collections::BTreeMap<String, String>,
    /// Parameter key → value; values under `NoEcho` come as asterisks.
    pub parameters: std::collections::BTreeMap<String, String>,
    /// Its tags, whoever put them there.
    pub tags: std::collections::BTreeMap<String, String>,
}

impl Observed {
    /// Returns an output, if the stack has it.
    pub fn output(&self, name: OutputName) -> Option<&str> {
        self.outputs.get(name.as_str()).map(String::as_str)
    }

    /// Returns the value of a parameter, if the stack has it.
    pub fn parameter(&self, name: ParameterName) -> Option<&str> {
        self.parameters.get(name.as_str()).map(String::as_str)
    }

    /// Address of the image that is deployed, if one is.
    pub fn image(&self) -> Option<&str> {
        // Empty as long as none is deployed.
        let image = self.parameter(ParameterName::ImageUri);
        image.filter(|uri| !uri.is_empty())
    }
}

/// One event of a stack or of one of its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceEvent {
    /// Unique per event.
    pub id: String,
    /// The name that the template gives to the resource; the stack's own name for the stack itself.
    pub logical_id: String,
    /// The name or ARN that the resource has in the account, once it has one.
    pub physical_id: Option<String>,
    /// For example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Its status, or the stack's.
    pub status: ResourceStatus,
    /// What the service says about it.
    pub reason: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The token of the request that began the operation.
    pub token: Option<RequestToken>,
}

impl ResourceEvent {
    /// Is this about the stack itself?
    pub fn is_stack(&self) -> bool {
        self.resource_type == "AWS::CloudFormation::Stack"
    }

    /// Returns the status of the stack, if the event is about the stack itself.
    pub fn stack_status(&self) -> Option<StackStatus> {
        self.is_stack().then(|| self.status.of_stack())
    }
}
