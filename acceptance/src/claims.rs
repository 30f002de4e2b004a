//! Statements that could not be proved without an AWS account, and what a run says about each.
//!
//! On the emulator nothing becomes a fact about AWS.

use crate::report::{Claim, MadeOn, Proof, Report};

/// What a run has to show.
enum Evidence {
    /// These steps passed.
    Steps(&'static [&'static str], &'static str),
    /// Phases of a step took at most this long in all.
    Within(&'static str, &'static [&'static str], f64),
    /// An observation of a step has this value.
    Observed(&'static str, &'static str, &'static str),
    /// A run cannot show it; the text says what would.
    Beyond(&'static str),
}

use Evidence::{Beyond, Observed, Steps, Within};

const CLAIMS: [(&str, Evidence); 19] = [
    (
        "The template holds no resource type that this region lacks, so that `CreateStack` and change sets accept it",
        Steps(&["create", "change"], "both were accepted in this region"),
    ),
    (
        "`UnHealthyHostCount` reports the targets of all zones on every node of the load balancer",
        Beyond("needs CloudWatch metrics by zone while one of two tasks is sick for minutes"),
    ),
    (
        "ECS sends `SourceAccount` and `SourceArn` when it assumes the execution role: to pull, and to write the log",
        Steps(
            &["create"],
            "tasks were pulled and wrote their log in the role that demands both",
        ),
    ),
    (
        "`InitProcessEnabled` works with a read-only root, in an image without any folder",
        Steps(
            &["create", "change"],
            "such tasks started, and ended when they were asked to",
        ),
    ),
    (
        "The first deployment takes about five minutes",
        Within("create", &["create", "update", "rollout", "check"], 420.0),
    ),
    (
        "90 seconds are enough for `down` to see everything gone",
        Within("delete", &["proof"], 90.0),
    ),
    (
        "A deployment without `EarlySuccessCriteria` waits for the old tasks to stop",
        Beyond("needs an update from a template that sets it to one that does not"),
    ),
    (
        "`GetAZs` lists no Local Zones where there are no default subnets",
        Beyond("needs an account that has opted in to a Local Zone and has no default subnets"),
    ),
    (
        "IAM allows every call of a deployment with the policy of `deployer policy`",
        Observed("create", "credentials", "deploy role"),
    ),
    (
        "Early validation accepts change sets of the plan role",
        Beyond("needs `deployer plan` in the plan role: the workflow `plan.yml`"),
    ),
    (
        "An update that is cancelled ends with the previous version restored",
        Steps(
            &["interrupted"],
            "the deployer cancelled one, and the previous version answered throughout",
        ),
    ),
    (
        "Stack events of a cancelled EXPRESS update look like those of a standard one",
        Beyond("needs `deployer up --express`, cancelled"),
    ),
    (
        "Quotas and speeds: 6 vCPUs in new accounts, 500 tasks a minute, 5,000 tasks a service, 5,000 interfaces",
        Beyond("needs Service Quotas, and more load than a proof should cost"),
    ),
    (
        "Prices of `deployer cost`",
        Beyond("needs the bill of a day: Cost Explorer, filtered by the stack's tag"),
    ),
    (
        "A new version waits at the gate before any public request reaches it",
        Steps(
            &["blue-green", "broken", "wrong-clock"],
            "versions with a fault waited there, and answered no public request",
        ),
    ),
    (
        "The pause before the first step of traffic is in the stage `POST_TEST_TRAFFIC_SHIFT`",
        Observed("blue-green", "first pause", "POST_TEST_TRAFFIC_SHIFT"),
    ),
    (
        "The pause before a later step is in the stage `PRE_PRODUCTION_TRAFFIC_SHIFT`",
        Observed("canary", "later pauses", "PRE_PRODUCTION_TRAFFIC_SHIFT"),
    ),
    (
        "After a deployment with a gate, ECS leaves the weights at 100 and 0",
        Observed("blue-green", "weights", "100, 0"),
    ),
    (
        "After a hook is answered with ROLLBACK, ECS goes back without asking again",
        Observed("wrong-clock", "pauses after the answer", "0"),
    ),
];

/// Judges all statements by a report.
pub(crate) fn judge(report: &Report) -> Vec<Claim> {
    CLAIMS
        .iter()
        .map(|(statement, evidence)| {
            let (verdict, why) = verdict(report, evidence);
            Claim {
                statement: (*statement).to_owned(),
                verdict,
                why,
            }
        })
        .collect()
}

fn verdict(report: &Report, evidence: &Evidence) -> (Proof, String) {
    if let Beyond(needs) = evidence {
        return (Proof::NotProven, (*needs).to_owned());
    }
    if report.made_on != MadeOn::Aws {
        let why = "the emulator proves nothing about AWS";
        return (Proof::NotProven, why.to_owned());
    }
    let steps = match evidence {
        Steps(steps, _) => *steps,
        Within(step, ..) | Observed(step, ..) => &[*step],
        Beyond(_) => &[],
    };
    if let Some(missing) = steps.iter().find(|step| !report.passed(step)) {
        return (Proof::NotProven, format!("step `{missing}` did not pass"));
    }
    match evidence {
        Steps(_, why) | Beyond(why) => (Proof::Proven, (*why).to_owned()),
        Within(name, phases, limit) => {
            let step = report.step(name);
            let seconds = phases.iter().filter_map(|phase| step?.phase(phase));
            let seconds: f64 = seconds.sum();
            let verdict = if seconds <= *limit {
                Proof::Proven
            } else {
                Proof::Refuted
            };
            (verdict, format!("{seconds:.0} s; limit {limit:.0} s"))
        }
        Observed(name, what, wanted) => {
            let found = report.step(name).and_then(|step| step.observed.get(*what));
            match found {
                Some(found) if found == wanted => (Proof::Proven, format!("{what}: {found}")),
                // Other credentials refute nothing.
                Some(found) if *what == "credentials" => {
                    (Proof::NotProven, format!("deployed as {found}"))
                }
                Some(found) => (Proof::Refuted, format!("{what}: {found}")),
                None => (Proof::NotProven, format!("{what}: not observed")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Phase;
    use crate::report::tests::report;

    const STEPS: [&str; 8] = [
        "create",
        "change",
        "interrupted",
        "blue-green",
        "canary",
        "broken",
        "wrong-clock",
        "delete",
    ];

    #[test]
    fn nothing_on_the_emulator_is_a_fact_about_aws() {
        for made_on in [MadeOn::Emulator, MadeOn::Unknown] {
            let claims = judge(&report(made_on, &STEPS));
            assert!(claims.iter().all(|claim| claim.verdict == Proof::NotProven));
        }
    }

    #[test]
    fn claims_follow_from_steps_times_and_observations() {
        let mut report = report(MadeOn::Aws, &STEPS);
        let proof = |seconds| Phase {
            phase: "proof".to_owned(),
            seconds,
        };
        report.steps[7].phases.push(proof(91.0));
        let observe = |report: &mut Report, step: usize, what: &str, value: &str| {
            report.steps[step]
                .observed
                .insert(what.to_owned(), value.to_owned());
        };
        observe(&mut report, 0, "credentials", "other credentials");
        observe(&mut report, 3, "weights", "100, 0");
        observe(&mut report, 4, "later pauses", "PRODUCTION_TRAFFIC_SHIFT");
        let claims = judge(&report);
        let verdict = |start: &str| {
            let claim = claims
                .iter()
                .find(|claim| claim.statement.starts_with(start));
            claim.map(|claim| claim.verdict)
        };
        assert_eq!(verdict("The template holds"), Some(Proof::Proven));
        assert_eq!(verdict("90 seconds"), Some(Proof::Refuted));
        assert_eq!(verdict("IAM allows"), Some(Proof::NotProven));
        assert_eq!(verdict("After a deployment"), Some(Proof::Proven));
        assert_eq!(verdict("The pause before a later"), Some(Proof::Refuted));
        assert_eq!(
            verdict("The pause before the first"),
            Some(Proof::NotProven)
        );
        assert_eq!(verdict("Prices"), Some(Proof::NotProven));
        report.steps[7].phases = vec![proof(12.0)];
        report.steps.remove(0);
        let claims = judge(&report);
        assert!(claims.iter().any(|claim| claim.why == "12 s; limit 90 s"));
        assert!(
            claims
                .iter()
                .any(|claim| claim.why == "step `create` did not pass")
        );
    }
}
