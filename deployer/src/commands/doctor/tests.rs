//! Transcripts of `doctor`: what it says of each thing that may be missing.

use std::path::PathBuf;

use async_trait::async_trait;

use super::bench::Bench;
use super::clock::Reading;
use super::examine;
use crate::commands::{Connection, Context};
use crate::error::Failure;
use crate::image::cargo::Toolchain;
use crate::local::Presence;
use crate::remote::RemoteErrorKind;
use crate::testing::moment::{absent, error};
use crate::testing::{FakeMachine, FakeWorld, connection, settings};

/// A machine on which all is well, and what is not.
struct FakeBench {
    world: std::sync::Arc<FakeWorld>,
    connection: Option<Failure>,
    template: Option<Failure>,
    toolchain: Option<Failure>,
    presence: Presence,
    /// Milliseconds that our clock is ahead.
    ahead: i64,
}

impl FakeBench {
    fn new(world: FakeWorld) -> Self {
        let declared = [
            ("ImageUri", Some("")),
            ("DesiredCount", Some("2")),
            ("VpcCidr", Some("10.0.0.0/24")),
        ];
        Self {
            world: world.declaring(declared).shared(),
            connection: None,
            template: None,
            toolchain: None,
            presence: Presence::Absent,
            ahead: 0,
        }
    }
}

fn unless<T>(failure: Option<&Failure>, good: T) -> Result<T, Failure> {
    failure.map_or(Ok(good), |failure| Err(failure.clone()))
}

#[async_trait]
impl Bench for FakeBench {
    fn template(&self, _: Context<'_>) -> Result<String, Failure> {
        unless(self.template.as_ref(), "Resources: {}".to_owned())
    }

    fn dockerfile(&self, _: Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn folders(&self, _: Context<'_>) -> Vec<(PathBuf, Result<(), String>)> {
        vec![(PathBuf::from("/project/target"), Ok(()))]
    }

    async fn toolchain(&self, _: Context<'_>) -> Result<Toolchain, Failure> {
        let toolchain = Toolchain {
            cargo: "cargo 1.94.1".to_owned(),
            target: "x86_64-unknown-linux-musl".to_owned(),
        };
        unless(self.toolchain.as_ref(), toolchain)
    }

    async fn connect(&self, _: Context<'_>) -> Result<Connection, Failure> {
        unless(self.connection.as_ref(), connection(&self.world))
    }

    async fn clock(&self, _: Context<'_>) -> Result<Reading, String> {
        Ok(Reading {
            asked_ms: 500_450 + self.ahead,
            answered_ms: 500_550 + self.ahead,
            date_ms: 500_000,
        })
    }

    async fn engine(&self, _: Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn emulator(&self, _: Context<'_>) -> Result<Presence, Failure> {
        Ok(self.presence.clone())
    }
}

/// What the command prints, after what it changed.
async fn examining(bench: FakeBench) -> String {
    examining_with(bench, |_| {}).await
}

/// The same with other settings than usual.
async fn examining_with(
    bench: FakeBench,
    change: impl FnOnce(&mut crate::config::Config),
) -> String {
    let mut config = settings();
    change(&mut config);
    let transcript = bench.world.transcript();
    let sink = transcript.sink();
    let context = Context {
        config: &config,
        sink: &sink,
        stop: &crate::stop::Stop::never(),
    };
    let diagnosis = examine(context, &bench).await;
    format!(
        "{}{}fit: {}",
        transcript.text(),
        crate::report::diagnosis_in_words(&diagnosis),
        diagnosis.fit
    )
}

fn world() -> FakeWorld {
    FakeWorld::new([absent()])
}

fn denied(message: &str) -> crate::remote::RemoteError {
    error(RemoteErrorKind::Denied, "AccessDenied", message)
}

#[tokio::test(start_paused = true)]
async fn all_is_well() {
    insta::assert_snapshot!(examining(FakeBench::new(world())).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn no_credentials() {
    let failure = Failure::preflight("no usable AWS credentials")
        .because("no providers in chain provided credentials")
        .hint("log in (`aws sso login`), or set `AWS_PROFILE`");
    let bench = FakeBench {
        connection: Some(failure),
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn sso_that_expired() {
    let config = settings();
    let cause = "an error occurred while loading credentials: the SSO token has expired and cannot be refreshed";
    let bench = FakeBench {
        connection: Some(crate::aws::credentials::failure(&config.access, cause)),
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn roles_that_are_made() {
    let bench = FakeBench::new(world().without_service_linked_roles());
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn roles_that_may_not_be_looked_at_nor_made() {
    let message = "no identity-based policy allows it";
    let world = world()
        .without_service_linked_roles()
        .failing("GetRole", denied(message))
        .failing("CreateServiceLinkedRole", denied(message))
        .failing("CreateServiceLinkedRole", denied(message));
    insta::assert_snapshot!(examining(FakeBench::new(world)).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_refused() {
    let refused = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "Template format error: Unresolved resource dependencies [Vpc]",
    );
    let bench = FakeBench::new(world().failing("ValidateTemplate", refused));
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_cannot_be_read_and_no_target() {
    let template = Failure::preflight("cannot read the template `/project/infra/service.yaml`")
        .because("No such file or directory (os error 2)")
        .hint("set `template` in `deployer.toml`, or `--template FILE`");
    let toolchain = Failure::preflight(
        "the compiler cannot make programs for `aarch64-unknown-linux-musl` yet",
    )
    .hint("run `rustup target add aarch64-unknown-linux-musl`");
    let bench = FakeBench {
        template: Some(template),
        toolchain: Some(toolchain),
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn parameters_that_do_not_agree() {
    let mut bench = FakeBench::new(world());
    let declared = [("ImageUri", Some("")), ("Domain", None), ("Owner", None)];
    bench.world = world().declaring(declared).shared();
    let change = |config: &mut crate::config::Config| {
        config
            .parameters
            .insert("Owner".to_owned(), "me".to_owned());
    };
    insta::assert_snapshot!(examining_with(bench, change).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off() {
    let bench = FakeBench {
        ahead: 421_000,
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(bench).await, @"
    ");
}

#[tokio::test(start_paused = true)]
async fn on_this_machine() {
    let local = |config: &mut crate::config::Config| config.access.local = true;
    let absent = FakeBench::new(world());
    insta::assert_snapshot!(examining_with(absent, local).await, @"
    ");
    let running = FakeBench {
        presence: Presence::Running {
            version: "1.0".to_owned(),
        },
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining_with(running, local).await, @"
    ");
}

/// Before a stack is made, roles are looked after, too, without being in the way.
#[tokio::test(start_paused = true)]
async fn before_a_stack_is_made() {
    let preparing = async |world: FakeWorld| {
        let machine = FakeMachine::new(world);
        let command = async |context: Context<'_>, machine: &FakeMachine| {
            context.make_sure_of_roles(machine.world()).await;
            Ok(())
        };
        machine.run(command).await
    };
    insta::assert_snapshot!(preparing(world()).await, @"exit code 0");
    insta::assert_snapshot!(preparing(world().without_service_linked_roles()).await, @"
    ");
    let denied = world()
        .without_service_linked_roles()
        .failing("CreateServiceLinkedRole", denied("not you"));
    insta::assert_snapshot!(preparing(denied).await, @"
    ");
}
