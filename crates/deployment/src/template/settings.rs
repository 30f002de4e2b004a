//! Settings of a service that the template has slots for.

use std::collections::{BTreeMap, BTreeSet};

use super::gate;
use super::release;
use super::secret::{SecretSource, Store};
use super::slots::{Slot, Slots};
use super::strategy::Strategy;
use crate::stack::ascii::quoted;

/// Settings that the template is rendered with.
///
/// `None` or an empty value keeps what the template has. Values are valid: the configuration parser
/// has checked them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Deployment strategy of the ECS service.
    pub strategy: Strategy,
    /// Bake time in minutes, in which the previous tasks keep running; not with `rolling`.
    pub bake_minutes: u32,
    /// Minutes after which ECS rolls back a paused deployment that nobody answers; `None` for the
    /// default.
    pub gate_minutes: Option<u32>,
    /// Minutes between the steps of `linear`, and after the first step of `canary`.
    pub step_minutes: u32,
    /// Path of the load balancer's health check.
    pub health_path: Option<String>,
    /// Status codes that count as healthy, for example `200-299`.
    pub health_codes: Option<String>,
    /// Seconds between SIGTERM and SIGKILL, for requests in progress to complete.
    pub stop_seconds: Option<u32>,
    /// Seconds after which the load balancer closes an idle connection.
    pub idle_seconds: Option<u32>,
    /// Arguments of the container, which replace the image's `CMD`.
    pub command: Option<Vec<String>>,
    /// Arguments of the container that has to succeed before the service gets a new version.
    pub release_command: Option<Vec<String>>,
    /// User and group of the program: `UID`, `UID:GID` or names of the image.
    pub user: Option<String>,
    /// Absolute paths of directories that the program may write to.
    pub writable: Vec<String>,
    /// Size of each writable directory, MiB.
    pub writable_mib: u32,
    /// TCP ports that tasks may connect to, in addition to 443.
    pub egress: BTreeSet<u16>,
    /// Security groups of the tasks, in addition to their own.
    pub security_groups: Vec<String>,
    /// Environment variables of the container.
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values are secrets.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Policy document of the program's task role, as JSON on one line.
    pub permissions: Option<String>,
    /// Path of the URL that is shown and checked.
    pub url_path: Option<String>,
    /// Existing VPC to use; without it, the stack creates its own.
    pub network: Option<Network>,
}

/// Existing VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// ID of the VPC.
    pub vpc: String,
    /// CIDR block of the VPC, to which the load balancer may connect.
    pub cidr: String,
    /// IDs of the load balancer's subnets: public, in at least two availability zones.
    pub public_subnets: Vec<String>,
    /// IDs of the tasks' subnets.
    pub task_subnets: Vec<String>,
    /// Set if tasks get public addresses.
    pub public_addresses: bool,
}

impl Settings {
    /// Returns the minutes after which ECS rolls back a paused deployment that nobody answers.
    pub fn gate_minutes(&self) -> u32 {
        self.gate_minutes.unwrap_or(gate::TIMEOUT_MINUTES)
    }

    /// Returns the minutes that a deployment may wait between steps of traffic and while it bakes.
    ///
    /// For time limits: a command that continues a deployment need not know the strategy that it
    /// was started with, so that these settings count for every one.
    pub fn waiting_minutes(&self) -> u32 {
        let pauses = match self.strategy {
            Strategy::Linear { step_percent } => 100_u32.div_ceil(step_percent.into()),
            Strategy::Rolling | Strategy::BlueGreen | Strategy::Canary { .. } => 1,
        };
        self.bake_minutes + pauses * self.step_minutes
    }

