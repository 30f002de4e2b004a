//! There is no stack, and none that lasts comes to be.

use std::time::Duration;

use super::{FakeHost, bringing_up, bringing_up_on, created, started, with_repository};
use crate::testing::FakeWorld;
use crate::testing::answer::resource;
use crate::testing::moment::{absent, at, error, event, event_because, of_others};
use aws::remote::RemoteErrorKind;
use deployment::error::Failure;

#[tokio::test(start_paused = true)]
async fn a_creation_that_fails_names_the_first_cause() {
    let world = FakeWorld::new([
        absent(),
        started(),
        at("ROLLBACK_IN_PROGRESS").after([
            event_because(
                "LoadBalancer",
                "CREATE_FAILED",
                "the limit of load balancers is reached",
            ),
            event_because("Cluster", "CREATE_FAILED", "Resource creation cancelled"),
            event_because(
                "clock",
                "ROLLBACK_IN_PROGRESS",
                "failed to create: [LoadBalancer, Cluster]",
            ),
        ]),
        at("ROLLBACK_IN_PROGRESS").after([event_because(
            "LogGroup",
            "DELETE_FAILED",
            "another failure, later",
        )]),
        at("ROLLBACK_COMPLETE").after([event("clock", "ROLLBACK_COMPLETE")]),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_FAILED load balancer (LoadBalancer): the limit of load balancers is reached
    CREATE_FAILED cluster (Cluster): Resource creation cancelled
    ROLLBACK_IN_PROGRESS stack (clock): failed to create: [LoadBalancer, Cluster]
    DELETE_FAILED log group (LogGroup): another failure, later
    ROLLBACK_COMPLETE stack (clock)
    error: the stack could not be created
      because: load balancer (LoadBalancer): the limit of load balancers is reached
      hint: fix what it names, then run `deployer up` again: it deletes the remains and starts again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn remains_that_cannot_be_deleted() {
    let world = FakeWorld::new([
        at("ROLLBACK_FAILED"),
        at("DELETE_IN_PROGRESS").after([event("clock", "DELETE_IN_PROGRESS")]),
        at("DELETE_FAILED").after([
            event_because("Repository", "DELETE_FAILED", "the repository is not empty"),
            event("clock", "DELETE_FAILED"),
        ]),
    ])
    .resources([vec![resource("Repository", "DELETE_FAILED")]]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    the stack is ROLLBACK_FAILED
    warning: the stack is ROLLBACK_FAILED: it can only be deleted and created again
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_FAILED image repository (Repository): the repository is not empty
    DELETE_FAILED stack (clock)
    error: the stack could not be deleted
      because: image repository (Repository): the repository is not empty
      | image repository clock-repository (Repository): DELETE_FAILED
      hint: what is listed is still there and may cost money: fix what it names, then run `deployer down` again
      hint: or delete the stack without it: `deployer down --stack clock --profile work --retain-resource Repository`
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_refused() {
    let refusal = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "Template format error: unresolved resource dependencies [Cluter]",
    );
    let world = FakeWorld::new([absent()]).failing("CreateStack", refusal);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image (refused)
    error: CloudFormation refuses the template
      because: CreateStack: Template format error: unresolved resource dependencies [Cluter] (ValidationError)
      hint: check it: `cfn-lint /project/infra/service.yaml`
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_compile_while_the_stack_is_being_made() {
    let world = FakeWorld::new([absent(), started(), with_repository()]);
    let images = FakeHost::new(world)
        .compiling_for(Duration::from_secs(10))
        .not_compiling(Failure::preflight("`app` does not compile"));
    insta::assert_snapshot!(bringing_up_on(images).await, @r"
    image: started
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    CREATE_COMPLETE image repository (Repository)
    error: `app` does not compile
      hint: the new stack stays: `deployer up` continues with it, `deployer down --stack clock --profile work` removes it
    exit code 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_takes_too_long_is_deleted_unless_it_cannot_be() {
    let world = FakeWorld::new([absent(), started(), at("CREATE_IN_PROGRESS")]);
    insta::assert_snapshot!(bringing_up(world).await, @"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    deleting the new stack: there was none before
    the stack is CREATE_IN_PROGRESS
    delete: started
    > DeleteStack clock/2
    error: the creation of the stack did not end within 1800 s, and the new stack could not be deleted
      because: the operation did not end within 1800 s
      hint: it may cost money: `deployer down` deletes it
    exit code 5
    ");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_somebody_deletes_while_it_is_being_made() {
    let world = FakeWorld::new([
        absent(),
        started(),
        at("DELETE_IN_PROGRESS").after([of_others(event("clock", "DELETE_IN_PROGRESS"))]),
        at("DELETE_COMPLETE"),
    ]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
    image: started
    image: done in 0.0 s
    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    there is no such stack
    create: started
    > CreateStack clock with no image
    CREATE_IN_PROGRESS stack (clock)
    error: the stack could not be created
      because: it is DELETE_COMPLETE
      hint: fix what it names, then run `deployer up` again: it deletes the remains and starts again
    exit code 4
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_without_a_repository() {
    let world = FakeWorld::new([
        absent(),
        started(),
        created().without_output("RepositoryName"),
    ])
    .resources([vec![resource("Cluster", "CREATE_COMPLETE")]]);
    insta::assert_snapshot!(bringing_up(world).await, @r"
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
    error: the stack has no output `RepositoryName`
      hint: the template has to name what it makes: `docs/template.md` lists the outputs that are needed
    exit code 3
    ");
}
