//! Rules about who may what: roles, users and their policies.

use serde_json::{Value, json};

use crate::read::{items, resources, unless};

/// What cannot be limited to a resource.
const EVERYWHERE: [&str; 1] = ["ecr:GetAuthorizationToken"];
/// How the name of an action begins that only looks.
const LOOKS: [&str; 4] = ["Describe", "Filter", "Get", "List"];

/// Each role is for one service of this account, or for one principal that is named, and may only what is listed.
pub(crate) fn roles(template: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, role) in resources(template, "IAM::Role") {
        let managed = items(&role["ManagedPolicyArns"]);
        broken.extend(unless(managed.is_empty(), format!("{name}: {managed:?}")));
        for statement in items(&role["AssumeRolePolicyDocument"]["Statement"]) {
            let who = &statement["Principal"];
            // Others' tasks must not be able to borrow it.
            let is_ours = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
                == json!({ "Ref": "AWS::AccountId" });
            let is_named = *who == json!({ "AWS": { "Ref": "ReviewerPrincipal" } });
            broken.extend(unless(
                (is_ours || is_named) && !who.to_string().contains('*'),
                format!("{name} trusts {statement}"),
            ));
        }
        for policy in items(&role["Policies"]) {
            for statement in items(&policy["PolicyDocument"]["Statement"]) {
                broken.extend(statement_breaks(name, statement, &|actions| {
                    actions
                        .iter()
                        .all(|action| EVERYWHERE.contains(&action.as_str()))
                }));
            }
        }
    }
    broken
}

/// What reviewers are given changes nothing, and ends at this deployment or, where that cannot be said, at its region.
pub(crate) fn reviewers(template: &Value) -> Vec<String> {
    let region = json!({ "StringEquals": { "aws:RequestedRegion": { "Ref": "AWS::Region" } } });
    let cluster = json!({ "ArnEquals": { "ecs:cluster": { "Fn::GetAtt": ["Cluster", "Arn"] } } });
    let policies = resources(template, "IAM::ManagedPolicy");
    let mut broken = unless(!policies.is_empty(), "there is none");
    for (name, policy) in policies {
        for statement in items(&policy["PolicyDocument"]["Statement"]) {
            let is_limited = statement["Condition"] == region || statement["Condition"] == cluster;
            broken.extend(statement_breaks(name, statement, &|_| is_limited));
            for action in actions(statement) {
                let (_, call) = action.split_once(':').unwrap_or_default();
                let looks = LOOKS.iter().any(|begin| call.starts_with(begin));
                broken.extend(unless(looks, format!("{name} may {action}")));
            }
        }
    }
    for (name, user) in resources(template, "IAM::User") {
        for key in ["ManagedPolicyArns", "Policies", "Groups"] {
            broken.extend(unless(user.get(key).is_none(), format!("{name} has {key}")));
        }
        let password = json!({ "Ref": "ReviewerPassword" });
        let is_given = user["LoginProfile"]["Password"] == password;
        broken.extend(unless(
            is_given,
            format!("{name} has a password that can be read"),
        ));
    }
    let hidden = &template["Parameters"]["ReviewerPassword"]["NoEcho"];
    broken.extend(unless(*hidden == true, "the password is shown"));
    broken
}

/// Roles and users can be kept within bounds; the tasks' role always is.
pub(crate) fn bounded(template: &Value) -> Vec<String> {
    let within = |otherwise: Value| json!({ "Fn::If": ["IsBounded", { "Ref": "PermissionsBoundary" }, otherwise] });
    let of_tasks = within(json!({ "Fn::Sub":
        "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy" }));
    let of_reviewers = within(json!({ "Ref": "AWS::NoValue" }));
    ["IAM::Role", "IAM::User"]
        .into_iter()
        .flat_map(|kind| resources(template, kind))
        .flat_map(|(name, identity)| {
            let statement = &identity["AssumeRolePolicyDocument"]["Statement"][0];
            let is_of_tasks = statement["Principal"].get("Service").is_some();
            let bounds = if is_of_tasks {
                &of_tasks
            } else {
                &of_reviewers
            };
            let is_bounded = identity["PermissionsBoundary"] == *bounds;
            unless(is_bounded, format!("{name} is not"))
        })
        .collect()
}

/// A policy can name the identities of this stack, and no other's.
pub(crate) fn paths(template: &Value) -> Vec<String> {
    let path = json!({ "Fn::Sub": "/deployer/${AWS::StackName}/" });
    ["IAM::Role", "IAM::User", "IAM::ManagedPolicy"]
        .into_iter()
        .flat_map(|kind| resources(template, kind))
        .flat_map(|(name, identity)| unless(identity["Path"] == path, name))
        .collect()
}

fn actions(statement: &Value) -> Vec<String> {
    items(&statement["Action"])
        .into_iter()
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

fn statement_breaks(
    name: &str,
    statement: &Value,
    may_be_everywhere: &dyn Fn(&[String]) -> bool,
) -> Vec<String> {
    let actions = actions(statement);
    let is_listed = actions.iter().all(|action| !action.contains('*'));
    let mut broken = unless(
        is_listed && !actions.is_empty() && statement.get("NotAction").is_none(),
        format!("{name} may {actions:?}"),
    );
    let is_everywhere = items(&statement["Resource"])
        .iter()
        .any(|resource| **resource == "*");
    broken.extend(unless(
        !is_everywhere || may_be_everywhere(&actions),
        format!("{name} may {actions:?} everywhere"),
    ));
    broken
}
