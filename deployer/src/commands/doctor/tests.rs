//! Transcripts of `doctor`: what it says of each thing that may be missing.

use std::path::PathBuf;

use async_trait::async_trait;

use super::clock::Reading;
use super::environment::Environment;
use super::examine;
use crate::context::{Connection, Context};
use crate::local::Presence;
use crate::pollers::ExternalCheck;
use crate::testing::moment::{absent, at, error};
use crate::testing::{FakeWorld, connection, settings};
use aws::remote::RemoteErrorKind;
use deployment::error::Failure;
use image_builder::cargo::{BinaryTarget, Toolchain};

/// A machine on which all is well, and what is not.
struct FakeBench {
    world: std::sync::Arc<FakeWorld>,
    connection: Option<Failure>,
    template: Option<Failure>,
    toolchain: Option<Failure>,
    program: Option<Failure>,
    /// The Dockerfile is fine without a program.
    needs_no_program: bool,
    remarks: Vec<String>,
    presence: Presence,
    /// Milliseconds that our clock is ahead.
    ahead: i64,
    /// There is no way to the service.
    closed: bool,
}

impl FakeBench {
    fn new(world: FakeWorld) -> Self {
        let declared = [
            ("ImageUri", Some("")),
            ("Cpu", Some("256")),
            ("Memory", Some("512")),
            ("DesiredCount", Some("2")),
            ("VpcCidr", Some("10.0.0.0/24")),
        ];
        Self {
            world: world.declaring(declared).shared(),
            connection: None,
            template: None,
            toolchain: None,
            program: None,
            needs_no_program: false,
            remarks: Vec::new(),
            presence: Presence::Absent,
            ahead: 0,
            closed: false,
        }
    }
}

#[async_trait]
impl ExternalCheck for FakeBench {
    async fn check(&self, _: &probe::Target, _: &clock::Settings) -> clock::Report {
        unreachable!("a request is enough")
    }

    async fn knock(&self, _: &probe::Target, _: &clock::Settings) -> Result<(), clock::Failure> {
        if self.closed {
            Err(crate::testing::answer::no_way())
        } else {
            Ok(())
        }
    }
}

fn unless<T>(failure: Option<&Failure>, good: T) -> Result<T, Failure> {
    failure.map_or(Ok(good), |failure| Err(failure.clone()))
}

#[async_trait]
impl Environment for FakeBench {
    fn template(&self, _: Context<'_>) -> Result<String, Failure> {
        unless(self.template.as_ref(), "Resources: {}".to_owned())
    }

    async fn program(&self, _: Context<'_>) -> Result<BinaryTarget, Failure> {
        unless(self.program.as_ref(), BinaryTarget::compiled("app"))
    }

