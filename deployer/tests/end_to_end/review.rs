//! What a reviewer would ask: is it in the account as the template promises, in both kinds of network and for both kinds of reviewers,
//! and is it all gone afterwards? Seen by the AWS command line, which knows nothing of ours.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::copy::{Copy, project};
use crate::listing::CommandLine;
use crate::outside::Outside;
use crate::run::{CleanUp, Surroundings};
use crate::step;

const AUDITOR: &str = "arn:aws:iam::210987654321:role/auditor";

#[tokio::test(flavor = "multi_thread")]
async fn both_networks_and_both_kinds_of_reviewers() {
    let copy = Copy::of_the_project();
    // Nothing is changed: where the program is compiled already, it is not compiled again.
    let config = project().join("deployer.toml");
    let surroundings = Surroundings::new(&copy).with("DEPLOYER_CONFIG", &config.to_string_lossy());
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    let port = surroundings.port;
    // Without `--local`, `down` leaves the emulator to be asked.
    let direct = surroundings
        .with_credentials()
        .with("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"))
        .with("DEPLOYER_REGISTRY", &format!("localhost:{port}"))
        .with("DEPLOYER_CONNECT_TO", &format!("127.0.0.1:{port}"));
    let aws = CommandLine::new(&direct);

    step("an account with nothing of ours in it");
    surroundings.deployer(&["up", "--local"]).succeeded();
    direct.deployer(&["down"]).succeeded();
    let before = aws.everything();
    assert!(before["AWS::EC2::VPC"].len() <= 1, "{before:?}");

    step("a role for a pipeline, for one repository and nobody else");
    assert_pipeline_role(&aws);

    step("tasks with public addresses, reviewed in a role");
    let mail = "AlarmEmail=operator@example.com";
    direct.deployer(&["up", "--parameter", mail]).succeeded();
    outside.wait_for_running_containers(2).await;
    let seen = Seen::of(&aws, &outside);
    seen.assert_only_port_80();
    seen.assert_narrow_execution_role();
    assert_eq!(seen.network()["assignPublicIp"], "ENABLED");
    let alarms = aws.ask(
        "cloudwatch describe-alarms",
        "MetricAlarms[].[MetricName, AlarmActions]",
    );
    assert_eq!(alarms.as_array().map(Vec::len), Some(5), "{alarms}");
    let topics = aws.names("sns list-topics", "Topics[].TopicArn");
    for alarm in alarms.as_array().expect("a list") {
        let told: BTreeSet<String> = serde_json::from_value(alarm[1].clone()).expect("a list");
        assert_eq!(told, topics, "{alarm}");
    }
    direct
        .deployer(&["reviewer", "grant", "--role", AUDITOR])
        .succeeded();
    let role = seen.one("AWS::IAM::Role", "ReviewerRole");
    let trust = trust_in(&aws, &role);
    assert_eq!(trust["Principal"], json!({ "AWS": AUDITOR }), "{trust}");
    assert_eq!(
        seen.reviewers_policy_is_for("PolicyRoles[].RoleName"),
        BTreeSet::from([role])
    );
    assert_eq!(
        seen.reviewers_policy_is_for("PolicyUsers[].UserName"),
        BTreeSet::new()
    );
    seen.assert_reviewers_policy();
    let status = direct.deployer(&["status"]);
    assert!(
        status.stdout.contains("reviewer  arn:aws:iam::"),
        "it is not told"
    );

    step("what reviewers have stays when the service changes");
    let changed = direct.deployer(&[
        "up",
        "--parameter",
        mail,
        "--parameter",
        "LogRetentionDays=14",
        "--yes",
    ]);
    changed.succeeded();
    assert_eq!(
        aws.names("iam list-policies --scope Local", "Policies[].Arn")
            .len(),
        1
    );

    step("and goes with the stack, as all the rest");
    direct.deployer(&["down"]).succeeded();
    assert_eq!(aws.everything(), before);

    step("tasks without public addresses, reviewed by a user");
    let private = ["up", "--parameter", "Network=private"];
    direct.deployer(&private).succeeded();
    outside.wait_for_running_containers(2).await;
    assert_eq!(outside.instances(20).await.len(), 2);
    let seen = Seen::of(&aws, &outside);
    seen.assert_only_port_80();
    seen.assert_no_way_out();
    let granted = direct.deployer(&["reviewer", "grant", "--user", "--output", "json"]);
    granted.succeeded();
    let line = granted.stdout.lines().last().expect("an object");
    let granted: Value = serde_json::from_str(line).expect("JSON");
    let user = seen.one("AWS::IAM::User", "ReviewerUser");
    assert_eq!(granted["user"], json!(user));
    aws.ask(
        &format!("iam get-login-profile --user-name {user}"),
        "LoginProfile.UserName",
    );
    assert_eq!(
        seen.reviewers_policy_is_for("PolicyUsers[].UserName"),
        BTreeSet::from([user])
    );
    seen.assert_reviewers_policy();
    let password = granted["password"].as_str().expect("a password");
    assert_is_nowhere(&surroundings, &copy, password);

    step("access ends without anything else ending");
    direct.deployer(&["reviewer", "revoke"]).succeeded();
    assert_eq!(
        aws.names("iam list-users", "Users[].UserName"),
        BTreeSet::new()
    );
    let again = direct.deployer(&["reviewer", "revoke"]);
    again.succeeded();
    assert!(again.stdout.contains("nothing to end"), "{}", again.stdout);
    outside.wait_for_running_containers(2).await;
    direct.deployer(&["down"]).succeeded();
    assert_eq!(aws.everything(), before);
    let nothing = direct.deployer(&["reviewer", "grant", "--user"]);
    nothing.failed_with(3, &["there is nothing to review", "deployer up"]);
    surroundings.deployer(&["down", "--local"]).succeeded();
}

