use console::measure_text_width;

use super::*;
use crate::report::samples::{self, STACK, at, changed, ended, operation, phase, started};
use deployment::event::Phase;

const LOAD_BALANCER: &str = "AWS::ElasticLoadBalancingV2::LoadBalancer";
const SERVICE: &str = "AWS::ECS::Service";

fn size(columns: usize) -> Size {
    Size { rows: 24, columns }
}

/// The screen after these events: what stays, and what was under way at this moment.
fn after(events: &[(i64, Event)], millis: i64, size: Size, paint: Paint) -> String {
    let mut screen = Screen::new(paint);
    let mut lines = Vec::new();
    for (at_millis, event) in events {
        lines.extend(screen.take(at(*at_millis), event));
    }
    lines.push("----".to_owned());
    let frame = screen.frame(at(millis), size);
    for line in &frame {
        assert!(measure_text_width(line) < size.columns, "{line}");
    }
    assert!(frame.len() < size.rows, "{frame:#?}");
    lines.extend(frame);
    lines.join("\n")
}

/// A stack is being created, while the program is compiled.
fn creating() -> Vec<(i64, Event)> {
    let types = [
        LOAD_BALANCER,
        "AWS::EC2::VPC",
        "AWS::EC2::InternetGateway",
        "AWS::ECR::Repository",
    ];
    let compiled = Event::Compiled {
        crates: 57,
        name: "hyper-of-a-very-long-name-时间-which-is-too-long-for-any-line-that-is-narrow"
            .to_owned(),
    };
    vec![
        (0, started("up", false)),
        (0, phase(Phase::Image)),
        (0, compiled),
        (0, phase(Phase::Create)),
        (0, operation("create", &types)),
        (0, changed("Vpc", "AWS::EC2::VPC", "CREATE_IN_PROGRESS")),
        (9_000, changed("Vpc", "AWS::EC2::VPC", "CREATE_COMPLETE")),
        (
            9_000,
            changed("LoadBalancer", LOAD_BALANCER, "CREATE_IN_PROGRESS"),
        ),
        (
            10_000,
            changed("Repository", "AWS::ECR::Repository", "CREATE_IN_PROGRESS"),
        ),
    ]
}

