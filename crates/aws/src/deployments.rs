//! Service deployments of ECS, which many endpoints lack: callers treat the results as optional.

use std::collections::BTreeSet;

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{ServiceDeploymentStatus, ServiceRevisionSummary};

use super::{Aws, error};
use crate::remote::Remote;
use deployment::names::{ClusterName, ServiceName, TaskDefinitionArn};
use deployment::rollout::DeploymentRecord;
use deployment::rollout::gate::{HookStatus, PausedDeployment};

/// Number of newest deployments to search for ours.
const NEWEST: i32 = 5;

impl Aws {
    /// Lists deployments in progress that await an answer to a lifecycle hook.
    pub(super) async fn find_paused_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<PausedDeployment>> {
        let listed = self
            .ecs
            .list_service_deployments()
            .cluster(cluster)
            .service(service)
            .status(ServiceDeploymentStatus::Pending)
            .status(ServiceDeploymentStatus::InProgress)
            .status(ServiceDeploymentStatus::RollbackRequested)
            .status(ServiceDeploymentStatus::RollbackInProgress)
            .max_results(NEWEST)
            .send()
            .await
            .map_err(error::of("ListServiceDeployments"))?;
        let listed = listed.service_deployments().iter();
        let under_way: Vec<String> = listed
            .filter_map(|one| one.service_deployment_arn.clone())
            .collect();
        // `DescribeServiceDeployments` requires ARNs.
        if under_way.is_empty() {
            return Ok(Vec::new());
        }
        let described = self
            .ecs
            .describe_service_deployments()
            .set_service_deployment_arns(Some(under_way))
            .send()
            .await
            .map_err(error::of("DescribeServiceDeployments"))?;
        let mut paused = Vec::new();
        for found in described.service_deployments() {
            let hooks = found.lifecycle_hook_details().iter();
            let waiting = hooks.filter(|hook| {
                let status = hook.status().map(|status| status.as_str().into());
                status == Some(HookStatus::AwaitingAction)
            });
            let stage = found.lifecycle_stage().map_or("", |stage| stage.as_str());
            let target = found.target_service_revision();
            let share =
                target.and_then(ServiceRevisionSummary::requested_production_traffic_weight);
            let revision = target.and_then(|target| target.arn());
            for hook in waiting {
                let (Some(arn), Some(hook)) = (found.service_deployment_arn(), hook.hook_id())
                else {
                    continue;
                };
                paused.push((
                    revision.map(str::to_owned),
                    PausedDeployment {
                        arn: arn.to_owned(),
                        hook: hook.to_owned(),
                        stage: stage.into(),
                        // Filled in below, from the service revision.
                        task_definition: TaskDefinitionArn::new(String::new()),
                        share: share.unwrap_or_default(),
                    },
                ));
            }
        }
        // A set, because several hooks may pause the same deployment.
        let revisions: BTreeSet<String> = paused
            .iter()
            .filter_map(|(revision, _)| revision.clone())
            .collect();
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        let revisions = self
            .ecs
            .describe_service_revisions()
            .set_service_revision_arns(Some(revisions.into_iter().collect()))
            .send()
            .await
            .map_err(error::of("DescribeServiceRevisions"))?;
        let paused = paused.into_iter().filter_map(|(arn, paused)| {
            let mut revisions = revisions.service_revisions().iter();
            let revision =
                revisions.find(|revision| revision.service_revision_arn() == arn.as_deref())?;
            let task_definition = TaskDefinitionArn::new(revision.task_definition()?);
            Some(PausedDeployment {
                task_definition,
                ..paused
            })
        });
        Ok(paused.collect())
    }

    /// Returns the record of the newest deployment of this task definition.
    pub(super) async fn find_deployment_record(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        task_definition: &TaskDefinitionArn,
    ) -> Remote<Option<DeploymentRecord>> {
        let listed = self
            .ecs
            .list_service_deployments()
            .cluster(cluster)
            .service(service)
            .max_results(NEWEST)
            .send()
            .await
            .map_err(error::of("ListServiceDeployments"))?;
        let listed = listed.service_deployments();
        let revisions: Vec<String> = listed
            .iter()
            .filter_map(|deployment| deployment.target_service_revision_arn.clone())
            .collect();
        // `DescribeServiceRevisions` requires ARNs.
        if revisions.is_empty() {
            return Ok(None);
        }
        let revisions = self
            .ecs
            .describe_service_revisions()
            .set_service_revision_arns(Some(revisions))
            .send()
            .await
            .map_err(error::of("DescribeServiceRevisions"))?;
        // A deployment names only its service revision, and the revision names the task definition.
        let is_ours = |arn: &str| {
            revisions.service_revisions().iter().any(|revision| {
                revision.service_revision_arn() == Some(arn)
                    && revision.task_definition() == Some(task_definition.as_str())
            })
        };
        let ours = listed
            .iter()
            .filter(|deployment| {
                deployment
                    .target_service_revision_arn()
                    .is_some_and(is_ours)
            })
            // Several deployments may have the same task definition, for example after a forced
            // one.
            .max_by_key(|deployment| deployment.created_at().map(DateTime::as_nanos))
            .and_then(|deployment| deployment.service_deployment_arn());
        let Some(ours) = ours else { return Ok(None) };
        let described = self
            .ecs
            .describe_service_deployments()
            .service_deployment_arns(ours)
            .send()
            .await
            .map_err(error::of("DescribeServiceDeployments"))?;
        Ok(described.service_deployments().first().map(|found| {
            let breaker = found.deployment_circuit_breaker();
            let number = |number: i32| u32::try_from(number).ok();
            DeploymentRecord {
                failed_tasks: breaker
                    .and_then(|breaker| number(breaker.failure_count()))
                    .unwrap_or_default(),
                threshold: breaker
                    .and_then(|breaker| number(breaker.threshold()))
                    // The SDK reads a missing threshold as 0.
                    .filter(|threshold| *threshold > 0),
                rollback_reason: found
                    .rollback()
                    .and_then(|rollback| rollback.reason.clone()),
            }
        }))
    }
}