/// The only statement that says who may take a role.
fn trust_in(aws: &CommandLine<'_>, role: &str) -> Value {
    let trusted = aws.ask(
        &format!("iam get-role --role-name {role}"),
        "Role.AssumeRolePolicyDocument.Statement",
    );
    assert_eq!(trusted.as_array().map(Vec::len), Some(1), "{trusted}");
    trusted[0].clone()
}

/// `infra/ci-role.yaml`, deployed and removed by the command line alone. The emulator knows no identity providers: one is named.
fn assert_pipeline_role(aws: &CommandLine<'_>) {
    let provider = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com";
    let template = project().join("infra/ci-role.yaml");
    let template = template.to_string_lossy();
    aws.run(&format!(
        "cloudformation deploy --stack-name pipeline --template-file {template} --capabilities CAPABILITY_IAM \
         --parameter-overrides Repository=OWNER/NAME StackName=clock ProviderArn={provider}"
    ));
    let outputs = aws.ask(
        "cloudformation describe-stacks --stack-name pipeline",
        "Stacks[0].Outputs",
    );
    let output = |key: &str| {
        let outputs = outputs.as_array().expect("a list");
        let found = outputs.iter().find(|output| output["OutputKey"] == key);
        found.expect("an output")["OutputValue"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    for (key, subject) in [
        ("DeployRoleArn", "repo:OWNER/NAME:environment:production"),
        ("PlanRoleArn", "repo:OWNER/NAME:pull_request"),
    ] {
        let arn = output(key);
        let (_, role) = arn.rsplit_once('/').expect("a name");
        let trust = trust_in(aws, role);
        let principal = json!({ "Federated": provider });
        assert_eq!(trust["Principal"], principal, "{trust}");
        let condition = json!({ "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": subject,
        } });
        assert_eq!(trust["Condition"], condition, "{trust}");
    }
    aws.run("cloudformation delete-stack --stack-name pipeline");
    aws.run("cloudformation wait stack-delete-complete --stack-name pipeline");
}

/// A password is printed, and in no file of ours.
fn assert_is_nowhere(surroundings: &Surroundings, copy: &Copy, password: &str) {
    assert!(password.len() >= 20);
    let found = surroundings.finish(
        "grep",
        &[
            "--recursive",
            "--files-with-matches",
            "--fixed-strings",
            "-e",
            password,
            &copy.path(""),
        ],
    );
    assert_eq!(found.stdout, "", "{}", found.stderr);
}

/// A stack, seen by the AWS command line.
struct Seen<'a> {
    aws: &'a CommandLine<'a>,
    stack: String,
    vpc: String,
}

