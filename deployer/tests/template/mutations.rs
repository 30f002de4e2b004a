//! Ways to spoil the template, and the rule that has to notice.

use serde_json::{Value, json};

pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) change: fn(&mut Value),
}

const fn mutation(name: &'static str, rule: &'static str, change: fn(&mut Value)) -> Mutation {
    Mutation { name, rule, change }
}

/// Properties of a resource.
fn of<'a>(template: &'a mut Value, resource: &str) -> &'a mut Value {
    let properties = &mut template["Resources"][resource]["Properties"];
    assert!(!properties.is_null(), "{resource}");
    properties
}

fn container(template: &mut Value) -> &mut Value {
    &mut of(template, "TaskDefinition")["ContainerDefinitions"][0]
}

fn reviewers(template: &mut Value) -> &mut Value {
    &mut of(template, "ReviewerPolicy")["PolicyDocument"]["Statement"]
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

fn remove(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().remove(key).unwrap();
}

fn set_attribute(list: &mut Value, key: &str, value: &str) {
    let item = list
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|item| item["Key"] == key)
        .unwrap();
    item["Value"] = json!(value);
}

const ONLY_80: &str = "only port 80 is open to the world";
const TASKS: &str = "tasks are reached from the load balancer only";
const WAYS_OUT: &str = "ways out are listed";
const LISTENER: &str = "the listener is plain HTTP on 80";
const HEALTH: &str = "a health check ends before the next one";
const DRAINING: &str = "draining fits into stopping";
const IDLE: &str = "connections outlive the load balancer's patience";
const RETAINED: &str = "nothing is retained";
const NAMES: &str = "names are generated";
const PORT: &str = "a new port interrupts nothing";
const STAY: &str = "zones stay";
const MISSING: &str = "missing tasks are noticed";
const VERSIONS: &str = "one hundred versions are kept";
const OFF: &str = "what is off is said to be";
const PATHS: &str = "identities are on a path of their own";
const BREAKER: &str = "a bad version goes back";
const CAPACITY: &str = "capacity never falls";
const ROLES: &str = "roles may little";
const CONTAINER: &str = "the container can do little";
const IMAGES: &str = "images do not change and are scanned";
const LOGS: &str = "logs end";
const ZONES: &str = "two zones are used";
const REVIEWERS: &str = "reviewers only look";
const BOUNDED: &str = "who is made is bounded";
const PRIVATE: &str = "private tasks have no way out";
const ENDPOINTS: &str = "endpoints lead to what is ours";
const SCALING: &str = "under load there are not fewer tasks";
const ON_DEMAND: &str = "one task is always on demand";

