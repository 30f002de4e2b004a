//! Conversion between CloudFormation's types and those of this program.

use aws_sdk_cloudformation::types::{self, Capability, DeploymentConfig, DeploymentConfigMode};

use super::super::error::incomplete;
use crate::remote::{Remote, RemoteError};
use deployment::names::RequestToken;
use deployment::stack::change::{Change, PropertyChange};
use deployment::stack::request::{HIDDEN, Resource, Wanted};
use deployment::stack::status::StackStatus;
use deployment::stack::{Observed, ResourceEvent};

/// Returns a list for a request, or `None` if it is empty.
pub(super) fn some(names: &[String]) -> Option<Vec<String>> {
    // The query protocol sends an empty list as an empty member, not as an absent one.
    (!names.is_empty()).then(|| names.to_vec())
}

/// Returns whether the error says that the stack does not exist.
///
/// CloudFormation reports this as a general validation error.
pub(super) fn says_absent(error: &RemoteError) -> bool {
    error.is_invalid_request() && error.message.contains("does not exist")
}

/// Returns whether a change set failed only because it has no changes, which only its reason tells.
pub(super) fn says_unchanged(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// Requests CloudFormation's EXPRESS mode, if it is configured.
pub(super) fn deployment_config(wanted: &Wanted) -> Option<DeploymentConfig> {
    let express = || {
        DeploymentConfig::builder()
            .mode(DeploymentConfigMode::Express)
            // The default is true in this mode, and then CloudFormation refuses replacements.
            .disable_rollback(false)
            .build()
    };
    wanted.express.then(express)
}

/// Returns the tags of a request; `None` keeps those of the stack.
pub(super) fn tags(wanted: &Wanted) -> Option<Vec<types::Tag>> {
    let tag = |(key, value)| types::Tag::builder().key(key).value(value).build();
    Some(wanted.tags.as_ref()?.iter().map(tag).collect())
}

/// Returns the capabilities to acknowledge: IAM resources with generated names always, others if
/// configured.
pub(super) fn capabilities(wanted: &Wanted) -> Vec<Capability> {
    let more = wanted.capabilities.iter().map(String::as_str);
    let more = more.map(Capability::from);
    std::iter::once(Capability::CapabilityIam)
        .chain(more)
        .collect()
}

pub(super) fn parameters(wanted: &Wanted) -> Vec<types::Parameter> {
    let parameter = |(key, value): (&String, &String)| {
        let parameter = types::Parameter::builder().parameter_key(key);
        // `DescribeStacks` masks `NoEcho` values: sending the mask would make it the value.
        if value == HIDDEN || wanted.kept.contains(key) {
            parameter.use_previous_value(true).build()
        } else {
            parameter.parameter_value(value).build()
        }
    };
    wanted.parameters.iter().map(parameter).collect()
}

pub(super) fn resource(summary: types::StackResourceSummary) -> Option<Resource> {
    Some(Resource {
        logical_id: summary.logical_resource_id?,
        physical_id: summary.physical_resource_id,
        resource_type: summary.resource_type?,
        status: summary.resource_status?.as_str().into(),
    })
}

pub(super) fn observed(stack: &types::Stack) -> Remote<Observed> {
    let lacking = |what| incomplete("DescribeStacks", what);
    let id = stack.stack_id().and_then(|id| id.parse().ok());
    let status = stack.stack_status().ok_or_else(|| lacking("a status"))?;
    let outputs = stack.outputs().iter();
    let outputs = outputs
        .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
    let parameters = stack.parameters().iter();
    let parameters = parameters
        .filter_map(|found| Some((found.parameter_key.clone()?, found.parameter_value.clone()?)));
    let tags = stack.tags().iter();
    let tags = tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone()?)));
    Ok(Observed {
        id: id.ok_or_else(|| lacking("an identifier"))?,
        status: StackStatus::from(status.as_str()),
        reason: stack.stack_status_reason.clone(),
        outputs: outputs.collect(),
        parameters: parameters.collect(),
        tags: tags.collect(),
    })
}

/// Converts an event; `None` if its identifier or its time is missing.
pub(super) fn resource_event(event: &types::StackEvent) -> Option<ResourceEvent> {
    Some(ResourceEvent {
        id: event.event_id()?.to_owned(),
        logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
        // CloudFormation sends an empty name until the resource has one.
        physical_id: event
            .physical_resource_id
            .clone()
            .filter(|id| !id.is_empty()),
        resource_type: event.resource_type().unwrap_or_default().to_owned(),
        status: event
            .resource_status()
            .map_or("", |status| status.as_str())
            .into(),
        reason: event
            .resource_status_reason
            .clone()
            .filter(|reason| !reason.is_empty()),
        at_ms: event.timestamp()?.to_millis().ok()?,
        token: event.client_request_token().map(RequestToken::new),
    })
}

pub(super) fn change(found: &types::Change) -> Option<Change> {
    let change = found.resource_change()?;
    let mut properties: Vec<PropertyChange> = Vec::new();
    let causes = change.details().iter();
    let causes: Vec<String> = causes
        .filter_map(|detail| detail.causing_entity.clone())
        .collect();
    for detail in change.details() {
        let Some(target) = detail.target() else {
            continue;
        };
        // Changes of tags or metadata have no property name: their attribute stands for it.
        let attribute = target.attribute().map(types::ResourceAttribute::as_str);
        // CloudFormation lists a property once for each cause of its change.
        let name = target.name().or(attribute).unwrap_or_default();
        if !name.is_empty() && properties.iter().all(|known| known.name != name) {
            properties.push(PropertyChange {
                name: name.to_owned(),
                recreation: target
                    .requires_recreation()
                    .map(|recreation| recreation.as_str().into()),
            });
        }
    }
    Some(Change {
        properties,
        // Without details the causes are unknown, which is not the same as none.
        causes: (!change.details().is_empty()).then_some(causes),
        physical_id: change
            .physical_resource_id
            .clone()
            .filter(|id| !id.is_empty()),
        action: change.action()?.as_str().into(),
        logical_id: change.logical_resource_id.clone()?,
        resource_type: change.resource_type.clone().unwrap_or_default(),
        replacement: change
            .replacement()
            .map(|replacement| replacement.as_str().into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::RemoteErrorKind;

    #[test]
    fn no_changes_and_no_stack_are_recognised_by_their_messages() {
        assert!(says_unchanged(
            "The submitted information didn't contain changes. Submit different information"
        ));
        assert!(says_unchanged("No updates are to be performed."));
        assert!(!says_unchanged("Template error"));
        let absent = RemoteError {
            kind: RemoteErrorKind::Refused,
            operation: "DescribeStacks",
            code: Some("ValidationError".to_owned()),
            message: "Stack with id clock does not exist".to_owned(),
            request_id: None,
        };
        assert!(says_absent(&absent));
    }
}
