//! IAM policies for principals that deploy one stack. Pure.
//!
//! No chain of allowed calls leads to more than these policies and the boundary allow, which
//! `tests/template/escalation.rs` evaluates. CloudFormation acts with the rights of its caller, so
//! they include everything that creates, changes and deletes the resources of the template.
//! `infra/ci-role.yaml` gives the same to a role for GitHub Actions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Failure, FailureKind};
use crate::names::StackName;
use crate::partition::Partition;
use crate::template::{self, SecretSource, Store};

/// Policy for deploying, with `${…}` placeholders for what differs between accounts.
const DEPLOY: &str = include_str!("../../../infra/deployer-policy.json");

/// Additional policy for granting access to reviewers.
///
/// A document of its own, because a role's inline policies may have 10,240 characters together.
const REVIEWERS: &str = include_str!("../../../infra/reviewers-policy.json");

/// Permissions boundary of the template's execution role by default: AWS's managed policy for
/// pulling images and writing logs.
///
/// A role cannot do more than its boundary allows, whatever its inline policies say.
const USUAL_BOUNDARY: &str =
    "arn:${Partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";

/// Maximum length of a stack name for which CloudFormation does not truncate a generated name.
///
/// Role names have at most 64 characters, 32 of which are taken by the resource's name and the
/// unique suffix.
const LONGEST: usize = 32;

/// Account and stack that a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// AWS region.
    pub region: &'a str,
    /// Account ID, twelve digits; without it, the policy applies to the account it is attached in.
    pub account: Option<&'a str>,
    /// Name of the stack.
    pub stack: &'a StackName,
    /// ARN of the permissions boundary that roles and users of the stack must have; without it, the
    /// template's default.
    pub boundary: Option<&'a str>,
}

/// Returns the policy for deploying this stack.
pub fn deploying(scope: &Scope<'_>) -> Result<Value, Failure> {
    filled(DEPLOY, scope, scope.boundary.unwrap_or(USUAL_BOUNDARY))
}

/// Returns the additional policy for `deployer reviewer`.
///
/// Reviewers get a user or a role with a policy that the caller writes. Without a boundary, the
/// caller could become administrator that way. No AWS managed policy would do as the boundary,
/// because the read-only ones also read the contents of databases and buckets.
pub fn reviewing(scope: &Scope<'_>) -> Result<Value, Failure> {
    let boundary = scope.boundary.ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            "a policy for granting access to reviewers needs a permissions boundary",
        )
        .because("whoever may make users without one can become administrator")
        .hint("add `--boundary ARN`, as of the policy `Boundary` that `infra/ci-role.yaml` makes")
    })?;
    filled(REVIEWERS, scope, boundary)
}

