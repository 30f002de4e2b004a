//! What no linter knows of the template: who may reach what, what is left behind, which numbers have to agree. Each rule is shown to
//! notice when it is broken.
#![expect(
    clippy::unwrap_used,
    reason = "in helpers of tests too, what cannot be is a failed test"
)]

mod access;
mod action;
mod ci;
mod deploying;
mod escalation;
mod mutations;
mod policy;
mod read;
mod releases;
mod rendered;
mod reviewing;
mod rules;
mod supply;
mod workflows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use deployer::commands::{Cli, Command};
use deployer::config::{self, Config};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn text() -> String {
    std::fs::read_to_string(root().join("infra/service.yaml")).unwrap()
}

#[test]
fn the_template_keeps_all_rules() {
    let template = read::template(&text());
    for (name, rule) in rules::ALL {
        let broken = rule(&template);
        assert!(broken.is_empty(), "{name}: {broken:#?}");
    }
}

#[test]
fn every_rule_notices_when_it_is_broken() {
    let template = read::template(&text());
    let mut proven = BTreeSet::new();
    for mutation in mutations::ALL {
        let mut changed = template.clone();
        (mutation.change)(&mut changed);
        assert_ne!(changed, template, "{}: nothing has changed", mutation.name);
        let (name, rule) = rules::ALL
            .iter()
            .find(|(name, _)| *name == mutation.rule)
            .unwrap();
        let broken = rule(&changed);
        assert!(
            !broken.is_empty(),
            "{} was not noticed by {name}",
            mutation.name
        );
        proven.insert(*name);
    }
    assert!(mutations::ALL.len() >= 20);
    for (name, _) in rules::ALL {
        assert!(proven.contains(name), "nothing shows that {name} can fail");
    }
}

/// What CloudFormation takes in a request.
#[test]
fn the_template_is_small_enough_to_be_sent() {
    let length = text().len();
    assert!(length < 51_200, "{length} bytes");
}

fn configuration() -> Config {
    let root = root();
    let cli = Cli::try_parse_from(["deployer", "up"]).unwrap();
    let Command::Up(up) = &cli.command else {
        unreachable!("`up` was parsed");
    };
    let files = config::read(&root.join("deployer.toml")).unwrap();
    let file = files.select(None).unwrap();
    let overrides = config::Overrides {
        service: up.service_options.clone(),
        deploy: up.deploy.clone(),
        ..config::Overrides::default()
    };
    config::resolve(&cli.shared, overrides, file, &root).unwrap()
}

#[test]
fn the_deployer_passes_what_the_template_asks_for_and_nothing_else() {
    let template = read::template(&text());
    let declared = template["Parameters"].as_object().unwrap();
    let mut passed: BTreeSet<String> = configuration().parameters.into_keys().collect();
    passed.insert("ImageUri".to_owned());
    for name in &passed {
        assert!(
            declared.contains_key(name),
            "`{name}` is passed and not declared"
        );
    }
    for (name, parameter) in declared {
        let is_optional = parameter.get("Default").is_some();
        assert!(
            is_optional || passed.contains(name),
            "`{name}` has no default and is not passed"
        );
    }
}
