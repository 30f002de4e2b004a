//! Ways up: no chain of calls that a policy allows leads to more than it and the boundary say.
//!
//! The methods are the published ones (Rhino Security Labs, "AWS IAM Privilege Escalation"; Bishop Fox, `iam-vulnerable`; and what has
//! been added to pathfinding.cloud since). Each is tried against an account in which identities, policies and stacks of others have
//! names that begin like the stack's. Whoever is taken over is tried again, with its own rights.

use std::collections::BTreeSet;

use deployment::policy::{self, Scope};
use serde_json::{Value, json};

use crate::policy::{Request, allows};
use crate::read::{items, replaced};

const ACCOUNT: &str = "123456789012";
/// The boundary that whoever deploys in CI gives to what it makes.
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/clock-ci-Boundary-1";
/// What AWS's policy of this name allows (2026-11; version 1 of 2018 is still the default one).
const OF_AWS: &str = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// One call that takes over what exists: a principal with a policy of one's own choice, or with its own rights.
const TAKEOVERS: [(&str, Kind); 47] = [
    ("iam:CreatePolicyVersion", Kind::Policy),
    ("iam:SetDefaultPolicyVersion", Kind::Policy),
    ("iam:DeletePolicy", Kind::Policy),
    ("iam:DeletePolicyVersion", Kind::Policy),
    ("iam:PutRolePolicy", Kind::Role),
    ("iam:AttachRolePolicy", Kind::Role),
    ("iam:DeleteRolePolicy", Kind::Role),
    ("iam:DetachRolePolicy", Kind::Role),
    ("iam:UpdateAssumeRolePolicy", Kind::Role),
    ("iam:DeleteRolePermissionsBoundary", Kind::Role),
    ("iam:PutRolePermissionsBoundary", Kind::Role),
    ("sts:AssumeRole", Kind::Role),
    ("iam:CreateAccessKey", Kind::User),
    ("iam:CreateLoginProfile", Kind::User),
    ("iam:UpdateLoginProfile", Kind::User),
    ("iam:PutUserPolicy", Kind::User),
    ("iam:AttachUserPolicy", Kind::User),
    ("iam:DetachUserPolicy", Kind::User),
    ("iam:DeleteUserPolicy", Kind::User),
    ("iam:DeleteUserPermissionsBoundary", Kind::User),
    ("iam:PutUserPermissionsBoundary", Kind::User),
    ("iam:AddUserToGroup", Kind::Group),
    ("iam:PutGroupPolicy", Kind::Group),
    ("iam:AttachGroupPolicy", Kind::Group),
    ("iam:CreateServiceSpecificCredential", Kind::User),
    ("iam:ResetServiceSpecificCredential", Kind::User),
    ("iam:UploadSSHPublicKey", Kind::User),
    ("iam:UploadSigningCertificate", Kind::User),
    ("iam:DeactivateMFADevice", Kind::User),
    ("iam:CreateOpenIDConnectProvider", Kind::Provider),
    ("iam:AddClientIDToOpenIDConnectProvider", Kind::Provider),
    ("iam:UpdateOpenIDConnectProviderThumbprint", Kind::Provider),
    ("iam:UpdateSAMLProvider", Kind::Provider),
    ("cloudformation:UpdateStack", Kind::Stack),
    ("cloudformation:ExecuteChangeSet", Kind::Stack),
    ("cloudformation:UpdateStackSet", Kind::Stack),
    ("lambda:UpdateFunctionCode", Kind::Function),
    ("lambda:UpdateFunctionConfiguration", Kind::Function),
    ("codebuild:UpdateProject", Kind::Project),
    ("codebuild:StartBuild", Kind::Project),
    ("ssm:SendCommand", Kind::Instance),
    ("ssm:StartSession", Kind::Instance),
    ("ec2-instance-connect:SendSSHPublicKey", Kind::Instance),
    ("ecs:ExecuteCommand", Kind::Task),
    ("ecs:UpdateService", Kind::Service),
    ("ecr:PutImage", Kind::Repository),
    ("secretsmanager:GetSecretValue", Kind::Secret),
];

