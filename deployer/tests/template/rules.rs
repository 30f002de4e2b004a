//! The rules: each gives what breaks it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::access;
use crate::read::{items, one, resources, target, unless};

/// Seconds that the program gives itself for open requests, and before that for late ones (`app/src/server.rs`).
const DRAIN: f64 = 10.3;
/// Seconds that the program keeps idle connections.
const KEEP_ALIVE: i64 = 75;
/// The longest that Fargate waits for a container to stop.
const LONGEST_STOP: i64 = 120;

pub(crate) type Rule = fn(&Value) -> Vec<String>;

pub(crate) const ALL: [(&str, Rule); 28] = [
    ("only port 80 is open to the world", only_port_80),
    ("tasks are reached from the load balancer only", tasks),
    ("ways out are listed", ways_out),
    ("the listener is plain HTTP on 80", listeners),
    ("a health check ends before the next one", health_checks),
    ("draining fits into stopping", draining),
    ("connections outlive the load balancer's patience", idle),
    ("nothing is retained", retained),
    ("names are generated", names),
    ("a new port interrupts nothing", port),
    ("zones stay", zones_stay),
    ("missing tasks are noticed", missing_tasks),
    ("one hundred versions are kept", versions),
    ("what is off is said to be", off),
    ("identities are on a path of their own", access::paths),
    ("a bad version goes back", circuit_breaker),
    ("capacity never falls", capacity),
    ("roles may little", access::roles),
    ("reviewers only look", access::reviewers),
    ("who is made is bounded", access::bounded),
    ("the container can do little", container),
    ("images do not change and are scanned", images),
    ("logs end", logs),
    ("two zones are used", zones),
    ("private tasks have no way out", private),
    ("endpoints lead to what is ours", endpoints),
    ("under load there are not fewer tasks", scaling),
    ("one task is always on demand", on_demand),
];

fn attribute(list: &Value, key: &str) -> Option<String> {
    let item = items(list).into_iter().find(|item| item["Key"] == key)?;
    item["Value"].as_str().map(str::to_owned)
}

/// Rules for coming in, with the security group that has them: inline, or resources of their own.
fn ingress(template: &Value) -> Vec<(String, &Value)> {
    let inline = resources(template, "EC2::SecurityGroup")
        .into_iter()
        .flat_map(|(name, group)| {
            let rules = items(&group["SecurityGroupIngress"]);
            rules.into_iter().map(move |rule| (name.clone(), rule))
        });
    let separate = resources(template, "EC2::SecurityGroupIngress")
        .into_iter()
        .map(|(_, rule)| (target(&rule["GroupId"]), rule));
    inline.chain(separate).collect()
}

fn groups_of(list: &Value) -> Vec<String> {
    items(list).into_iter().map(target).collect()
}

fn load_balancer_groups(template: &Value) -> Vec<String> {
    groups_of(&one(template, "ElasticLoadBalancingV2::LoadBalancer")["SecurityGroups"])
}

fn task_groups(template: &Value) -> Vec<String> {
    let service = one(template, "ECS::Service");
    groups_of(&service["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"])
}

fn is_from_addresses(rule: &Value) -> bool {
    ["CidrIp", "CidrIpv6", "SourcePrefixListId"]
        .iter()
        .any(|key| rule.get(*key).is_some())
}

fn only_port_80(template: &Value) -> Vec<String> {
    let front = load_balancer_groups(template);
    ingress(template)
        .into_iter()
        .filter(|(_, rule)| is_from_addresses(rule))
        .flat_map(|(group, rule)| {
            let is_80 =
                rule["FromPort"] == 80 && rule["ToPort"] == 80 && rule["IpProtocol"] == "tcp";
            unless(is_80 && front.contains(&group), format!("{group}: {rule}"))
        })
        .collect()
}

