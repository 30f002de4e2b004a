use super::*;
use deployment::event::{Phase, Summary, Timing};
use deployment::rollout::Task;

fn check() -> Checked {
    Checked {
        kind: clock::Kind::Clock,
        status: Some(200),
        verdict: clock::Verdict::Ok,
        cause: None,
        offset_ms: Some(-0.34),
        uncertainty_ms: Some(0.81),
        instances: 2,
        version: Some("0.1.0+3f2a9c0b1d2e".to_owned()),
        requests: 9,
        unreachable: false,
    }
}

#[test]
fn durations_and_sizes() {
    assert_eq!(duration(0.04), "0.0 s");
    assert_eq!(duration(59.9), "59.9 s");
    assert_eq!(duration(125.2), "2 min 05 s");
    assert_eq!(whole_duration(59.9), "59 s");
    assert_eq!(whole_duration(125.9), "2 min 05 s");
    assert_eq!(size(12), "12 B");
    assert_eq!(size(686_912), "686.9 kB");
    assert_eq!(size(1_859_392), "1.9 MB");
}

#[test]
fn the_summary() {
    let task = |id: &str, zone: &str| Task {
        id: id.to_owned(),
        status: "RUNNING".to_owned(),
        zone: Some(zone.to_owned()),
        task_definition: "arn".to_owned(),
        image: None,
    };
    let summary = Summary {
        changed: true,
        url: "http://clock.alb.localhost:4566/now".to_owned(),
        image: "localhost:4566/clock@sha256:3f2a".to_owned(),
        version: Some("0.1.0+3f2a9c0b1d2e".to_owned()),
        tasks: vec![
            task("0123456789", "us-east-1a"),
            task("abcdef0123", "us-east-1b"),
        ],
        check: Some(check()),
        unproven: None,
        probe: None,
        cost: crate::report::samples::cost("X86_64"),
        delete: "deployer down --local".to_owned(),
        timings: vec![
            Timing {
                phase: Phase::Emulator,
                seconds: 2.04,
            },
            Timing {
                phase: Phase::Image,
                seconds: 71.0,
            },
        ],
        seconds: 75.0,
    };
    insta::assert_snapshot!(super::summary(&summary), @"
    The service is up.
      url       http://clock.alb.localhost:4566/now
      version   0.1.0+3f2a9c0b1d2e
      image     localhost:4566/clock@sha256:3f2a
      tasks     2: 01234567 in us-east-1a, abcdef01 in us-east-1b
      check     OK, offset -0.3 ms ± 0.8 ms, 2 instances
      time      1 min 15 s: emulator 2.0 s, image 1 min 11 s
      cost      about $0.07 an hour, $49 a month (load balancer $16.43, 2 tasks $18.02, 4 public addresses $14.60; us-east-1 prices of 2026-06, without traffic)
      delete    deployer down --local
    ");
}

#[test]
fn a_failure() {
    let failure = Failure::preflight("`app` does not compile")
        .because("1 error")
        .with_evidence(["error[E0425]: cannot find value".to_owned()])
        .hint("fix it");
    insta::assert_snapshot!(super::failure(&failure), @r"
    error: `app` does not compile
      because: 1 error
      | error[E0425]: cannot find value
      hint: fix it
    ");
}
