//! Gated deployments: a second target group, a listener rule for all requests and one for the
//! check, and a hook that pauses the deployment.

use super::slots::Slots;
use super::strategy::Strategy;

/// Header that routes to the new version. Its value is the UUID in the stack's ARN.
pub const HEADER: &str = "x-deployer-gate";
/// Minutes after which ECS rolls back a paused deployment that nobody answers, by default.
pub(super) const TIMEOUT_MINUTES: u32 = 15;
/// Stage at which every deployment is paused: before the first public request.
const STAGE: &str = "POST_TEST_TRAFFIC_SHIFT";

/// Returns whether a template pauses deployments at a gate.
pub fn is_gated(template: &str) -> bool {
    // Only a gated service has this property, whatever a custom template calls its resources.
    template.contains("TestListenerRule:")
}

/// Returns whether a template pauses deployments before the first public request.
pub fn can_hold(template: &str) -> bool {
    is_gated(template) && template.contains(STAGE)
}

/// Returns the second target group: a copy of the first under another name.
pub(super) fn other_target_group(template: &str) -> Vec<String> {
    let mut lines = template
        .lines()
        .skip_while(|line| *line != "  TargetGroup:");
    let first = lines.next().map(|_| "OtherTargetGroup:".to_owned());
    let rest = lines.take_while(|line| line.starts_with("    "));
    // The copied lines are already rendered: their marks would only name slots twice.
    let rest = rest.map(|line| line.split("  # deployer:").next().unwrap_or(line));
    let rest = rest.map(|line| line.get(2..).unwrap_or_default().to_owned());
    first.into_iter().chain(rest).collect()
}

/// Setting that turns the gate on, as it is written in `deployer.toml`.
const SETTING: &str = "deployment.strategy";

/// Resources of the gate, besides the second target group.
const RESOURCES: &str = "\
# The way in for everybody. ECS moves the weights: a template that changes this rule would set them back.
ProductionRule:
  Type: AWS::ElasticLoadBalancingV2::ListenerRule
  Properties:
    ListenerArn: !Ref Listener
    Priority: 100
    Conditions: [{Field: path-pattern, Values: ['*']}]
    Actions:
      - Type: forward
        ForwardConfig:
          TargetGroups:
            - {TargetGroupArn: !Ref TargetGroup, Weight: 1}
            - {TargetGroupArn: !Ref OtherTargetGroup, Weight: 0}
# The way in for the check, through the same port: a header whose value is the stack's own, and never changes.
GateRule:
  Type: AWS::ElasticLoadBalancingV2::ListenerRule
  Properties:
    ListenerArn: !Ref Listener
    Priority: 1
    Conditions:
      - Field: http-header
        HttpHeaderConfig:
          HttpHeaderName: x-deployer-gate
          Values: [!Select [2, !Split ['/', !Ref 'AWS::StackId']]]
    Actions:
      - Type: forward
        ForwardConfig:
          TargetGroups:
            - {TargetGroupArn: !Ref OtherTargetGroup, Weight: 1}
            - {TargetGroupArn: !Ref TargetGroup, Weight: 0}
TrafficRole:
  Type: AWS::IAM::Role
  Properties:
    Description: ECS moves requests between the two target groups
    Path: !Sub '/deployer/${AWS::StackName}/'
    PermissionsBoundary: !If [IsBounded, !Ref PermissionsBoundary, !Ref 'AWS::NoValue']
    AssumeRolePolicyDocument:
      Version: '2012-10-17'
      Statement:
        - Effect: Allow
          Principal: {Service: ecs.amazonaws.com}
          Action: sts:AssumeRole
          Condition: {StringEquals: {'aws:SourceAccount': !Ref 'AWS::AccountId'}}
    Policies:
      - PolicyName: move-traffic
        PolicyDocument:
          Version: '2012-10-17'
          Statement:
            - Effect: Allow
              Action:
                - elasticloadbalancing:DescribeListeners
                - elasticloadbalancing:DescribeRules
                - elasticloadbalancing:DescribeTargetGroups
                - elasticloadbalancing:DescribeTargetHealth
              Resource: '*'
            - Effect: Allow
              Action: ['elasticloadbalancing:RegisterTargets', 'elasticloadbalancing:DeregisterTargets']
              Resource: [!Ref TargetGroup, !Ref OtherTargetGroup]
            - Effect: Allow
              Action: elasticloadbalancing:ModifyRule
              Resource: [!Ref ProductionRule, !Ref GateRule]";

const TRAFFIC: &str = "\
AdvancedConfiguration:
  AlternateTargetGroupArn: !Ref OtherTargetGroup
  ProductionListenerRule: !Ref ProductionRule
  TestListenerRule: !Ref GateRule
  RoleArn: !GetAtt TrafficRole.Arn";

const OUTPUTS: &str = "\
OtherTargetGroupArn:
  Description: The target group that serves after every other deployment
  Value: !Ref OtherTargetGroup";

fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(str::to_owned)
}

