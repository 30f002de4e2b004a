//! The steps of a run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::deletion;
use crate::images::Image;
use crate::load::Load;
use crate::output::note;
use crate::process::Finished;
use crate::programs::Programs;
use crate::report::{MadeOn, Phase, Requests, Step, Verdict};

/// Steps in order: name, title, and whether `--only` cannot leave it out.
pub(crate) const STEPS: [(&str, &str, bool); 17] = [
    (
        "doctor",
        "Everything that a deployment needs is in place",
        true,
    ),
    (
        "create",
        "The stack is created, and the service answers",
        true,
    ),
    ("unchanged", "A second `up` changes nothing", false),
    ("change", "A new version takes over under load", false),
    (
        "exits",
        "A version that exits at its start is taken back",
        false,
    ),
    (
        "rollback",
        "`rollback` restores the previous version under load",
        false,
    ),
    (
        "drift",
        "A number of tasks set by hand is noticed and corrected",
        false,
    ),
    (
        "killed",
        "The deployer is killed during an update, and the next run resumes",
        false,
    ),
    (
        "interrupted",
        "Ctrl-C during an update restores the previous version",
        false,
    ),
    (
        "reviewer",
        "A reviewer gets access and loses it again",
        false,
    ),
    ("blue-green", "Strategy blue-green under load", false),
    ("linear", "Strategy linear under load", false),
    ("canary", "Strategy canary under load", false),
    (
        "broken",
        "A version that answers 500 is refused at the gate",
        false,
    ),
    (
        "wrong-clock",
        "A version with a wrong clock is refused at the gate",
        false,
    ),
    (
        "private",
        "The tasks move into private subnets under load",
        false,
    ),
    ("delete", "The stack is deleted, and nothing is left", true),
];

/// What the steps found so far. Shared, because a run may end at any moment.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) steps: Vec<Step>,
    pub(crate) made_on: MadeOn,
    pub(crate) version: String,
    pub(crate) region: Option<String>,
    /// Step that runs.
    current: usize,
}

impl Results {
    pub(crate) fn new() -> Self {
        let steps = STEPS.iter().map(|(name, title, _)| Step::new(name, title));
        Self {
            steps: steps.collect(),
            made_on: MadeOn::Unknown,
            version: String::new(),
            region: None,
            current: 0,
        }
    }

    /// Returns the step that runs.
    pub(crate) fn current(&mut self) -> Option<&mut Step> {
        self.steps.get_mut(self.current)
    }
}

/// End of a step that did not fail.
enum End {
    Passed,
    /// Not possible here, with the reason.
    Skipped(String),
}

type StepResult = Result<End, String>;

/// A run through the steps.
pub(crate) struct Flow {
    pub(crate) programs: Arc<Programs>,
    pub(crate) results: Arc<Mutex<Results>>,
    /// Folder of the images.
    pub(crate) images: PathBuf,
    /// Arguments of each `up`: parameters of the template.
    pub(crate) parameters: Vec<String>,
    pub(crate) only: Vec<String>,
    /// What runs.
    pub(crate) deployed: Deployed,
}

/// What runs.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) image: Image,
    pub(crate) strategy: &'static str,
    pub(crate) url: String,
    pub(crate) version: String,
    /// Version before, if there is one to go back to.
    pub(crate) previous: Option<String>,
}

impl Default for Deployed {
    fn default() -> Self {
        Self {
            image: Image::First,
            strategy: "rolling",
            url: String::new(),
            version: String::new(),
            previous: None,
        }
    }
}

