//! The stack is gone; is everything else?

use super::{deleted, deleting, taking_down, taking_down_as_usual};
use crate::testing::moment::at;
use crate::testing::{FOR_EVER, FakeWorld};

#[tokio::test(start_paused = true)]
async fn the_proof_waits_for_services_that_are_slow_to_notice() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), deleted()])
        .there("clock-loadbalancer", 3);
    insta::assert_snapshot!(taking_down_as_usual(world).await, @r"
    the stack is CREATE_COMPLETE
    (deleted and proven as usual)
    ");
}

#[tokio::test(start_paused = true)]
async fn the_proof_finds_something_left() {
    let world = FakeWorld::new([at("CREATE_COMPLETE"), deleting(), deleted()])
        .there("clock-loadbalancer", FOR_EVER)
        .there("clock-loggroup", 2);
    insta::assert_snapshot!(taking_down(world).await, @r"
    the stack is CREATE_COMPLETE
    delete: started
    > DeleteStack clock/1
    DELETE_IN_PROGRESS stack (clock)
    DELETE_COMPLETE service (Service)
    DELETE_COMPLETE stack (clock)
    delete: done in 0.0 s
    the stack is DELETE_COMPLETE
    > DeleteTaskDefinitions clock
    proof: started
    error: the stack is deleted, but something of it is left
      | load balancer clock-loadbalancer
      hint: it may cost money: delete it by hand
    exit code 5
    ");
}