/// Builds the metric of an alarm over both target groups.
fn metric(name: &str, statistic: &str, expression: &str) -> Vec<String> {
    // The groups alternate with every deployment. `FILL` makes the idle one, which reports nothing,
    // count as 0.
    let mut metric = vec![
        "Metrics:".to_owned(),
        format!("  - {{Id: tasks, Expression: '{expression}', Label: {name}, ReturnData: true}}"),
    ];
    for (id, group) in [("a", "TargetGroup"), ("b", "OtherTargetGroup")] {
        metric.extend([
            format!("  - Id: {id}"),
            "    ReturnData: false".to_owned(),
            "    MetricStat:".to_owned(),
            format!("      Stat: {statistic}"),
            "      Period: 60".to_owned(),
            "      Metric:".to_owned(),
            "        Namespace: AWS/ApplicationELB".to_owned(),
            format!("        MetricName: {name}"),
            "        Dimensions:".to_owned(),
            "          - {Name: LoadBalancer, Value: !GetAtt LoadBalancer.LoadBalancerFullName}"
                .to_owned(),
            format!(
                "          - {{Name: TargetGroup, Value: !GetAtt {group}.TargetGroupFullName}}"
            ),
        ]);
    }
    metric
}

/// Minutes that a deployment waits.
#[derive(Clone, Copy)]
pub(super) struct Minutes {
    /// While the previous tasks keep running.
    pub(super) bake: u32,
    /// Between two steps of traffic.
    pub(super) step: u32,
    /// For an answer at the gate.
    pub(super) gate: u32,
}

/// Requests of both target groups on the dashboard. A dot repeats what the metric before has there.
const REQUESTS_OF_GROUPS: &str = r#"!Sub ', [".", "RequestCount", "TargetGroup", "${TargetGroup.TargetGroupFullName}", "LoadBalancer", "${LoadBalancer.LoadBalancerFullName}", {"label": "first group"}], [".", ".", ".", "${OtherTargetGroup.TargetGroupFullName}", ".", ".", {"label": "other group"}]'"#;
/// Tasks of the second target group on the dashboard.
const OTHER_TASKS: &str = r#"!Sub ', [".", "HealthyHostCount", ".", "${OtherTargetGroup.TargetGroupFullName}", ".", ".", {"label": "healthy, other group"}], [".", "UnHealthyHostCount", ".", ".", ".", ".", {"label": "unhealthy, other group"}]'"#;

/// Fills the slots of the gate, unless the strategy is rolling.
pub(super) fn fill(strategy: Strategy, minutes: Minutes, slots: &mut Slots) {
    if !strategy.is_gated() {
        return;
    }
    slots.lines("gate", SETTING, lines(RESOURCES));
    slots.lines("gate_traffic", SETTING, lines(TRAFFIC));
    slots.lines("gate_outputs", SETTING, lines(OUTPUTS));
    slots.value("strategy", SETTING, Some(strategy.of_ecs().to_owned()));
    let stages = match strategy {
        // `Rolling` has returned above.
        Strategy::Rolling | Strategy::BlueGreen => STAGE.to_owned(),
        // ECS reaches `PRE_PRODUCTION_TRAFFIC_SHIFT` before each step.
        Strategy::Linear { .. } | Strategy::Canary { .. } => {
            format!("{STAGE}, PRE_PRODUCTION_TRAFFIC_SHIFT")
        }
    };
    let mut hooks = vec![
        format!("BakeTimeInMinutes: {}", minutes.bake),
        "LifecycleHooks:".to_owned(),
        "  # Nobody but the check lets a new version take requests; without a verdict, ECS takes it back.".to_owned(),
        "  - TargetType: PAUSE".to_owned(),
        format!("    LifecycleStages: [{stages}]"),
        format!(
            "    TimeoutConfiguration: {{TimeoutInMinutes: {}, Action: ROLLBACK}}",
            minutes.gate
        ),
    ];
    match strategy {
        Strategy::Rolling | Strategy::BlueGreen => {}
        Strategy::Linear { step_percent } => hooks.push(format!(
            "LinearConfiguration: {{StepPercent: {step_percent}, StepBakeTimeInMinutes: {}}}",
            minutes.step
        )),
        Strategy::Canary { canary_percent } => hooks.push(format!(
            "CanaryConfiguration: {{CanaryPercent: {canary_percent}, CanaryBakeTimeInMinutes: {}}}",
            minutes.step
        )),
    }
    slots.lines("gate_hooks", SETTING, hooks);
    slots.removal("one_target_group", SETTING, false);
    let requests = REQUESTS_OF_GROUPS.to_owned();
    slots.optional_value("requests_of_groups", SETTING, Some(requests));
    slots.optional_value("other_tasks", SETTING, Some(OTHER_TASKS.to_owned()));
    slots.optional_lines(
        "healthy_tasks",
        SETTING,
        metric("HealthyHostCount", "Minimum", "FILL(a, 0) + FILL(b, 0)"),
    );
    slots.optional_lines(
        "unhealthy_tasks",
        SETTING,
        metric("UnHealthyHostCount", "Maximum", "FILL(a, 0) + FILL(b, 0)"),
    );
}