/// Services that run something in a role that is passed to them, and the calls that have them do so.
const PASSED: [(&str, &[&str]); 21] = [
    ("apprunner.amazonaws.com", &["apprunner:CreateService"]),
    (
        "autoscaling.amazonaws.com",
        &["autoscaling:CreateLaunchConfiguration"],
    ),
    (
        "batch.amazonaws.com",
        &["batch:RegisterJobDefinition", "batch:SubmitJob"],
    ),
    (
        "bedrock-agentcore.amazonaws.com",
        &["bedrock-agentcore:CreateCodeInterpreter"],
    ),
    (
        "cloudformation.amazonaws.com",
        &["cloudformation:CreateStack"],
    ),
    (
        "codebuild.amazonaws.com",
        &["codebuild:CreateProject", "codebuild:StartBuild"],
    ),
    ("codestar.amazonaws.com", &["codestar:CreateProject"]),
    (
        "datapipeline.amazonaws.com",
        &[
            "datapipeline:CreatePipeline",
            "datapipeline:PutPipelineDefinition",
        ],
    ),
    ("ec2.amazonaws.com", &["ec2:RunInstances"]),
    (
        "ecs-tasks.amazonaws.com",
        &["ecs:RegisterTaskDefinition", "ecs:RunTask"],
    ),
    (
        "ecs-tasks.amazonaws.com",
        &["ecs:RegisterTaskDefinition", "ecs:StartTask"],
    ),
    (
        "ecs-tasks.amazonaws.com",
        &["ecs:RegisterTaskDefinition", "ecs:CreateService"],
    ),
    (
        "ecs-tasks.amazonaws.com",
        &["ecs:RegisterTaskDefinition", "ecs:UpdateService"],
    ),
    (
        "events.amazonaws.com",
        &["events:PutRule", "events:PutTargets"],
    ),
    ("glue.amazonaws.com", &["glue:CreateDevEndpoint"]),
    (
        "glue.amazonaws.com",
        &["glue:CreateJob", "glue:StartJobRun"],
    ),
    (
        "lambda.amazonaws.com",
        &["lambda:CreateFunction", "lambda:InvokeFunction"],
    ),
    (
        "lambda.amazonaws.com",
        &["lambda:CreateFunction", "lambda:CreateEventSourceMapping"],
    ),
    (
        "sagemaker.amazonaws.com",
        &["sagemaker:CreateNotebookInstance"],
    ),
    ("sagemaker.amazonaws.com", &["sagemaker:CreateTrainingJob"]),
    (
        "states.amazonaws.com",
        &["states:CreateStateMachine", "states:StartExecution"],
    ),
];

/// Ways to make a principal, to give it a policy, and to become it.
const NEW: [(&str, &str, &[&str]); 4] = [
    // Whoever is named in its trust policy may take it.
    ("role", "iam:CreateRole", &["iam:PutRolePolicy"]),
    ("role", "iam:CreateRole", &["iam:AttachRolePolicy"]),
    ("user", "iam:CreateUser", &["iam:PutUserPolicy"]),
    ("user", "iam:CreateUser", &["iam:AttachUserPolicy"]),
];
const KEYS: [&str; 2] = ["iam:CreateLoginProfile", "iam:CreateAccessKey"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Policy,
    Role,
    User,
    Group,
    Provider,
    Stack,
    Function,
    Project,
    Instance,
    Task,
    Service,
    Repository,
    Secret,
}

/// What others have in the account. Everything is as powerful as can be, and its name begins like the stack's.
const OTHERS: [(Kind, &str); 23] = [
    (
        Kind::Policy,
        "arn:aws:iam::123456789012:policy/clock-admins",
    ),
    (
        Kind::Policy,
        "arn:aws:iam::123456789012:policy/deployer/clock-2/x",
    ),
    (Kind::Policy, BOUNDARY),
    (Kind::Role, "arn:aws:iam::123456789012:role/clock-admin"),
    (
        Kind::Role,
        "arn:aws:iam::123456789012:role/clock-ci-DeployRole-1",
    ),
    (
        Kind::Role,
        "arn:aws:iam::123456789012:role/deployer/clock-2/x",
    ),
    (Kind::Role, "arn:aws:iam::123456789012:role/deployer-admin"),
    (Kind::Role, "arn:aws:iam::123456789012:role/admin"),
    (Kind::User, "arn:aws:iam::123456789012:user/clock-root"),
    (
        Kind::User,
        "arn:aws:iam::123456789012:user/deployer/clock-2/x",
    ),
    (Kind::Group, "arn:aws:iam::123456789012:group/clock-admins"),
    (
        Kind::Provider,
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
    ),
    (
        Kind::Provider,
        "arn:aws:iam::123456789012:saml-provider/clock",
    ),
    (
        Kind::Stack,
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock-2/1",
    ),
    (
        Kind::Stack,
        "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock-ci/1",
    ),
    (
        Kind::Function,
        "arn:aws:lambda:eu-west-1:123456789012:function:clock-admin",
    ),
    (
        Kind::Project,
        "arn:aws:codebuild:eu-west-1:123456789012:project/clock-admin",
    ),
    (
        Kind::Instance,
        "arn:aws:ec2:eu-west-1:123456789012:instance/i-1",
    ),
    (
        Kind::Task,
        "arn:aws:ecs:eu-west-1:123456789012:task/admin/1",
    ),
    (
        Kind::Service,
        "arn:aws:ecs:eu-west-1:123456789012:service/admin/clock-Service-1",
    ),
    (
        Kind::Service,
        "arn:aws:ecs:us-east-1:123456789012:service/clock-Cluster-1/x",
    ),
    (
        Kind::Repository,
        "arn:aws:ecr:eu-west-1:123456789012:repository/admin",
    ),
    (
        Kind::Secret,
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:clock-1",
    ),
];

