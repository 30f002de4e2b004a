//! Transcripts of `reviewer`: what it reports and what it changes, for each state of the stack.

use super::{Access, ReviewerAccess, Reviewing, give};
use crate::context::Context;
use crate::report::reviewing_in_words;
use crate::testing::moment::{Moment, absent, at, event, event_because};
use crate::testing::{FakeHost, FakeWorld};
use deployment::error::Failure;

const TEMPLATE: &str = include_str!("../../../../infra/service.yaml");
const AUDITOR: &str = "arn:aws:iam::210987654321:role/auditor";
const ROLE: &str = "arn:aws:iam::123456789012:role/clock-ReviewerRole-1";

fn running() -> Moment {
    at("UPDATE_COMPLETE").with_image('c')
}

fn updating() -> Moment {
    at("UPDATE_IN_PROGRESS").after([event("clock", "UPDATE_IN_PROGRESS")])
}

/// The same stack after it was given these parameters.
fn updated(kind: &str) -> Moment {
    running()
        .with_parameters([("ReviewerKind", kind)])
        .after([event("clock", "UPDATE_COMPLETE")])
}

fn with_user() -> Moment {
    updated("user").with_output("ReviewerUserName", "clock-ReviewerUser-1")
}

/// What is told; a password that was made is left out, after it was seen to be one.
async fn transcript(world: FakeWorld, access: ReviewerAccess) -> String {
    let host = FakeHost::new(world);
    host.run(async |context: Context<'_>, host: &FakeHost| {
        let reviewing: Reviewing = give(context, host, access).await?;
        let mut text = reviewing_in_words(&reviewing);
        if let Some(Access::User { password, .. }) = reviewing.given.map(|given| given.access) {
            assert_eq!(text.matches(password.reveal()).count(), 1);
            text = text.replace(password.reveal(), "PASSWORD");
        }
        host.says(&text);
        Ok::<(), Failure>(())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_user() {
    let world = FakeWorld::new([running(), updating(), with_user()]).made_of(TEMPLATE);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::User).await, @r#"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, the same template, reviewers: user "" with a new password of 24 signs
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    A reviewer may look at this deployment, and at nothing else.
      sign in   https://123456789012.signin.aws.amazon.com/console
      account   123456789012
      user      clock-ReviewerUser-1
      password  PASSWORD
      look at   https://eu-central-1.console.aws.amazon.com/cloudformation/home?region=eu-central-1#/stacks/stackinfo?stackId=arn%3Astack%2Fclock%2F1
      end it    deployer reviewer revoke --stack clock --profile work
    The password is kept nowhere, and not shown again: a new `grant` makes a new one.
    exit code 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_role() {
    let role = updated("role").with_output("ReviewerRoleArn", ROLE);
    let world = FakeWorld::new([running(), updating(), role]).made_of(TEMPLATE);
    let access = ReviewerAccess::Role(AUDITOR.parse().unwrap());
    insta::assert_snapshot!(transcript(world, access).await, @r#"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, the same template, reviewers: role "arn:aws:iam::210987654321:role/auditor" with no password
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    The role may look at this deployment, and at nothing else.
      sign in   https://signin.aws.amazon.com/switchrole?account=123456789012&roleName=clock-ReviewerRole-1&displayName=clock
      account   123456789012
      role      arn:aws:iam::123456789012:role/clock-ReviewerRole-1
      look at   https://eu-central-1.console.aws.amazon.com/cloudformation/home?region=eu-central-1#/stacks/stackinfo?stackId=arn%3Astack%2Fclock%2F1
      end it    deployer reviewer revoke --stack clock --profile work
    exit code 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn nobody_any_more() {
    let world = FakeWorld::new([with_user(), updating(), updated("none")]).made_of(TEMPLATE);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::Nobody).await, @r#"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, the same template, reviewers: none "" with no password
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    Nobody may look at the deployment any more but those who may anyway.
    exit code 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn nobody_anyway() {
    let world = FakeWorld::new([running()]).made_of(TEMPLATE);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::Nobody).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    nothing to end: nobody was given access
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_knows_no_reviewers() {
    let world = FakeWorld::new([running()]);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::User).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    error: the template that is deployed knows no reviewers
      because: it does not declare `ReviewerKind`, `ReviewerPrincipal`, `ReviewerPassword`
      hint: deploy one that does, as the built-in one: `deployer up --stack clock --profile work`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn no_stack() {
    let world = FakeWorld::new([absent()]);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::User).await, @"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    error: there is nothing to review
      because: there is no such stack
      hint: deploy it first: `deployer up --stack clock --profile work`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails() {
    let failed = at("UPDATE_ROLLBACK_COMPLETE").with_image('c').after([
        event_because(
            "ReviewerUser",
            "CREATE_FAILED",
            "the account has too many users",
        ),
        event("clock", "UPDATE_ROLLBACK_COMPLETE"),
    ]);
    let world = FakeWorld::new([running(), updating(), failed]).made_of(TEMPLATE);
    insta::assert_snapshot!(transcript(world, ReviewerAccess::User).await, @r#"
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is UPDATE_COMPLETE
    plan: started
    > CreateChangeSet clock/1 with registry.example/clock-repository@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, the same template, reviewers: user "" with a new password of 24 signs
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    CREATE_FAILED user (ReviewerUser): the account has too many users
    UPDATE_ROLLBACK_COMPLETE stack (clock)
    error: the update failed; the previous state is restored
      because: user (ReviewerUser): the account has too many users
      hint: fix what it names, then run `deployer up` again
    exit code 4
    "#);
}
