//! What reviewers may and may not: a table, held against the text of the policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::policy::{Request, allows};
use crate::read::{self, items, replaced};

type Change = fn(&mut Value);

const REGION: &str = "eu-west-1";
const STACK: &str = "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock/1";
const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/clock-Cluster-1";
const SERVICE: &str = "arn:aws:ecs:eu-west-1:123456789012:service/clock-Cluster-1/clock-Service-1";
const DEPLOYMENT: &str =
    "arn:aws:ecs:eu-west-1:123456789012:service-deployment/clock-Cluster-1/clock-Service-1/1";
const REVISION: &str =
    "arn:aws:ecs:eu-west-1:123456789012:service-revision/clock-Cluster-1/clock-Service-1/1";
const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/clock-Cluster-1/1";
const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/clock-repository-1";
const LOGS: &str = "arn:aws:logs:eu-west-1:123456789012:log-group:clock-LogGroup-1:*";
const ROLE: &str = "arn:aws:iam::123456789012:role/clock-ExecutionRole-1";

/// Allowed, on what belongs to this deployment and on nothing else.
const OURS: &[(&str, &str)] = &[
    ("cloudformation:DescribeStackEvents", STACK),
    ("cloudformation:DescribeStackResources", STACK),
    ("cloudformation:DescribeStacks", STACK),
    ("cloudformation:GetTemplate", STACK),
    ("cloudformation:ListStackResources", STACK),
    ("ecs:DescribeClusters", CLUSTER),
    ("ecs:DescribeServiceDeployments", DEPLOYMENT),
    ("ecs:DescribeServiceRevisions", REVISION),
    ("ecs:DescribeServices", SERVICE),
    ("ecs:DescribeTasks", TASK),
    ("ecs:ListServiceDeployments", SERVICE),
    ("ecr:DescribeImageScanFindings", REPOSITORY),
    ("ecr:DescribeImages", REPOSITORY),
    ("ecr:DescribeRepositories", REPOSITORY),
    ("ecr:GetLifecyclePolicy", REPOSITORY),
    ("ecr:ListImages", REPOSITORY),
    ("ecr:ListTagsForResource", REPOSITORY),
    ("logs:DescribeLogStreams", LOGS),
    ("logs:FilterLogEvents", LOGS),
    ("logs:GetLogEvents", LOGS),
    ("iam:GetRole", ROLE),
    ("iam:GetRolePolicy", ROLE),
    ("iam:ListAttachedRolePolicies", ROLE),
    ("iam:ListRolePolicies", ROLE),
];

/// Allowed in this cluster only: these calls name no resource, but may be limited to a cluster by a condition.
const IN_CLUSTER: &[&str] = &["ecs:ListServices", "ecs:ListTasks"];

const NO_ARN: &str = "the service knows no resource for it: what is shown has no secrets in it";

/// Allowed in the whole region, since IAM cannot limit it further; and why that is acceptable.
const IN_REGION: &[(&str, &str)] = &[
    ("application-autoscaling:DescribeScalableTargets", NO_ARN),
    ("application-autoscaling:DescribeScalingActivities", NO_ARN),
    ("application-autoscaling:DescribeScalingPolicies", NO_ARN),
    (
        "cloudwatch:DescribeAlarms",
        "the console lists all alarms, or none",
    ),
    ("cloudwatch:GetMetricData", NO_ARN),
    ("cloudwatch:GetMetricStatistics", NO_ARN),
    ("cloudwatch:ListMetrics", NO_ARN),
    ("ec2:DescribeInternetGateways", NO_ARN),
    ("ec2:DescribeNetworkInterfaces", NO_ARN),
    ("ec2:DescribeRouteTables", NO_ARN),
    ("ec2:DescribeSecurityGroupRules", NO_ARN),
    ("ec2:DescribeSecurityGroups", NO_ARN),
    ("ec2:DescribeSubnets", NO_ARN),
    ("ec2:DescribeVpcEndpoints", NO_ARN),
    ("ec2:DescribeVpcs", NO_ARN),
    (
        "ecs:DescribeTaskDefinition",
        "the service knows no resource for it: no secrets belong into a task definition",
    ),
    ("elasticloadbalancing:DescribeListeners", NO_ARN),
    (
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        NO_ARN,
    ),
    ("elasticloadbalancing:DescribeLoadBalancers", NO_ARN),
    ("elasticloadbalancing:DescribeRules", NO_ARN),
    ("elasticloadbalancing:DescribeTargetGroupAttributes", NO_ARN),
    ("elasticloadbalancing:DescribeTargetGroups", NO_ARN),
    ("elasticloadbalancing:DescribeTargetHealth", NO_ARN),
    (
        "logs:DescribeLogGroups",
        "the console lists the names of all groups, or none; not what is in them",
    ),
];

/// Never allowed, wherever.
const NEVER: &[&str] = &[
    "budgets:ViewBudget",
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:ListStacks",
    "cloudformation:UpdateStack",
    "cloudwatch:DeleteAlarms",
    "cloudwatch:PutDashboard",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:DescribeInstances",
    "ec2:GetConsoleOutput",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:PutImage",
    "ecs:ExecuteCommand",
    "ecs:RunTask",
    "ecs:StopTask",
    "ecs:UpdateService",
    "elasticloadbalancing:CreateListener",
    "elasticloadbalancing:ModifyListener",
    "iam:CreateAccessKey",
    "iam:ListUsers",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "iam:UpdateLoginProfile",
    "kms:Decrypt",
    "logs:DeleteLogGroup",
    "logs:PutLogEvents",
    "logs:StartQuery",
    "s3:GetObject",
    "secretsmanager:GetSecretValue",
    "sns:ListSubscriptionsByTopic",
    "ssm:GetParameter",
    "ssm:StartSession",
    "sts:AssumeRole",
];

