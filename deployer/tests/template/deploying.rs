//! The policy that the deployer needs: it allows every call of the code. What CloudFormation does for the resources of the template is
//! looked at by `scripts/check-rights.py`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::policy::names;

/// Calls that need no permission of the deployer's, and why.
const EXEMPT: [(&str, &str); 5] = [
    ("sts:GetCallerIdentity", "everybody may ask who they are"),
    (
        "ecs:ListClusters",
        "only the emulator is asked, before it is stopped",
    ),
    (
        "secretsmanager:CreateSecret",
        "only the emulator gets secrets",
    ),
    (
        "secretsmanager:PutSecretValue",
        "only the emulator gets secrets",
    ),
    ("ssm:PutParameter", "only the emulator gets secrets"),
];

/// Calls of the registry, which are not made with AWS's SDK.
const REGISTRY: [&str; 7] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];

fn policy() -> Value {
    let text = std::fs::read_to_string(crate::root().join("infra/deployer-policy.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All files in a folder and in those below it.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_in(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The source files that talk to AWS, without their tests.
fn sources() -> Vec<String> {
    let files = files_in(&crate::root().join("crates/aws/src"));
    assert!(files.len() > 10, "{files:?}");
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let texts = files.iter().map(read);
    texts
        .map(|text| {
            text.split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Returns the fields of `Aws` that are clients: those of the SDK crates, and those of services without one.
fn clients(source: &str) -> Vec<String> {
    let fields = source
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    fields
        .filter(|(_, kind)| {
            *kind == "Api," || kind.starts_with("aws_sdk_") && kind.ends_with("::Client,")
        })
        .map(|(field, _)| field.to_owned())
        .collect()
}

/// Returns the actions that this source calls, however it is broken into lines: `self.CLIENT.OPERATION()`, or
/// `self.CLIENT.call("OPERATION", …)`.
fn calls(source: &str, clients: &[String]) -> BTreeSet<String> {
    let dense: String = source.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for client in clients {
        for (_, rest) in dense
            .match_indices(&format!("self.{client}."))
            .map(|(at, name)| dense.split_at(at + name.len()))
        {
            let operation = match rest.strip_prefix("call(\"") {
                Some(rest) => rest.split('"').next().unwrap().to_owned(),
                None => camel_case(rest.split("()").next().unwrap()),
            };
            let is_call = operation.bytes().all(|byte| byte.is_ascii_alphabetic());
            assert!(
                is_call,
                "not a call: self.{client}.{}",
                &rest[..rest.len().min(40)]
            );
            found.insert(action(client, &operation));
        }
    }
    found
}

/// `describe_stacks` is `DescribeStacks`.
fn camel_case(operation: &str) -> String {
    let words = operation.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

/// `DescribeStacks` of `cloudformation` is `cloudformation:DescribeStacks`.
fn action(client: &str, operation: &str) -> String {
    let service = match client {
        "cloudwatchlogs" => "logs",
        "elasticloadbalancingv2" => "elasticloadbalancing",
        other => other,
    };
    format!("{service}:{operation}")
}

/// What the code calls and the policy lacks.
fn lacking(policy: &Value, called: &BTreeSet<String>) -> Vec<String> {
    let is_exempt = |action: &String| EXEMPT.iter().any(|(name, _)| name == action);
    let asked = called.iter().filter(|action| !is_exempt(action));
    asked
        .filter(|action| !names(policy, action))
        .cloned()
        .collect()
}

fn everything_called() -> BTreeSet<String> {
    let sources = sources();
    let clients: Vec<String> = sources.iter().flat_map(|source| clients(source)).collect();
    assert_eq!(clients.len(), 9, "{clients:?}");
    let mut called: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| calls(source, &clients))
        .collect();
    assert!(called.len() > 35, "{called:?}");
    called.extend(REGISTRY.map(str::to_owned));
    called
}

#[test]
fn every_call_of_the_code_is_allowed() {
    let called = everything_called();
    assert_eq!(lacking(&policy(), &called), Vec::<String>::new());
    for (action, _) in EXEMPT {
        assert!(called.contains(action), "{action} is not called any more");
    }
}

#[test]
fn a_call_that_is_not_allowed_is_noticed() {
    let called = everything_called();
    // Each action that is there by its own name is needed.
    for (number, statement) in policy()["Statement"].as_array().unwrap().iter().enumerate() {
        let Some(actions) = statement["Action"].as_array() else {
            continue;
        };
        for (place, action) in actions.iter().enumerate() {
            let action = action.as_str().unwrap();
            let is_called = called.contains(action);
            let is_elsewhere = action == "iam:GetRole" || action == "ecs:DescribeTaskDefinition";
            if is_called && !is_elsewhere {
                let mut less = policy();
                less["Statement"][number]["Action"]
                    .as_array_mut()
                    .unwrap()
                    .remove(place);
                assert_eq!(lacking(&less, &called), [action]);
            }
        }
    }
    let source = "let answer = self\n    .ecs\n    .put_account_setting()\n    .send()";
    let called = calls(source, &["ecs".to_owned()]);
    assert_eq!(lacking(&policy(), &called), ["ecs:PutAccountSetting"]);
}
