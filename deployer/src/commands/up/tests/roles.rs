//! Before a stack is made, service-linked roles are looked after, without being in the way.

use super::{bringing_up_as_usual, created, started, with_repository};
use crate::testing::FakeWorld;
use crate::testing::moment::{absent, error};
use aws::remote::RemoteErrorKind;

fn new_account() -> FakeWorld {
    FakeWorld::new([
        absent(),
        started(),
        with_repository(),
        created(),
        super::updating(),
        super::updated(),
    ])
    .without_service_linked_roles()
}

/// What comes before the stack.
fn beginning(text: &str) -> &str {
    let end = text.find("> CreateStack").unwrap();
    text.get(..end).unwrap()
}

#[tokio::test(start_paused = true)]
async fn they_are_made_where_they_are_missing() {
    let text = bringing_up_as_usual(new_account()).await;
    insta::assert_snapshot!(beginning(&text), @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    > CreateServiceLinkedRole ecs.amazonaws.com
    the account had no service-linked role for ECS: made it
    > CreateServiceLinkedRole elasticloadbalancing.amazonaws.com
    the account had no service-linked role for load balancers: made it
    create: started
    ");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

/// What is made at once after them would fail: IAM is eventually consistent.
#[tokio::test(start_paused = true)]
async fn new_ones_are_given_time() {
    let before = tokio::time::Instant::now();
    bringing_up_as_usual(new_account()).await;
    let with_new_ones = before.elapsed();
    let before = tokio::time::Instant::now();
    let denied = || error(RemoteErrorKind::Denied, "AccessDenied", "not you");
    let without = new_account()
        .failing("CreateServiceLinkedRole", denied())
        .failing("CreateServiceLinkedRole", denied());
    bringing_up_as_usual(without).await;
    let waited = with_new_ones.saturating_sub(before.elapsed());
    assert!(waited.as_secs() >= 10, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn they_are_not_in_the_way() {
    let denied = || error(RemoteErrorKind::Denied, "AccessDenied", "not you");
    let world = new_account()
        .failing("GetRole", denied())
        .failing("CreateServiceLinkedRole", denied())
        .failing("CreateServiceLinkedRole", denied());
    let text = bringing_up_as_usual(world).await;
    insta::assert_snapshot!(beginning(&text), @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    > CreateServiceLinkedRole ecs.amazonaws.com (refused)
    whether the account has a service-linked role for ECS is not known (CreateServiceLinkedRole: not you (AccessDenied)): if not, AWS makes it on first use
    > CreateServiceLinkedRole elasticloadbalancing.amazonaws.com (refused)
    the account has no service-linked role for load balancers, and it cannot be made from here (CreateServiceLinkedRole: not you (AccessDenied)): AWS makes it on first use
    create: started
    ");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}