/// Returns a caution for the user about the policy for deploying.
pub fn caution(scope: &Scope<'_>) -> &'static str {
    if scope.boundary.is_some() {
        "this policy deploys stacks with this `PermissionsBoundary` only: set it under `[parameters]`. It is as safe as that boundary"
    } else {
        "this policy deploys stacks without a `PermissionsBoundary` of their own: their role is bounded by AWS's policy \
         AmazonECSTaskExecutionRolePolicy, which pulls any image of the account and writes to any of its logs. \
         For a narrower one, use `--boundary ARN`"
    }
}

/// Returns a permissions boundary for the roles of a stack whose program has secrets or permissions
/// of its own.
///
/// It allows exactly what these roles need. `permissions` is the policy document of the program's
/// role. A deployment within it can give the program no more than this, even by changing the
/// settings.
pub fn boundary(
    scope: &Scope<'_>,
    settings: &template::Settings,
    permissions: Option<&str>,
) -> Result<Value, Failure> {
    let unreadable = |error: serde_json::Error| {
        Failure::new(FailureKind::Unexpected, "the policy cannot be read").because(error)
    };
    let mut statements = vec![
        // `GetAuthorizationToken` does not support resource-level permissions.
        json!({"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}),
        json!({
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
            "Resource": "arn:${Partition}:ecr:${Region}:${Account}:repository/${stack}-*",
        }),
        json!({
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:${Partition}:logs:${Region}:${Account}:log-group:${Stack}-*",
        }),
    ];
    for store in [Store::SecretsManager, Store::ParameterStore] {
        let kept = settings
            .secrets
            .values()
            .filter(|source| source.store() == store);
        let resources: BTreeSet<String> = kept.map(SecretSource::arn).collect();
        if !resources.is_empty() {
            statements
                .push(json!({"Effect": "Allow", "Action": store.action(), "Resource": resources}));
        }
    }
    if settings.strategy.is_gated() {
        // The Describe actions of Elastic Load Balancing do not support resource-level permissions.
        statements.push(json!({
            "Effect": "Allow",
            "Action": [
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            "Resource": "*",
        }));
        statements.push(json!({
            "Effect": "Allow",
            "Action": [
                "elasticloadbalancing:DeregisterTargets",
                "elasticloadbalancing:ModifyRule",
                "elasticloadbalancing:RegisterTargets",
            ],
            "Resource": "*",
            // CloudFormation tags what it creates with the stack's name: other load balancers stay
            // out of reach.
            "Condition": {"StringEquals": {"aws:ResourceTag/aws:cloudformation:stack-name": "${Stack}"}},
        }));
    }
    if let Some(text) = permissions {
        let policy: Value = serde_json::from_str(text).map_err(unreadable)?;
        match policy.get("Statement").cloned() {
            Some(Value::Array(own)) => statements.extend(own),
            // IAM accepts a single statement without the array.
            own => statements.extend(own),
        }
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    filled(&policy.to_string(), scope, "")
}

/// Refuses a policy that cannot deploy this service.
///
/// The roles of a program with secrets or permissions of its own need more than AWS's policy for
/// pulling images and writing logs allows.
pub fn refuse_without_boundary(
    scope: &Scope<'_>,
    settings: &template::Settings,
    has_permissions: bool,
) -> Result<(), Failure> {
    if scope.boundary.is_some() {
        return Ok(());
    }
    let asked_for = if !settings.secrets.is_empty() {
        "[service.secrets]"
    } else if has_permissions {
        "[service.permissions]"
    } else if settings.strategy.is_gated() {
        "strategy"
    } else {
        return Ok(());
    };
    Err(Failure::new(
        FailureKind::Usage,
        format!("a policy for a service with `{asked_for}` needs a permissions boundary"),
    )
    .because("without one, whoever may write a role's policy can become administrator")
    .hint("have an administrator make one from `deployer policy --as-boundary`, then add `--boundary ARN` and set `PermissionsBoundary` under `[parameters]`"))
}

fn filled(text: &str, scope: &Scope<'_>, boundary: &str) -> Result<Value, Failure> {
    let stack = scope.stack.as_str();
    if stack.len() > LONGEST {
        return Err(
            Failure::preflight(format!("the name `{stack}` is too long for a policy"))
                .because("CloudFormation cuts names that it makes from it, so that a policy cannot recognise them")
                .hint(format!("choose one of at most {LONGEST} characters")),
        );
    }
    let mut policy: Value = serde_json::from_str(text).map_err(|error| {
        Failure::new(FailureKind::Unexpected, "the policy cannot be read").because(error)
    })?;
    // ECR allows only lower case in repository names.
    let lower = stack.to_ascii_lowercase();
    let names = [
        ("${Boundary}", boundary),
        ("${Partition}", Partition::of_region(scope.region).name()),
        ("${Region}", scope.region),
        ("${Account}", scope.account.unwrap_or("*")),
        ("${Stack}", stack),
        ("${stack}", &lower),
    ];
    fill(&mut policy, &names);
    Ok(policy)
}

fn fill(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (name, filling) in names {
                *text = text.replace(name, filling);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(entries) => entries.values_mut().for_each(|item| fill(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/bounds";

    fn scope<'a>(region: &'a str, stack: &'a StackName, boundary: Option<&'a str>) -> Scope<'a> {
        Scope {
            region,
            account: Some("123456789012"),
            stack,
            boundary,
        }
    }

    #[test]
    fn every_name_is_filled_in() {
        let stack = "Clock".parse().unwrap();
        let scope = scope("eu-west-1", &stack, Some(BOUNDARY));
        let text = deploying(&scope).unwrap().to_string();
        for part in [
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/Clock/*",
            "repository/clock-*",
            "role/deployer/Clock/*",
            BOUNDARY,
        ] {
            assert!(text.contains(part), "{part}");
        }
        let reviewing = reviewing(&scope).unwrap();
        let last = reviewing["Statement"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["Effect"], &last["Resource"]),
            (&json!("Deny"), &json!(BOUNDARY))
        );
        for text in [text, reviewing.to_string()] {
            assert!(!text.contains("${"), "{text}");
        }
        let anywhere = Scope {
            account: None,
            ..scope
        };
        let text = deploying(&anywhere).unwrap().to_string();
        assert!(text.contains("arn:aws:ecs:eu-west-1:*:cluster/Clock-*"));
    }

    #[test]
    fn without_a_boundary_aws_has_one() {
        let stack = "clock".parse().unwrap();
        for (region, partition) in [("cn-north-1", "aws-cn"), ("eusc-de-east-1", "aws-eusc")] {
            let scope = scope(region, &stack, None);
            let text = deploying(&scope).unwrap().to_string();
            assert!(text.contains(&format!("arn:{partition}:ecs:{region}:")));
            let boundary = format!(
                r#""iam:PermissionsBoundary":"arn:{partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy""#
            );
            assert!(text.contains(&boundary), "{text}");
            let failure = reviewing(&scope).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Usage);
        }
    }

    /// The limits of IAM, in characters: inline policies of a role, and a managed policy.
    #[test]
    fn they_are_not_too_long() {
        let stack = "x".repeat(LONGEST).parse().unwrap();
        let boundary = format!("arn:aws-us-gov:iam::123456789012:policy/{}", "x".repeat(64));
        let scope = scope("us-gov-west-1", &stack, Some(&boundary));
        let length = deploying(&scope).unwrap().to_string().len();
        assert!(length <= 10_240, "{length}");
        let length = reviewing(&scope).unwrap().to_string().len();
        assert!(length <= 6_144, "{length}");
        let stack = "x".repeat(LONGEST + 1).parse().unwrap();
        let failure = deploying(&Scope {
            stack: &stack,
            ..scope
        })
        .unwrap_err();
        assert!(failure.message.contains("too long"));
    }
}