/// The policy, with the names that things would have.
fn policy(template: &Value) -> Value {
    let document = &template["Resources"]["ReviewerPolicy"]["Properties"]["PolicyDocument"];
    replaced(document, &name)
}

/// What a reference stands for.
fn name(value: &Value) -> Option<Value> {
    if let Some(name) = value.get("Ref").and_then(Value::as_str) {
        return Some(json!(match name {
            "AWS::StackId" => STACK,
            "AWS::Region" => REGION,
            other => unreachable!("no value is known for {other}"),
        }));
    }
    if let Some(attribute) = value.get("Fn::GetAtt") {
        return Some(json!(match attribute[0].as_str().unwrap() {
            "Cluster" => CLUSTER,
            "Repository" => REPOSITORY,
            "LogGroup" => LOGS,
            "ExecutionRole" => ROLE,
            other => unreachable!("no ARN is known for {other}"),
        }));
    }
    let text = value.get("Fn::Sub").and_then(Value::as_str)?;
    let text = text
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::Region}", REGION)
        .replace("${AWS::AccountId}", "123456789012")
        .replace("${Cluster}", "clock-Cluster-1");
    assert!(!text.contains("${"), "{text}");
    Some(json!(text))
}

/// The counterpart in another deployment of the same account.
fn of_others(resource: &str) -> String {
    resource
        .replace("clock", "other")
        .replace("Cluster-1", "Cluster-2")
}

/// Where the policy is not what the table says.
fn differences(policy: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |allowed: bool, action: &str, resource: &str, context: &[(&str, &str)]| {
        let request = Request {
            action,
            resource,
            context,
        };
        if allows(policy, &request) != allowed {
            let not = if allowed { "not " } else { "" };
            found.push(format!(
                "{action} is {not}allowed on {resource} with {context:?}"
            ));
        }
    };
    let here = [("aws:RequestedRegion", REGION)];
    let elsewhere = [("aws:RequestedRegion", "us-east-1")];
    for (action, resource) in OURS {
        expect(true, action, resource, &here);
        expect(false, action, &of_others(resource), &here);
    }
    for action in IN_CLUSTER {
        expect(true, action, "*", &[("ecs:cluster", CLUSTER)]);
        expect(false, action, "*", &[("ecs:cluster", &of_others(CLUSTER))]);
        expect(false, action, "*", &here);
    }
    for (action, _) in IN_REGION {
        expect(true, action, "*", &here);
        expect(false, action, "*", &elsewhere);
    }
    for action in NEVER {
        for resource in ["*", STACK, CLUSTER, SERVICE, TASK, REPOSITORY, LOGS, ROLE] {
            expect(false, action, resource, &here);
        }
    }
    let told = OURS
        .iter()
        .map(|(action, _)| *action)
        .chain(IN_CLUSTER.iter().copied())
        .chain(IN_REGION.iter().map(|(action, _)| *action));
    let told: BTreeSet<&str> = told.collect();
    for statement in items(&policy["Statement"]) {
        for action in items(&statement["Action"]) {
            let action = action.as_str().unwrap();
            if !told.contains(action) {
                found.push(format!("{action} is not in the table"));
            }
        }
    }
    found
}

#[test]
fn the_policy_is_what_the_table_says() {
    let template = read::template(&crate::text());
    assert_eq!(differences(&policy(&template)), Vec::<String>::new());
    assert!(IN_REGION.iter().all(|(_, reason)| reason.len() > 20));
}

#[test]
fn a_policy_that_is_something_else_is_noticed() {
    let right = policy(&read::template(&crate::text()));
    let spoilt: [(&str, Change); 7] = [
        ("a wildcard for an action", |statement| {
            statement["Action"] = json!("*");
        }),
        ("all reading", |statement| {
            statement["Action"] = json!(["ecs:*", "ecr:*"]);
        }),
        ("a wildcard for a resource", |statement| {
            statement["Resource"] = json!("*");
            statement.as_object_mut().unwrap().remove("Condition");
        }),
        ("no condition and one more action", |statement| {
            statement.as_object_mut().unwrap().remove("Condition");
            statement["Action"]
                .as_array_mut()
                .unwrap()
                .push(json!("s3:GetObject"));
        }),
        ("a way to write", |statement| {
            statement["Action"]
                .as_array_mut()
                .unwrap()
                .push(json!("ecs:UpdateService"));
        }),
        ("an action less", |statement| {
            statement["Action"].as_array_mut().unwrap().pop();
        }),
        ("a prohibition", |statement| {
            statement["Effect"] = json!("Deny");
        }),
    ];
    for (name, change) in spoilt {
        for number in 0..right["Statement"].as_array().unwrap().len() {
            let mut changed = right.clone();
            change(&mut changed["Statement"][number]);
            assert!(
                !differences(&changed).is_empty(),
                "{name} in statement {number}"
            );
        }
    }
}
