//! The AWS command line: a client that knows nothing of ours. And what it finds of each kind of resource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::run::{Finished, Surroundings};

/// Kinds of resources of the template that the emulator does not know: `--local` leaves them out.
pub(crate) const UNKNOWN: [&str; 2] = [
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
];

/// How each kind is listed: arguments of the command line, and which of the answer (JMESPath) are the names.
const KINDS: [(&str, &str, &str); 24] = [
    ("AWS::EC2::VPC", "ec2 describe-vpcs", "Vpcs[].VpcId"),
    (
        "AWS::EC2::InternetGateway",
        "ec2 describe-internet-gateways",
        "InternetGateways[].InternetGatewayId",
    ),
    (
        "AWS::EC2::VPCGatewayAttachment",
        "ec2 describe-internet-gateways",
        "InternetGateways[].Attachments[].VpcId",
    ),
    (
        "AWS::EC2::RouteTable",
        "ec2 describe-route-tables",
        "RouteTables[].RouteTableId",
    ),
    (
        "AWS::EC2::Route",
        "ec2 describe-route-tables",
        "RouteTables[].Routes[].GatewayId",
    ),
    (
        "AWS::EC2::SubnetRouteTableAssociation",
        "ec2 describe-route-tables",
        "RouteTables[].Associations[].RouteTableAssociationId",
    ),
    (
        "AWS::EC2::Subnet",
        "ec2 describe-subnets",
        "Subnets[].SubnetId",
    ),
    (
        "AWS::EC2::SecurityGroup",
        "ec2 describe-security-groups",
        "SecurityGroups[].GroupId",
    ),
    (
        "AWS::EC2::VPCEndpoint",
        "ec2 describe-vpc-endpoints",
        "VpcEndpoints[].VpcEndpointId",
    ),
    (
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "elbv2 describe-load-balancers",
        "LoadBalancers[].LoadBalancerArn",
    ),
    (
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "elbv2 describe-target-groups",
        "TargetGroups[].TargetGroupArn",
    ),
    (
        "AWS::ElasticLoadBalancingV2::Listener",
        "elbv2 describe-listeners",
        "Listeners[].ListenerArn",
    ),
    (
        "AWS::ECR::Repository",
        "ecr describe-repositories",
        "repositories[].repositoryName",
    ),
    (
        "AWS::Logs::LogGroup",
        "logs describe-log-groups",
        "logGroups[].logGroupName",
    ),
    ("AWS::ECS::Cluster", "ecs list-clusters", "clusterArns"),
    ("AWS::ECS::Service", "ecs list-services", "serviceArns"),
    (
        "AWS::ECS::TaskDefinition",
        "ecs list-task-definitions",
        "taskDefinitionArns",
    ),
    (
        "AWS::ECS::TaskDefinition, inactive",
        "ecs list-task-definitions --status INACTIVE",
        "taskDefinitionArns",
    ),
    ("AWS::IAM::Role", "iam list-roles", "Roles[].RoleName"),
    ("AWS::IAM::User", "iam list-users", "Users[].UserName"),
    (
        "AWS::IAM::ManagedPolicy",
        "iam list-policies --scope Local",
        "Policies[].Arn",
    ),
    ("AWS::SNS::Topic", "sns list-topics", "Topics[].TopicArn"),
    (
        "AWS::CloudWatch::Alarm",
        "cloudwatch describe-alarms",
        "MetricAlarms[].AlarmName",
    ),
    (
        "AWS::CloudWatch::Dashboard",
        "cloudwatch list-dashboards",
        "DashboardEntries[].DashboardName",
    ),
];

/// The AWS command line, in front of the emulator.
pub(crate) struct CommandLine<'a> {
    surroundings: &'a Surroundings,
    program: String,
}

impl<'a> CommandLine<'a> {
    pub(crate) fn new(surroundings: &'a Surroundings) -> Self {
        let found = surroundings.finish("scripts/aws-cli", &[]);
        found.succeeded();
        let program = found.stdout.trim().to_owned();
        Self {
            surroundings,
            program,
        }
    }

    /// What it answers to this command, of which `query` (JMESPath) tells the part.
    pub(crate) fn ask(&self, command: &str, query: &str) -> Value {
        let answer = self.finish(command, query);
        answer.succeeded();
        serde_json::from_str(&answer.stdout).expect("JSON")
    }

    /// The same where the command may fail: the last line of its error. Nothing is `null`.
    pub(crate) fn answer(&self, command: &str, query: &str) -> Result<Value, String> {
        let answer = self.finish(command, query);
        if answer.is_success() {
            Ok(serde_json::from_str(&answer.stdout).unwrap_or(Value::Null))
        } else {
            let last = answer.stderr.trim().lines().last();
            Err(last.unwrap_or("it failed without a word").to_owned())
        }
    }

    fn finish(&self, command: &str, query: &str) -> Finished {
        let mut arguments: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        arguments.extend(["--query", query, "--output", "json"]);
        self.surroundings.finish(&self.program, &arguments)
    }

    /// Runs this command, which has to succeed.
    pub(crate) fn run(&self, command: &str) {
        let arguments: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        self.surroundings
            .finish(&self.program, &arguments)
            .succeeded();
    }

    /// Names in the answer to this command.
    pub(crate) fn names(&self, command: &str, query: &str) -> BTreeSet<String> {
        match self.ask(command, query) {
            Value::Null => BTreeSet::new(),
            names => serde_json::from_value::<Vec<Option<String>>>(names)
                .expect("a list of names")
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// Everything of every kind that the template may make.
    pub(crate) fn everything(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let clusters = self.names("ecs list-clusters", "clusterArns");
        let next = AtomicUsize::new(0);
        // Each call starts an interpreter: that takes most of the time, and there are two processors.
        std::thread::scope(|scope| {
            let work = || {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                let kinds = numbers.map_while(|number| KINDS.get(number));
                let listed = kinds.map(|kind| (kind.0, self.of_kind(*kind, &clusters)));
                listed.collect::<Vec<_>>()
            };
            let workers = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
            let listed = workers.map(|worker| worker.join().expect("no panic"));
            listed.into_iter().flatten().collect()
        })
    }

    fn of_kind(
        &self,
        (kind, command, query): (&str, &str, &str),
        clusters: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        match kind {
            // Only of a cluster can they be listed.
            "AWS::ECS::Service" => clusters
                .iter()
                .flat_map(|cluster| self.names(&format!("{command} --cluster {cluster}"), query))
                .collect(),
            // Those that AWS itself needs are one for an account, cost nothing, and stay.
            "AWS::IAM::Role" => {
                let mut roles = self.names(command, query);
                roles.retain(|name| !name.starts_with("AWSServiceRoleFor"));
                roles
            }
            _ => self.names(command, query),
        }
    }
}

#[test]
fn every_kind_of_the_template_is_listed() {
    let template = include_str!("../../../infra/service.yaml");
    let kinds: BTreeSet<String> = deployment::stack::resource::resources_of(template)
        .into_iter()
        .map(|resource| resource.resource_type)
        .collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    for kind in &kinds {
        let listed = KINDS.iter().any(|(listed, ..)| listed == kind);
        assert_ne!(listed, UNKNOWN.contains(&kind.as_str()), "{kind}");
    }
}
