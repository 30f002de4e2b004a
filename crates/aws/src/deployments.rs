//! What ECS keeps about a deployment beside the service: optional everywhere, many endpoints lack it.

use aws_sdk_ecs::primitives::DateTime;

use super::{Aws, error};
use crate::remote::Remote;
use deployment::names::{ClusterName, ServiceName, TaskDefinitionArn};
use deployment::rollout::DeploymentRecord;

/// Deployments among which ours is: the newest ones.
const NEWEST: i32 = 5;

impl Aws {
    /// The record of the newest deployment of this task definition.
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
                    .filter(|threshold| *threshold > 0),
                rollback_reason: found
                    .rollback()
                    .and_then(|rollback| rollback.reason.clone()),
            }
        }))
    }
}
