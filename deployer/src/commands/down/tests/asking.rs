//! Everything is deleted only where nobody says no.

use crate::commands::down::{agree, is_retained};
use crate::config::Consent;
use crate::testing::answer::resource;
use crate::testing::moment::{Moment, absent, at};
use crate::testing::{FakeHost, FakeWorld, connection, settings};

/// What is asked about this stack, and what becomes of the answer.
async fn asking(moment: Moment, answer: Option<bool>, agreed: bool) -> String {
    // Who agreed in advance is asked nothing, and nothing is looked at.
    let moments = (!agreed).then_some(moment);
    let host = FakeHost::new(FakeWorld::new(moments));
    let host = match answer {
        Some(answer) => host.answering(answer),
        None => host,
    };
    let host = host.with(|config| config.consent.agreed = agreed);
    let run = async |context: crate::context::Context<'_>, host: &FakeHost| {
        agree(context, host, &connection(host.shared_world())).await
    };
    host.run(run).await
}

#[tokio::test(start_paused = true)]
async fn somebody_agrees_or_does_not() {
    insta::assert_snapshot!(asking(at("CREATE_COMPLETE"), Some(true), false).await, @"
    ? This deletes the stack `clock` in account 123456789012, region eu-central-1 (http://clock.example/now): 5 resources, with all images and logs. Go on? true
    exit code 0
    ");
    let refused = asking(at("CREATE_COMPLETE"), Some(false), false).await;
    let (_, end) = refused.split_once("false\n").unwrap();
    insta::assert_snapshot!(end, @"
    error: not agreed to: nothing was deleted
      hint: see what there is: `deployer status`
      hint: agree in advance: `--yes`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_where_nothing_is_to_be_decided() {
    for (moment, answer, agreed) in [
        (at("CREATE_COMPLETE"), None, false),
        (at("CREATE_COMPLETE"), Some(false), true),
        (absent(), Some(false), false),
        (at("DELETE_IN_PROGRESS"), Some(false), false),
    ] {
        let text = asking(moment, answer, agreed).await;
        assert!(
            text.ends_with("exit code 0\n") && !text.contains('?'),
            "{text}"
        );
    }
}

#[test]
fn what_was_to_be_retained() {
    let mut config = settings();
    config.consent = Consent {
        retain: vec!["Repository".to_owned()],
        ..Consent::default()
    };
    for (name, status, retained) in [
        ("Repository", "DELETE_FAILED", true),
        ("Repository", "DELETE_SKIPPED", true),
        ("Repository", "DELETE_COMPLETE", false),
        ("Repository", "CREATE_COMPLETE", false),
        ("Cluster", "DELETE_FAILED", false),
        ("Cluster", "DELETE_SKIPPED", false),
    ] {
        let resource = resource(name, status);
        assert_eq!(is_retained(&config, &resource), retained, "{name} {status}");
    }
}
