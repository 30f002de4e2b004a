//! Stacks, their events and change sets.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_cloudformation::types::{
    self, Capability, ChangeSetStatus, DeploymentConfig, DeploymentConfigMode, EventFilter,
    TemplateStage,
};

use super::error::incomplete;
use super::{Aws, error};
use crate::names::{StackId, StackName};
use crate::remote::{
    Definition, Proposal, Remote, RemoteError, Resource, Stacks, TemplateParameter, Wanted,
};
use crate::stack::change::{Change, PropertyChange};
use crate::stack::status::StackStatus;
use crate::stack::{Observed, ResourceEvent};

#[async_trait]
impl Stacks for Aws {
    async fn observe(&self, stack: &str) -> Remote<Option<Observed>> {
        let answer = self
            .cloudformation
            .describe_stacks()
            .stack_name(stack)
            .send()
            .await
            .map_err(error::of("DescribeStacks"));
        match answer {
            // A stack that does not exist is an error here, never an empty list.
            Ok(answer) => match answer.stacks().first() {
                Some(stack) => observed(stack).map(Some),
                None => Err(incomplete("DescribeStacks", "the stack")),
            },
            Err(error) if says_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn events(&self, stack: &StackId, since_ms: i64) -> Remote<Vec<ResourceEvent>> {
        let mut events = Vec::new();
        let mut token = None;
        loop {
            let (page, next) = self.event_page(stack, token).await?;
            // Newest first: a page that reaches back before the beginning is the last of interest.
            let reaches_back = page.iter().any(|event| event.at_ms < since_ms);
            events.extend(page.into_iter().filter(|event| event.at_ms >= since_ms));
            token = next;
            if reaches_back || token.is_none() {
                return Ok(events);
            }
        }
    }

    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>> {
        // A page holds far more events than ever share a millisecond.
        let (page, _older) = self.event_page(stack, None).await?;
        Ok(page)
    }

    async fn definition(&self, stack: &StackId) -> Remote<Definition> {
        let answer = self
            .cloudformation
            .get_template()
            .stack_name(stack.as_str())
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(error::of("GetTemplate"))?;
        let template = answer
            .template_body
            .ok_or_else(|| incomplete("GetTemplate", "a template"))?;
        let found = self.observe(stack.as_str()).await?;
        let parameters = found
            .ok_or_else(|| incomplete("DescribeStacks", "a stack"))?
            .parameters;
        Ok(Definition {
            template,
            parameters,
        })
    }

    async fn validate(&self, template: &str) -> Remote<Vec<TemplateParameter>> {
        let answer = self
            .cloudformation
            .validate_template()
            .template_body(template)
            .send()
            .await
            .map_err(error::of("ValidateTemplate"))?;
        let parameters = answer.parameters.unwrap_or_default().into_iter();
        let parameters = parameters.map(|parameter| TemplateParameter {
            name: parameter.parameter_key.unwrap_or_default(),
            default: parameter.default_value,
        });
        Ok(parameters.collect())
    }

    async fn resources(&self, stack: &StackId) -> Remote<Vec<Resource>> {
        let mut resources = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .cloudformation
                .list_stack_resources()
                .stack_name(stack.as_str())
                .set_next_token(token)
                .send()
                .await
                .map_err(error::of("ListStackResources"))?;
            let lacking = || incomplete("ListStackResources", "resources");
            for summary in answer.stack_resource_summaries.ok_or_else(lacking)? {
                resources.push(resource(summary).ok_or_else(lacking)?);
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(resources);
            }
        }
    }

    async fn create(&self, name: &StackName, wanted: &Wanted, token: &str) -> Remote<StackId> {
        let answer = self
            .cloudformation
            .create_stack()
            .stack_name(name.as_str())
            .template_body(&wanted.template)
            .set_parameters(Some(parameters(&wanted.parameters)))
            .capabilities(Capability::CapabilityIam)
            .set_deployment_config(deployment_config(wanted))
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("CreateStack"))?;
        answer
            .stack_id
            .map(StackId)
            .ok_or_else(|| incomplete("CreateStack", "an identifier"))
    }

    async fn propose(&self, stack: &StackId, wanted: &Wanted, token: &str) -> Remote<String> {
        let name = format!("deployer-{token}");
        let answer = self
            .cloudformation
            .create_change_set()
            .stack_name(stack.as_str())
            .change_set_name(&name)
            .template_body(&wanted.template)
            .set_parameters(Some(parameters(&wanted.parameters)))
            .capabilities(Capability::CapabilityIam)
            .set_deployment_config(deployment_config(wanted))
            .client_token(token)
            .send()
            .await
            .map_err(error::of("CreateChangeSet"));
        match answer {
            Ok(answer) => answer
                .id
                .ok_or_else(|| incomplete("CreateChangeSet", "an identifier")),
            // The name is that of the token: it is ours, and only the answer was lost.
            Err(error) if error.code.as_deref() == Some("AlreadyExistsException") => {
                self.change_set_named(stack, &name).await
            }
            Err(error) => Err(error),
        }
    }