/// Somebody's rights: all policies together, within a boundary if there is one.
#[derive(Clone)]
struct Rights {
    policies: Vec<Value>,
    boundary: Option<Value>,
}

impl Rights {
    fn allow(&self, action: &str, resource: &str, context: &[(&str, &str)]) -> bool {
        let mut context = context.to_vec();
        context.push(("aws:RequestedRegion", "eu-west-1"));
        let request = Request {
            action,
            resource,
            context: &context,
        };
        let statements = self
            .policies
            .iter()
            .flat_map(|policy| items(&policy["Statement"]));
        let together = json!({ "Statement": statements.collect::<Vec<_>>() });
        let within = |bounds: &Value| allows(bounds, &request);
        allows(&together, &request) && self.boundary.as_ref().is_none_or(within)
    }

    /// Names that a new thing of this kind could have: those that the policies are about.
    fn names(&self, kind: &str) -> BTreeSet<String> {
        let statements = self
            .policies
            .iter()
            .flat_map(|policy| items(&policy["Statement"]));
        let patterns = statements.flat_map(|statement| items(&statement["Resource"]));
        let mark = format!(":{kind}/");
        let fitting = patterns
            .filter_map(Value::as_str)
            .filter(|pattern| *pattern == "*" || pattern.contains(&mark));
        fitting
            .map(|pattern| match pattern {
                "*" => format!("arn:aws:iam::{ACCOUNT}:{kind}/x"),
                pattern => pattern.replace('*', "x"),
            })
            .collect()
    }

    /// May it do this to anything at all?
    fn allow_somewhere(&self, action: &str) -> bool {
        let statements = self
            .policies
            .iter()
            .flat_map(|policy| items(&policy["Statement"]));
        let patterns = statements.flat_map(|statement| items(&statement["Resource"]));
        let names = patterns.filter_map(Value::as_str);
        let names: BTreeSet<String> = names.map(|pattern| pattern.replace('*', "x")).collect();
        names.iter().any(|name| self.allow(action, name, &[]))
    }
}

/// What the policies that may be boundaries say, and so what whoever is within them may do at most.
fn bounds(arn: &str) -> Option<Value> {
    match arn {
        OF_AWS => Some(
            json!({ "Statement": [{ "Effect": "Allow", "Resource": "*", "Action": [
            "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer",
            "ecr:BatchGetImage", "logs:CreateLogStream", "logs:PutLogEvents",
        ] }] }),
        ),
        BOUNDARY => Some(of_ci("Boundary")["PolicyDocument"].clone()),
        _ => None,
    }
}

/// Every way in which these rights lead to more than themselves and the boundary.
fn ways_up(rights: &Rights, boundary: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (action, kind) in TAKEOVERS {
        for (_, arn) in OTHERS.iter().filter(|(of, _)| *of == kind) {
            // Others have no boundary, or one that is none of ours.
            for theirs in ["", ADMINISTRATOR] {
                let context = [
                    ("iam:PermissionsBoundary", theirs),
                    ("iam:PolicyARN", ADMINISTRATOR),
                ];
                if rights.allow(action, arn, &context) {
                    found.insert(format!("{action} on {arn}"));
                }
            }
        }
    }
    let mut passable: BTreeSet<String> = OTHERS
        .iter()
        .filter(|(kind, _)| *kind == Kind::Role)
        .map(|(_, arn)| (*arn).to_owned())
        .collect();
    for (kind, make, give) in NEW {
        for name in rights.names(kind) {
            for within in ["", ADMINISTRATOR, BOUNDARY, OF_AWS] {
                let context = [
                    ("iam:PermissionsBoundary", within),
                    ("iam:PolicyARN", ADMINISTRATOR),
                ];
                let may = |action: &&str| rights.allow(action, &name, &context);
                let is_made = may(&make) && give.iter().all(may);
                let is_taken = kind == "role" || KEYS.iter().any(may);
                if is_made && is_taken && within != boundary {
                    found.insert(format!("{make} and {give:?}: {name} within {within:?}"));
                    if kind == "role" {
                        passable.insert(name.clone());
                    }
                }
            }
            // One that was made within the boundary, and then leaves it.
            let made = [("iam:PermissionsBoundary", boundary)];
            for leave in [
                "iam:DeleteRolePermissionsBoundary",
                "iam:DeleteUserPermissionsBoundary",
            ] {
                if rights.allow(leave, &name, &made) {
                    found.insert(format!("{leave} on {name}"));
                }
            }
        }
    }
    for arn in passable {
        for (service, calls) in PASSED {
            let passed = [("iam:PassedToService", service)];
            let is_run = calls.iter().all(|call| rights.allow_somewhere(call));
            if is_run && rights.allow("iam:PassRole", &arn, &passed) {
                found.insert(format!("PassRole of {arn} and {calls:?}"));
            }
        }
    }
    found
}