#[test]
fn creating_at_60_80_and_200_columns() {
    insta::assert_snapshot!(after(&creating(), 70_000, size(60), Paint::OFF), @"
      up: stack clock
    ----
      ⠋ image      1 min 10 s  compiled 57 crates: hyper-of-a-…
      ⠋ create     1 min 10 s  ━━━━━─────  usually 2 min 13 s
          load balancer (LoadBalancer)              1 min 01 s
          image repository (Repository)             1 min 00 s
    ");
    insta::assert_snapshot!(after(&creating(), 70_000, size(80), Paint::OFF), @"
      up: stack clock
    ----
      ⠋ image      1 min 10 s  compiled 57 crates: hyper-of-a-very-long-name-时间-…
      ⠋ create     1 min 10 s  ━━━━━━━━━━──────────  usually 2 min 13 s
          load balancer (LoadBalancer)                             1 min 01 s
          image repository (Repository)                            1 min 00 s
    ");
    insta::assert_snapshot!(after(&creating(), 70_000, size(200), Paint::OFF), @"
      up: stack clock
    ----
      ⠋ image      1 min 10 s  compiled 57 crates: hyper-of-a-very-long-name-时间-which-is-too-long-for-any-line-that-is-narrow
      ⠋ create     1 min 10 s  ━━━━━━━━━━━━━━━━━━━━────────────────────  usually 2 min 13 s
          load balancer (LoadBalancer)                             1 min 01 s
          image repository (Repository)                            1 min 00 s
    ");
}

#[test]
fn rolling_back_in_colour() {
    let mut events = creating();
    events.extend([
        (
            71_000,
            changed("LoadBalancer", LOAD_BALANCER, "CREATE_FAILED"),
        ),
        (71_000, changed("clock", STACK, "ROLLBACK_IN_PROGRESS")),
        (
            72_000,
            changed("Vpc", "AWS::EC2::VPC", "DELETE_IN_PROGRESS"),
        ),
    ]);
    let shown = after(&events, 80_000, size(80), Paint::ON);
    insta::assert_snapshot!(shown.replace('\u{1b}', "^"), @r#"
      up: stack clock
      ^[31m✗^[0m CREATE_FAILED load balancer (LoadBalancer): no capacity: 50%, "try" again
    ----
      ^[36m⠋^[0m image      1 min 20 s  compiled 57 crates: hyper-of-a-very-long-name-时间-…
      ^[36m⠋^[0m create     1 min 20 s  ^[33m━━━━━━━━━━━━━━━━━^[0m^[2m───^[0m  ^[33mrolling back^[0m
          image repository (Repository)                           ^[2m 1 min 10 s^[0m
          VPC (Vpc)                                               ^[2m        8 s^[0m
    "#);
}

#[test]
fn slower_than_usual() {
    let shown = after(&creating(), 400_000, size(80), Paint::ON);
    insta::assert_snapshot!(shown.replace('\u{1b}', "^"), @"
      up: stack clock
    ----
      ^[36m⠋^[0m image      6 min 40 s  compiled 57 crates: hyper-of-a-very-long-name-时间-…
      ^[36m⠋^[0m create     6 min 40 s  ^[32m━━━━━━━━━━━━━━━━^[0m^[2m────^[0m  ^[33musually 2 min 13 s^[0m
          load balancer (LoadBalancer)                            ^[2m 6 min 31 s^[0m
          image repository (Repository)                           ^[2m 6 min 30 s^[0m
    ");
}

#[test]
fn versions_at_60_80_and_200_columns() {
    let events = [
        (0, started("up", true)),
        (0, phase(Phase::Rollout)),
        (100, samples::moved()),
    ];
    insta::assert_snapshot!(after(&events, 12_340, size(60), Paint::OFF), @"
      up: stack clock on this machine
    ----
      ⠸ rollout          12 s  2 of 3 targets healthy
          deployment          running  pending  failed  desired
          new  clock:12             1        1       1        2
          old  clock:11             2        0       0        2
    ");
    insta::assert_snapshot!(after(&events, 12_340, size(80), Paint::OFF), @"
      up: stack clock on this machine
    ----
      ⠸ rollout          12 s  2 of 3 targets healthy
          deployment          running  pending  failed  desired
          new  clock:12             1        1       1        2
          old  clock:11             2        0       0        2
    ");
    insta::assert_snapshot!(after(&events, 12_340, size(200), Paint::OFF), @"
      up: stack clock on this machine
    ----
      ⠸ rollout          12 s  2 of 3 targets healthy
          deployment          running  pending  failed  desired
          new  clock:12             1        1       1        2
          old  clock:11             2        0       0        2
    ");
}

#[test]
fn never_more_lines_than_the_terminal_has() {
    let mut events = vec![(0, started("up", true)), (0, phase(Phase::Image))];
    events.extend([
        (0, phase(Phase::Create)),
        (0, operation("create", &[SERVICE])),
    ]);
    for number in 0..20 {
        let id = format!("Subnet{number:02}");
        events.push((
            number,
            changed(&id, "AWS::EC2::Subnet", "CREATE_IN_PROGRESS"),
        ));
    }
    let rows = |rows: usize| {
        let shown = after(&events, 5_000, Size { rows, columns: 80 }, Paint::OFF);
        shown.split_once("----\n").unwrap().1.to_owned()
    };
    insta::assert_snapshot!(rows(9), @"
    ⠋ image             5 s  
    ⠋ create            5 s  ━━━━━━━━━━━━────────  
        subnet (Subnet00)                                               5 s
        subnet (Subnet01)                                               4 s
        subnet (Subnet02)                                               4 s
        subnet (Subnet03)                                               4 s
        and 16 more
    ");
    assert_eq!(rows(4).lines().count(), 2);
    assert_eq!(rows(2).lines().count(), 1);
    assert_eq!(rows(24).lines().count(), 22);
}

#[test]
fn pushing() {
    let events = [
        (0, phase(Phase::Push)),
        (
            0,
            Event::PushProgressed {
                sent: 400_000,
                total: 862_619,
            },
        ),
    ];
    insta::assert_snapshot!(after(&events, 2_000, size(80), Paint::OFF), @"
    ----
      ⠋ push              2 s  ━━━━━━━━━───────────  400.0 kB of 862.6 kB
    ");
}

#[test]
fn nothing_is_left_at_the_end() {
    let failed = Event::Failed {
        exit_code: 130,
        failure: deployment::error::Failure::interrupted(),
    };
    let asked = Event::Asked {
        question: "This would remove Alarm (Alarm). Go on?".to_owned(),
        answers: "y/N",
    };
    for (last, lines) in [(failed, 1), (asked, 2)] {
        let mut events = creating();
        events.push((11_000, last));
        let shown = after(&events, 12_000, size(80), Paint::OFF);
        assert!(shown.ends_with("----"), "{shown}");
        assert_eq!(shown.lines().count(), lines + 1, "{shown}");
    }
}

#[test]
fn the_way_back() {
    let events = [
        (0, started("up", false)),
        (0, phase(Phase::Update)),
        (9_000, ended(Phase::Update, 9.0)),
        (9_000, phase(Phase::Rollout)),
        (10_000, samples::moved()),
        (20_000, phase(Phase::Back)),
        (20_000, operation("update", &[SERVICE])),
        (21_000, changed("Service", SERVICE, "UPDATE_IN_PROGRESS")),
    ];
    insta::assert_snapshot!(after(&events, 60_000, size(80), Paint::OFF), @"
      up: stack clock
      ✓ update    9.0 s
      ✗ rollout   2 of 3 targets healthy 11.0 s
    ----
      ⠋ back             40 s  ━━━━━━──────────────  usually 1 min 59 s
          service (Service)                                              39 s
    ");
    let mut events = events.to_vec();
    events.push((70_000, Event::OperationEnded { status: None }));
    events.push((70_000, phase(Phase::Rollout)));
    events.push((70_500, samples::moved()));
    insta::assert_snapshot!(after(&events, 71_000, size(80), Paint::OFF), @"
      up: stack clock
      ✓ update    9.0 s
      ✗ rollout   2 of 3 targets healthy 11.0 s
    ----
      ⠋ back             51 s  
      ⠋ rollout           1 s  2 of 3 targets healthy
          deployment          running  pending  failed  desired
          new  clock:12             1        1       1        2
          old  clock:11             2        0       0        2
    ");
}