fn tasks(template: &Value) -> Vec<String> {
    let (front, back) = (load_balancer_groups(template), task_groups(template));
    let mut broken = unless(!back.is_empty(), "the tasks have no group");
    broken.extend(unless(
        back.iter().all(|group| !front.contains(group)),
        "tasks and load balancer share a group",
    ));
    for (group, rule) in ingress(template) {
        if back.contains(&group) {
            let from = target(&rule["SourceSecurityGroupId"]);
            broken.extend(unless(
                front.contains(&from) && !is_from_addresses(rule),
                format!("{group}: {rule}"),
            ));
        }
    }
    broken
}

/// A group without a list of its own may send everything everywhere.
fn ways_out(template: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, group) in resources(template, "EC2::SecurityGroup") {
        let rules = items(&group["SecurityGroupEgress"]);
        broken.extend(unless(!rules.is_empty(), format!("{name} has no list")));
        for rule in rules {
            // From the load balancer, all ports of the network: tasks listen on the old and on the new one while it changes.
            let to_network = rule["CidrIp"] == json!({ "Ref": "VpcCidr" });
            let is_one = rule["FromPort"] == rule["ToPort"];
            let is_narrow = rule["IpProtocol"] == "tcp" && (is_one || to_network);
            let to_world = rule["CidrIp"] == "0.0.0.0/0" || rule["CidrIpv6"] == "::/0";
            let is_https = rule["FromPort"] == 443;
            // From the tasks only, and where the settings ask for it.
            let is_set = rule["Description"]
                .as_str()
                .is_some_and(|text| text.ends_with("set in deployer.toml"))
                && task_groups(template).contains(&name.clone());
            broken.extend(unless(
                is_narrow && (!to_world || is_https || is_set),
                format!("{name}: {rule}"),
            ));
        }
    }
    broken
}

fn listeners(template: &Value) -> Vec<String> {
    resources(template, "ElasticLoadBalancingV2::Listener")
        .into_iter()
        .flat_map(|(name, listener)| {
            unless(
                listener["Port"] == 80 && listener["Protocol"] == "HTTP",
                format!("{name}: {listener}"),
            )
        })
        .collect()
}

fn health_checks(template: &Value) -> Vec<String> {
    let group = one(template, "ElasticLoadBalancingV2::TargetGroup");
    let seconds = |key: &str| group[key].as_i64().unwrap_or_default();
    let (timeout, interval) = (
        seconds("HealthCheckTimeoutSeconds"),
        seconds("HealthCheckIntervalSeconds"),
    );
    unless(
        0 < timeout && timeout < interval,
        format!("{timeout} s of every {interval} s"),
    )
}

fn container_of(template: &Value) -> &Value {
    let containers = &one(template, "ECS::TaskDefinition")["ContainerDefinitions"];
    assert_eq!(items(containers).len(), 1);
    &containers[0]
}

#[expect(clippy::cast_precision_loss, reason = "seconds")]
fn draining(template: &Value) -> Vec<String> {
    let group = one(template, "ElasticLoadBalancingV2::TargetGroup");
    let delay = attribute(
        &group["TargetGroupAttributes"],
        "deregistration_delay.timeout_seconds",
    );
    let delay: i64 = delay.and_then(|text| text.parse().ok()).unwrap_or(300);
    let stop = container_of(template)["StopTimeout"].as_i64().unwrap_or(30);
    let fits = delay <= stop && DRAIN < stop as f64 && stop <= LONGEST_STOP;
    unless(
        fits,
        format!("deregistration {delay} s, drain {DRAIN} s, stop {stop} s"),
    )
}

fn idle(template: &Value) -> Vec<String> {
    let balancer = one(template, "ElasticLoadBalancingV2::LoadBalancer");
    let attributes = &balancer["LoadBalancerAttributes"];
    let idle = attribute(attributes, "idle_timeout.timeout_seconds");
    let idle: i64 = idle.and_then(|text| text.parse().ok()).unwrap_or(60);
    unless(idle < KEEP_ALIVE, format!("{idle} s"))
}

