//! Load balancers and targets, for the rollouts of the ECS adapter.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::Aws;
use super::error::incomplete;
use crate::remote::{Remote, RemoteErrorKind};
use deployment::names::{LoadBalancerArn, TargetGroupArn};
use deployment::rollout::traffic::ListenerRule;
use deployment::rollout::{HealthCheck, Target};

/// Response without its metadata. The result element has the name of the operation.
#[derive(Debug, Deserialize)]
struct Response<T> {
    #[serde(
        alias = "DescribeTargetHealthResult",
        alias = "DescribeTargetGroupsResult",
        alias = "DescribeLoadBalancersResult",
        alias = "DescribeRulesResult"
    )]
    result: T,
}

/// List of `member` elements.
#[derive(Debug, Deserialize)]
struct List<T> {
    // An empty list is an element without any `member`.
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Targets {
    target_health_descriptions: Option<List<TargetHealthDescription>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetHealthDescription {
    target: Option<TargetDescription>,
    target_health: Option<TargetHealth>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetDescription {
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetHealth {
    state: Option<String>,
    reason: Option<String>,
    description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetGroups {
    target_groups: Option<List<TargetGroup>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetGroup {
    health_check_path: Option<String>,
    health_check_timeout_seconds: Option<u32>,
    matcher: Option<Matcher>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Matcher {
    http_code: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancers {
    load_balancers: Option<List<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rules {
    rules: Option<List<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    conditions: Option<List<Condition>>,
    actions: Option<List<Action>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    field: String,
    values: Option<List<String>>,
    path_pattern_config: Option<Values>,
    http_header_config: Option<HttpHeader>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Values {
    values: Option<List<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HttpHeader {
    http_header_name: String,
    values: Option<List<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Action {
    target_group_arn: Option<String>,
    forward_config: Option<ForwardConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ForwardConfig {
    target_groups: Option<List<WeightedGroup>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WeightedGroup {
    target_group_arn: String,
    weight: Option<u32>,
}

impl Condition {
    /// Returns the condition in one line: `FIELD: VALUE, VALUE`. Headers are named.
    fn line(self) -> String {
        // The typed configuration has the values that AWS compares.
        let (name, values) = match (self.http_header_config, self.path_pattern_config) {
            (Some(header), _) => (header.http_header_name, header.values),
            (None, Some(pattern)) => (self.field, pattern.values),
            (None, None) => (self.field, self.values),
        };
        let values = values.map(|values| values.member).unwrap_or_default();
        format!("{name}: {}", values.join(", "))
    }
}

impl Action {
    fn groups(self) -> Vec<(TargetGroupArn, u32)> {
        let weighted = self.forward_config.and_then(|config| config.target_groups);
        match (weighted, self.target_group_arn) {
            (Some(groups), _) => {
                let groups = groups.member.into_iter();
                groups
                    .map(|group| {
                        let arn = TargetGroupArn::new(group.target_group_arn);
                        (arn, group.weight.unwrap_or(1))
                    })
                    .collect()
            }
            (None, Some(arn)) => vec![(TargetGroupArn::new(arn), 1)],
            (None, None) => Vec::new(),
        }
    }
}

impl Aws {
    pub(super) async fn find_listener_rule(&self, arn: &str) -> Remote<Option<ListenerRule>> {
        let input = json!({ "RuleArns.member.1": arn });
        let answer = self.elasticloadbalancingv2.call("DescribeRules", input);
        let Response::<Rules> { result } = match answer.await {
            Ok(answer) => answer,
            Err(error) if error.kind == RemoteErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let rules = result.rules.map(|rules| rules.member);
        let mut rules = rules.into_iter().flatten();
        let rule = rules.next();
        let rule = rule.ok_or_else(|| incomplete("DescribeRules", "the rule"))?;
        let conditions = rule.conditions.map(|conditions| conditions.member);
        let actions = rule.actions.map(|actions| actions.member);
        Ok(Some(ListenerRule {
            arn: arn.to_owned(),
            conditions: conditions
                .into_iter()
                .flatten()
                .map(Condition::line)
                .collect(),
            groups: actions
                .into_iter()
                .flatten()
                .flat_map(Action::groups)
                .collect(),
        }))
    }

    pub(super) async fn describe_targets(
        &self,
        target_group: &TargetGroupArn,
    ) -> Remote<Vec<Target>> {
        let input = json!({ "TargetGroupArn": target_group });
        let answer = self
            .elasticloadbalancingv2
            .call("DescribeTargetHealth", input);
        let Response::<Targets> { result } = answer.await?;
        let targets = result
            .target_health_descriptions
            .ok_or_else(|| incomplete("DescribeTargetHealth", "targets"))?;
        let targets = targets.member.into_iter().map(|description| {
            let health = description.target_health.unwrap_or_default();
            Target {
                id: description
                    .target
                    .and_then(|target| target.id)
                    .unwrap_or_default(),
                // A missing state becomes an unknown one, which is neither healthy nor in trouble.
                state: health.state.as_deref().unwrap_or("unknown").into(),
                reason: health.reason,
                description: health.description,
            }
        });
        Ok(targets.collect())
    }

    pub(super) async fn find_health_check(
        &self,
        target_group: &TargetGroupArn,
    ) -> Remote<Option<HealthCheck>> {
        // The query protocol numbers the members of a list from 1.
        let input = json!({ "TargetGroupArns.member.1": target_group });
        let answer = self
            .elasticloadbalancingv2
            .call("DescribeTargetGroups", input);
        let Response::<TargetGroups> { result } = answer.await?;
        let groups = result.target_groups.map(|groups| groups.member);
        let group = groups.into_iter().flatten().next();
        Ok(group.and_then(|group| {
            Some(HealthCheck {
                path: group.health_check_path?,
                codes: group.matcher?.http_code?,
                timeout_seconds: group.health_check_timeout_seconds?,
            })
        }))
    }

    pub(super) async fn find_load_balancer(&self, arn: &LoadBalancerArn) -> Remote<bool> {
        let input = json!({ "LoadBalancerArns.member.1": arn });
        let answer = self
            .elasticloadbalancingv2
            .call("DescribeLoadBalancers", input);
        match answer.await {
            Ok(Response::<LoadBalancers> { result }) => {
                match result.load_balancers {
                    Some(found) if !found.member.is_empty() => Ok(true),
                    // Elastic Load Balancing reports a missing load balancer as an error, never as
                    // an empty list.
                    Some(_) | None => Err(incomplete("DescribeLoadBalancers", "the load balancer")),
                }
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