    async fn proposal(&self, change_set: &str) -> Remote<Proposal> {
        let mut changes = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .cloudformation
                .describe_change_set()
                .change_set_name(change_set)
                .set_next_token(token)
                .send()
                .await
                .map_err(error::of("DescribeChangeSet"))?;
            match answer.status() {
                None => return Err(incomplete("DescribeChangeSet", "a status")),
                Some(ChangeSetStatus::CreateComplete) => {}
                Some(ChangeSetStatus::Failed | ChangeSetStatus::DeleteFailed) => {
                    let reason = answer.status_reason.unwrap_or_default();
                    if says_unchanged(&reason) {
                        return Ok(Proposal::Empty);
                    }
                    let details = self.failed_validations(change_set).await;
                    return Ok(Proposal::Failed(reason + &details));
                }
                Some(_) => return Ok(Proposal::Pending),
            }
            changes.extend(answer.changes().iter().filter_map(change));
            token = answer.next_token;
            if token.is_none() {
                return Ok(Proposal::Ready(changes));
            }
        }
    }

    async fn execute(&self, _: &StackId, change_set: &str, token: &str) -> Remote<()> {
        self.cloudformation
            .execute_change_set()
            .change_set_name(change_set)
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("ExecuteChangeSet"))?;
        Ok(())
    }

    async fn discard(&self, change_set: &str) -> Remote<()> {
        self.cloudformation
            .delete_change_set()
            .change_set_name(change_set)
            .send()
            .await
            .map_err(error::of("DeleteChangeSet"))?;
        Ok(())
    }

    async fn delete(&self, stack: &StackId, retain: &[String], token: &str) -> Remote<()> {
        self.cloudformation
            .delete_stack()
            .stack_name(stack.as_str())
            .set_retain_resources(some(retain))
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("DeleteStack"))?;
        Ok(())
    }

    async fn cancel_update(&self, stack: &StackId, token: &str) -> Remote<()> {
        self.cloudformation
            .cancel_update_stack()
            .stack_name(stack.as_str())
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("CancelUpdateStack"))?;
        Ok(())
    }

    async fn roll_back(&self, stack: &StackId, token: &str) -> Remote<()> {
        self.cloudformation
            .rollback_stack()
            .stack_name(stack.as_str())
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("RollbackStack"))?;
        Ok(())
    }

    async fn continue_rollback(&self, stack: &StackId, skip: &[String], token: &str) -> Remote<()> {
        self.cloudformation
            .continue_update_rollback()
            .stack_name(stack.as_str())
            .set_resources_to_skip(some(skip))
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("ContinueUpdateRollback"))?;
        Ok(())
    }
}

/// A list that is sent only if there is something in it.
fn some(names: &[String]) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.to_vec())
}

impl Aws {
    /// What a validation found wrong with a change set, where the endpoint tells: its reason may only name the validation.
    async fn failed_validations(&self, change_set: &str) -> String {
        let failed = EventFilter::builder().failed_events(true).build();
        let answer = self
            .cloudformation
            .describe_events()
            .change_set_name(change_set)
            .filters(failed)
            .send()
            .await;
        let events = answer.ok().and_then(|answer| answer.operation_events);
        let mut details = String::new();
        for event in events.into_iter().flatten() {
            if let Some(reason) = &event.validation_status_reason {
                let name = event.logical_resource_id().unwrap_or("the template");
                let path = event.validation_path().unwrap_or_default();
                details.extend(["; ", name, " ", path, ": ", reason]);
            }
        }
        details
    }

    /// One page of a stack's events, the newest first, and the token of the next page.
    async fn event_page(
        &self,
        stack: &StackId,
        token: Option<String>,
    ) -> Remote<(Vec<ResourceEvent>, Option<String>)> {
        let answer = self
            .cloudformation
            .describe_stack_events()
            .stack_name(stack.as_str())
            .set_next_token(token)
            .send()
            .await
            .map_err(error::of("DescribeStackEvents"))?;
        let lacking = || incomplete("DescribeStackEvents", "events");
        let events = answer.stack_events.as_ref().ok_or_else(lacking)?;
        let page: Option<Vec<_>> = events.iter().map(resource_event).collect();
        Ok((page.ok_or_else(lacking)?, answer.next_token))
    }

