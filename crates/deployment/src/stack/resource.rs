//! Resource types: their names for people, and how long their creation takes on AWS.

/// Type of the wait for a release command.
pub const RELEASE_TYPE: &str = "AWS::CloudFormation::WaitCondition";

/// Returns the name of a resource type for people; by default the last part of the type.
pub fn describe(resource_type: &str) -> &str {
    match resource_type {
        "AWS::CloudFormation::Stack" => "stack",
        RELEASE_TYPE => "release command",
        "AWS::EC2::VPC" => "VPC",
        "AWS::EC2::InternetGateway" => "internet gateway",
        "AWS::EC2::VPCGatewayAttachment" => "internet gateway attachment",
        "AWS::EC2::RouteTable" => "route table",
        "AWS::EC2::Route" => "route",
        "AWS::EC2::Subnet" => "subnet",
        "AWS::EC2::SubnetRouteTableAssociation" => "subnet route table association",
        "AWS::EC2::SecurityGroup" => "security group",
        "AWS::ElasticLoadBalancingV2::LoadBalancer" => "load balancer",
        "AWS::ElasticLoadBalancingV2::Listener" => "listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule" => "listener rule",
        "AWS::ElasticLoadBalancingV2::TargetGroup" => "target group",
        "AWS::ECR::Repository" => "image repository",
        "AWS::ECS::Cluster" => "cluster",
        "AWS::ECS::TaskDefinition" => "task definition",
        "AWS::ECS::Service" => "service",
        "AWS::IAM::Role" => "role",
        "AWS::Logs::LogGroup" => "log group",
        "AWS::EC2::VPCEndpoint" => "VPC endpoint",
        "AWS::ApplicationAutoScaling::ScalableTarget" => "scalable target",
        "AWS::ApplicationAutoScaling::ScalingPolicy" => "scaling policy",
        "AWS::CloudWatch::Alarm" => "alarm",
        "AWS::CloudWatch::Dashboard" => "dashboard",
        "AWS::SNS::Topic" => "SNS topic",
        "AWS::Budgets::Budget" => "budget",
        "AWS::IAM::User" => "user",
        "AWS::IAM::ManagedPolicy" => "managed policy",
        other => other.rsplit("::").next().unwrap_or(other),
    }
}

/// Returns the usual creation time of a resource of this type on AWS, in seconds.
///
/// The values are weights for a progress bar.
pub fn usual_seconds(resource_type: &str) -> u64 {
    match resource_type {
        "AWS::ECS::Service" => 119,
        "AWS::ElasticLoadBalancingV2::LoadBalancer" => 116,
        "AWS::EC2::VPCEndpoint" => 60,
        "AWS::IAM::User" => 37,
        "AWS::ElasticLoadBalancingV2::TargetGroup" => 18,
        "AWS::EC2::InternetGateway" => 17,
        "AWS::EC2::VPC"
        | "AWS::IAM::Role"
        | "AWS::EC2::RouteTable"
        | "AWS::EC2::VPCGatewayAttachment" => 12,
        "AWS::EC2::SecurityGroup" => 6,
        "AWS::ECS::Cluster" => 5,
        "AWS::EC2::Subnet" | "AWS::ECS::TaskDefinition" => 4,
        "AWS::ElasticLoadBalancingV2::Listener" => 2,
        _ => 1,
    }
}

/// Estimates the seconds that an operation on resources of these types takes on AWS.
///
/// CloudFormation creates resources in parallel, so that the slowest one decides. It waits for the
/// internet gateway and its attachment, if those are created as well.
pub fn usual_duration<'a>(resource_types: impl IntoIterator<Item = &'a str>) -> u64 {
    // The gateway and its attachment are created one after the other, before load balancer and
    // service.
    let mut way = 0;
    let mut slowest = 0;
    for name in resource_types {
        let seconds = usual_seconds(name);
        if matches!(
            name,
            "AWS::EC2::InternetGateway" | "AWS::EC2::VPCGatewayAttachment"
        ) {
            way += seconds;
        } else {
            slowest = seconds.max(slowest);
        }
    }
    way + slowest
}

