//! The least that an AWS account has to allow for this program to deploy one stack. Pure.
//!
//! CloudFormation acts with the rights of whoever calls it: what it needs to make, change and remove the resources of the template is
//! part of it. `infra/ci-role.yaml` gives the same to a role for GitHub Actions.

use serde_json::{Value, json};

use crate::error::Failure;
use crate::names::StackName;

/// The policy, with names in `${…}` for what differs from account to account.
const POLICY: &str = include_str!("../../infra/deployer-policy.json");

/// The longest name of a stack with which no name that CloudFormation makes from it is cut: roles have 64 letters, 32 of which are
/// taken by the name of the resource and by what makes it unique.
const LONGEST: usize = 32;

/// What it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// AWS region.
    pub region: &'a str,
    /// Twelve digits; without it, whatever account the policy is put into.
    pub account: Option<&'a str>,
    /// Name of the stack.
    pub stack: &'a StackName,
    /// ARN of the permissions boundary that roles and users of the stack have to have, if they have to have one.
    pub boundary: Option<&'a str>,
}

/// The policy for this stack.
pub fn policy(scope: &Scope<'_>) -> Result<Value, Failure> {
    let stack = scope.stack.as_str();
    if stack.len() > LONGEST {
        return Err(
            Failure::preflight(format!("the name `{stack}` is too long for a policy"))
                .because("CloudFormation cuts names that it makes from it, so that a policy cannot tell them")
                .hint(format!("choose one of at most {LONGEST} letters")),
        );
    }
    let mut policy: Value = serde_json::from_str(POLICY).map_err(|error| {
        Failure::new(
            crate::error::FailureKind::Unexpected,
            "the policy cannot be read",
        )
        .because(error)
    })?;
    if scope.boundary.is_none() {
        unbind(&mut policy);
    }
    // Names of repositories are in lower case.
    let lower = stack.to_ascii_lowercase();
    let names = [
        ("${Partition}", partition(scope.region)),
        ("${Region}", scope.region),
        ("${Account}", scope.account.unwrap_or("*")),
        ("${Stack}", stack),
        ("${stack}", &lower),
        ("${Boundary}", scope.boundary.unwrap_or_default()),
    ];
    fill(&mut policy, &names);
    Ok(policy)
}

/// The partition that a region is in.
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// Removes the condition that roles and users have to have a boundary, and what keeps that from being changed.
fn unbind(policy: &mut Value) {
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut);
    let Some(statements) = statements else { return };
    statements.retain(|statement| statement.get("Resource") != Some(&json!("${Boundary}")));
    for statement in statements {
        let key = "/Condition/StringEquals/iam:PermissionsBoundary";
        if statement.pointer(key).is_some()
            && let Some(statement) = statement.as_object_mut()
        {
            statement.remove("Condition");
        }
    }
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

    fn of(region: &str, stack: &str, boundary: Option<&str>) -> Result<Value, Failure> {
        policy(&Scope {
            region,
            account: Some("123456789012"),
            stack: &stack.parse().unwrap(),
            boundary,
        })
    }

    #[test]
    fn every_name_is_filled_in() {
        let boundary = "arn:aws:iam::123456789012:policy/bounds";
        let policy = of("eu-west-1", "Clock", Some(boundary)).unwrap();
        let text = policy.to_string();
        assert!(!text.contains("${"), "{text}");
        for part in [
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/Clock/*",
            "repository/clock-*",
            "role/Clock-*",
            boundary,
        ] {
            assert!(text.contains(part), "{part}");
        }
        let kept = policy["Statement"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&kept["Effect"], &kept["Resource"]),
            (&json!("Deny"), &json!(boundary))
        );
        let text = of("cn-north-1", "clock", None).unwrap().to_string();
        assert!(text.contains("arn:aws-cn:ecs:cn-north-1:"));
        assert!(!text.contains("PermissionsBoundary\":"), "{text}");
        assert!(!text.contains("Deny"), "{text}");
        let text = policy_without_account().to_string();
        assert!(text.contains("arn:aws:ecs:eu-west-1:*:cluster/clock-*"));
    }

    fn policy_without_account() -> Value {
        policy(&Scope {
            region: "eu-west-1",
            account: None,
            stack: &"clock".parse().unwrap(),
            boundary: None,
        })
        .unwrap()
    }

    /// What IAM takes as the inline policies of a role, in letters.
    #[test]
    fn it_fits_into_a_role() {
        let name = "x".repeat(LONGEST);
        let boundary = format!("arn:aws-us-gov:iam::123456789012:policy/{}", "x".repeat(64));
        let policy = of("us-gov-west-1", &name, Some(&boundary)).unwrap();
        let length = policy.to_string().len();
        assert!(length <= 10_240, "{length}");
        let failure = of("us-east-1", &"x".repeat(LONGEST + 1), None).unwrap_err();
        assert!(failure.message.contains("too long"));
    }
}
