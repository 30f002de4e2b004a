//! There is no stack, or none that can be kept.

use std::time::Duration;

use super::{
    FakeHost, bringing_up, bringing_up_as_usual, bringing_up_on, created, short, started, updated,
    updating, with_repository,
};
use crate::testing::FakeWorld;
use crate::testing::answer::task;
use crate::testing::moment::{
    absent, at, error, event, event_because, failed, of_others, out_of_order, throttled,
    unreachable,
};
use aws::remote::RemoteErrorKind;

#[tokio::test(start_paused = true)]
async fn from_nothing_to_a_service() {
    // The image is pushed as soon as the repository is there, while the load balancer is still being made.
    let world = FakeWorld::new([
        absent(),
        started(),
        with_repository(),
        created(),
        updating(),
        updated(),
    ])
    .running(vec![
        task("0123456789", "eu-central-1a"),
        task("abcdef0123", "eu-central-1b"),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    plan: started
    > CreateChangeSet clock/2 with registry.example/clock-repository@sha256:0123456789ab
    1 change: change task definition (TaskDefinition)
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
      tasks     2: 01234567 in eu-central-1a, abcdef01 in eu-central-1b
      check     OK, offset +0.2 ms ± 1.2 ms, 2 instances
      time      0.0 s: image 0.0 s, push 0.0 s, create 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn the_stack_does_not_wait_for_the_compiler() {
    let world = FakeWorld::new([
        absent(),
        started(),
        with_repository(),
        created(),
        updating(),
        updated(),
    ]);
    let images = FakeHost::new(world).compiling_for(Duration::from_mins(1));
    insta::assert_snapshot!(short(&bringing_up_on(images).await), @"
    image: started
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    image: done in 0.0 s
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_in_passing_are_survived() {
    let world = FakeWorld::new([
        absent(),
        // Not visible yet.
        absent(),
        started(),
        failed(throttled()),
        failed(unreachable()),
        with_repository(),
        failed(out_of_order()),
        created(),
        updating(),
        failed(throttled()),
        updated(),
    ])
    .failing("DescribeStackEvents", throttled())
    .failing("DescribeChangeSet", out_of_order())
    .failing("DescribeTargetHealth", throttled());
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    warning: DescribeStackEvents: rate exceeded (Throttling); looking again
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    warning: DescribeStacks: try again (InternalFailure); looking again
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    plan: started
    > CreateChangeSet clock/2 with registry.example/clock-repository@sha256:0123456789ab
    warning: DescribeChangeSet: try again (InternalFailure); looking again
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    warning: DescribeStacks: rate exceeded (Throttling); looking again
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    rollout: started
    warning: DescribeTargetHealth: rate exceeded (Throttling); looking again
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
      time      0.0 s: image 0.0 s, push 0.0 s, create 0.0 s, plan 0.0 s, update 0.0 s, rollout 0.0 s, check 0.0 s
      delete    deployer down --stack clock --profile work
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_creation_left_is_deleted_and_created_again() {
    let world = FakeWorld::new([
        at("ROLLBACK_COMPLETE").because("failed to create: [LoadBalancer]"),
        at("ROLLBACK_COMPLETE"),
        at("DELETE_IN_PROGRESS").after([event("clock", "DELETE_IN_PROGRESS")]),
        at("DELETE_COMPLETE"),
        absent(),
        started(),
        with_repository(),
        created(),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is ROLLBACK_COMPLETE
    warning: the stack is ROLLBACK_COMPLETE (failed to create: [LoadBalancer]): it can only be deleted and created again
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    delete: done in 0.0 s
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_waits_for_a_review_never_moves() {
    let world = FakeWorld::new([
        at("REVIEW_IN_PROGRESS"),
        // It may have been a stale read.
        at("REVIEW_IN_PROGRESS"),
        at("DELETE_COMPLETE"),
        absent(),
        started(),
        with_repository(),
        created(),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is REVIEW_IN_PROGRESS
    the stack is REVIEW_IN_PROGRESS
    warning: the stack is REVIEW_IN_PROGRESS: it can only be deleted and created again
    delete: started
    > DeleteStack clock/1
    delete: done in 0.0 s
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn somebody_else_creates_it_first() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "AlreadyExistsException",
        "Stack [clock] already exists",
    );
    let world = FakeWorld::new([
        absent(),
        at("CREATE_IN_PROGRESS"),
        at("CREATE_IN_PROGRESS").after([of_others(event("Repository", "CREATE_COMPLETE"))]),
        at("CREATE_COMPLETE").after([of_others(event("clock", "CREATE_COMPLETE"))]),
        at("CREATE_COMPLETE"),
        updating(),
        updated(),
    ])
    .failing("CreateStack", refusal);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image (refused)
    create: done in 0.0 s
    the stack is CREATE_IN_PROGRESS
    the stack is CREATE_IN_PROGRESS (being created): waiting for that to end
    CREATE_COMPLETE image repository (Repository)
    CREATE_COMPLETE stack (clock)
    the stack is CREATE_COMPLETE
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_no_event_announces_is_found_all_the_same() {
    let world = FakeWorld::new([absent(), started(), created(), updating(), updated()]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    (planned and updated as usual)
    (rolled out and checked as usual)
    exit code 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_new_account_gets_a_second_attempt() {
    let missing = "Unable to assume the service linked role. Please verify that the ECS service linked role exists.";
    let world = FakeWorld::new([
        absent(),
        started(),
        at("ROLLBACK_COMPLETE").after([
            event_because("Cluster", "CREATE_FAILED", missing),
            event("clock", "ROLLBACK_COMPLETE"),
        ]),
        at("ROLLBACK_COMPLETE"),
        at("DELETE_COMPLETE").after([event("clock", "DELETE_COMPLETE")]),
        absent(),
        started(),
        with_repository(),
        created(),
        updating(),
        updated(),
    ]);
    insta::assert_snapshot!(bringing_up_as_usual(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_FAILED cluster (Cluster): Unable to assume the service linked role. Please verify that the ECS service linked role exists.
    ROLLBACK_COMPLETE stack (clock)
    warning: the account had no service-linked role; AWS makes it at the first attempt, so here is the second
    create: done in 0.0 s
    the stack is ROLLBACK_COMPLETE
    warning: the stack is ROLLBACK_COMPLETE: it can only be deleted and created again
    delete: started
    > DeleteStack clock/2
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    push: started
    > push to registry.example/clock-repository as AWS
    push: done in 0.0 s
    CREATE_COMPLETE load balancer (LoadBalancer)
    CREATE_COMPLETE stack (clock)
    create: done in 0.0 s
    plan: started
    > CreateChangeSet clock/3 with registry.example/clock-repository@sha256:0123456789ab
    1 change: change task definition (TaskDefinition)
    plan: done in 0.0 s
    > ExecuteChangeSet
    update: started
    UPDATE_IN_PROGRESS stack (clock)
    UPDATE_COMPLETE task definition (TaskDefinition)
    UPDATE_COMPLETE stack (clock)
    update: done in 0.0 s
    (rolled out and checked as usual)
    exit code 0
    ");
}
