//! Results as data: the format of `report.json`, documented in `docs/acceptance.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Format version. Incremented when a reader of older reports could misunderstand a newer one.
pub(crate) const FORMAT: u32 = 1;

/// Complete report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    pub(crate) made_on: MadeOn,
    /// Time of the start, RFC 3339 in UTC.
    pub(crate) started: String,
    /// Duration in seconds, the builds of the images excluded.
    pub(crate) seconds: f64,
    /// Version of the deployer.
    pub(crate) version: String,
    pub(crate) region: Option<String>,
    pub(crate) verdict: Verdict,
    /// Reason why the run ended early.
    pub(crate) ended_early: Option<String>,
    /// Whether the deployer's own means prove that nothing is left.
    pub(crate) nothing_is_left: bool,
    /// Stack that may be left.
    pub(crate) left: Option<String>,
    /// Dollars per hour, without traffic, with public and with private tasks.
    pub(crate) cost_per_hour: BTreeMap<String, Option<f64>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) claims: Vec<Claim>,
    /// Differences to the reference report, if one is given.
    pub(crate) differences: Option<Vec<Difference>>,
}

/// Place that the report was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MadeOn {
    Aws,
    Emulator,
    /// The run ended before the deployer said whose credentials it uses.
    Unknown,
}

/// Verdict on a step or the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// Not possible here; the evidence says why.
    Skipped,
    /// Not selected, or the run ended before.
    NotRun,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotRun => "not run",
        }
    }
}

/// Step of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
    /// What was found, in sentences.
    pub(crate) evidence: Vec<String>,
    /// Phases of the deployer's commands, in order, with their seconds.
    pub(crate) phases: Vec<Phase>,
    /// What can be compared with another report, by name.
    pub(crate) observed: BTreeMap<String, String>,
    /// Requests during the step, and those of them that failed; absent without a load.
    pub(crate) requests: Option<Requests>,
}

/// Phase of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) phase: String,
    pub(crate) seconds: f64,
}

/// Counted requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) sent: usize,
    pub(crate) failed: usize,
}

/// Statement that only an AWS account can prove.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) statement: String,
    pub(crate) verdict: Proof,
    pub(crate) why: String,
}

/// Verdict on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    Proven,
    Refuted,
    NotProven,
}

impl Proof {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Refuted => "refuted",
            Self::NotProven => "not proven",
        }
    }
}

/// Difference between two reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub(crate) step: String,
    pub(crate) what: String,
    pub(crate) reference: String,
    pub(crate) here: String,
}

impl Step {
    pub(crate) fn new(name: &str, title: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            verdict: Verdict::NotRun,
            seconds: 0.0,
            evidence: Vec::new(),
            phases: Vec::new(),
            observed: BTreeMap::new(),
            requests: None,
        }
    }

    /// Returns the seconds of a phase, if the step has it.
    pub(crate) fn phase(&self, name: &str) -> Option<f64> {
        let phase = self.phases.iter().find(|phase| phase.phase == name)?;
        Some(phase.seconds)
    }
}

impl Report {
    /// Returns a step by its name.
    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns whether a step passed.
    pub(crate) fn passed(&self, name: &str) -> bool {
        self.step(name)
            .is_some_and(|step| step.verdict == Verdict::Passed)
    }

    /// Compares with another report: verdicts and observations, of steps that both have run.
    pub(crate) fn differences_to(&self, reference: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for step in &self.steps {
            let Some(other) = reference.step(&step.name) else {
                continue;
            };
            if [step.verdict, other.verdict].contains(&Verdict::NotRun) {
                continue;
            }
            let mut add = |what: &str, reference: &str, here: &str| {
                if reference != here {
                    differences.push(Difference {
                        step: step.name.clone(),
                        what: what.to_owned(),
                        reference: reference.to_owned(),
                        here: here.to_owned(),
                    });
                }
            };
            add("verdict", other.verdict.name(), step.verdict.name());
            let mut names: Vec<_> = step.observed.keys().chain(other.observed.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let value = |step: &Step| step.observed.get(name).cloned();
                let nothing = || "nothing".to_owned();
                add(
                    name,
                    &value(other).unwrap_or_else(nothing),
                    &value(step).unwrap_or_else(nothing),
                );
            }
        }
        differences
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a report with steps that passed.
    pub(crate) fn report(made_on: MadeOn, steps: &[&str]) -> Report {
        let step = |name: &&str| Step {
            verdict: Verdict::Passed,
            ..Step::new(name, "A step")
        };
        Report {
            format: FORMAT,
            made_on,
            started: "2026-11-28T12:00:00Z".to_owned(),
            seconds: 61.0,
            version: "0.1.0".to_owned(),
            region: None,
            verdict: Verdict::Passed,
            ended_early: None,
            nothing_is_left: true,
            left: None,
            cost_per_hour: BTreeMap::new(),
            steps: steps.iter().map(step).collect(),
            claims: Vec::new(),
            differences: None,
        }
    }

    #[test]
    fn reports_differ_in_verdicts_and_observations() {
        let reference = report(MadeOn::Emulator, &["create", "change", "drift"]);
        let mut here = reference.clone();
        assert_eq!(here.differences_to(&reference), []);
        here.steps[0].verdict = Verdict::Skipped;
        here.steps[1]
            .observed
            .insert("exit code".to_owned(), "4".to_owned());
        // What was not run says nothing.
        here.steps[2].verdict = Verdict::NotRun;
        let found = here.differences_to(&reference);
        let found: Vec<_> = found
            .iter()
            .map(|it| {
                (
                    it.step.as_str(),
                    it.what.as_str(),
                    it.reference.as_str(),
                    it.here.as_str(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("create", "verdict", "passed", "skipped"),
                ("change", "exit code", "nothing", "4")
            ]
        );
    }

    #[test]
    fn a_report_can_be_read_again() {
        let report = report(MadeOn::Aws, &["create"]);
        let text = serde_json::to_string(&report).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Report>(&text).expect("a report"),
            report
        );
    }
}