fn retained(template: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, resource) in template["Resources"].as_object().unwrap() {
        for key in ["DeletionPolicy", "UpdateReplacePolicy"] {
            let policy = resource.get(key);
            let deletes = policy.is_none_or(|policy| policy == "Delete");
            broken.extend(unless(deletes, format!("{name}: {key}")));
        }
        let kind = resource["Type"].as_str().unwrap();
        let keeps_data = [
            "AWS::S3::Bucket",
            "AWS::RDS::",
            "AWS::DynamoDB::",
            "AWS::EFS::",
        ];
        let is_kept = keeps_data.iter().any(|prefix| kind.starts_with(prefix));
        broken.extend(unless(
            !is_kept,
            format!("{name}: {kind} outlives what it is for"),
        ));
    }
    for (name, repository) in resources(template, "ECR::Repository") {
        let empties = repository["EmptyOnDelete"] == true;
        broken.extend(unless(
            empties,
            format!("{name} is only deleted when empty"),
        ));
    }
    for (name, balancer) in resources(template, "ElasticLoadBalancingV2::LoadBalancer") {
        let protected = attribute(
            &balancer["LoadBalancerAttributes"],
            "deletion_protection.enabled",
        );
        broken.extend(unless(
            protected.as_deref() != Some("true"),
            format!("{name} is protected"),
        ));
    }
    for (name, cluster) in resources(template, "ECS::Cluster") {
        // Its log group is made outside of the stack.
        let insights = json!([{ "Name": "containerInsights", "Value": "disabled" }]);
        broken.extend(unless(
            cluster["ClusterSettings"] == insights,
            format!("{name}: Container Insights"),
        ));
    }
    broken
}

fn names(template: &Value) -> Vec<String> {
    const NAMES: [&str; 13] = [
        "AlarmName",
        "ClusterName",
        "DashboardName",
        "GroupName",
        "LoadBalancerName",
        "LogGroupName",
        "ManagedPolicyName",
        "Name",
        "RepositoryName",
        "RoleName",
        "ServiceName",
        "TopicName",
        "UserName",
    ];
    let mut broken = Vec::new();
    for (name, resource) in template["Resources"].as_object().unwrap() {
        let is_endpoint = resource["Type"] == "AWS::EC2::VPCEndpoint";
        for key in NAMES {
            // Not the name that an endpoint has, but of what it leads to.
            if is_endpoint && key == "ServiceName" {
                continue;
            }
            let fixed = resource["Properties"].get(key);
            broken.extend(unless(fixed.is_none(), format!("{name}: {key}")));
        }
    }
    broken
}

/// The port is the container's and the service's alone: where rules or the target group had it, they would change before the tasks do.
fn port(template: &Value) -> Vec<String> {
    let reference = json!({ "Ref": "ContainerPort" });
    let places = [
        (
            "task",
            &container_of(template)["PortMappings"][0]["ContainerPort"],
        ),
        (
            "service",
            &one(template, "ECS::Service")["LoadBalancers"][0]["ContainerPort"],
        ),
    ];
    let mut broken: Vec<String> = places
        .into_iter()
        .flat_map(|(place, value)| unless(*value == reference, format!("{place}: {value}")))
        .collect();
    let group = one(template, "ElasticLoadBalancingV2::TargetGroup");
    broken.extend(unless(
        group["Port"].is_number(),
        format!("target group: {}", group["Port"]),
    ));
    let back = task_groups(template);
    let into_tasks = ingress(template)
        .into_iter()
        .filter(|(group, _)| back.contains(group));
    let groups = resources(template, "EC2::SecurityGroup").into_iter();
    let front = load_balancer_groups(template);
    let out = groups
        .filter(|(name, _)| front.contains(name))
        .flat_map(|(name, group)| {
            let rules = items(&group["SecurityGroupEgress"]).into_iter();
            rules.map(move |rule| (name.clone(), rule))
        });
    for (group, rule) in into_tasks.chain(out) {
        let is_all = rule["FromPort"] == 0 && rule["ToPort"] == 65_535;
        broken.extend(unless(is_all, format!("{group}: {rule}")));
    }
    broken
}