    /// The identifier of the change set with this name.
    async fn change_set_named(&self, stack: &StackId, name: &str) -> Remote<String> {
        let answer = self
            .cloudformation
            .describe_change_set()
            .stack_name(stack.as_str())
            .change_set_name(name)
            .send()
            .await
            .map_err(error::of("DescribeChangeSet"))?;
        answer
            .change_set_id
            .ok_or_else(|| incomplete("DescribeChangeSet", "an identifier"))
    }
}

/// CloudFormation answers a question about a stack that does not exist with a general validation error.
fn says_absent(error: &RemoteError) -> bool {
    error.code.as_deref() == Some("ValidationError") && error.message.contains("does not exist")
}

/// A change set without changes is `FAILED`, and only its reason tells.
fn says_unchanged(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// Asks for CloudFormation's EXPRESS mode, where that is wanted.
fn deployment_config(wanted: &Wanted) -> Option<DeploymentConfig> {
    let express = || {
        DeploymentConfig::builder()
            .mode(DeploymentConfigMode::Express)
            // Left out, the service takes it for yes, and then refuses to replace anything.
            .disable_rollback(false)
            .build()
    };
    wanted.express.then(express)
}

/// What CloudFormation shows in place of a value under `NoEcho`.
const HIDDEN: &str = "****";

fn parameters(values: &BTreeMap<String, String>) -> Vec<types::Parameter> {
    let parameter = |(key, value): (&String, &String)| {
        let parameter = types::Parameter::builder().parameter_key(key);
        if value == HIDDEN {
            parameter.use_previous_value(true).build()
        } else {
            parameter.parameter_value(value).build()
        }
    };
    values.iter().map(parameter).collect()
}

fn resource(summary: types::StackResourceSummary) -> Option<Resource> {
    Some(Resource {
        logical_id: summary.logical_resource_id?,
        physical_id: summary.physical_resource_id,
        resource_type: summary.resource_type?,
        status: summary.resource_status?.as_str().to_owned(),
    })
}

fn observed(stack: &types::Stack) -> Remote<Observed> {
    let lacking = |what| incomplete("DescribeStacks", what);
    let id = stack.stack_id().ok_or_else(|| lacking("an identifier"))?;
    let status = stack.stack_status().ok_or_else(|| lacking("a status"))?;
    let outputs = stack.outputs().iter();
    let outputs = outputs
        .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
    let parameters = stack.parameters().iter();
    let parameters = parameters
        .filter_map(|found| Some((found.parameter_key.clone()?, found.parameter_value.clone()?)));
    Ok(Observed {
        id: StackId(id.to_owned()),
        status: StackStatus::from(status.as_str()),
        reason: stack.stack_status_reason.clone(),
        outputs: outputs.collect(),
        parameters: parameters.collect(),
    })
}

/// `None` when something is missing that tells it from others.
fn resource_event(event: &types::StackEvent) -> Option<ResourceEvent> {
    Some(ResourceEvent {
        id: event.event_id()?.to_owned(),
        logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
        physical_id: event
            .physical_resource_id
            .clone()
            .filter(|id| !id.is_empty()),
        resource_type: event.resource_type().unwrap_or_default().to_owned(),
        status: event
            .resource_status()
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        reason: event
            .resource_status_reason
            .clone()
            .filter(|reason| !reason.is_empty()),
        at_ms: event.timestamp()?.to_millis().ok()?,
        token: event.client_request_token.clone(),
    })
}

fn change(found: &types::Change) -> Option<Change> {
    let change = found.resource_change()?;
    let mut properties: Vec<PropertyChange> = Vec::new();
    for detail in change.details() {
        let Some(target) = detail.target() else {
            continue;
        };
        let attribute = target.attribute().map(types::ResourceAttribute::as_str);
        // The same property is listed once for each of the causes of its change.
        let name = target.name().or(attribute).unwrap_or_default();
        if !name.is_empty() && properties.iter().all(|known| known.name != name) {
            properties.push(PropertyChange {
                name: name.to_owned(),
                recreation: target
                    .requires_recreation()
                    .map(|recreation| recreation.as_str().to_owned()),
            });
        }
    }
    Some(Change {
        properties,
        physical_id: change
            .physical_resource_id
            .clone()
            .filter(|id| !id.is_empty()),
        action: change.action().map(|action| action.as_str().to_owned())?,
        logical_id: change.logical_resource_id.clone()?,
        resource_type: change.resource_type.clone().unwrap_or_default(),
        replacement: change
            .replacement()
            .map(|replacement| replacement.as_str().to_owned()),
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