    async fn dockerfile(&self, _: Context<'_>) -> Result<Vec<String>, Failure> {
        if let Some(failure) = self.program.as_ref().filter(|_| !self.needs_no_program) {
            return Err(failure.clone());
        }
        Ok(self.remarks.clone())
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

    fn outside(&self) -> &dyn ExternalCheck {
        self
    }

    async fn clock(&self, _: Context<'_>) -> Result<Reading, String> {
        Ok(Reading {
            asked: 500_450 + self.ahead,
            answered: 500_550 + self.ahead,
            date: 500_000,
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
async fn examining(environment: FakeBench) -> String {
    examining_with(environment, |_| {}).await
}

/// The same with other settings than usual.
async fn examining_with(
    environment: FakeBench,
    change: impl FnOnce(&mut crate::config::Config),
) -> String {
    let mut config = settings();
    for (key, value) in [("Cpu", "256"), ("Memory", "512")] {
        config.parameters.insert(key.to_owned(), value.to_owned());
    }
    change(&mut config);
    let transcript = environment.world.transcript();
    let sink = transcript.sink();
    let context = Context {
        config: &config,
        sink: &sink,
        cancellation: &crate::cancellation::CancellationToken::default(),
    };
    let diagnosis = examine(context, &environment).await;
    format!(
        "{}{}ready: {}",
        transcript.text(),
        crate::report::diagnosis_in_words(&diagnosis),
        diagnosis.ready
    )
}

fn world() -> FakeWorld {
    FakeWorld::new([absent()])
}

fn denied(message: &str) -> aws::remote::RemoteError {
    error(RemoteErrorKind::Denied, "AccessDenied", message)
}

#[tokio::test(start_paused = true)]
async fn all_is_well() {
    insta::assert_snapshot!(examining(FakeBench::new(world())).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    ok       parameters     template and settings agree
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    skipped  reachable      not looked at: no version runs yet
    ready to be deployed: 0 errors, 0 warnings
    ready: true
    ");
}

#[tokio::test(start_paused = true)]
async fn no_credentials() {
    let failure = Failure::preflight("no usable AWS credentials")
        .because("no providers in chain provided credentials")
        .hint("log in (`aws sso login`), or set `AWS_PROFILE`");
    let environment = FakeBench {
        connection: Some(failure),
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(environment).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    error    credentials    no usable AWS credentials: no providers in chain provided credentials
               remedy: log in (`aws sso login`), or set `AWS_PROFILE`
    skipped  validation     not looked at: there is no connection to AWS
    skipped  parameters     not looked at: there is no connection to AWS
    skipped  role of ecs    not looked at: there is no connection to AWS
    skipped  role of elb    not looked at: there is no connection to AWS
    skipped  reachable      not looked at: there is no connection to AWS
    not ready to be deployed: 1 error, 0 warnings
    ready: false
    ");
}

#[tokio::test(start_paused = true)]
async fn roles_that_are_made() {
    let environment = FakeBench::new(world().without_service_linked_roles());
    insta::assert_snapshot!(examining(environment).await, @"
    > CreateServiceLinkedRole ecs.amazonaws.com
    > CreateServiceLinkedRole elasticloadbalancing.amazonaws.com
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    ok       parameters     template and settings agree
    ok       role of ecs    the account had no role for ECS: made it
    ok       role of elb    the account had no role for load balancers: made it
    skipped  reachable      not looked at: no version runs yet
    ready to be deployed: 0 errors, 0 warnings
    ready: true
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
    > CreateServiceLinkedRole ecs.amazonaws.com (refused)
    > CreateServiceLinkedRole elasticloadbalancing.amazonaws.com (refused)
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    ok       parameters     template and settings agree
    warning  role of ecs    whether there is a role for ECS is not known: CreateServiceLinkedRole: no identity-based policy allows it (AccessDenied)
               remedy: once an account, by somebody who may: `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`
    warning  role of elb    the account has no role for load balancers, and it cannot be made from here: CreateServiceLinkedRole: no identity-based policy allows it (AccessDenied)
               remedy: once an account, by somebody who may: `aws iam create-service-linked-role --aws-service-name elasticloadbalancing.amazonaws.com`
    skipped  reachable      not looked at: no version runs yet
    ready to be deployed: 0 errors, 2 warnings
    ready: true
    ");
}

#[tokio::test(start_paused = true)]
async fn roles_that_may_not_be_looked_at_and_are_there() {
    let world = world().failing("GetRole", denied("you may not look"));
    let text = examining(FakeBench::new(world)).await;
    let roles: Vec<&str> = text.lines().filter(|line| line.contains("role")).collect();
    insta::assert_snapshot!(roles.join("\n"), @"
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    ");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_refused() {
    let refused = error(
        RemoteErrorKind::Refused,
        "ValidationError",
        "Template format error: Unresolved resource dependencies [Vpc]",
    );
    let environment = FakeBench::new(world().failing("ValidateTemplate", refused));
    insta::assert_snapshot!(examining(environment).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    error    validation     CloudFormation refuses the template: ValidateTemplate: Template format error: Unresolved resource dependencies [Vpc] (ValidationError)
               remedy: check it: `cfn-lint /project/infra/service.yaml`
    skipped  parameters     not looked at: CloudFormation did not name them
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    skipped  reachable      not looked at: no version runs yet
    not ready to be deployed: 1 error, 0 warnings
    ready: false
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
    let environment = FakeBench {
        template: Some(template),
        toolchain: Some(toolchain),
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(environment).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    error    template       cannot read the template `/project/infra/service.yaml`: No such file or directory (os error 2)
               remedy: set `template` in `deployer.toml`, or `--template FILE`
    error    rust           the compiler cannot make programs for `aarch64-unknown-linux-musl` yet
               remedy: run `rustup target add aarch64-unknown-linux-musl`
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    skipped  validation     not looked at: the template cannot be read
    skipped  parameters     not looked at: the template cannot be read
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    skipped  reachable      not looked at: no version runs yet
    not ready to be deployed: 2 errors, 0 warnings
    ready: false
    ");
}

#[tokio::test(start_paused = true)]
async fn parameters_that_do_not_agree() {
    let mut environment = FakeBench::new(world());
    let declared = [
        ("ImageUri", Some("")),
        ("Cpu", None),
        ("Memory", None),
        ("Domain", None),
        ("Owner", None),
    ];
    environment.world = world().declaring(declared).shared();
    let change = |config: &mut crate::config::Config| {
        config
            .parameters
            .insert("Owner".to_owned(), "me".to_owned());
    };
    insta::assert_snapshot!(examining_with(environment, change).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       clock          AWS's clock minus this machine's: +0.0 s ± 0.6 s
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    error    parameters     the template does not declare `DesiredCount`; no value is given for `Domain`
               remedy: declare it in the template, or remove it from `[parameters]`: `docs/template.md` lists those that are always given
               remedy: set it under `[parameters]` in `deployer.toml`, or give it a default
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    skipped  reachable      not looked at: no version runs yet
    not ready to be deployed: 1 error, 0 warnings
    ready: false
    ");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off() {
    let environment = FakeBench {
        ahead: 421_000,
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining(environment).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    error    clock          AWS's clock minus this machine's: -421.0 s ± 0.6 s
               remedy: set it: `sudo timedatectl set-ntp true`
               remedy: AWS refuses what is signed with a time 5 minutes off
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    ok       parameters     template and settings agree
    ok       role of ecs    the role of ECS is there
    ok       role of elb    the role of load balancers is there
    skipped  reachable      not looked at: no version runs yet
    not ready to be deployed: 1 error, 0 warnings
    ready: false
    ");
}

#[tokio::test(start_paused = true)]
async fn on_this_machine() {
    let local = |config: &mut crate::config::Config| config.access.local = true;
    let absent = FakeBench::new(world());
    insta::assert_snapshot!(examining_with(absent, local).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       docker         the engine answers
    ok       emulator       does not run: `up` starts it
    skipped  credentials    not looked at: the emulator does not run: `deployer up --local` starts it
    skipped  validation     not looked at: the emulator does not run: `deployer up --local` starts it
    skipped  parameters     not looked at: the emulator does not run: `deployer up --local` starts it
    skipped  reachable      not looked at: the emulator does not run: `deployer up --local` starts it
    ready to be deployed: 0 errors, 0 warnings
    ready: true
    ");
    let running = FakeBench {
        presence: Presence::Running {
            version: "1.0".to_owned(),
            guarded: true,
        },
        ..FakeBench::new(world())
    };
    insta::assert_snapshot!(examining_with(running, local).await, @"
    ok       configuration  stack clock: 2 tasks of 256 CPU units and 512 MiB on X86_64
    ok       template       /project/infra/service.yaml, 13 of 51200 bytes
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    ok       dockerfile     /project/Dockerfile
    ok       folders        can be written: /project/target
    ok       docker         the engine answers
    warning  emulator       runs, version 1.0; this program is tested with 1.5.33
               remedy: `deployer down --local` stops it, if this program started it
    ok       credentials    account 123456789012, region eu-central-1, as arn:aws:iam::123456789012:user/someone
    ok       validation     CloudFormation accepts the template
    ok       parameters     template and settings agree
    skipped  reachable      not looked at: no version runs yet
    ready to be deployed: 0 errors, 1 warning
    ready: true
    ");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_this_machine_cannot_reach() {
    let running = || FakeWorld::new([at("UPDATE_COMPLETE").with_image('b')]);
    let open = examining(FakeBench::new(running())).await;
    assert!(open.contains("requests of this machine arrive"), "{open}");
    let closed = |world| FakeBench {
        closed: true,
        ..FakeBench::new(world)
    };
    let text = examining(closed(running())).await;
    assert!(text.ends_with("ready: false"), "{text}");
    let (_, line) = text.split_once("reachable").unwrap();
    insta::assert_snapshot!(line, @"
          http://clock.example/now cannot be reached from this machine: cannot resolve `clock.example`: no such name; the load balancer calls 2 of 2 targets healthy
               remedy: open the way from this machine: the name has to be resolved, and the load balancer's port reached
               remedy: or check through a proxy: `deployer up --stack clock --profile work --check-proxy http://HOST:PORT`
               remedy: or rely on the load balancer's health checks, which prove neither version nor clock: `deployer up --stack clock --profile work --check target-health`
    not ready to be deployed: 1 error, 0 warnings
    ready: false
    ");
    let relied_on = examining_with(closed(running()), |config| {
        config.check_from = crate::cli::CheckFrom::TargetHealth;
    });
    assert!(relied_on.await.ends_with("ready: true"));
}

#[tokio::test(start_paused = true)]
async fn credentials_that_end_before_an_operation_may_are_worth_a_warning() {
    let ending_in = |minutes: i64| {
        examining_with(FakeBench::new(world()), move |config| {
            let mut found = config.access.found.take().unwrap();
            found.end = Some(chrono::Utc::now() + chrono::TimeDelta::minutes(minutes));
            config.access.remember(found);
        })
    };
    // An operation may take half an hour.
    let enough = ending_in(31).await;
    assert!(enough.contains("ok       credentials"), "{enough}");
    let too_soon = ending_in(10).await;
    assert!(too_soon.contains("warning  credentials"), "{too_soon}");
    assert!(
        too_soon.contains("and an operation may take 1800 s"),
        "{too_soon}"
    );
    assert!(
        too_soon.contains(
            "remedy: if that is over by then: log in again: `aws sso login --profile work`"
        ),
        "{too_soon}"
    );
    assert!(too_soon.ends_with(": true"), "{too_soon}");
}

#[tokio::test(start_paused = true)]
async fn what_is_built() {
    let of_image = |text: String| -> String {
        let is_of_image = |line: &&str| {
            let words = [
                "rust",
                "program",
                "dockerfile",
                "image ",
                "remedy",
                "line 3",
                "ready",
            ];
            words.iter().any(|word| line.contains(word))
        };
        text.lines()
            .filter(is_of_image)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let several = Failure::preflight("the project has 2 programs").hint("choose one");
    let no_program = FakeBench {
        program: Some(several.clone()),
        ..FakeBench::new(world())
    };
    let not_needed = FakeBench {
        program: Some(several),
        needs_no_program: true,
        ..FakeBench::new(world())
    };
    let remarkable = FakeBench {
        remarks: vec!["line 3: `npm` is not run here".to_owned()],
        ..FakeBench::new(world())
    };
    let exists = |config: &mut crate::config::Config| {
        config.image.uri = Some("ghcr.io/example/app:1".to_owned());
    };
    insta::assert_snapshot!(
        [
            of_image(examining(no_program).await),
            of_image(examining(not_needed).await),
            of_image(examining(remarkable).await),
            of_image(examining_with(FakeBench::new(world()), exists).await),
        ]
        .join("\n\n"),
        @"
    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    error    program        the project has 2 programs
               remedy: choose one
    skipped  dockerfile     not looked at: it depends on the program
    not ready to be deployed: 1 error, 0 warnings
    ready: false

    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    skipped  program        not looked at: the Dockerfile needs no program of cargo
    ok       dockerfile     /project/Dockerfile
    ready to be deployed: 0 errors, 0 warnings
    ready: true

    ok       rust           cargo 1.94.1, for x86_64-unknown-linux-musl
    ok       program        app, of package app
    warning  dockerfile     line 3: `npm` is not run here
    ready to be deployed: 0 errors, 1 warning
    ready: true

    ok       image          ghcr.io/example/app:1
    ready to be deployed: 0 errors, 0 warnings
    ready: true
    "
    );
}