impl<'a> Seen<'a> {
    fn of(aws: &'a CommandLine<'a>, outside: &Outside) -> Self {
        let mut seen = Self {
            aws,
            stack: outside.stack().to_owned(),
            vpc: String::new(),
        };
        seen.vpc = seen.one("AWS::EC2::VPC", "Vpc");
        seen
    }

    /// The name in the account of a resource of the template.
    fn one(&self, kind: &str, logical_id: &str) -> String {
        let found = self.aws.ask(
            &format!("cloudformation describe-stack-resource --stack-name {} --logical-resource-id {logical_id}", self.stack),
            "StackResourceDetail.[ResourceType, PhysicalResourceId]",
        );
        assert_eq!(found[0], kind, "{found}");
        found[1].as_str().expect("a name").to_owned()
    }

    /// Rules of all security groups of the network, also of the one that comes with it.
    fn assert_only_port_80(&self) {
        let groups = self.aws.ask(
            &format!("ec2 describe-security-groups --filters Name=vpc-id,Values={}", self.vpc),
            "SecurityGroups[].{id: GroupId, name: GroupName, in: IpPermissions, out: IpPermissionsEgress}",
        );
        let front = self.one("AWS::EC2::SecurityGroup", "LoadBalancerSecurityGroup");
        let back = self.one("AWS::EC2::SecurityGroup", "TaskSecurityGroup");
        let mut from_anywhere = Vec::new();
        for group in groups.as_array().expect("a list") {
            for rule in group["in"].as_array().expect("a list") {
                let addresses = ["IpRanges", "Ipv6Ranges", "PrefixListIds"]
                    .iter()
                    .filter_map(|kind| rule[kind].as_array())
                    .any(|list| !list.is_empty());
                if addresses {
                    from_anywhere.push((&group["id"], rule));
                }
            }
            let is_ours = group["name"] != "default";
            for rule in group["out"].as_array().expect("a list") {
                // From the load balancer all ports of the network, since tasks may be about to change theirs.
                let to_world = rule["IpRanges"].to_string().contains("0.0.0.0/0");
                let is_one = rule["FromPort"] == rule["ToPort"];
                let is_inside = group["id"] == json!(front) && !to_world;
                let is_narrow = rule["IpProtocol"] == "tcp" && (is_one || is_inside);
                assert!(!is_ours || is_narrow, "{group}");
            }
        }
        assert_eq!(from_anywhere.len(), 1, "{groups}");
        let (group, rule) = from_anywhere[0];
        assert_eq!(*group, json!(front));
        assert_eq!(
            (&rule["FromPort"], &rule["ToPort"]),
            (&json!(80), &json!(80))
        );
        assert_eq!(rule["IpProtocol"], "tcp");
        let tasks = self.aws.ask(
            &format!("ec2 describe-security-groups --group-ids {back}"),
            "SecurityGroups[0].IpPermissions[].UserIdGroupPairs[].GroupId",
        );
        assert_eq!(tasks, json!([front]));
        let listeners = self.aws.ask(
            &format!(
                "elbv2 describe-listeners --load-balancer-arn {}",
                self.load_balancer()
            ),
            "Listeners[].[Port, Protocol]",
        );
        assert_eq!(listeners, json!([[80, "HTTP"]]));
    }

    fn load_balancer(&self) -> String {
        self.one("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancer")
    }

    /// Network settings of the service.
    fn network(&self) -> Value {
        let cluster = self.one("AWS::ECS::Cluster", "Cluster");
        let service = self.one("AWS::ECS::Service", "Service");
        self.aws.ask(
            &format!("ecs describe-services --cluster {cluster} --services {service}"),
            "services[0].networkConfiguration.awsvpcConfiguration",
        )
    }

