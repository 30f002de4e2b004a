//! Load balancer and targets; called by the ECS adapter, which together they make a rollout.

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{Remote, RemoteErrorKind};
use deployment::rollout::{HealthCheck, Target};

impl Aws {
    pub(super) async fn describe_targets(&self, target_group: &str) -> Remote<Vec<Target>> {
        let answer = self
            .elasticloadbalancingv2
            .describe_target_health()
            .target_group_arn(target_group)
            .send()
            .await
            .map_err(error::of("DescribeTargetHealth"))?;
        let targets = answer
            .target_health_descriptions
            .as_ref()
            .ok_or_else(|| incomplete("DescribeTargetHealth", "targets"))?
            .iter()
            .map(|description| {
                let health = description.target_health();
                Target {
                    id: description
                        .target()
                        .and_then(|target| target.id.clone())
                        .unwrap_or_default(),
                    state: health
                        .and_then(|health| health.state())
                        .map_or("unknown", |state| state.as_str())
                        .to_owned(),
                    reason: health
                        .and_then(|health| health.reason())
                        .map(|reason| reason.as_str().to_owned()),
                    description: health.and_then(|health| health.description.clone()),
                }
            });
        Ok(targets.collect())
    }

    pub(super) async fn find_health_check(
        &self,
        target_group: &str,
    ) -> Remote<Option<HealthCheck>> {
        let answer = self
            .elasticloadbalancingv2
            .describe_target_groups()
            .target_group_arns(target_group)
            .send()
            .await
            .map_err(error::of("DescribeTargetGroups"))?;
        Ok(answer.target_groups().first().and_then(|group| {
            Some(HealthCheck {
                path: group.health_check_path.clone()?,
                codes: group.matcher()?.http_code.clone()?,
                timeout_seconds: u32::try_from(group.health_check_timeout_seconds()?).ok()?,
            })
        }))
    }

    pub(super) async fn find_load_balancer(&self, arn: &str) -> Remote<bool> {
        let answer = self
            .elasticloadbalancingv2
            .describe_load_balancers()
            .load_balancer_arns(arn)
            .send()
            .await
            .map_err(error::of("DescribeLoadBalancers"));
        match answer {
            // One that does not exist is an error here, never an empty list.
            Ok(answer) if answer.load_balancers().is_empty() => {
                Err(incomplete("DescribeLoadBalancers", "the load balancer"))
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