/// Resource that a template declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateResource {
    /// Name in the template.
    pub logical_id: String,
    /// Type, for example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Set if the resource has a condition.
    pub conditional: bool,
}

/// Lists the resources of a YAML template.
///
/// Reading line by line is enough for a progress bar and a list, and only for those. A template
/// with another layout gives fewer resources or none.
pub fn resources_of(template: &str) -> Vec<TemplateResource> {
    let mut resources = Vec::new();
    let mut in_resources = false;
    let mut current: Option<TemplateResource> = None;
    for line in template.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        // The next resource or section ends the one above.
        if indent <= 2 {
            resources.extend(current.take().filter(|one| !one.resource_type.is_empty()));
        }
        if indent == 0 {
            in_resources = text == "Resources:";
        } else if in_resources && indent == 2 {
            current = Some(TemplateResource {
                logical_id: text.trim_end_matches(':').to_owned(),
                resource_type: String::new(),
                conditional: false,
            });
        } else if indent == 4
            && let Some(resource) = &mut current
        {
            if let Some(name) = text.strip_prefix("Type:") {
                name.trim().clone_into(&mut resource.resource_type);
            }
            // A `Condition` with more indentation belongs to a policy.
            resource.conditional |= text.starts_with("Condition:");
        }
    }
    // No further line ends the last resource.
    resources.extend(current.filter(|one| !one.resource_type.is_empty()));
    resources
}

/// Returns whether a YAML template declares this parameter. Reads it line by line as well.
pub fn declares_parameter(template: &str, name: &str) -> bool {
    let mut section = "";
    template.lines().any(|line| {
        // Only sections start in the first column.
        if !line.is_empty() && !line.starts_with([' ', '#']) {
            section = line.trim_end();
        }
        let declared = line
            .strip_prefix("  ")
            .and_then(|line| line.trim_end().strip_suffix(':'));
        section == "Parameters:" && declared == Some(name)
    })
}

/// Returns the types of the resources without a condition, one for each resource.
///
/// The first phase of a deployment creates these.
pub fn unconditional_types(template: &str) -> Vec<String> {
    let resources = resources_of(template).into_iter();
    let unconditional = resources.filter(|resource| !resource.conditional);
    unconditional
        .map(|resource| resource.resource_type)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_of_our_own_template_has_a_name_for_people() {
        for resource in resources_of(include_str!("../../../../infra/service.yaml")) {
            let kind = &resource.resource_type;
            let last = kind.rsplit("::").next().unwrap();
            // A VPC is called so by everybody.
            let is_described = describe(kind) != last || last == "VPC";
            assert!(is_described, "{kind} has no description");
        }
    }

    #[test]
    fn declared_parameters() {
        let template = include_str!("../../../../infra/service.yaml");
        for name in ["ImageUri", "ReviewerPassword"] {
            assert!(declares_parameter(template, name), "{name}");
        }
        for name in ["HasImage", "Vpc", "Type", "Url", ""] {
            assert!(!declares_parameter(template, name), "{name}");
        }
    }

    #[test]
    fn the_first_phase_of_our_own_template() {
        let types = unconditional_types(include_str!("../../../../infra/service.yaml"));
        assert_eq!(types.len(), 18);
        assert_eq!(
            types
                .iter()
                .filter(|name| *name == "AWS::EC2::Subnet")
                .count(),
            2
        );
        assert!(!types.iter().any(|name| name == "AWS::ECS::Service"));
        assert!(types.iter().any(|name| name == "AWS::ECR::Repository"));
        assert!(unconditional_types("{\"Resources\": {}}").is_empty());
        let usual = usual_duration(types.iter().map(String::as_str));
        assert_eq!(usual, 116 + 17 + 12);
        assert_eq!(usual_duration([]), 0);
    }
}
