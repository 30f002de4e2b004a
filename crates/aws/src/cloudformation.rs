//! Stacks, their events and change sets.

mod translation;

use async_trait::async_trait;
use aws_sdk_cloudformation::types::{
    ChangeSetStatus, EventFilter, ResourceSignalStatus, TemplateStage,
};

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{Remote, Stacks};
use deployment::names::{ChangeSetId, RequestToken, StackId, StackName, StackRef};
use deployment::stack::request::{
    Definition, Proposal, Resource, Template, TemplateParameter, Wanted,
};
use deployment::stack::{Observed, ResourceEvent};
use translation::{
    capabilities, change, deployment_config, observed, parameters, resource, resource_event,
    says_absent, says_unchanged, some, tags,
};

#[async_trait]
impl Stacks for Aws {
    async fn observe(&self, stack: StackRef<'_>) -> Remote<Option<Observed>> {
        let answer = self
            .cloudformation
            .describe_stacks()
            .stack_name(stack.as_str())
            .send()
            .await
            .map_err(error::of("DescribeStacks"));
        match answer {
            // CloudFormation reports a missing stack as an error, never as an empty list.
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
            // Newest first: a page with an event before `since_ms` is the last one of interest.
            let reaches_back = page.iter().any(|event| event.at_ms < since_ms);
            events.extend(page.into_iter().filter(|event| event.at_ms >= since_ms));
            token = next;
            if reaches_back || token.is_none() {
                return Ok(events);
            }
        }
    }

    async fn newest_events(&self, stack: &StackId) -> Remote<Vec<ResourceEvent>> {
        // One page has far more events than ever share a millisecond.
        let (page, _older) = self.event_page(stack, None).await?;
        Ok(page)
    }

    async fn definition(&self, stack: &StackId) -> Remote<Definition> {
        let answer = self
            .cloudformation
            .get_template()
            .stack_name(stack.as_str())
            // The template as it was sent, before CloudFormation expands transforms.
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(error::of("GetTemplate"))?;
        let template = answer
            .template_body
            .ok_or_else(|| incomplete("GetTemplate", "a template"))?;
        // `GetTemplate` returns neither parameters nor tags.
        let found = self.observe(stack.into()).await?;
        let found = found.ok_or_else(|| incomplete("DescribeStacks", "a stack"))?;
        Ok(Definition {
            template,
            parameters: found.parameters,
            tags: found.tags,
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

    async fn create(
        &self,
        name: &StackName,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<StackId> {
        let answer = self
            .cloudformation
            .create_stack()
            .stack_name(name.as_str())
            .template_body(wanted.template.text())
            .set_parameters(Some(parameters(wanted)))
            .set_tags(tags(wanted))
            .set_capabilities(Some(capabilities(wanted)))
            .set_deployment_config(deployment_config(wanted))
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("CreateStack"))?;
        let id = answer.stack_id.and_then(|id| id.parse().ok());
        id.ok_or_else(|| incomplete("CreateStack", "an identifier"))
    }

    async fn propose(
        &self,
        stack: &StackId,
        wanted: &Wanted,
        token: &RequestToken,
    ) -> Remote<ChangeSetId> {
        let name = format!("deployer-{token}");
        let request = self.cloudformation.create_change_set();
        let request = match &wanted.template {
            Template::Text(text) => request.template_body(text),
            Template::Deployed(_) => request.use_previous_template(true),
        };
        let answer = request
            .stack_name(stack.as_str())
            .change_set_name(&name)
            .set_parameters(Some(parameters(wanted)))
            .set_tags(tags(wanted))
            .set_capabilities(Some(capabilities(wanted)))
            .set_deployment_config(deployment_config(wanted))
            .client_token(token)
            .send()
            .await
            .map_err(error::of("CreateChangeSet"));
        match answer {
            Ok(answer) => answer
                .id
                .map(ChangeSetId::new)
                .ok_or_else(|| incomplete("CreateChangeSet", "an identifier")),
            // The name contains our token: the change set is ours, and only the response was lost.
            Err(error) if error.is_already_exists() => self.change_set_named(stack, &name).await,
            Err(error) => Err(error),
        }
    }

    async fn proposal(&self, change_set: &ChangeSetId) -> Remote<Proposal> {
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
                    // The reason may name only the failed validation. The details come from its
                    // events.
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

    async fn execute(
        &self,
        _: &StackId,
        change_set: &ChangeSetId,
        token: &RequestToken,
    ) -> Remote<()> {
        // The ARN of the change set also identifies the stack.
        self.cloudformation
            .execute_change_set()
            .change_set_name(change_set)
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("ExecuteChangeSet"))?;
        Ok(())
    }

    async fn metadata(&self, stack: &StackId, logical_id: &str) -> Remote<Option<String>> {
        let answer = self
            .cloudformation
            .describe_stack_resource()
            .stack_name(stack.as_str())
            .logical_resource_id(logical_id)
            .send()
            .await
            .map_err(error::of("DescribeStackResource"))?;
        Ok(answer.stack_resource_detail.and_then(|it| it.metadata))
    }

    async fn signal(&self, stack: &StackId, logical_id: &str, succeeded: bool) -> Remote<()> {
        let status = if succeeded {
            ResourceSignalStatus::Success
        } else {
            ResourceSignalStatus::Failure
        };
        self.cloudformation
            .signal_resource()
            .stack_name(stack.as_str())
            .logical_resource_id(logical_id)
            // One answer is expected, whoever sends it.
            .unique_id("deployer")
            .status(status)
            .send()
            .await
            .map_err(error::of("SignalResource"))?;
        Ok(())
    }

    async fn discard(&self, change_set: &ChangeSetId) -> Remote<()> {
        self.cloudformation
            .delete_change_set()
            .change_set_name(change_set)
            .send()
            .await
            .map_err(error::of("DeleteChangeSet"))?;
        Ok(())
    }

    async fn delete(&self, stack: &StackId, retain: &[String], token: &RequestToken) -> Remote<()> {
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

    async fn cancel_update(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        self.cloudformation
            .cancel_update_stack()
            .stack_name(stack.as_str())
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("CancelUpdateStack"))?;
        Ok(())
    }

    async fn roll_back(&self, stack: &StackId, token: &RequestToken) -> Remote<()> {
        self.cloudformation
            .rollback_stack()
            .stack_name(stack.as_str())
            .client_request_token(token)
            .send()
            .await
            .map_err(error::of("RollbackStack"))?;
        Ok(())
    }

    async fn continue_rollback(
        &self,
        stack: &StackId,
        skip: &[String],
        token: &RequestToken,
    ) -> Remote<()> {
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

impl Aws {
    /// Returns details of failed validations of a change set, if the endpoint has them.
    ///
    /// The reason of the change set itself may only name the validation.
    async fn failed_validations(&self, change_set: &ChangeSetId) -> String {
        let failed = EventFilter::builder().failed_events(true).build();
        let answer = self
            .cloudformation
            .describe_events()
            .change_set_name(change_set)
            .filters(failed)
            .send()
            .await;
        // Errors are ignored: some endpoints lack the call, and the change set has failed anyway.
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

    /// Fetches one page of a stack's events, newest first, and the token of the next page.
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

    /// Returns the identifier of the change set with this name.
    async fn change_set_named(&self, stack: &StackId, name: &str) -> Remote<ChangeSetId> {
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
            .map(ChangeSetId::new)
            .ok_or_else(|| incomplete("DescribeChangeSet", "an identifier"))
    }
}
