use super::*;
use crate::report::samples::{self, STACK, at, changed, ended, operation, phase, started};
use deployment::event::Phase;

fn log(events: &[(i64, Event)]) -> String {
    let mut workflow = Workflow::default();
    let lines = events
        .iter()
        .map(|(millis, event)| workflow.take(at(*millis), event));
    lines.collect()
}

#[test]
fn a_deployment() {
    let repository = "AWS::ECR::Repository";
    let warned = Event::Warned {
        message: "slow: 50 %,\nbut it goes on".to_owned(),
    };
    let events = [
        (0, started("up", false)),
        (0, phase(Phase::Image)),
        (0, phase(Phase::Create)),
        (0, operation("create", &[repository])),
        (200, changed("Repository", repository, "CREATE_COMPLETE")),
        (200, changed("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE")),
        (1500, ended(Phase::Image, 1.5)),
        (1500, phase(Phase::Push)),
        (2000, ended(Phase::Push, 0.5)),
        (3000, changed("clock", STACK, "CREATE_COMPLETE")),
        (3000, ended(Phase::Create, 3.0)),
        (3000, Event::StackFound { status: None }),
        (3000, phase(Phase::Update)),
        (3100, warned),
        (4000, ended(Phase::Update, 1.0)),
        (4000, phase(Phase::Rollout)),
        (4500, samples::moved()),
        (5000, ended(Phase::Rollout, 1.0)),
        (
            6000,
            Event::Succeeded {
                summary: Box::new(samples::summary()),
            },
        ),
    ];
    insta::assert_snapshot!(log(&events), @"
    10:04:05Z up: stack clock
    ::group::image, create
    10:04:05Z CREATE_COMPLETE 2 resources: image repository (Repository), VPC (Vpc)
    10:04:06Z image: done in 1.5 s
    ::endgroup::
    ::group::create, push
    10:04:07Z push: done in 0.5 s
    ::endgroup::
    ::group::create
    10:04:08Z CREATE_COMPLETE stack (clock)
    10:04:08Z create: done in 3.0 s
    ::endgroup::
    10:04:08Z there is no such stack
    ::warning title=deployer::slow: 50 %25,%0Abut it goes on
    ::group::update
    10:04:09Z update: done in 1.0 s
    ::endgroup::
    ::group::rollout
    10:04:09Z rollout: new 1 of 2 running, 1 pending, 1 failed; old 2 of 2 running; 2 of 3 targets healthy
    10:04:10Z rollout: done in 1.0 s
    ::endgroup::
    ");
}

#[test]
fn a_failure_closes_the_group_and_smuggles_no_command() {
    let events = [
        (0, started("up", false)),
        (0, phase(Phase::Update)),
        (
            100,
            changed("Service", "AWS::ECS::Service", "CREATE_FAILED"),
        ),
        (
            200,
            Event::Failed {
                exit_code: 4,
                failure: samples::failure(),
            },
        ),
    ];
    insta::assert_snapshot!(log(&events), @r#"
    10:04:05Z up: stack clock
    ::group::update
    10:04:05Z CREATE_FAILED service (Service): no capacity: 50%, "try" again
    ::endgroup::
    error: the new version does not run
      because: service (Service): 100 % of | the tasks <failed>
        at once
      | task 0123 failed: exit code 1
      |   ::error::of a program
    ## [error]and more
      | red, and ``` of Markdown
      hint: look: `deployer status`
      hint: fix it, then `deployer up` again
    ::error title=deployer%3A exit code 4::the new version does not run%0Abecause: service (Service): 100 %25 of | the tasks <failed>%0Aat once%0Ahint: look: `deployer status`%0Ahint: fix it, then `deployer up` again
    "#);
}

#[test]
fn what_is_escaped() {
    assert_eq!(
        annotation("error", "a:b,c%", "50%: x,\r\ny"),
        "::error title=a%3Ab%2Cc%25::50%25: x,%0Ay\n"
    );
}
