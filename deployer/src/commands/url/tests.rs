//! Transcripts of `url`.

use super::find;
use crate::testing::moment::{Moment, absent, at};
use crate::testing::{FakeHost, FakeWorld};

async fn asked(moment: Moment) -> String {
    asked_on(FakeHost::new(FakeWorld::new([moment]))).await
}

async fn asked_on(host: FakeHost) -> String {
    let command = async |context: crate::context::Context<'_>, host: &FakeHost| {
        let address = find(context, host.world()).await?;
        host.says(&address.url);
        Ok(())
    };
    host.run(command).await
}

#[tokio::test(start_paused = true)]
async fn the_address_and_nothing_else() {
    let text = asked(at("UPDATE_COMPLETE").with_image('0')).await;
    assert_eq!(text, "http://clock.example/now\nexit code 0\n");
}

#[tokio::test(start_paused = true)]
async fn on_this_machine_it_is_one_that_can_be_opened() {
    let url = "http://clock-LoadB-1A2B-0f9e8d7c.us-east-1.elb.amazonaws.com/now";
    let moment = at("UPDATE_COMPLETE")
        .with_output("Url", url)
        .with_image('0');
    let host = FakeHost::new(FakeWorld::new([moment])).with(|config| {
        config.access.local = true;
        config.access.endpoint_url = Some("http://127.0.0.1:4567".parse().unwrap());
    });
    let text = asked_on(host).await;
    let address = "http://clock-loadb-1a2b.alb.localhost:4567/now";
    assert_eq!(text, format!("{address}\nexit code 0\n"));
}

#[tokio::test(start_paused = true)]
async fn without_a_service_there_is_no_address() {
    insta::assert_snapshot!(asked(absent()).await, @r"
    error: there is no stack `clock`
      hint: `deployer up` makes it; is this the right account, region and `--stack`?
    exit code 3
    ");
    let without_service = at("CREATE_COMPLETE").without_output("ServiceName");
    insta::assert_snapshot!(asked(without_service).await, @r"
    error: the stack `clock` has no service
      because: it is CREATE_COMPLETE, without the output `ServiceName`
      hint: `deployer up` deploys one
    exit code 3
    ");
}
