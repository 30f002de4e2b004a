use super::*;
use crate::commands::plan::PlanAction;
use crate::report::samples::{self, ended, started};
use deployment::event::Phase;
use deployment::stack::change::Change;

fn markdown(events: &[Event]) -> String {
    let mut summary = JobSummary::default();
    let ends = events.iter().filter_map(|event| summary.take(event));
    ends.collect()
}

#[test]
fn a_success() {
    let events = [
        started("up", true),
        ended(Phase::Image, 71.0),
        ended(Phase::Rollout, 3.5),
        Event::Succeeded {
            summary: Box::new(samples::summary()),
        },
    ];
    insta::assert_snapshot!(markdown(&events), @"
    ### ✅ up: stack clock on this machine

    | | |
    |---|---|
    | result | the service is up |
    | url | `http://clock.alb.localhost:4566/now` |
    | version | `0.1.0+3f2a9c0b1d2e` |
    | image | `localhost:4566/clock@sha256:3f2a` |
    | check | OK, offset -0.3 ms ± 0.8 ms, 2 instances |
    | rollout | 0 of 1482 requests failed meanwhile |
    | cost | about $0.06 an hour, $45 a month (load balancer $16.43, 2 tasks $14.42, 4 public addresses $14.60; us-east-1 prices of 2026-06, without traffic) |
    | time | 1 min 15 s: image 1 min 11 s, rollout 3.5 s |
    ");
}

#[test]
fn a_failure() {
    let events = [
        started("up", false),
        ended(Phase::Image, 71.0),
        Event::Probed {
            probe: Probed {
                requests: 1482,
                failed: 3,
                longest_gap_ms: 1200,
                first_failure: Some("connection refused".to_owned()),
            },
        },
        Event::Failed {
            exit_code: 4,
            failure: samples::failure(),
        },
    ];
    insta::assert_snapshot!(markdown(&events), @r"
    ### ❌ up: stack clock

    | | |
    |---|---|
    | result | the new version does not run |
    | exit code | 4 |
    | because | service (Service): 100 % of \| the tasks &lt;failed><br>at once |
    | rollout | 3 of 1482 requests failed meanwhile, for 1.2 s at a stretch (connection refused) |
    | time | image 1 min 11 s |

    ````text
    task 0123 failed: exit code 1
      ::error::of a program
    ## [error]and more
    red, and ``` of Markdown
    ````

    - look: `deployer status`
    - fix it, then `deployer up` again
    ");
}

#[test]
fn other_ends() {
    let failed = Event::Failed {
        exit_code: 3,
        failure: Failure::preflight("cannot read `deployer.toml`"),
    };
    let gone = Event::Deleted {
        looked_for: vec!["load balancer".to_owned()],
        seconds: 1.2,
    };
    let nothing = Event::NothingThere {
        message: "nothing to delete".to_owned(),
    };
    let ends = [
        markdown(&[failed]),
        markdown(&[started("down", true), gone]),
        markdown(&[started("down", true), nothing]),
    ];
    insta::assert_snapshot!(ends.concat(), @"
    ### ❌ deployer

    | | |
    |---|---|
    | result | cannot read `deployer.toml` |
    | exit code | 3 |

    ### ✅ down: stack clock on this machine

    | | |
    |---|---|
    | result | everything is gone |
    | time | 1.2 s |

    ### ✅ down: stack clock on this machine

    | | |
    |---|---|
    | result | nothing to delete |
    ");
}

#[test]
fn what_would_change() {
    let change = Change {
        action: "Remove".into(),
        logical_id: "Alarm".to_owned(),
        physical_id: Some("alarm".to_owned()),
        resource_type: "AWS::CloudWatch::Alarm".to_owned(),
        replacement: None,
        properties: Vec::new(),
        causes: None,
    };
    let plan = Plan {
        stack: "clock".parse().unwrap(),
        status: "UPDATE_COMPLETE".to_owned(),
        action: PlanAction::Update,
        changes: vec![change],
        check: Some("http at /x, status 204".to_owned()),
        tags: std::collections::BTreeMap::new(),
        image_before: None,
        image_after: format!("sha256:{}", "b".repeat(64)),
        cost_per_hour_before: None,
        cost_after: None,
    };
    insta::assert_snapshot!(super::plan(&plan), @r"
    ### plan: stack clock

    ```text
    stack clock (UPDATE_COMPLETE): the stack would be updated
      image  bbbbbbbbbbbb, the first
      check  http at /x, status 204
    ! remove alarm (Alarm)
    ! takes something away that exists: `deployer up` asks first, or wants `--yes`
    ```
    ");
}

#[test]
fn markdown_of_others_is_text() {
    let table = [
        ("run `a [b] | c` now", "run `a [b] | c` now"),
        (
            "an odd ` and [x](y) <b>",
            "an odd \\` and \\[x\\](y) &lt;b>",
        ),
        ("CREATE_FAILED *", "CREATE\\_FAILED \\*"),
    ];
    for (text, expected) in table {
        assert_eq!(inline(text), expected);
    }
    assert_eq!(cell(&inline("a|b\nc")), "a\\|b<br>c");
    assert_eq!(code("a`b"), "a\\`b");
    let many: Vec<String> = (0..120).map(|number| number.to_string()).collect();
    assert!(fenced(&many).ends_with("99\n… and 20 more\n```\n"));
}