/// The same, also by way of what is made within the boundary: it may have any policy.
fn all_ways_up(rights: &Rights, boundary: &str) -> BTreeSet<String> {
    let mut found = ways_up(rights, boundary);
    let made = Rights {
        policies: bounds(boundary).into_iter().collect(),
        boundary: None,
    };
    let next = ways_up(&made, boundary);
    found.extend(
        next.into_iter()
            .map(|way| format!("within the boundary: {way}")),
    );
    found
}

fn printed(boundary: Option<&str>) -> Vec<Value> {
    let scope = Scope {
        region: "eu-west-1",
        account: Some(ACCOUNT),
        stack: &"clock".parse().unwrap(),
        boundary,
    };
    let mut policies = vec![policy::deploying(&scope).unwrap()];
    policies.extend(policy::reviewing(&scope));
    policies
}

/// Properties of a resource of `infra/ci-role.yaml`, in a stack `clock-ci` that deploys `clock`.
fn of_ci(name: &str) -> Value {
    let text = std::fs::read_to_string(crate::root().join("infra/ci-role.yaml")).unwrap();
    let template = crate::read::template(&text);
    let fill = |text: &str| {
        text.replace("${AWS::Partition}", "aws")
            .replace("${AWS::Region}", "eu-west-1")
            .replace("${AWS::AccountId}", ACCOUNT)
            .replace("${AWS::StackName}", "clock-ci")
            .replace(
                "${AWS::StackId}",
                "arn:aws:cloudformation:eu-west-1:123456789012:stack/clock-ci/1",
            )
            .replace("${StackName}", "clock")
            .replace("${Boundary}", BOUNDARY)
    };
    let properties = &template["Resources"][name]["Properties"];
    assert!(properties.is_object(), "{name}");
    replaced(properties, &|value| {
        if let Some(text) = value.get("Fn::Sub").and_then(Value::as_str) {
            return Some(json!(fill(text)));
        }
        let reference = value.get("Ref").and_then(Value::as_str)?;
        Some(json!(fill(&format!("${{{reference}}}"))))
    })
}

/// A role of CI with all its policies.
fn role_of_ci(name: &str) -> Rights {
    let role = of_ci(name);
    let inline = items(&role["Policies"]).into_iter();
    let mut policies: Vec<Value> = inline
        .map(|policy| policy["PolicyDocument"].clone())
        .collect();
    if name == "DeployRole" {
        policies.push(of_ci("ReviewersPolicy")["PolicyDocument"].clone());
    }
    let boundary = Some(of_ci("RoleBoundary")["PolicyDocument"].clone());
    Rights { policies, boundary }
}

/// Everybody who gets a policy from here, and the boundary that goes with it.
fn everybody() -> Vec<(&'static str, Rights, &'static str)> {
    let unbounded = |policies| Rights {
        policies,
        boundary: None,
    };
    vec![
        ("deployer policy", unbounded(printed(None)), OF_AWS),
        (
            "deployer policy --boundary",
            unbounded(printed(Some(BOUNDARY))),
            BOUNDARY,
        ),
        ("the deploy role", role_of_ci("DeployRole"), BOUNDARY),
        ("the plan role", role_of_ci("PlanRole"), BOUNDARY),
    ]
}

#[test]
fn nobody_gets_more_than_was_given() {
    for (who, rights, boundary) in everybody() {
        let found = all_ways_up(&rights, boundary);
        assert!(found.is_empty(), "{who}: {found:#?}");
    }
    let may = |who: usize, action| everybody()[who].1.allow_somewhere(action);
    assert!(may(0, "cloudformation:CreateStack") && may(2, "cloudformation:CreateStack"));
    assert!(!may(0, "iam:CreateUser") && !may(3, "cloudformation:CreateStack"));
}

