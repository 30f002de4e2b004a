//! A world that follows a script, for tests of what the program makes of it.
//!
//! - [`FakeWorld`] answers each question with what is scripted for it and writes down what it is told to change;
//! - [`moment`] and [`answer`] are the words that scripts are written in;
//! - [`stages`] are where deployments wait at the gate;
//! - [`schema`] holds the JSON Schemas that every event of a transcript has to match;
//! - [`FakeHost`] is where commands run;
//! - [`Transcript`] holds what was reported and what was changed, in one order, as text;
//! - [`settings`] are those of a stack `clock` on AWS.

pub(crate) mod answer;
mod calls;
pub(crate) mod host;
pub(crate) mod moment;
pub(crate) mod schema;
pub(crate) mod script;
pub(crate) mod stages;
mod transcript;
mod world;

pub(crate) use host::FakeHost;
pub(crate) use transcript::Transcript;
pub(crate) use world::{FOR_EVER, FakeWorld, service_names};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Output;
use crate::config::{Config, Consent, ImageSettings};
use crate::context::Connection;
use aws::access::Access;
use aws::origin::{Found, Kind, Origin, ProfileOrigin};
use aws::remote::Caller;
use image_builder::Architecture;

/// The digest of the image that is deployed, and what people see of it.
pub(crate) const DIGEST: &str =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Settings for a stack `clock` on AWS.
pub(crate) fn settings() -> Config {
    let here = PathBuf::from("/project");
    Config {
        environment: None,
        promoted_from: None,
        stack: "clock".parse().unwrap(),
        template: crate::config::TemplateSource::File(here.join("infra/service.yaml")),
        access: Access {
            profile: Some("work".to_owned()),
            found: Found {
                origin: Origin::Profile(ProfileOrigin {
                    profile: "work".to_owned(),
                    base: "work".to_owned(),
                    kind: Kind::Sso,
                    assumes_role: false,
                    mfa: None,
                }),
                region: "eu-central-1".to_owned(),
                end: None,
                roots: Vec::new(),
            }
            .into(),
            ..Access::remote()
        },
        account: None,
        image: ImageSettings {
            package: Some("app".to_owned()),
            binary: None,
            target: None,
            args: BTreeMap::new(),
            uri: None,
            dockerfile: here.join("Dockerfile"),
            context: None,
            stage: None,
            features: None,
            default_features: None,
            profile: None,
            architecture: Architecture::X86_64,
            builder: crate::cli::Builder::Native,
            build_environment: Vec::new(),
            archive: None,
            rebuild: None,
        },
        service: crate::config::ServiceSizes {
            port: 8080,
            tasks: 2,
            max_tasks: None,
            cpu: 256,
            memory: 512,
            start_seconds: None,
            architecture: Architecture::X86_64,
        },
        settings: deployment::template::Settings::default(),
        permissions: None,
        remarks: Vec::new(),
        parameters: BTreeMap::from([("DesiredCount".to_owned(), "2".to_owned())]),
        tags: std::collections::BTreeMap::new(),
        capabilities: Vec::new(),
        left_out: Vec::new(),
        check: crate::config::CheckSettings {
            kind: Some(clock::Kind::Clock),
            ..Default::default()
        },
        check_from: crate::cli::CheckFrom::Outside,
        watch_for: Duration::ZERO,
        timeout: Duration::from_mins(30),
        verify_timeout: Duration::from_mins(2),
        wait: true,
        express: false,
        hold: false,
        force: false,
        require_verdict: false,
        consent: Consent::default(),
        output: Output::Human,
        file: here.join("deployer.toml"),
        root: here,
    }
}

/// Whose credentials are used.
pub(crate) fn caller() -> Caller {
    Caller {
        account: "123456789012".to_owned(),
        arn: "arn:aws:iam::123456789012:user/someone".to_owned(),
    }
}

/// A connection to this world.
pub(crate) fn connection(world: &Arc<FakeWorld>) -> Connection {
    Connection {
        world: Arc::clone(world) as Arc<dyn aws::remote::World>,
        caller: caller(),
        region: "eu-central-1".to_owned(),
        endpoint: None,
    }
}