impl Flow {
    /// Goes through the steps, until one fails.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        for (index, (name, title, is_always)) in STEPS.iter().enumerate() {
            let is_selected = self.only.is_empty() || self.only.iter().any(|only| only == name);
            if !is_selected && !is_always {
                continue;
            }
            self.results().current = index;
            note(&format!(
                "step {} of {}, {name}: {title}",
                index + 1,
                STEPS.len()
            ));
            let started = Instant::now();
            let end = self.step(name).await;
            let seconds = started.elapsed().as_secs_f64();
            let verdict = match &end {
                Ok(End::Passed) => Verdict::Passed,
                Ok(End::Skipped(_)) => Verdict::Skipped,
                Err(_) => Verdict::Failed,
            };
            if let Ok(End::Skipped(why)) | Err(why) = &end {
                self.found(why.clone());
            }
            self.with_step(|step| {
                step.seconds = seconds;
                step.verdict = verdict;
                for line in &step.evidence {
                    note(&format!("  {line}"));
                }
            });
            note(&format!("  {} after {seconds:.1} s", verdict.name()));
            if let Err(why) = end {
                return Err(format!("step `{name}` failed: {why}"));
            }
        }
        Ok(())
    }

    async fn step(&mut self, name: &str) -> StepResult {
        match name {
            "doctor" => self.doctor().await,
            "create" => self.create().await,
            "unchanged" => self.unchanged().await,
            "change" => self.change("rolling").await,
            "exits" => self.refused(Image::Exits, "rolling", 4).await,
            "rollback" => self.rollback().await,
            "drift" => self.drift().await,
            "killed" => self.killed().await,
            "interrupted" => self.interrupted().await,
            "reviewer" => self.reviewer().await,
            "blue-green" => self.change("blue-green").await,
            "linear" => self.change("linear").await,
            "canary" => self.change("canary").await,
            "broken" => self.refused(Image::Broken, "canary", 6).await,
            "wrong-clock" => self.refused(Image::WrongClock, "blue-green", 6).await,
            "private" => self.private().await,
            "delete" => self.delete().await,
            _ => Err(format!("there is no step `{name}`")),
        }
    }

    fn results(&self) -> std::sync::MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_step(&self, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.results().current() {
            change(step);
        }
    }

    fn found(&self, evidence: impl Into<String>) {
        self.with_step(|step| step.evidence.push(evidence.into()));
    }

    fn observe(&self, name: &str, value: impl Into<String>) {
        self.with_step(|step| {
            step.observed.insert(name.to_owned(), value.into());
        });
    }

    /// Keeps the phases of a command, and what it says about the place.
    fn keep(&self, finished: &Finished) {
        let mut results = self.results();
        for identified in finished.events("identified") {
            results.made_on = if identified["endpoint"].is_null() {
                MadeOn::Aws
            } else {
                MadeOn::Emulator
            };
            results.region = identified["region"].as_str().map(str::to_owned);
        }
        for started in finished.events("started") {
            if let Some(version) = started["version"].as_str() {
                version.clone_into(&mut results.version);
            }
        }
        let phases = finished.events("phase_ended").filter_map(|ended| {
            Some(Phase {
                phase: ended["phase"].as_str()?.to_owned(),
                seconds: ended["seconds"].as_f64()?,
            })
        });
        if let Some(step) = results.current() {
            step.phases.extend(phases);
        }
    }

    async fn call(&self, arguments: &[&str]) -> Result<Finished, String> {
        let finished = self.programs.deployer(arguments).await?;
        self.keep(&finished);
        Ok(finished)
    }

    async fn status(&self) -> Result<Value, String> {
        let status = self.programs.deployer(&["status"]).await?;
        expect_code(&status, 0)?;
        Ok(status.last().clone())
    }

    fn up_arguments(&self, image: Image, strategy: &str, more: &[&str]) -> Vec<String> {
        let archive = image.archive(&self.images);
        let mut arguments = vec![
            "up".to_owned(),
            "--yes".to_owned(),
            "--image-archive".to_owned(),
            archive.display().to_string(),
            "--strategy".to_owned(),
            strategy.to_owned(),
        ];
        for parameter in &self.parameters {
            arguments.extend(["--parameter".to_owned(), parameter.clone()]);
        }
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        arguments
    }

    /// Deploys an image. `on_line` may return a signal for the deployer.
    async fn up(
        &self,
        image: Image,
        strategy: &str,
        more: &[&str],
        on_line: impl FnMut(&Value) -> Option<Signal> + Send,
    ) -> Result<Finished, String> {
        let arguments = self.up_arguments(image, strategy, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let finished = self
            .programs
            .deployer_signalled(&arguments, on_line)
            .await?;
        self.keep(&finished);
        Ok(finished)
    }

    async fn doctor(&self) -> StepResult {
        let finished = self.call(&["doctor"]).await?;
        let findings = finished.last()["findings"].as_array().cloned();
        let findings = findings.unwrap_or_default();
        for finding in &findings {
            if matches!(finding["level"].as_str(), Some("warning" | "error")) {
                self.found(format!(
                    "{}: {}",
                    text(&finding["check"]),
                    text(&finding["found"])
                ));
            }
        }
        expect_code(&finished, 0)?;
        self.found(format!(
            "{} findings, none of them an error",
            findings.len()
        ));
        Ok(End::Passed)
    }

    async fn create(&mut self) -> StepResult {
        let finished = self.up(Image::First, "rolling", &[], |_| None).await?;
        let summary = succeeded(&finished)?;
        let tasks = summary["tasks"].as_array().map_or(0, Vec::len);
        text(&summary["url"]).clone_into(&mut self.deployed.url);
        text(&summary["version"]).clone_into(&mut self.deployed.version);
        self.found(format!(
            "{tasks} tasks run version {} after {:.0} s",
            self.deployed.version,
            finished.took.as_secs_f64()
        ));
        let arns = finished.events("identified");
        let is_role = arns
            .map(|it| text(&it["arn"]))
            .any(|arn| arn.contains("-DeployRole-"));
        let credentials = if is_role {
            "deploy role"
        } else {
            "other credentials"
        };
        self.observe("credentials", credentials);
        self.observe("tasks", tasks.to_string());
        self.observe(
            "stack",
            self.status().await?["status"].as_str().unwrap_or("none"),
        );
        self.check().await?;
        // Both uses of the execution role: the image was pulled, and the log was written.
        let logs = self.programs.deployer(&["logs"]).await?;
        let lines = logs
            .lines
            .iter()
            .filter(|line| line["message"].is_string())
            .count();
        self.found(format!("{lines} lines of log"));
        if lines == 0 {
            return Err("the tasks wrote no log".to_owned());
        }
        Ok(End::Passed)
    }

    /// Asks the checker, from outside.
    async fn check(&self) -> Result<(), String> {
        let check = self.programs.checker(&self.deployed.url).await?;
        let line = check.last();
        let verdict = text(&line["verdict"]);
        let instance = &line["instances"][0];
        self.found(format!(
            "checker: {verdict}, clock {} ± {} ms off",
            instance["offset_ms"], instance["uncertainty_ms"]
        ));
        self.observe("checker", verdict);
        expect_code(&check, 0).map_err(|end| format!("checker: {end}"))
    }

    async fn unchanged(&self) -> StepResult {
        let Deployed {
            image, strategy, ..
        } = self.deployed;
        let finished = self.up(image, strategy, &[], |_| None).await?;
        let summary = succeeded(&finished)?;
        self.observe("changed", summary["changed"].to_string());
        if summary["changed"] != false {
            return Err("`up` changed something".to_owned());
        }
        self.found(format!(
            "nothing was changed; it took {:.1} s",
            finished.took.as_secs_f64()
        ));
        Ok(End::Passed)
    }

    /// Deploys the other good version under load.
    async fn change(&mut self, strategy: &'static str) -> StepResult {
        let image = self.deployed.image.other();
        let load = self.load().await?;
        let finished = self.up(image, strategy, &[], |_| None).await;
        let load = self.stop(load).await;
        let finished = finished?;
        let summary = succeeded(&finished)?;
        let version = text(&summary["version"]).to_owned();
        if summary["changed"] != true || version == self.deployed.version {
            return Err(format!("version {version} is no new one"));
        }
        load.answered_by(&[&self.deployed.version, &version])?;
        self.observe_gate(&finished);
        if strategy != "rolling" {
            self.observe("weights", weights(&self.status().await?));
        }
        self.now(image, strategy, version);
        Ok(End::Passed)
    }

    fn now(&mut self, image: Image, strategy: &'static str, version: String) {
        let before = std::mem::replace(&mut self.deployed.version, version);
        self.deployed.previous = Some(before);
        self.deployed.image = image;
        self.deployed.strategy = strategy;
    }

    /// Observes where the deployment waited at the gate.
    fn observe_gate(&self, finished: &Finished) {
        let pauses: Vec<_> = finished
            .events("gate_reached")
            .map(|pause| text(&pause["stage"]))
            .collect();
        let Some((first, later)) = pauses.split_first() else {
            return;
        };
        let mut names = later.to_vec();
        names.sort_unstable();
        names.dedup();
        self.observe("first pause", *first);
        self.observe("later pauses", names.join(", "));
        self.observe("pauses", pauses.len().to_string());
    }

    /// Deploys a version with a fault: it is taken back, and the one before answers throughout.
    async fn refused(&mut self, image: Image, strategy: &'static str, code: i32) -> StepResult {
        if strategy != "rolling" && self.deployed.strategy == "rolling" {
            self.change(strategy).await?;
        }
        let load = self.load().await?;
        let limit = ["--verify-timeout", "1m"];
        let finished = self.up(image, strategy, &limit, |_| None).await;
        let load = self.stop(load).await;
        let finished = finished?;
        self.found(finished.end());
        let failure = &finished.last()["failure"];
        self.observe(
            "exit code",
            finished
                .code
                .map_or_else(String::new, |code| code.to_string()),
        );
        self.observe("kind", text(&failure["kind"]));
        self.observe("aftermath", text(&failure["aftermath"]));
        self.observe_gate(&finished);
        // Each pause is answered, but only that of an unproven version is checked.
        let mut answers = finished.events("gate_answered");
        if answers.any(|answer| answer["passed"] == false) {
            let later = answers.count();
            self.observe("pauses after the answer", later.to_string());
        }
        if finished.code != Some(code) {
            return Err(format!("expected exit code {code}"));
        }
        if failure["aftermath"] != "restored_previous" {
            return Err("the previous version was not restored".to_owned());
        }
        load.answered_by(&[&self.deployed.version])?;
        Ok(End::Passed)
    }

    async fn rollback(&mut self) -> StepResult {
        if self.deployed.previous.is_none() {
            self.change("rolling").await?;
        }
        let load = self.load().await?;
        let finished = self.call(&["rollback", "--yes"]).await;
        let load = self.stop(load).await;
        let finished = finished?;
        let version = text(&succeeded(&finished)?["version"]).to_owned();
        if Some(&version) != self.deployed.previous.as_ref() {
            return Err(format!("version {version} is not the one before"));
        }
        self.found(format!("back at version {version}"));
        load.answered_by(&[&self.deployed.version, &version])?;
        let image = self.deployed.image.other();
        let strategy = self.deployed.strategy;
        self.now(image, strategy, version);
        Ok(End::Passed)
    }

    async fn drift(&mut self) -> StepResult {
        let aws = match self.programs.other("scripts/aws-cli", &[]).await {
            Ok(aws) => aws,
            Err(reason) => return Ok(End::Skipped(format!("no AWS command line: {reason}"))),
        };
        let stack = self.programs.run.stack.clone();
        let query = "Stacks[0].[Outputs[?OutputKey=='ClusterName'].OutputValue, Outputs[?OutputKey=='ServiceName'].OutputValue][]";
        let describe = ["cloudformation", "describe-stacks", "--stack-name", &stack];
        let output = ["--query", query, "--output", "text"];
        let names = self
            .programs
            .other(&aws, &[&describe[..], &output].concat())
            .await?;
        let mut names = names.split_whitespace();
        let (Some(cluster), Some(service)) = (names.next(), names.next()) else {
            return Err("the stack does not name its cluster and service".to_owned());
        };
        let update = [
            "ecs",
            "update-service",
            "--cluster",
            cluster,
            "--service",
            service,
        ];
        let update = [&update[..], &["--desired-count", "1"]].concat();
        match self.programs.other(&aws, &update).await {
            Err(reason) if reason.contains("AccessDenied") => {
                return Ok(End::Skipped(format!("these credentials may not: {reason}")));
            }
            other => other?,
        };
        let Deployed {
            image, strategy, ..
        } = self.deployed;
        let refused = self.up(image, strategy, &[], |_| None).await?;
        self.found(format!("`up`: {}", refused.end()));
        self.observe(
            "exit code",
            refused
                .code
                .map_or_else(String::new, |code| code.to_string()),
        );
        if refused.code != Some(5) {
            return Err("expected exit code 5".to_owned());
        }
        succeeded(&self.up(image, strategy, &["--force"], |_| None).await?)?;
        let desired = self.status().await?["desired_tasks"].clone();
        self.found(format!("`up --force`: {desired} tasks"));
        if desired == 2 {
            Ok(End::Passed)
        } else {
            Err("expected 2 tasks".to_owned())
        }
    }

    /// Kills the deployer once CloudFormation updates the stack; the next run has to converge.
    async fn killed(&mut self) -> StepResult {
        let image = self.deployed.image.other();
        let load = self.load().await?;
        let kill = |line: &Value| is_update(line).then_some(Signal::KILL);
        let killed = self.up(image, "rolling", &[], kill).await;
        let resumed = self.up(image, "rolling", &[], |_| None).await;
        let load = self.stop(load).await;
        if let Some(code) = killed?.code {
            return Err(format!(
                "it ended with exit code {code} before it was killed"
            ));
        }
        let resumed = resumed?;
        let version = text(&succeeded(&resumed)?["version"]).to_owned();
        self.found(format!(
            "killed after the update had started; the next run ended it within {:.0} s",
            resumed.took.as_secs_f64()
        ));
        load.answered_by(&[&self.deployed.version, &version])?;
        self.now(image, "rolling", version);
        Ok(End::Passed)
    }

    async fn interrupted(&mut self) -> StepResult {
        let image = self.deployed.image.other();
        let load = self.load().await?;
        let interrupt = |line: &Value| is_update(line).then_some(Signal::INT);
        let finished = self.up(image, "rolling", &[], interrupt).await;
        let load = self.stop(load).await;
        let finished = finished?;
        self.found(finished.end());
        self.observe(
            "exit code",
            finished
                .code
                .map_or_else(String::new, |code| code.to_string()),
        );
        let status = self.status().await?;
        self.observe("stack", text(&status["status"]));
        if finished.code != Some(130) {
            return Err("expected exit code 130".to_owned());
        }
        if status["version"] != *self.deployed.version {
            return Err(format!("version {} runs", status["version"]));
        }
        // The new one may have answered until the update was cancelled.
        load.succeeded()?;
        Ok(End::Passed)
    }

    async fn reviewer(&self) -> StepResult {
        let granted = self.call(&["reviewer", "grant", "--user"]).await?;
        expect_code(&granted, 0)?;
        // The line has a password: nothing of it but this is kept.
        let user = text(&granted.last()["user"]).to_owned();
        let shown = self.status().await?;
        if user.is_empty() || shown["reviewer"].is_null() {
            return Err("`status` does not show the reviewer".to_owned());
        }
        expect_code(&self.call(&["reviewer", "revoke"]).await?, 0)?;
        if !self.status().await?["reviewer"].is_null() {
            return Err("`status` still shows the reviewer".to_owned());
        }
        self.found("a user was created and shown by `status`, and is gone again");
        Ok(End::Passed)
    }

    async fn private(&mut self) -> StepResult {
        let Deployed {
            image, strategy, ..
        } = self.deployed;
        let load = self.load().await?;
        let private = ["--parameter", "Network=private"];
        let finished = self.up(image, strategy, &private, |_| None).await;
        let load = self.stop(load).await;
        let finished = finished?;
        succeeded(&finished)?;
        load.answered_by(&[&self.deployed.version])?;
        self.check().await?;
        Ok(End::Passed)
    }

    async fn delete(&self) -> StepResult {
        let arguments = ["down", "--yes"];
        let finished = self.call(&arguments).await?;
        expect_code(&finished, 0)?;
        let deleted = finished.events("deleted").next().unwrap_or(&Value::Null);
        let looked_for = deleted["looked_for"].as_array().map_or(0, Vec::len);
        self.found(format!(
            "{looked_for} resources were looked for, and none was found"
        ));
        if looked_for == 0 {
            return Err("`down` found nothing to delete".to_owned());
        }
        self.found(deletion::prove(&self.programs).await?);
        Ok(End::Passed)
    }

    async fn load(&self) -> Result<Load, String> {
        let load = Load::start(&self.deployed.url, self.programs.run.place.port())?;
        // The version before answers first.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(load)
    }

    /// Stops a load once the result had time to show.
    async fn stop(&self, load: Load) -> Answers {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let result = load.stop().await;
        let count = format!("{} requests, {} failed", result.requests, result.failed);
        self.with_step(|step| {
            let before = step.requests.unwrap_or(Requests { sent: 0, failed: 0 });
            step.requests = Some(Requests {
                sent: before.sent + result.requests,
                failed: before.failed + result.failed,
            });
            step.evidence.push(count);
            step.evidence.extend(result.failures.clone());
        });
        Answers(result)
    }
}

