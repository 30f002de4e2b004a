//! Somebody changed the service by hand: it is named, and put right by what is printed.

use super::{FakeHost, bringing_up_on, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{change, resource, rolled_out, with_tasks};
use crate::testing::moment::{Moment, at};
use crate::testing::stages::waiting;
use deployment::names::TargetGroupArn;
use deployment::rollout::gate::LifecycleStage;
use deployment::rollout::traffic::ListenerRule;
use deployment::stack::request::Proposal;

/// A stack that runs a version, and wants two tasks of it.
fn wanting_two() -> Moment {
    at("UPDATE_COMPLETE")
        .with_image('b')
        .with_parameter("DesiredCount", "2")
}

#[tokio::test(start_paused = true)]
async fn a_number_of_tasks_that_was_set_by_hand_is_named() {
    let world = FakeWorld::new([wanting_two()]).services([with_tasks(0)]);
    let text = bringing_up_on(FakeHost::new(world)).await;
    assert!(!text.contains("> CreateChangeSet"), "{text}");
    let (_, end) = text.split_once("error: ").unwrap();
    insta::assert_snapshot!(end, @"
    somebody set 0 tasks by hand, the stack wants 2; nothing was changed
      hint: have 2 again: `deployer up --stack clock --profile work --force`
      hint: or let the stack want another number: `tasks` under `[service]`, or `--tasks`, then the same command
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn and_set_right_by_the_command_that_is_printed() {
    let world = FakeWorld::new([wanting_two(), wanting_two()])
        .services([with_tasks(0), with_tasks(0), rolled_out()])
        .proposals([Proposal::Empty]);
    let host = FakeHost::new(world).with(|config| config.force = true);
    let text = bringing_up_on(host).await;
    assert_eq!(text.matches("> UpdateService").count(), 1, "{text}");
    assert!(
        text.contains("> UpdateService clock-service (2 new tasks)"),
        "{text}"
    );
    assert!(
        text.contains("somebody set 0 tasks, the stack wants 2"),
        "{text}"
    );
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn where_the_load_decides_no_number_is_wrong() {
    let scaled = || wanting_two().with_parameter("MaxCount", "6");
    let world = FakeWorld::new([scaled(), scaled()])
        .services([with_tasks(5)])
        .targets([crate::testing::answer::targets(&["healthy"; 5])])
        .proposals([Proposal::Empty]);
    let host = FakeHost::new(world);
    let expected = host.expected();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
    // Each of them is proven.
    assert_eq!(*expected.lock().unwrap(), [Some(5)]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_the_load_removes_are_not_waited_for() {
    let scaled = || wanting_two().with_parameter("MaxCount", "6");
    let world = FakeWorld::new([scaled(), scaled()])
        .services([with_tasks(2), with_tasks(2), with_tasks(3), with_tasks(2)])
        .targets([crate::testing::answer::targets(&["healthy"; 3])])
        .proposals([Proposal::Empty]);
    let version = "0.1.0+0123456789ab";
    let host = FakeHost::new(world).finding([
        crate::testing::answer::too_few(version),
        crate::testing::answer::answers(version),
    ]);
    let expected = host.expected();
    let text = bringing_up_on(host).await;
    assert!(text.ends_with("exit code 0\n"), "{text}");
    assert_eq!(expected.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_deleted_by_hand_is_made_again() {
    let world = FakeWorld::new([
        wanting_two(),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
        updating(),
        updated(),
        at("UPDATE_COMPLETE"),
    ])
    .services([None, None, None, rolled_out()])
    .proposals([
        Proposal::Ready(vec![change("Remove", "Service")]),
        Proposal::Ready(vec![change("Add", "Service")]),
    ]);
    let text = bringing_up_on(FakeHost::new(world)).await;
    let (_, rest) = text.split_once("warning: ").unwrap();
    insta::assert_snapshot!(rest, @"
    somebody deleted the service by hand: the stack lets go of it, and makes it again
    update: started
    > CreateChangeSet clock/1 with , the same template
    1 change: remove service (Service)
    > ExecuteChangeSet
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:0123456789ab
    1 change: add service (Service)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    rollout: new 2 of 2 running; 2 of 2 targets healthy
    rollout: done in 0.0 s
    check: started
    check: OK, offset +0.2 ms ± 1.2 ms, 2 instances
    check: done in 0.0 s
    The service is up.
      url       http://clock.example/now
      version   0.1.0+0123456789ab
      image     registry.example/clock-repository@sha256:0123456789ab
      tasks     0: 
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, update 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

/// A stack with two target groups, of which the first has the tasks.
fn gated() -> Moment {
    wanting_two().with_output("OtherTargetGroupArn", "other-targets")
}

/// The listener rules, with these weights of all requests.
fn rules(weights: [u32; 2]) -> [ListenerRule; 2] {
    let [first, other] = weights;
    let rule = |arn: &str, condition: &str, [first, other]: [u32; 2]| ListenerRule {
        arn: arn.to_owned(),
        conditions: vec![condition.to_owned()],
        groups: vec![
            (TargetGroupArn::new("clock-targets"), first),
            (TargetGroupArn::new("other-targets"), other),
        ],
    };
    [
        rule("clock-productionrule", "path-pattern: *", [first, other]),
        rule("clock-gaterule", "x-deployer-gate: 1", [100, 0]),
    ]
}

/// `up` with this template, where the load balancer has these rules.
async fn with_rules(rules: Vec<ListenerRule>, template: &str, moments: Vec<Moment>) -> String {
    with_rules_in(FakeWorld::new(moments), rules, template).await
}

/// The same in this world.
async fn with_rules_in(world: FakeWorld, rules: Vec<ListenerRule>, template: &str) -> String {
    let world = world
        .resources([["ProductionRule", "GateRule"]
            .map(|name| resource(name, "CREATE_COMPLETE"))
            .to_vec()])
        .rules(rules, "other-targets");
    let host = FakeHost::new(world)
        .with(|config| config.settings.strategy = deployment::template::Strategy::BlueGreen);
    let text = super::bringing_up_with(host, template).await;
    let (_, text) = text.split_once("push: done in 0.0 s\n").unwrap();
    text.to_owned()
}

const TEMPLATE: &str = "Resources:\n  Repository:\n    Type: AWS::ECR::Repository\n  Service:\n    TestListenerRule: x\n";

#[tokio::test(start_paused = true)]
async fn rules_that_were_changed_by_hand_are_named_before_anything_changes() {
    let mut text = String::new();
    let [production, _] = rules([100, 0]);
    for rules in [
        rules([50, 50]).to_vec(),
        rules([0, 100]).to_vec(),
        vec![production],
    ] {
        let found = with_rules(rules, TEMPLATE, vec![gated()]).await;
        assert!(!found.contains("> "), "{found}");
        text.push_str(&found);
    }
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn rules_as_ecs_left_them_are_fine() {
    let moments = || vec![gated(), updating(), updated(), gated()];
    let text = with_rules(rules([100, 0]).to_vec(), TEMPLATE, moments()).await;
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
    // Without a gate, the rules go: nothing depends on their weights.
    let text = with_rules(
        rules([50, 50]).to_vec(),
        "Resources:\n  Repository:\n",
        moments(),
    )
    .await;
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn weights_that_a_deployment_moves_are_nobodys_fault() {
    let stage = &LifecycleStage::PreProductionTrafficShift;
    let moments = [gated(), updating(), updated(), gated()];
    let under_way = waiting("hook", stage, "arn:task-definition/clock:1");
    let world = FakeWorld::new(moments).paused([under_way, Vec::new()]);
    let text = with_rules_in(world, rules([50, 50]).to_vec(), TEMPLATE).await;
    assert!(text.contains("> ExecuteChangeSet"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn tasks_leave_the_second_group_before_it_goes() {
    let moments = || vec![gated(), updating(), updated(), gated()];
    let rolling = "Resources:\n  Repository:\n";
    let text = with_rules(rules([0, 100]).to_vec(), rolling, moments()).await;
    let (before, _) = text.split_once("> ExecuteChangeSet").unwrap();
    assert!(
        before.contains("> UpdateService clock-service (new tasks)"),
        "{text}"
    );
    let text = with_rules(rules([100, 0]).to_vec(), rolling, moments()).await;
    assert!(!text.contains("> UpdateService"), "{text}");
}
