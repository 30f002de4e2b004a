//! Verdict on a deployed image, as an in-toto test result: `docs/provenance.md` describes it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::config::Config;
use deployment::error::Failure;
use deployment::event::{Checked, Probed};
use deployment::names::{ImageUri, StackId};
use deployment::stack::Observed;
use image_builder::attestation::Statement;
use image_builder::image::Document;

/// Type of the predicate.
pub(crate) const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";
const PASSED: &str = "PASSED";
const WARNED: &str = "WARNED";
/// Names of the parts of the configuration.
const CHECK: &str = "check";
const DEPLOYMENT: &str = "deployment";

/// Findings about a deployment that succeeded.
pub(crate) struct Findings<'a> {
    /// Stack that runs the image.
    pub(crate) stack: &'a Observed,
    /// Public URL of the service.
    pub(crate) url: &'a str,
    /// Last check from outside; absent if the load balancer's health checks had to do.
    pub(crate) check: Option<&'a Checked>,
    /// Limits of the proof, if there are any.
    pub(crate) unproven: Option<&'a str>,
    /// Result of the probe, if a previous version was replaced.
    pub(crate) probe: Option<&'a Probed>,
    /// Time of the verdict.
    pub(crate) at: DateTime<Utc>,
}

/// Verdict on an image, to be attached to it.
#[derive(Clone, Copy)]
pub(crate) struct OfImage<'a> {
    /// Image that it is about.
    pub(crate) image: &'a ImageUri,
    /// Stack that runs the image.
    pub(crate) stack: &'a StackId,
    /// The verdict.
    pub(crate) statement: &'a Statement,
    /// Set if the deployment changed anything.
    pub(crate) changed: bool,
}

/// Writes the verdict.
pub(crate) fn statement(config: &Config, findings: &Findings<'_>) -> Statement {
    let mut passed = Vec::new();
    let mut warned = Vec::new();
    match findings.check {
        Some(check) => passed.push(match check.kind {
            clock::Kind::Clock => "check from outside: clock",
            clock::Kind::Http => "check from outside: HTTP",
        }),
        None => warned.push("target health only"),
    }
    if let Some(probe) = findings.probe {
        const NAME: &str = "no failed request during the rollout";
        let of = if probe.failed == 0 {
            &mut passed
        } else {
            &mut warned
        };
        of.push(NAME);
    }
    let id = findings.stack.id.as_str();
    let deployment = json!({
        "name": DEPLOYMENT,
        "uri": id,
        "annotations": {
            "stack": config.stack.as_str(),
            "environment": config.environment,
            "strategy": config.settings.strategy.name(),
            "time": findings.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "probe": findings.probe.map(|probe| json!({
                "requests": probe.requests,
                "failed": probe.failed,
                "longestGapMs": probe.longest_gap_ms,
            })),
        },
    });
    let version = env!("CARGO_PKG_VERSION");
    let tool = json!({
        "name": "deployer",
        "uri": format!("pkg:generic/deployer@{version}"),
    });
    let check = json!({
        "name": CHECK,
        "uri": findings.url,
        "annotations": findings.check.map_or_else(
            || json!({ "unproven": findings.unproven }),
            |check| described(check, findings.unproven),
        ),
    });
    Statement {
        predicate_type: PREDICATE.to_owned(),
        predicate: json!({
            "result": if findings.check.is_some() { PASSED } else { WARNED },
            "configuration": [check, deployment, tool],
            "url": findings.url,
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": [],
        }),
    }
}

/// Returns the result of a verdict.
pub(crate) fn result(verdict: &Statement) -> String {
    let result = verdict.predicate["result"].as_str();
    result.unwrap_or_default().to_owned()
}

/// Returns whether the stack has found the image good already.
pub(crate) fn is_there(stack: &StackId, statements: &[Document], image: &str) -> bool {
    let all = verdicts(statements, image);
    all.iter().any(|it| it.is_of(stack) && it.passed)
}

