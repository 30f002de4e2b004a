//! Service deployments of ECS, which many endpoints lack: callers treat the results as optional.

use std::collections::BTreeSet;

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    DeploymentStrategy, ServiceDeployment, ServiceDeploymentStatus, ServiceRevisionSummary,
};

use super::ecs::time;
use super::{Aws, error};
use crate::remote::Remote;
use deployment::names::{ClusterName, ServiceName, TaskDefinitionArn};
use deployment::rollout::DeploymentRecord;
use deployment::rollout::gate::{ActiveDeployment, HookStatus, PausedDeployment};

/// Number of newest deployments to search for ours.
const NEWEST: i32 = 5;

impl Aws {
    /// Lists deployments that have not ended and move traffic between two target groups.
    pub(super) async fn find_active_deployments(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> Remote<Vec<ActiveDeployment>> {
        let listed = self
            .ecs
            .list_service_deployments()
            .cluster(cluster)
            .service(service)
            .status(ServiceDeploymentStatus::Pending)
            .status(ServiceDeploymentStatus::InProgress)
            .status(ServiceDeploymentStatus::StopRequested)
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
        let described = described.service_deployments().iter();
        let described: Vec<_> = described.filter(|found| moves_traffic(found)).collect();
        // A set, because several deployments may have the same revision.
        let revisions: BTreeSet<&str> = described.iter().filter_map(|one| revision(one)).collect();
        if revisions.is_empty() {
            return Ok(Vec::new());
        }
        let revisions = revisions.into_iter().map(str::to_owned).collect();
        let revisions = self
            .ecs
            .describe_service_revisions()
            .set_service_revision_arns(Some(revisions))
            .send()
            .await
            .map_err(error::of("DescribeServiceRevisions"))?;
        let task_definition = |arn: Option<&str>| {
            let mut revisions = revisions.service_revisions().iter();
            let revision = revisions.find(|revision| revision.service_revision_arn() == arn)?;
            Some(TaskDefinitionArn::new(revision.task_definition()?))
        };
        let active = described.into_iter().filter_map(|found| {
            let task_definition = task_definition(revision(found))?;
            active_deployment(found, task_definition)
        });
        Ok(active.collect())
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

/// Returns the ARN of the service revision that is being deployed.
fn revision(found: &ServiceDeployment) -> Option<&str> {
    found.target_service_revision()?.arn()
}

/// Returns whether the deployment replaces tasks in another way than one after the other.
fn moves_traffic(found: &ServiceDeployment) -> bool {
    let configuration = found.deployment_configuration();
    match configuration.and_then(|configuration| configuration.strategy()) {
        Some(strategy) => *strategy != DeploymentStrategy::Rolling,
        // Some endpoints do not return the configuration.
        None => !found.lifecycle_hook_details().is_empty(),
    }
}

fn active_deployment(
    found: &ServiceDeployment,
    task_definition: TaskDefinitionArn,
) -> Option<ActiveDeployment> {
    let arn = found.service_deployment_arn()?;
    let stage = found.lifecycle_stage().map_or("", |stage| stage.as_str());
    let target = found.target_service_revision();
    let share = target.and_then(ServiceRevisionSummary::requested_production_traffic_weight);
    let hooks = found.lifecycle_hook_details().iter();
    let waiting = hooks.filter(|hook| {
        let status = hook.status().map(|status| status.as_str().into());
        status == Some(HookStatus::AwaitingAction)
    });
    let paused = waiting.filter_map(|hook| {
        Some(PausedDeployment {
            arn: arn.to_owned(),
            hook: hook.hook_id()?.to_owned(),
            stage: stage.into(),
            task_definition: task_definition.clone(),
            share: share.unwrap_or_default(),
            expires_at: time(hook.expires_at()),
        })
    });
    Some(ActiveDeployment {
        arn: arn.to_owned(),
        status: found.status().map_or("", |status| status.as_str()).into(),
        stage: stage.into(),
        paused: paused.collect(),
        task_definition,
        has_previous: !found.source_service_revisions().is_empty(),
        share: share.unwrap_or_default(),
    })
}