pub(crate) const ALL: &[Mutation] = &[
    mutation("port 22 is open", ONLY_80, |template| {
        let rule =
            json!({ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0" });
        push(
            &mut of(template, "LoadBalancerSecurityGroup")["SecurityGroupIngress"],
            rule,
        );
    }),
    mutation("all ports from 80 are open", ONLY_80, |template| {
        of(template, "LoadBalancerSecurityGroup")["SecurityGroupIngress"][0]["ToPort"] =
            json!(65_535);
    }),
    mutation(
        "port 443 is open by a resource of its own",
        ONLY_80,
        |template| {
            template["Resources"]["More"] = json!({
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {
                    "GroupId": { "Fn::GetAtt": ["LoadBalancerSecurityGroup", "GroupId"] },
                    "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv6": "::/0",
                },
            });
        },
    ),
    mutation("tasks are open to the world", ONLY_80, |template| {
        let rule =
            json!({ "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "0.0.0.0/0" });
        push(
            &mut of(template, "TaskSecurityGroup")["SecurityGroupIngress"],
            rule,
        );
    }),
    mutation("tasks are open to the network", TASKS, |template| {
        let rule = &mut of(template, "TaskSecurityGroup")["SecurityGroupIngress"][0];
        remove(rule, "SourceSecurityGroupId");
        rule["CidrIp"] = json!({ "Ref": "VpcCidr" });
    }),
    mutation(
        "tasks are in the load balancer's group",
        TASKS,
        |template| {
            of(template, "Service")["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"] =
                json!([{ "Fn::GetAtt": ["LoadBalancerSecurityGroup", "GroupId"] }]);
        },
    ),
    mutation("the tasks' ways out are not listed", WAYS_OUT, |template| {
        remove(of(template, "TaskSecurityGroup"), "SecurityGroupEgress");
    }),
    mutation(
        "tasks may send everything everywhere",
        WAYS_OUT,
        |template| {
            of(template, "TaskSecurityGroup")["SecurityGroupEgress"] =
                json!([{ "IpProtocol": "-1", "CidrIp": "0.0.0.0/0" }]);
        },
    ),
    mutation("it listens on 8080", LISTENER, |template| {
        of(template, "Listener")["Port"] = json!(8080);
    }),
    mutation(
        "a health check lasts as long as its interval",
        HEALTH,
        |template| {
            of(template, "TargetGroup")["HealthCheckTimeoutSeconds"] = json!(5);
        },
    ),
    mutation("targets drain for five minutes", DRAINING, |template| {
        let attributes = &mut of(template, "TargetGroup")["TargetGroupAttributes"];
        set_attribute(attributes, "deregistration_delay.timeout_seconds", "300");
    }),
    mutation(
        "tasks are killed after five seconds",
        DRAINING,
        |template| {
            container(template)["StopTimeout"] = json!(5);
        },
    ),
    mutation(
        "the load balancer keeps connections for longer",
        IDLE,
        |template| {
            let attributes = &mut of(template, "LoadBalancer")["LoadBalancerAttributes"];
            set_attribute(attributes, "idle_timeout.timeout_seconds", "120");
        },
    ),
    mutation("the repository is retained", RETAINED, |template| {
        template["Resources"]["Repository"]["DeletionPolicy"] = json!("Retain");
    }),
    mutation("a bucket is kept", RETAINED, |template| {
        template["Resources"]["Bucket"] =
            json!({ "Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain" });
    }),
    mutation("images keep the repository", RETAINED, |template| {
        remove(of(template, "Repository"), "EmptyOnDelete");
    }),
    mutation("the load balancer is protected", RETAINED, |template| {
        let attributes = &mut of(template, "LoadBalancer")["LoadBalancerAttributes"];
        set_attribute(attributes, "deletion_protection.enabled", "true");
    }),
    mutation(
        "Container Insights leaves its log group",
        RETAINED,
        |template| {
            of(template, "Cluster")["ClusterSettings"][0]["Value"] = json!("enabled");
        },
    ),
    mutation("the role has a name", NAMES, |template| {
        of(template, "ExecutionRole")["RoleName"] = json!("execution");
    }),
    mutation("the service expects another port", PORT, |template| {
        of(template, "Service")["LoadBalancers"][0]["ContainerPort"] = json!(8081);
    }),
    mutation(
        "the target group has the container's port",
        PORT,
        |template| {
            of(template, "TargetGroup")["Port"] = json!({ "Ref": "ContainerPort" });
        },
    ),
    mutation("tasks let in the container's port only", PORT, |template| {
        let rule = &mut of(template, "TaskSecurityGroup")["SecurityGroupIngress"][0];
        rule["FromPort"] = json!({ "Ref": "ContainerPort" });
        rule["ToPort"] = json!({ "Ref": "ContainerPort" });
    }),
    mutation("only the container's port is led to", PORT, |template| {
        let rule = &mut of(template, "LoadBalancerSecurityGroup")["SecurityGroupEgress"][0];
        rule["FromPort"] = json!({ "Ref": "ContainerPort" });
        rule["ToPort"] = json!({ "Ref": "ContainerPort" });
    }),
    mutation("zones follow the account", STAY, |template| {
        of(template, "PrivateSubnetA")["AvailabilityZone"] =
            json!({ "Fn::Select": [0, { "Fn::GetAZs": "" }] });
    }),
    mutation("a zone is not said", STAY, |template| {
        remove(&mut template["Outputs"], "ZoneB");
    }),
    mutation("zones have to be told", STAY, |template| {
        remove(&mut template["Parameters"]["ZoneA"], "Default");
    }),
    mutation("no data is no alarm", MISSING, |template| {
        of(template, "MissingTasksAlarm")["TreatMissingData"] = json!("notBreaching");
    }),
    mutation("one task is enough for no alarm", MISSING, |template| {
        of(template, "MissingTasksAlarm")["Threshold"] = json!(1);
    }),
    mutation("all nodes have to see a sick task", MISSING, |template| {
        of(template, "UnhealthyTasksAlarm")["Statistic"] = json!("Minimum");
    }),
    mutation("an alarm is for nobody", MISSING, |template| {
        remove(of(template, "SlowAnswersAlarm"), "AlarmActions");
    }),
    mutation("fifty versions are kept", VERSIONS, |template| {
        let text = &mut of(template, "Repository")["LifecyclePolicy"]["LifecyclePolicyText"];
        *text = json!(text.as_str().unwrap().replace("400", "200"));
    }),
    mutation("images are never deleted", VERSIONS, |template| {
        remove(of(template, "Repository"), "LifecyclePolicy");
    }),
    mutation("an alarm that is off is not said to be", OFF, |template| {
        of(template, "Service")["DeploymentConfiguration"]["Alarms"]["Fn::If"][2] =
            json!({ "Ref": "AWS::NoValue" });
    }),
    mutation(
        "an early end that is off is not said to be",
        OFF,
        |template| {
            of(template, "Service")["DeploymentConfiguration"]["EarlySuccessCriteria"]["Fn::If"]
                [2] = json!({ "Ref": "AWS::NoValue" });
        },
    ),
    mutation("the role is among all others", PATHS, |template| {
        remove(of(template, "ExecutionRole"), "Path");
    }),
    mutation(
        "the reviewers' policy is on another path",
        PATHS,
        |template| {
            of(template, "ReviewerPolicy")["Path"] = json!("/deployer/");
        },
    ),
    mutation("the role may have any rights", BOUNDED, |template| {
        of(template, "ExecutionRole")["PermissionsBoundary"] = json!({ "Fn::If": [
            "IsBounded", { "Ref": "PermissionsBoundary" }, { "Ref": "AWS::NoValue" }
        ] });
    }),
    mutation("there is no way back", BREAKER, |template| {
        of(template, "Service")["DeploymentConfiguration"]["DeploymentCircuitBreaker"]["Rollback"] =
            json!(false);
    }),
    mutation("there is no circuit breaker", BREAKER, |template| {
        remove(
            &mut of(template, "Service")["DeploymentConfiguration"],
            "DeploymentCircuitBreaker",
        );
    }),
    mutation("half of the tasks may be missing", CAPACITY, |template| {
        of(template, "Service")["DeploymentConfiguration"]["MinimumHealthyPercent"] = json!(50);
    }),
    mutation("one task is enough", CAPACITY, |template| {
        template["Parameters"]["DesiredCount"]["Default"] = json!(1);
    }),
    mutation("the role may everything", ROLES, |template| {
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
        let policy = &mut of(template, "ExecutionRole")["Policies"][0]["PolicyDocument"];
        push(&mut policy["Statement"], statement);
    }),
    mutation("the role may pull from everywhere", ROLES, |template| {
        of(template, "ExecutionRole")["Policies"][0]["PolicyDocument"]["Statement"][1]["Resource"] =
            json!("*");
    }),
    mutation("the role has a managed policy", ROLES, |template| {
        of(template, "ExecutionRole")["ManagedPolicyArns"] =
            json!(["arn:aws:iam::aws:policy/AdministratorAccess"]);
    }),
    mutation("anybody's tasks may have the role", ROLES, |template| {
        remove(
            &mut of(template, "ExecutionRole")["AssumeRolePolicyDocument"]["Statement"][0],
            "Condition",
        );
    }),
    mutation("it runs as root", CONTAINER, |template| {
        container(template)["User"] = json!("0:0");
    }),
    mutation("it may write to its root", CONTAINER, |template| {
        container(template)["ReadonlyRootFilesystem"] = json!(false);
    }),
    mutation("it is privileged", CONTAINER, |template| {
        container(template)["Privileged"] = json!(true);
    }),
    mutation("it keeps its capabilities", CONTAINER, |template| {
        remove(&mut container(template)["LinuxParameters"], "Capabilities");
    }),
    mutation("people may log in", CONTAINER, |template| {
        of(template, "Service")["EnableExecuteCommand"] = json!(true);
    }),
    mutation("tags can be moved", IMAGES, |template| {
        of(template, "Repository")["ImageTagMutability"] = json!("MUTABLE");
    }),
    mutation("an image is named by its tag", IMAGES, |template| {
        template["Parameters"]["ImageUri"]["AllowedPattern"] = json!("^.*$");
    }),
    mutation("logs are kept for ever", LOGS, |template| {
        remove(of(template, "LogGroup"), "RetentionInDays");
    }),
    mutation("both subnets are in one zone", ZONES, |template| {
        let zone = of(template, "SubnetA")["AvailabilityZone"].clone();
        of(template, "SubnetB")["AvailabilityZone"] = zone;
    }),
    mutation("tasks are not spread again", ZONES, |template| {
        of(template, "Service")["AvailabilityZoneRebalancing"] = json!("DISABLED");
    }),
    mutation("anybody may review", ROLES, |template| {
        of(template, "ReviewerRole")["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] =
            json!({ "AWS": "*" });
    }),
    mutation("reviewers may stop the service", REVIEWERS, |template| {
        push(
            &mut reviewers(template)[1]["Action"],
            json!("ecs:UpdateService"),
        );
    }),
    mutation("reviewers may describe anything", REVIEWERS, |template| {
        push(
            &mut reviewers(template)[1]["Action"],
            json!("ecs:Describe*"),
        );
    }),
    mutation("reviewers see all stacks", REVIEWERS, |template| {
        reviewers(template)[0]["Resource"] = json!("*");
    }),
    mutation("reviewers see all regions", REVIEWERS, |template| {
        remove(
            reviewers(template)
                .as_array_mut()
                .unwrap()
                .last_mut()
                .unwrap(),
            "Condition",
        );
    }),
    mutation(
        "the reviewers' user is an administrator",
        REVIEWERS,
        |template| {
            of(template, "ReviewerUser")["ManagedPolicyArns"] =
                json!(["arn:aws:iam::aws:policy/AdministratorAccess"]);
        },
    ),
    mutation(
        "the reviewers' password is in the template",
        REVIEWERS,
        |template| {
            of(template, "ReviewerUser")["LoginProfile"]["Password"] = json!("correct horse");
        },
    ),
    mutation("the reviewers' password is shown", REVIEWERS, |template| {
        remove(&mut template["Parameters"]["ReviewerPassword"], "NoEcho");
    }),
    mutation("the execution role has no bounds", BOUNDED, |template| {
        remove(of(template, "ExecutionRole"), "PermissionsBoundary");
    }),
    mutation("the private network has a way out", PRIVATE, |template| {
        let mut route = template["Resources"]["DefaultRoute"].clone();
        route["Properties"]["RouteTableId"] = json!({ "Ref": "PrivateRouteTable" });
        template["Resources"]["PrivateRoute"] = route;
    }),
    mutation(
        "private tasks are in a public subnet",
        PRIVATE,
        |template| {
            of(template, "Service")["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"][1] =
                json!({ "Ref": "SubnetB" });
        },
    ),
    mutation("private tasks have a public address", PRIVATE, |template| {
        of(template, "Service")["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] =
            json!("ENABLED");
    }),
    mutation("an endpoint is for any account", ENDPOINTS, |template| {
        remove(
            &mut of(template, "ImageEndpoint")["PolicyDocument"]["Statement"][0],
            "Condition",
        );
    }),
    mutation("an endpoint has no policy", ENDPOINTS, |template| {
        remove(of(template, "LayerEndpoint"), "PolicyDocument");
    }),
    mutation("endpoints are open to the network", ENDPOINTS, |template| {
        let rule = &mut of(template, "EndpointSecurityGroup")["SecurityGroupIngress"][0];
        remove(rule, "SourceSecurityGroupId");
        rule["CidrIp"] = json!({ "Ref": "VpcCidr" });
    }),
    mutation("without load there is no task", SCALING, |template| {
        of(template, "ScalableTarget")["MinCapacity"] = json!(0);
    }),
    mutation("an update takes tasks away", SCALING, |template| {
        of(template, "Service")["DesiredCount"] = json!({ "Ref": "DesiredCount" });
    }),
    mutation("all tasks are on Spot", ON_DEMAND, |template| {
        of(template, "Service")["CapacityProviderStrategy"] =
            json!([{ "CapacityProvider": "FARGATE_SPOT", "Weight": 1 }]);
    }),
];