/// Whoever is within the boundary of CI can do nothing that its deploy role cannot, except for what runs its tasks.
#[test]
fn the_boundary_is_no_more_than_who_gives_it() {
    let role = role_of_ci("DeployRole");
    let bounds = bounds(BOUNDARY).unwrap();
    for (action, resource) in [
        (
            "logs:GetLogEvents",
            "arn:aws:logs:eu-west-1:123456789012:log-group:other:*",
        ),
        (
            "logs:FilterLogEvents",
            "arn:aws:logs:eu-west-1:123456789012:log-group:other:*",
        ),
        (
            "ecr:BatchGetImage",
            "arn:aws:ecr:eu-west-1:123456789012:repository/other",
        ),
        (
            "cloudformation:GetTemplate",
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/other/1",
        ),
        ("ec2:DescribeInstanceAttribute", "*"),
        (
            "iam:GetRolePolicy",
            "arn:aws:iam::123456789012:role/clock-admin",
        ),
    ] {
        let made = Rights {
            policies: vec![bounds.clone()],
            boundary: None,
        };
        assert!(!made.allow(action, resource, &[]), "{action} on {resource}");
        assert!(!role.allow(action, resource, &[]), "{action} on {resource}");
    }
}

/// Each of these makes a way up, which has to be found: among them what earlier versions of the policy said.
#[test]
fn ways_up_are_found() {
    let everywhere = |action: &str| json!({ "Effect": "Allow", "Action": action, "Resource": "*" });
    let of_stack = |actions: &[&str]| {
        json!({ "Effect": "Allow", "Action": actions, "Resource": [
            "arn:aws:iam::123456789012:role/clock-*", "arn:aws:iam::123456789012:user/clock-*",
            "arn:aws:iam::123456789012:policy/clock-*",
        ] })
    };
    let mut additions = vec![
        of_stack(&[
            "iam:CreateUser",
            "iam:AttachUserPolicy",
            "iam:CreateLoginProfile",
        ]),
        of_stack(&["iam:CreateRole", "iam:PutRolePolicy"]),
        of_stack(&["iam:CreateRole", "iam:AttachRolePolicy"]),
        of_stack(&["iam:CreatePolicyVersion"]),
        of_stack(&["iam:UpdateAssumeRolePolicy"]),
        of_stack(&["iam:UpdateLoginProfile"]),
        json!({ "Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/clock-*",
            "Condition": { "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } } }),
        json!({ "Effect": "Allow", "Resource": "arn:aws:iam::123456789012:role/deployer/clock/*", "Action": [
            "iam:CreateRole", "iam:PutRolePolicy"] }),
        json!({ "Effect": "Allow", "Resource": "arn:aws:iam::123456789012:role/deployer/clock/*", "Action":
            "iam:DeleteRolePermissionsBoundary" }),
        json!({ "Effect": "Allow", "Resource": "arn:aws:iam::123456789012:role/deployer/*", "Action":
            "iam:UpdateAssumeRolePolicy" }),
        json!({ "Effect": "Allow", "Resource": "*", "Action": ["iam:PassRole", "lambda:CreateFunction",
            "lambda:InvokeFunction"] }),
    ];
    additions.extend(TAKEOVERS.map(|(action, _)| everywhere(action)));
    for (service, calls) in PASSED {
        let mut actions = vec!["iam:PassRole"];
        actions.extend(calls);
        let policy = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        let rights = Rights {
            policies: vec![json!({ "Statement": [policy] })],
            boundary: None,
        };
        assert!(!ways_up(&rights, OF_AWS).is_empty(), "{service}: {calls:?}");
    }
    for addition in additions {
        let mut policies = printed(None);
        policies.push(json!({ "Statement": [addition] }));
        let rights = Rights {
            policies,
            boundary: None,
        };
        assert!(!all_ways_up(&rights, OF_AWS).is_empty(), "{addition}");
    }
    // And with the condition removed that roles, or users and what they get, have to have the boundary.
    for sids in [&["MakeRoles"][..], &["MakeReviewers", "GiveToReviewers"]] {
        let mut policies = printed(Some(BOUNDARY));
        let mut changed = 0;
        for policy in &mut policies {
            for statement in policy["Statement"].as_array_mut().unwrap() {
                if sids.contains(&statement["Sid"].as_str().unwrap()) {
                    statement.as_object_mut().unwrap().remove("Condition");
                    changed += 1;
                }
            }
        }
        assert_eq!(changed, sids.len());
        let rights = Rights {
            policies,
            boundary: None,
        };
        assert!(!all_ways_up(&rights, BOUNDARY).is_empty(), "{sids:?}");
    }
}