/// What the stack says of its zones is what it can be told, and it is asked for before the account's are.
fn zones_stay(template: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, subnet) in [("ZoneA", "SubnetA"), ("ZoneB", "SubnetB")] {
        let output = &template["Outputs"][name]["Value"];
        let is_said = *output == json!({ "Fn::GetAtt": [subnet, "AvailabilityZone"] });
        broken.extend(unless(is_said, format!("output {name}: {output}")));
        let parameter = &template["Parameters"][name];
        broken.extend(unless(
            parameter["Default"] == "",
            format!("parameter {name}: {parameter}"),
        ));
    }
    let told = json!({ "Fn::If": [
        "HasZones",
        { "Fn::Sub": "${ZoneA},${ZoneB}" },
        { "Fn::Join": [",", { "Fn::GetAZs": "" }] },
    ] });
    for (name, subnet) in resources(template, "EC2::Subnet") {
        let zone = &subnet["AvailabilityZone"];
        let number = i32::from(name.ends_with('B'));
        let expected = json!({ "Fn::Select": [number, { "Fn::Split": [",", told] }] });
        broken.extend(unless(*zone == expected, format!("{name}: {zone}")));
    }
    broken
}

/// Also where nobody sends requests, and where tasks cannot start at all.
fn missing_tasks(template: &Value) -> Vec<String> {
    let is_enough = |alarm: &Value| {
        alarm["MetricName"] == "HealthyHostCount"
            && alarm["Statistic"] == "Minimum"
            && alarm["ComparisonOperator"] == "LessThanThreshold"
            && alarm["Threshold"] == json!({ "Ref": "DesiredCount" })
            && alarm["TreatMissingData"] == "breaching"
    };
    let alarms = resources(template, "CloudWatch::Alarm");
    let mut broken = unless(
        alarms.iter().any(|(_, alarm)| is_enough(alarm)),
        "nobody is told",
    );
    for (name, alarm) in alarms {
        let is_seen =
            alarm["MetricName"] != "UnHealthyHostCount" || alarm["Statistic"] == "Maximum";
        broken.extend(unless(is_seen, format!("{name}: one node is not enough")));
        let tells = alarm.get("AlarmActions").is_some();
        broken.extend(unless(tells, format!("{name} tells nobody")));
    }
    broken
}

/// Manifests that each version puts into the repository: image, SBOM, provenance and verdict.
const MANIFESTS: u64 = 4;

fn versions(template: &Value) -> Vec<String> {
    let repository = one(template, "ECR::Repository");
    let text = repository["LifecyclePolicy"]["LifecyclePolicyText"].as_str();
    let policy: Value = serde_json::from_str(text.unwrap_or("null")).unwrap_or_default();
    let rules = items(&policy["rules"]);
    let mut broken = unless(!rules.is_empty(), "nothing is ever deleted");
    for rule in rules {
        let selection = &rule["selection"];
        let is_enough = selection["tagStatus"] == "any"
            && selection["countType"] == "imageCountMoreThan"
            && selection["countNumber"].as_u64() >= Some(100 * MANIFESTS);
        broken.extend(unless(is_enough, rule.to_string()));
    }
    broken
}

/// A member that is left out may keep the value that it had.
fn off(template: &Value) -> Vec<String> {
    let deployment = &one(template, "ECS::Service")["DeploymentConfiguration"];
    let members = [
        ("EarlySuccessCriteria", "EndsEarly"),
        ("Alarms", "IsTakenBackOnAlarm"),
    ];
    members
        .into_iter()
        .flat_map(|(name, condition)| {
            let (_, otherwise) = choice(&deployment[name], condition);
            unless(otherwise["Enable"] == false, format!("{name}: {otherwise}"))
        })
        .collect()
}

