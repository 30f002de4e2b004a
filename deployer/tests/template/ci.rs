//! `infra/ci-role.yaml`: who may take which role, and what it may.

use serde_json::{Value, json};

use crate::policy::{Request, allows, names};
use crate::read::{self, items, replaced, resources};

type Change = fn(&mut Value);

fn template() -> Value {
    read::template(&std::fs::read_to_string(crate::root().join("infra/ci-role.yaml")).unwrap())
}

/// References as the names in the deployer's policy.
fn named(value: &Value) -> Value {
    let name = |text: &str| {
        text.replace("${AWS::Partition}", "${Partition}")
            .replace("${AWS::Region}", "${Region}")
            .replace("${AWS::AccountId}", "${Account}")
            .replace("repository/${StackName}", "repository/${stack}")
            .replace("${StackName}", "${Stack}")
    };
    replaced(value, &|value| {
        if let Some(text) = value.get("Fn::Sub").and_then(Value::as_str) {
            return Some(json!(name(text)));
        }
        let reference = value.get("Ref").and_then(Value::as_str)?;
        Some(json!(name(&format!("${{{reference}}}"))))
    })
}

fn policy_of<'a>(template: &'a Value, role: &str) -> &'a Value {
    &template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]
}

#[test]
fn the_role_may_what_the_deployer_needs_and_nothing_else() {
    let text = std::fs::read_to_string(crate::root().join("infra/deployer-policy.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let template = template();
    assert_eq!(named(policy_of(&template, "DeployRole")), expected);
    let text = std::fs::read_to_string(crate::root().join("infra/reviewers-policy.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let reviewers = &template["Resources"]["ReviewersPolicy"];
    assert_eq!(named(&reviewers["Properties"]["PolicyDocument"]), expected);
    // Only on request.
    assert_eq!(reviewers["Condition"], "GrantsReviewers");
    assert_eq!(template["Parameters"]["Reviewers"]["Default"], "false");
}

/// Where a role may be taken by somebody else than this repository in this way.
fn strangers(template: &Value) -> Vec<String> {
    let expected = [
        (
            "DeployRole",
            "repo:${Repository}:environment:${Environment}",
        ),
        ("PlanRole", "repo:${Repository}:pull_request"),
    ];
    let roles = resources(template, "IAM::Role");
    assert_eq!(roles.len(), expected.len());
    let mut broken = Vec::new();
    for (name, subject) in expected {
        let role = &template["Resources"][name]["Properties"];
        let statements = items(&role["AssumeRolePolicyDocument"]["Statement"]);
        let condition = json!({ "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": { "Fn::Sub": subject },
        } });
        let is_exact = statements.len() == 1
            && statements[0]["Condition"] == condition
            && statements[0]["Action"] == "sts:AssumeRoleWithWebIdentity"
            && statements[0]["Principal"].get("Federated").is_some();
        if !is_exact {
            broken.push(format!("{name} may be taken by others"));
        }
        if role["PermissionsBoundary"] != json!({ "Ref": "RoleBoundary" }) {
            broken.push(format!("{name} has no bounds"));
        }
        if role.get("ManagedPolicyArns").is_some() {
            broken.push(format!("{name} may more"));
        }
    }
    for parameter in ["Repository", "Environment", "StackName"] {
        let pattern = template["Parameters"][parameter]["AllowedPattern"]
            .as_str()
            .unwrap_or_default();
        if pattern.is_empty() || pattern.contains(".*") || pattern.contains("\\*") {
            broken.push(format!("{parameter} may be anything"));
        }
    }
    broken
}

#[test]
fn only_this_repository_takes_the_roles() {
    assert_eq!(strangers(&template()), Vec::<String>::new());
    let trust = |role: &'static str, change: fn(&mut Value)| {
        let mut changed = template();
        change(&mut changed["Resources"][role]["Properties"]);
        changed
    };
    let changes: [(&str, Change); 4] = [
        ("any branch", |role| {
            let statement = &mut role["AssumeRolePolicyDocument"]["Statement"][0];
            statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] =
                json!({ "Fn::Sub": "repo:${Repository}:*" });
        }),
        ("any audience", |role| {
            let statement = &mut role["AssumeRolePolicyDocument"]["Statement"][0];
            let keys = statement["Condition"]["StringEquals"]
                .as_object_mut()
                .unwrap();
            keys.remove("token.actions.githubusercontent.com:aud")
                .unwrap();
        }),
        ("a pattern", |role| {
            let statement = &mut role["AssumeRolePolicyDocument"]["Statement"][0];
            let keys = statement["Condition"]["StringEquals"].take();
            statement["Condition"] = json!({ "StringLike": keys });
        }),
        ("no bounds", |role| {
            role.as_object_mut()
                .unwrap()
                .remove("PermissionsBoundary")
                .unwrap();
        }),
    ];
    for role in ["DeployRole", "PlanRole"] {
        for (name, change) in changes {
            assert!(
                !strangers(&trust(role, change)).is_empty(),
                "{name} for {role}"
            );
        }
    }
    let mut anybody = template();
    anybody["Parameters"]["Repository"]["AllowedPattern"] = json!("^.*$");
    assert!(!strangers(&anybody).is_empty());
}

#[test]
fn what_is_made_within_the_bounds_may_do_its_work() {
    let bounds = &template()["Resources"]["Boundary"]["Properties"]["PolicyDocument"];
    let service = read::template(&crate::text());
    let execution =
        &service["Resources"]["ExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"];
    let reviewers = &service["Resources"]["ReviewerPolicy"]["Properties"]["PolicyDocument"];
    for policy in [execution, reviewers] {
        for statement in items(&policy["Statement"]) {
            for action in items(&statement["Action"]) {
                let action = action.as_str().unwrap();
                assert!(names(bounds, action), "{action} is out of bounds");
            }
        }
    }
    for action in [
        "iam:CreateUser",
        "ecs:UpdateService",
        "ecr:PutImage",
        "s3:GetObject",
        "sts:AssumeRole",
    ] {
        assert!(!names(bounds, action), "{action} is within bounds");
    }
}

#[test]
fn the_roles_can_do_nothing_about_themselves() {
    let bounds = &template()["Resources"]["RoleBoundary"]["Properties"]["PolicyDocument"];
    let bounds = filled(bounds);
    let may = |action: &str, resource: &str| {
        let request = Request {
            action,
            resource,
            context: &[],
        };
        allows(&bounds, &request)
    };
    let role = "arn:aws:iam::123456789012:role/clock-ExecutionRole-1";
    let own = "arn:aws:iam::123456789012:role/clock-ci-DeployRole-1";
    assert!(may("iam:PutRolePolicy", role));
    assert!(!may("iam:PutRolePolicy", own));
    assert!(!may(
        "iam:CreatePolicyVersion",
        "arn:aws:iam::123456789012:policy/clock-ci-Boundary-1"
    ));
    assert!(!may("iam:DeleteRolePermissionsBoundary", role));
    assert!(!may(
        "cloudformation:UpdateStack",
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock-ci/1"
    ));
    assert!(may(
        "cloudformation:ExecuteChangeSet",
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock/1"
    ));
    assert!(!may("s3:GetObject", "*"));
}

/// The names that things would have in a stack `clock-ci`.
fn filled(value: &Value) -> Value {
    let text = value.to_string();
    let text = text
        .replace(
            r#"{"Ref":"AWS::StackId"}"#,
            r#""arn:aws:cloudformation:eu-west-1:123456789012:stack/clock-ci/1""#,
        )
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::AccountId}", "123456789012")
        .replace("${AWS::StackName}", "clock-ci");
    let value: Value = serde_json::from_str(&text).unwrap();
    // Texts without the function that fills them in.
    replaced(&value, &|value| value.get("Fn::Sub").cloned())
}