/// Describes a check. Fields without a value are left out.
fn described(check: &Checked, unproven: Option<&str>) -> Value {
    let interval = check.offset_ms.zip(check.uncertainty_ms);
    let fields = [
        ("kind", json!(check.kind)),
        ("verdict", json!(check.verdict.name())),
        (
            // Of the worst instance.
            "offsetIntervalMs",
            json!(interval.map(|(offset, half)| [offset - half, offset + half])),
        ),
        ("instances", json!(check.instances)),
        ("requests", json!(check.requests)),
        ("status", json!(check.status)),
        ("version", json!(check.version)),
        ("unproven", json!(unproven)),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Verdict that is attached to an image.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// ARN of the stack.
    stack: Option<String>,
    passed: bool,
    warned: bool,
}

impl Verdict {
    /// Returns whether it is the stack's. A name is not enough: another account or region can have
    /// a stack of the same name, and so can this one, after the first was deleted.
    fn is_of(&self, stack: &StackId) -> bool {
        self.stack.as_deref() == Some(stack.as_str())
    }
}

/// Returns the verdicts among the statements about an image.
fn verdicts(statements: &[Document], image: &str) -> Vec<Verdict> {
    let parsed = statements
        .iter()
        .filter_map(|it| Statement::parse(&it.content, image));
    let verdicts = parsed.filter(|it| it.predicate_type == PREDICATE);
    let read = verdicts.map(|it| {
        let configuration = it.predicate["configuration"].as_array();
        let configuration = configuration.map_or(&[][..], Vec::as_slice);
        let deployment = configuration.iter().find(|it| it["name"] == DEPLOYMENT);
        let stack = deployment.and_then(|it| it["uri"].as_str());
        Verdict {
            stack: stack.map(ToOwned::to_owned),
            passed: it.predicate["result"] == PASSED,
            warned: it.predicate["result"] == WARNED,
        }
    });
    read.collect()
}

/// Fails unless the stack has found the image good. If its settings do without a check from
/// outside, a verdict without one is enough.
pub(crate) fn require_of(
    config: &Config,
    stack: &StackId,
    statements: &[Document],
    image: &str,
) -> Result<(), Failure> {
    let is_enough = |verdict: &Verdict| {
        let may_warn = config.check_from == crate::cli::CheckFrom::TargetHealth;
        let is_good = verdict.passed || (may_warn && verdict.warned);
        is_good && verdict.is_of(stack)
    };
    if verdicts(statements, image).iter().any(is_enough) {
        return Ok(());
    }
    let environment = config.environment.as_deref().unwrap_or_default();
    Err(Failure::preflight(format!(
        "`{environment}` is not proven: nothing is promoted"
    ))
    .because(format!(
        "its image has no verdict {PASSED} of the stack {}",
        stack.as_str()
    ))
    .hint("`deployer up` checks it from outside, and attaches the verdict to its image"))
}

/// Fails unless some stack has found the image good.
pub(crate) fn require_any(statements: &[Document], uri: &str, image: &str) -> Result<(), Failure> {
    if verdicts(statements, image).iter().any(|it| it.passed) {
        return Ok(());
    }
    Err(Failure::preflight(format!("{uri} is not proven"))
        .because(format!("no verdict {PASSED} is attached to it"))
        .hint("deploy it where it may be tried first: `deployer up` attaches its verdict, and `deployer promote` takes it along")
        .hint("or leave out `--require verdict`"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{DIGEST, settings};

    const STACK: &str = "arn:aws:cloudformation:eu-central-1:123456789012:stack/clock/1";

    fn check() -> Checked {
        Checked {
            kind: clock::Kind::Clock,
            verdict: clock::Verdict::Ok,
            cause: None,
            offset_ms: Some(0.5),
            uncertainty_ms: Some(1.25),
            instances: 2,
            version: Some("0.1.0+0123456789ab".to_owned()),
            status: Some(200),
            requests: 6,
            unreachable: false,
        }
    }

    fn verdict(check: Option<&Checked>, failed: u64) -> Statement {
        let stack = Observed {
            id: STACK.parse().unwrap(),
            status: "UPDATE_COMPLETE".into(),
            reason: None,
            outputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        let probe = Probed {
            requests: 100,
            failed,
            longest_gap_ms: 12,
            first_failure: None,
        };
        let findings = Findings {
            stack: &stack,
            url: "http://clock.example/now",
            check,
            unproven: None,
            probe: Some(&probe),
            at: DateTime::UNIX_EPOCH,
        };
        statement(&settings(), &findings)
    }

    #[test]
    fn a_verdict_says_what_was_found() {
        let mut predicate = verdict(Some(&check()), 0).predicate;
        predicate.sort_all_objects();
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{predicate:#}").replace(version, "VERSION");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_is_not_proven_is_a_warning() {
        let predicate = verdict(Some(&check()), 1).predicate;
        assert_eq!(predicate["result"], "PASSED");
        let warned = json!(["no failed request during the rollout"]);
        assert_eq!(predicate["warnedTests"], warned);
        let predicate = verdict(None, 0).predicate;
        assert_eq!(predicate["result"], "WARNED");
        assert_eq!(predicate["warnedTests"], json!(["target health only"]));
    }

    #[test]
    fn an_image_is_promoted_with_the_verdict_of_its_own_stack_only() {
        let written = |statement: Statement| vec![statement.document("clock", DIGEST)];
        let passed = written(verdict(Some(&check()), 0));
        let warned = written(verdict(None, 0));
        let mut config = settings();
        let own = STACK.parse().unwrap();
        assert_eq!(require_of(&config, &own, &passed, DIGEST), Ok(()));
        let refused = |config: &Config, stack: &StackId, statements: &[Document]| {
            let failure = require_of(config, stack, statements, DIGEST).unwrap_err();
            assert_eq!(failure.kind.exit_code(), 3);
        };
        refused(&config, &own, &warned);
        refused(&config, &own, &[]);
        // The statement is about another image.
        let other = DIGEST.replace('0', "1");
        let of_other = [verdict(Some(&check()), 0).document("clock", &other)];
        refused(&config, &own, &of_other);
        // Without a check from outside, the health of the targets is what such a stack has.
        config.check_from = crate::cli::CheckFrom::TargetHealth;
        assert_eq!(require_of(&config, &own, &warned, DIGEST), Ok(()));
        assert!(is_there(&own, &passed, DIGEST));
        for (own, other) in [
            // Deleted and created again, in another account, in another region.
            ("clock/1", "clock/2"),
            ("123456789012", "210987654321"),
            ("eu-central-1", "eu-west-1"),
            ("clock/1", "another/1"),
        ] {
            let stack = STACK.replace(own, other).parse().unwrap();
            refused(&config, &stack, &passed);
            assert!(!is_there(&stack, &passed, DIGEST), "{}", stack.as_str());
        }

        assert_eq!(require_any(&passed, "app:1", DIGEST), Ok(()));
        let failure = require_any(&warned, "app:1", DIGEST).unwrap_err();
        assert_eq!(failure.message, "app:1 is not proven");
    }
}