    /// Tasks have no public address, and are where no route leads out.
    fn assert_no_way_out(&self) {
        let network = self.network();
        assert_eq!(network["assignPublicIp"], "DISABLED");
        let subnets: BTreeSet<String> =
            serde_json::from_value(network["subnets"].clone()).expect("a list");
        let private = ["PrivateSubnetA", "PrivateSubnetB"];
        let private = private.map(|name| self.one("AWS::EC2::Subnet", name));
        assert_eq!(subnets, BTreeSet::from(private));
        for subnet in subnets {
            let routes = self.aws.ask(
                &format!(
                    "ec2 describe-route-tables --filters Name=association.subnet-id,Values={subnet}"
                ),
                "RouteTables[].Routes[].DestinationCidrBlock",
            );
            let routes = routes.as_array().expect("a list");
            assert!(
                !routes.is_empty() && routes.iter().all(|to| *to != "0.0.0.0/0"),
                "{routes:?}"
            );
        }
        let endpoints = self.aws.ask(
            &format!(
                "ec2 describe-vpc-endpoints --filters Name=vpc-id,Values={}",
                self.vpc
            ),
            "VpcEndpoints[].ServiceName",
        );
        let mut endpoints: Vec<String> = serde_json::from_value(endpoints).expect("a list");
        endpoints.sort();
        assert_eq!(
            endpoints,
            ["ecr.api", "ecr.dkr", "logs", "s3"]
                .map(|name| format!("com.amazonaws.us-east-1.{name}"))
        );
    }

    /// The role of the tasks may pull from one repository, and write to one log group.
    fn assert_narrow_execution_role(&self) {
        let role = self.one("AWS::IAM::Role", "ExecutionRole");
        let attached = self.aws.names(
            &format!("iam list-attached-role-policies --role-name {role}"),
            "AttachedPolicies[].PolicyArn",
        );
        assert_eq!(attached, BTreeSet::new());
        let statements = self.aws.ask(
            &format!("iam get-role-policy --role-name {role} --policy-name pull-and-log"),
            "PolicyDocument.Statement",
        );
        let repository = self.one("AWS::ECR::Repository", "Repository");
        let group = self.one("AWS::Logs::LogGroup", "LogGroup");
        for statement in statements.as_array().expect("a list") {
            let resource = statement["Resource"].as_str().expect("one");
            let is_login = statement["Action"] == "ecr:GetAuthorizationToken" && resource == "*";
            let is_ours = resource.ends_with(&format!(":repository/{repository}"))
                || resource.contains(&format!(":log-group:{group}"));
            assert!(is_login || is_ours, "{statement}");
        }
    }

    /// Whom the reviewers' policy is for.
    fn reviewers_policy_is_for(&self, query: &str) -> BTreeSet<String> {
        let policy = self.one("AWS::IAM::ManagedPolicy", "ReviewerPolicy");
        self.aws.names(
            &format!("iam list-entities-for-policy --policy-arn {policy}"),
            query,
        )
    }

    /// The reviewers' policy as it is in the account: no way to write, and only this stack.
    fn assert_reviewers_policy(&self) {
        let policy = self.one("AWS::IAM::ManagedPolicy", "ReviewerPolicy");
        let version = self.aws.ask(
            &format!("iam get-policy --policy-arn {policy}"),
            "Policy.DefaultVersionId",
        );
        let version = version.as_str().expect("a version");
        let document = self.aws.ask(
            &format!("iam get-policy-version --policy-arn {policy} --version-id {version}"),
            "PolicyVersion.Document",
        );
        let statements = document["Statement"].as_array().expect("a list");
        assert!(statements.len() > 5, "{document}");
        let stack = self.aws.ask(
            &format!("cloudformation describe-stacks --stack-name {}", self.stack),
            "Stacks[0].StackId",
        );
        assert_eq!(statements[0]["Resource"], stack);
        for statement in statements {
            for action in statement["Action"].as_array().expect("a list") {
                let (_, call) = action
                    .as_str()
                    .and_then(|action| action.split_once(':'))
                    .expect("an action");
                let looks = ["Describe", "Filter", "Get", "List"]
                    .iter()
                    .any(|verb| call.starts_with(verb));
                assert!(looks, "{action}");
            }
            let is_limited = statement["Resource"] != "*" || statement.get("Condition").is_some();
            assert!(is_limited, "{statement}");
        }
    }
}