/// Result of a load, to be judged.
struct Answers(crate::load::LoadResult);

impl Answers {
    fn succeeded(&self) -> Result<(), String> {
        match self.0.failed {
            0 if self.0.requests > 0 => Ok(()),
            failed => Err(format!("{failed} of {} requests failed", self.0.requests)),
        }
    }

    /// Every request succeeded, each of these versions answered, and no other.
    fn answered_by(&self, versions: &[&str]) -> Result<(), String> {
        self.succeeded()?;
        let answered: Vec<_> = self.0.versions.iter().map(String::as_str).collect();
        let mut wanted = versions.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        if answered == wanted {
            return Ok(());
        }
        Err(format!("answered by {answered:?}, expected {wanted:?}"))
    }
}

/// Returns whether this event says that CloudFormation has started to update the stack.
fn is_update(line: &Value) -> bool {
    line["event"] == "operation_started" && line["operation"] == "update"
}

/// Returns the text of a value, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the weights of the target groups, the greatest first.
fn weights(status: &Value) -> String {
    let groups = status["target_groups"].as_array().cloned();
    let groups = groups.unwrap_or_default();
    let mut weights: Vec<_> = groups
        .iter()
        .filter_map(|group| group["weight"].as_f64())
        .collect();
    weights.sort_by(|a, b| b.total_cmp(a));
    let weights: Vec<_> = weights.iter().map(f64::to_string).collect();
    weights.join(", ")
}