fn circuit_breaker(template: &Value) -> Vec<String> {
    let breaker =
        &one(template, "ECS::Service")["DeploymentConfiguration"]["DeploymentCircuitBreaker"];
    unless(
        breaker["Enable"] == true && breaker["Rollback"] == true,
        format!("{breaker}"),
    )
}

fn capacity(template: &Value) -> Vec<String> {
    let deployment = &one(template, "ECS::Service")["DeploymentConfiguration"];
    let least = deployment["MinimumHealthyPercent"].as_i64().unwrap_or(0);
    let most = deployment["MaximumPercent"].as_i64().unwrap_or(0);
    let mut broken = unless(least >= 100 && most >= 150, format!("{least} to {most} %"));
    let tasks = &template["Parameters"]["DesiredCount"];
    broken.extend(unless(
        tasks["Default"].as_i64() >= Some(2),
        "one task is no high availability",
    ));
    broken
}

fn container(template: &Value) -> Vec<String> {
    let container = container_of(template);
    let task = one(template, "ECS::TaskDefinition");
    let user = container["User"].as_str().unwrap_or("0");
    let is_root = user
        .split(':')
        .any(|id| id.parse::<u32>().unwrap_or(0) == 0);
    [
        (
            container["ReadonlyRootFilesystem"] == true,
            "writes to its root",
        ),
        (!is_root, "runs as root"),
        (container.get("Privileged").is_none(), "is privileged"),
        (
            container["LinuxParameters"]["Capabilities"] == json!({ "Drop": ["ALL"] }),
            "has capabilities",
        ),
        (
            container["Image"] == json!({ "Ref": "ImageUri" }),
            "is not what was pushed",
        ),
        (container.get("Secrets").is_none(), "has secrets"),
        (task.get("TaskRoleArn").is_none(), "has a role of its own"),
        (
            one(template, "ECS::Service")["EnableExecuteCommand"] == false,
            "lets people in",
        ),
    ]
    .into_iter()
    .flat_map(|(holds, broken)| unless(holds, format!("the container {broken}")))
    .collect()
}

fn images(template: &Value) -> Vec<String> {
    let repository = one(template, "ECR::Repository");
    let mut broken = unless(
        repository["ImageTagMutability"] == "IMMUTABLE",
        "tags can be moved",
    );
    broken.extend(unless(
        repository["ImageScanningConfiguration"]["ScanOnPush"] == true,
        "images are not scanned",
    ));
    let pattern = &template["Parameters"]["ImageUri"]["AllowedPattern"];
    broken.extend(unless(
        pattern
            .as_str()
            .is_some_and(|text| text.contains("@sha256:")),
        "an image may come without its digest",
    ));
    broken
}

fn logs(template: &Value) -> Vec<String> {
    resources(template, "Logs::LogGroup")
        .into_iter()
        .flat_map(|(name, group)| {
            unless(
                group.get("RetentionInDays").is_some(),
                format!("{name} is kept for ever"),
            )
        })
        .collect()
}

fn zones(template: &Value) -> Vec<String> {
    let balancer = one(template, "ElasticLoadBalancingV2::LoadBalancer");
    let service = one(template, "ECS::Service");
    let subnets = items(&service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]);
    let choices = subnets
        .into_iter()
        .map(|subnet| choice(subnet, "IsPrivate"));
    let (private, public): (Vec<_>, Vec<_>) = choices.unzip();
    let mut broken = Vec::new();
    for (who, subnets) in [
        ("the load balancer", items(&balancer["Subnets"])),
        ("tasks", public),
        ("private tasks", private),
    ] {
        let zones = subnets.into_iter().map(|subnet| {
            template["Resources"][target(subnet)]["Properties"]["AvailabilityZone"].to_string()
        });
        let zones: BTreeSet<_> = zones.collect();
        broken.extend(unless(zones.len() >= 2, format!("{who}: {zones:?}")));
    }
    broken.extend(unless(
        service["AvailabilityZoneRebalancing"] == "ENABLED",
        "tasks stay where they are when a zone comes back",
    ));
    broken
}

