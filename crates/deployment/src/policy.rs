//! IAM policies for whoever deploys one stack. Pure.
//!
//! No chain of allowed calls leads to more than these policies and the boundary allow, which `tests/template/escalation.rs` evaluates.
//! CloudFormation acts with the rights of whoever calls it: what it needs to make, change and remove the resources of the template is
//! part of it. `infra/ci-role.yaml` gives the same to a role for GitHub Actions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Failure, FailureKind};
use crate::names::StackName;
use crate::partition::Partition;
use crate::template::{self, SecretSource, Store};

/// The policy, with names in `${…}` for what differs from account to account.
const DEPLOY: &str = include_str!("../../../infra/deployer-policy.json");

/// What granting access to reviewers needs in addition: a document of its own, since a role's inline policies may have 10,240
/// characters together.
const REVIEWERS: &str = include_str!("../../../infra/reviewers-policy.json");

/// The permissions boundary that the template gives to its execution role unless it is told another one: AWS's own policy for
/// pulling images and writing logs. A role cannot be made to do more than this, whatever its inline policies say.
const USUAL_BOUNDARY: &str =
    "arn:${Partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";

/// The longest name of a stack with which no name that CloudFormation makes from it is cut: roles have 64 characters, 32 of which
/// are taken by the name of the resource and by what makes it unique.
const LONGEST: usize = 32;

/// The account and the stack that a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// AWS region.
    pub region: &'a str,
    /// Twelve digits; without it, whatever account the policy is put into.
    pub account: Option<&'a str>,
    /// Name of the stack.
    pub stack: &'a StackName,
    /// ARN of the permissions boundary that roles and users of the stack have to have; the template's own if there is none.
    pub boundary: Option<&'a str>,
}

/// Returns the policy that deploys this stack.
pub fn deploying(scope: &Scope<'_>) -> Result<Value, Failure> {
    filled(DEPLOY, scope, scope.boundary.unwrap_or(USUAL_BOUNDARY))
}

/// Returns the policy that `deployer reviewer` needs in addition.
///
/// Reviewers get a user or a role with a policy that the caller writes: without a boundary, this is a way to become administrator.
/// AWS has no policy of its own that would do as one, because those that only read also read what is in databases and buckets.
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

/// Returns what the user should know about a policy for deploying.
pub fn caution(scope: &Scope<'_>) -> &'static str {
    if scope.boundary.is_some() {
        "this policy deploys stacks with this `PermissionsBoundary` only: set it under `[parameters]`. It is as safe as that boundary"
    } else {
        "this policy deploys stacks without a `PermissionsBoundary` of their own: their role is bounded by AWS's policy \
         AmazonECSTaskExecutionRolePolicy, which pulls any image of the account and writes to any of its logs. \
         For a narrower one, use `--boundary ARN`"
    }
}

/// Returns a permissions boundary for the roles of a stack whose program has secrets or rights of its own: what its roles need, and
/// nothing else. `permissions` is the policy document of the program's role.
///
/// Whoever deploys within it can give the program no more than this, also by changing the settings.
pub fn boundary(
    scope: &Scope<'_>,
    settings: &template::Settings,
    permissions: Option<&str>,
) -> Result<Value, Failure> {
    let unreadable = |error: serde_json::Error| {
        Failure::new(FailureKind::Unexpected, "the policy cannot be read").because(error)
    };
    let mut statements = vec![
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
            "Condition": {"StringEquals": {"aws:ResourceTag/aws:cloudformation:stack-name": "${Stack}"}},
        }));
    }
    if let Some(text) = permissions {
        let policy: Value = serde_json::from_str(text).map_err(unreadable)?;
        match policy.get("Statement").cloned() {
            Some(Value::Array(own)) => statements.extend(own),
            own => statements.extend(own),
        }
    }
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    filled(&policy.to_string(), scope, "")
}

/// Refuses a policy that cannot deploy this service: a program with secrets or rights of its own has roles that AWS's policy for
/// pulling images and writing logs would bound too narrowly.
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
    // Names of repositories are in lower case.
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
