//! What a failed deployment leaves behind, as JSON tells it.

use std::fmt::Write as _;
use std::time::Duration;

use super::going_back::{BEFORE, running, there_and_back};
use super::{FakeHost, bringing_up_on, started, updated, updating};
use crate::testing::FakeWorld;
use crate::testing::answer::{answers, down, unreachable, went_back};
use crate::testing::moment::{Moment, absent, at, event, of_others};

/// The aftermath of a deployment on this machine, with the kind of the failure.
async fn aftermath(host: FakeHost) -> String {
    let failed = host.failed();
    bringing_up_on(host).await;
    let failure = failed.lock().unwrap().take().expect("it fails");
    let json = serde_json::to_value(&failure).unwrap();
    format!("{} {}", json["kind"], json["aftermath"])
}

fn on(moments: impl IntoIterator<Item = Moment>) -> FakeHost {
    FakeHost::new(FakeWorld::new(moments))
}

fn rolled_back() -> Moment {
    at("UPDATE_ROLLBACK_COMPLETE").after([event("clock", "UPDATE_ROLLBACK_COMPLETE")])
}

#[tokio::test(start_paused = true)]
async fn failures_tell_what_they_left_behind() {
    let does_not_answer = down("the answer has status 503");
    let until_checked = || vec![running(), updating(), updated(), at("UPDATE_COMPLETE")];
    let first = at("CREATE_COMPLETE")
        .without_output("TaskDefinitionArn")
        .without_output("ServiceName");
    let mut first_removed = there_and_back();
    first_removed.splice(..1, [first]);
    first_removed.pop();
    let mut way_back_fails = there_and_back();
    way_back_fails.splice(6.., [rolled_back()]);
    let deleted = at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")]);
    let by_others = of_others(event("clock", "UPDATE_ROLLBACK_COMPLETE"));
    let table = vec![
        ("the stack was never touched", on([at("DELETE_FAILED")])),
        (
            "CloudFormation rolled the update back",
            on([running(), updating(), rolled_back()]),
        ),
        (
            "the version before is restored",
            on(there_and_back())
                .finding([does_not_answer.clone()])
                .finding_after_going_back(answers(BEFORE)),
        ),
        (
            "nothing ran before",
            FakeHost::new(FakeWorld::new(first_removed).services([went_back()])),
        ),
        (
            "the version before cannot be restored",
            on(way_back_fails).finding([does_not_answer.clone()]),
        ),
        (
            "another deployment came in between",
            on(until_checked()
                .into_iter()
                .chain([at("UPDATE_COMPLETE").with_image('d')]))
            .finding([does_not_answer]),
        ),
        (
            "another program cancelled the update",
            on([
                running(),
                updating(),
                at("UPDATE_ROLLBACK_COMPLETE").after([by_others]),
            ]),
        ),
        (
            "the service is out of reach",
            on(until_checked()).finding([unreachable()]),
        ),
        (
            "Ctrl-C while the stack is created",
            on([
                absent(),
                started(),
                started(),
                started(),
                at("CREATE_IN_PROGRESS"),
                deleted,
            ])
            .interrupted_after(Duration::from_secs(6)),
        ),
    ];
    let mut text = String::new();
    for (what, host) in table {
        writeln!(text, "{what}: {}", Box::pin(aftermath(host)).await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    the stack was never touched: "stuck" null
    CloudFormation rolled the update back: "rolled_back" "restored_previous"
    the version before is restored: "check_failed" "restored_previous"
    nothing ran before: "rolled_back" "removed_version"
    the version before cannot be restored: "stuck" "not_restored"
    another deployment came in between: "busy" "left_to_others"
    another program cancelled the update: "busy" "restored_previous"
    the service is out of reach: "unproven" "left_as_is"
    Ctrl-C while the stack is created: "interrupted" "removed_stack"
    "#);
}
