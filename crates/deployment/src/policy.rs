//! IAM policies for whoever deploys one stack. Pure.
//!
//! No chain of allowed calls leads to more than these policies and the boundary allow, which `tests/template/escalation.rs` evaluates.
//! CloudFormation acts with the rights of whoever calls it: what it needs to make, change and remove the resources of the template is
//! part of it. `infra/ci-role.yaml` gives the same to a role for GitHub Actions.

use serde_json::Value;

use crate::error::{Failure, FailureKind};
use crate::names::StackName;
use crate::partition::Partition;

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
    use serde_json::json;

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