/// The two ways of a choice by this condition.
fn choice<'a>(value: &'a Value, condition: &str) -> (&'a Value, &'a Value) {
    let choice = &value["Fn::If"];
    if choice[0] == condition {
        (&choice[1], &choice[2])
    } else {
        (&Value::Null, &Value::Null)
    }
}

fn private(template: &Value) -> Vec<String> {
    let network = &one(template, "ECS::Service")["NetworkConfiguration"]["AwsvpcConfiguration"];
    let (address, _) = choice(&network["AssignPublicIp"], "IsPrivate");
    let mut broken = unless(address == "DISABLED", "private tasks have public addresses");
    let subnets: Vec<String> = items(&network["Subnets"])
        .into_iter()
        .map(|subnet| target(choice(subnet, "IsPrivate").0))
        .collect();
    let mut tables = Vec::new();
    for (name, association) in resources(template, "EC2::SubnetRouteTableAssociation") {
        if subnets.contains(&target(&association["SubnetId"])) {
            tables.push(target(&association["RouteTableId"]));
        }
        let is_private = template["Resources"][name]["Condition"] == "IsPrivate";
        let is_theirs = subnets.contains(&target(&association["SubnetId"]));
        broken.extend(unless(is_private == is_theirs, name));
    }
    broken.extend(unless(
        tables.len() == subnets.len(),
        "a subnet has no table",
    ));
    for (name, route) in resources(template, "EC2::Route") {
        let table = target(&route["RouteTableId"]);
        broken.extend(unless(!tables.contains(&table), format!("{name}: {route}")));
    }
    broken
}

fn endpoints(template: &Value) -> Vec<String> {
    let back = task_groups(template);
    let mut broken = Vec::new();
    for (name, endpoint) in resources(template, "EC2::VPCEndpoint") {
        for statement in items(&endpoint["PolicyDocument"]["Statement"]) {
            let account =
                json!({ "StringEquals": { "aws:PrincipalAccount": { "Ref": "AWS::AccountId" } } });
            let is_ours = statement["Condition"] == account;
            let is_one_place = statement["Resource"] != "*";
            broken.extend(unless(
                is_ours || is_one_place,
                format!("{name}: {statement}"),
            ));
        }
        let has_policy = !items(&endpoint["PolicyDocument"]["Statement"]).is_empty();
        broken.extend(unless(has_policy, format!("{name} leads everywhere")));
        for group in groups_of(&endpoint["SecurityGroupIds"]) {
            for (_, rule) in ingress(template).iter().filter(|(to, _)| *to == group) {
                let from = target(&rule["SourceSecurityGroupId"]);
                broken.extend(unless(back.contains(&from), format!("{group}: {rule}")));
            }
        }
    }
    broken
}

fn scaling(template: &Value) -> Vec<String> {
    let target = one(template, "ApplicationAutoScaling::ScalableTarget");
    let fewest = &target["MinCapacity"];
    let mut broken = unless(
        *fewest == json!({ "Ref": "DesiredCount" }),
        fewest.to_string(),
    );
    let (scaled, _) = choice(&one(template, "ECS::Service")["DesiredCount"], "IsScaled");
    broken.extend(unless(
        *scaled == json!({ "Ref": "AWS::NoValue" }),
        "an update undoes what the load has brought",
    ));
    broken
}

fn on_demand(template: &Value) -> Vec<String> {
    let strategy = &one(template, "ECS::Service")["CapacityProviderStrategy"];
    let is_on_demand = |item: &&Value| {
        item["CapacityProvider"] == "FARGATE"
            && item["Base"].as_i64() >= Some(1)
            && item["Weight"].as_i64() >= Some(1)
    };
    unless(
        items(strategy).iter().any(is_on_demand),
        format!("{strategy}"),
    )
}