    /// Returns the slots that these settings fill.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let mut slots = Slots::default();
        let text = |text: &String| quoted(text);
        let number = |number: u32| quoted(&number.to_string());
        slots.value(
            "health_path",
            "service.health_path",
            self.health_path.as_ref().map(text),
        );
        slots.value(
            "health_codes",
            "service.health_codes",
            self.health_codes.as_ref().map(text),
        );
        slots.value(
            "stop_seconds",
            "service.stop_seconds",
            // `StopTimeout` is an integer, unlike the attributes of target group and load balancer.
            self.stop_seconds.map(|it| it.to_string()),
        );
        // The deregistration delay follows the stop timeout: both bound how long requests in
        // progress may take.
        slots.value(
            "drain_seconds",
            "service.stop_seconds",
            self.stop_seconds.map(number),
        );
        slots.value(
            "idle_seconds",
            "service.idle_seconds",
            self.idle_seconds.map(number),
        );
        slots.value("user", "service.user", self.user.as_ref().map(text));
        slots.optional_value("url_path", "check.path", self.url_path.as_ref().map(text));
        slots.lines(
            "command",
            "service.command",
            self.command.iter().map(|words| {
                let words: Vec<String> = words.iter().map(text).collect();
                format!("Command: [{}]", words.join(", "))
            }),
        );
        slots.lines("writable", "service.writable", self.tmpfs());
        let rules = self.egress.iter().flat_map(|port| {
            [
                format!("- Description: To port {port}, set in deployer.toml"),
                "  IpProtocol: tcp".to_owned(),
                format!("  FromPort: {port}"),
                format!("  ToPort: {port}"),
                "  CidrIp: 0.0.0.0/0".to_owned(),
            ]
        });
        slots.lines("egress", "service.egress", rules);
        let groups = self
            .security_groups
            .iter()
            .map(|group| format!("- {}", quoted(group)));
        slots.lines("security_groups", "service.security_groups", groups);
        // Quoted, because YAML would read values such as `yes` or `1` as other types.
        let variables = self.environment.iter();
        let variables = variables
            .map(|(name, value)| format!("- {{Name: {}, Value: {}}}", quoted(name), quoted(value)));
        slots.lines("environment", "service.environment", variables);
        gate::fill(
            self.strategy,
            gate::Minutes {
                bake: self.bake_minutes,
                step: self.step_minutes,
                gate: self.gate_minutes(),
            },
            &mut slots,
        );
        self.release_slots(&mut slots);
        self.network_slots(&mut slots);
        self.secret_slots(&mut slots);
        self.permission_slots(&mut slots);
        slots.0
    }

    /// Returns the lines for the writable directories.
    ///
    /// They are `tmpfs`: a volume would belong to root unless the image declares it (AWS, "Use bind
    /// mounts with Amazon ECS").
    fn tmpfs(&self) -> Vec<String> {
        if self.writable.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["Tmpfs:".to_owned()];
        // The user may be a name of the image, which has no number here: every user may write.
        lines.extend(self.writable.iter().map(|path| {
            format!(
                "  - {{ContainerPath: {}, Size: {}, MountOptions: [rw, noexec, nosuid, nodev, mode=1777]}}",
                quoted(path),
                self.writable_mib
            )
        }));
        lines
    }

    fn release_slots(&self, slots: &mut Slots) {
        let Some(command) = &self.release_command else {
            return;
        };
        let setting = release::SETTING;
        let resource = release::resource(command, self.network.is_none());
        slots.lines("release", setting, resource);
        slots.lines("after_release", setting, release::dependency());
        // Without it, the tasks that run would be checked with the new settings meanwhile.
        let attribute = release::only_dependency();
        slots.optional_lines("checked_after_release", setting, attribute);
    }

    fn network_slots(&self, slots: &mut Slots) {
        let Some(network) = &self.network else {
            return;
        };
        let setting = "service.network";
        let list = |ids: &[String]| {
            let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
            format!("[{}]", ids.join(", "))
        };
        let addresses = if network.public_addresses {
            "ENABLED"
        } else {
            "DISABLED"
        };
        for (name, value) in [
            ("vpc", quoted(&network.vpc)),
            ("vpc_cidr", quoted(&network.cidr)),
            ("public_subnets", list(&network.public_subnets)),
            ("task_subnets", list(&network.task_subnets)),
            ("public_addresses", addresses.to_owned()),
        ] {
            slots.value(name, setting, Some(value));
        }
        slots.removal("own_network", setting, true);
    }

    fn secret_slots(&self, slots: &mut Slots) {
        if self.secrets.is_empty() {
            return;
        }
        let mut lines = vec!["Secrets:".to_owned()];
        let secrets = self.secrets.iter();
        lines.extend(secrets.map(|(name, source)| {
            format!(
                "  - {{Name: {}, ValueFrom: {}}}",
                quoted(name),
                source.value_from()
            )
        }));
        slots.lines("secrets", "service.secrets", lines);
        let mut statements = Vec::new();
        let mut endpoints = Vec::new();
        let mut ways_out = Vec::new();
        for (store, service, endpoint) in [
            (Store::SecretsManager, "secretsmanager", "SecretEndpoint"),
            (Store::ParameterStore, "ssm", "ParameterEndpoint"),
        ] {
            let action = store.action();
            let kept = self
                .secrets
                .values()
                .filter(|source| source.store() == store);
            let resources: BTreeSet<String> = kept.map(SecretSource::resource).collect();
            if resources.is_empty() {
                continue;
            }
            statements.push("- Effect: Allow".to_owned());
            statements.push(format!("  Action: '{action}'"));
            statements.push("  Resource:".to_owned());
            statements.extend(resources.iter().map(|arn| format!("    - {arn}")));
            ways_out.push(format!("- !Ref {endpoint}"));
            // Tasks without a route to the internet reach the store only through a VPC endpoint of
            // its own.
            endpoints.extend([
                format!("{endpoint}:"),
                "  Type: AWS::EC2::VPCEndpoint".to_owned(),
                "  Condition: IsPrivate".to_owned(),
                "  Properties:".to_owned(),
                format!("    ServiceName: !Sub 'com.amazonaws.${{AWS::Region}}.{service}'"),
                "    VpcId: !Ref Vpc".to_owned(),
                "    VpcEndpointType: Interface".to_owned(),
                "    PrivateDnsEnabled: true".to_owned(),
                "    SubnetIds: [!Ref PrivateSubnetA, !Ref PrivateSubnetB]".to_owned(),
                "    SecurityGroupIds: [!GetAtt EndpointSecurityGroup.GroupId]".to_owned(),
                "    PolicyDocument:".to_owned(),
                "      Version: '2012-10-17'".to_owned(),
                "      Statement:".to_owned(),
                "        - Effect: Allow".to_owned(),
                "          Principal: '*'".to_owned(),
                format!("          Action: '{action}'"),
                "          Resource:".to_owned(),
            ]);
            endpoints.extend(resources.iter().map(|arn| format!("            - {arn}")));
            endpoints.push("          Condition: {StringEquals: {'aws:PrincipalAccount': !Ref 'AWS::AccountId'}}".to_owned());
        }
        slots.optional_lines("execution_policy", "service.secrets", statements);
        slots.optional_lines("endpoints", "service.secrets", endpoints);
        slots.optional_lines("ways_out", "service.secrets", ways_out);
        // The managed policy that bounds the execution role by default does not allow reading
        // secrets.
        slots.optional_value(
            "execution_boundary",
            "service.secrets",
            Some("!Ref 'AWS::NoValue'".to_owned()),
        );
    }

    fn permission_slots(&self, slots: &mut Slots) {
        let Some(policy) = &self.permissions else {
            return;
        };
        let role = [
            "TaskRole:",
            "  Type: AWS::IAM::Role",
            "  Properties:",
            "    Description: What the program may do",
            "    Path: !Sub '/deployer/${AWS::StackName}/'",
            "    PermissionsBoundary: !If [IsBounded, !Ref PermissionsBoundary, !Ref 'AWS::NoValue']",
            "    AssumeRolePolicyDocument:",
            "      Version: '2012-10-17'",
            "      Statement:",
            "        - Effect: Allow",
            "          Principal: {Service: ecs-tasks.amazonaws.com}",
            "          Action: sts:AssumeRole",
            // Keeps ECS from assuming the role for another account (confused deputy).
            "          Condition:",
            "            StringEquals: {'aws:SourceAccount': !Ref 'AWS::AccountId'}",
            "            ArnLike: {'aws:SourceArn': !Sub 'arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:*'}",
            "    Policies:",
            "      - PolicyName: program",
        ];
        let document = format!("        PolicyDocument: {policy}");
        let role = role.into_iter().map(str::to_owned).chain([document]);
        slots.lines("task_role", "service.permissions", role);
        slots.lines(
            "task_role_arn",
            "service.permissions",
            ["TaskRoleArn: !GetAtt TaskRole.Arn".to_owned()],
        );
        slots.optional_lines(
            "reviewed_roles",
            "service.permissions",
            ["- !GetAtt TaskRole.Arn".to_owned()],
        );
    }
}
