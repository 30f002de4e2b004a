//! Stacks as CloudFormation reports them, and decisions about them. Pure: knows neither tokio nor
//! an SDK.

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

/// Snapshot of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// ARN of the stack.
    pub id: StackId,
    /// Status of the stack.
    pub status: StackStatus,
    /// Reason for the status, if CloudFormation gives one.
    pub reason: Option<String>,
    /// Outputs by key.
    pub outputs: std::collections::BTreeMap<String, String>,
    /// Parameter values by key; values under `NoEcho` come as asterisks.
    pub parameters: std::collections::BTreeMap<String, String>,
    /// Tags, whoever set them.
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

    /// Returns the address of the deployed image, if there is one.
    pub fn image(&self) -> Option<&str> {
        // The parameter is empty until the first image is deployed.
        let image = self.parameter(ParameterName::ImageUri);
        image.filter(|uri| !uri.is_empty())
    }
}

/// Event of a stack or of one of its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceEvent {
    /// Identifier, unique per event.
    pub id: String,
    /// Name of the resource in the template; the stack's own name for the stack itself.
    pub logical_id: String,
    /// Name or ARN of the resource in the account, once it has one.
    pub physical_id: Option<String>,
    /// Type, for example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Status of the resource, or of the stack.
    pub status: ResourceStatus,
    /// Reason for the status, if CloudFormation gives one.
    pub reason: Option<String>,
    /// Time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Token of the request that started the operation.
    pub token: Option<RequestToken>,
}

impl ResourceEvent {
    /// Returns whether the event is about the stack itself.
    pub fn is_stack(&self) -> bool {
        // A nested stack would have this type as well; the template has none.
        self.resource_type == "AWS::CloudFormation::Stack"
    }

    /// Returns the status of the stack, if the event is about the stack itself.
    pub fn stack_status(&self) -> Option<StackStatus> {
        self.is_stack().then(|| self.status.of_stack())
    }
}