fn expect_code(finished: &Finished, code: i32) -> Result<(), String> {
    if finished.code == Some(code) {
        Ok(())
    } else {
        Err(finished.end())
    }
}

/// Returns the summary of a deployment that succeeded.
fn succeeded(finished: &Finished) -> Result<&Value, String> {
    expect_code(finished, 0)?;
    let last = finished.last();
    if last["event"] == "succeeded" {
        Ok(&last["summary"])
    } else {
        Err(format!(
            "the last event is not `succeeded`, but {}",
            last["event"]
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LoadResult;

    fn answers(requests: usize, failed: usize, versions: &[&str]) -> Answers {
        Answers(LoadResult {
            requests,
            failed,
            failures: Vec::new(),
            versions: versions.iter().map(|&version| version.to_owned()).collect(),
        })
    }

    #[test]
    fn a_load_passes_only_with_the_expected_versions_and_no_failure() {
        assert!(answers(9, 0, &["a", "b"]).answered_by(&["b", "a"]).is_ok());
        assert!(answers(9, 0, &["a"]).answered_by(&["a", "a"]).is_ok());
        assert!(answers(9, 0, &["a"]).answered_by(&["a", "b"]).is_err());
        assert!(answers(9, 0, &["a", "b"]).answered_by(&["a"]).is_err());
        assert!(answers(9, 1, &["a"]).answered_by(&["a"]).is_err());
        assert!(answers(0, 0, &[]).succeeded().is_err());
    }

    #[test]
    fn weights_are_sorted() {
        let groups = serde_json::json!({ "target_groups": [{ "weight": 0 }, { "weight": 100.0 }, { "weight": null }] });
        assert_eq!(weights(&groups), "100, 0");
        assert_eq!(weights(&Value::Null), "");
    }

    #[test]
    fn updates_are_recognised() {
        let line =
            |operation| serde_json::json!({ "event": "operation_started", "operation": operation });
        assert!(is_update(&line("update")));
        assert!(!is_update(&line("create")));
    }
}
