//! A change with each deployment strategy, compared with a script that answers the same hooks.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;

use crate::deploy::{Deployments, LIMIT};
use crate::output::note;
use crate::process::{Error, Finished, run};
use crate::report::Table;
use crate::setting::Setting;
use crate::stats::order;

pub(crate) const VERDICT: &str = "to the verdict";
pub(crate) const ALL: &str = "to 100 %";
pub(crate) const ROLLING: &str = "rolling";
pub(crate) const LINEAR: &str = "linear";

/// Strategies, with their default steps: `linear` moves a quarter at a time, `canary` a tenth and
/// then the rest.
const STRATEGIES: [&str; 4] = [ROLLING, "blue-green", LINEAR, "canary"];

/// Returns the contestant that deploys with a strategy by script.
pub(crate) fn by_script(strategy: &str) -> String {
    format!("script, {strategy}")
}

/// Measures changes. Every strategy has a stack of its own, for each contestant.
pub(crate) fn measure(
    runtime: &Runtime,
    setting: &Setting,
    program: &Path,
) -> Result<Table, Error> {
    let scripts = STRATEGIES.map(by_script);
    let names: Vec<&str> = STRATEGIES
        .into_iter()
        .chain(scripts.iter().map(String::as_str))
        .collect();
    let deployments = Deployments::prepare(runtime, setting, program, &names)?;
    let mut table = Table::new("Strategies on the emulator: a change", ROLLING);
    let rounds = setting.rounds(2);
    for round in 0..=rounds {
        note(&format!("strategies, round {round} of {rounds}"));
        for name in order(names.len(), round).filter_map(|at| names.get(at)) {
            deployments.revise(&format!("{name} {round}"))?;
            let began = now();
            let finished = deploy(setting, &deployments, name)?;
            let all = finished.took.as_secs_f64();
            let verdict = verdict(&finished).map_or(all, |verdict| verdict - began);
            // The first round creates the stacks.
            table.add_if(round > 0, name, &[(VERDICT, "s", verdict), (ALL, "s", all)]);
        }
    }
    Ok(table.finish())
}

fn deploy(setting: &Setting, deployments: &Deployments<'_>, name: &str) -> Result<Finished, Error> {
    let Some(strategy) = name.strip_prefix("script, ") else {
        return run(
            &mut deployments.deployer(name, &["up", "--strategy", name]),
            LIMIT,
        );
    };
    let template = rendered(setting, deployments, strategy)?;
    run(&mut deployments.script(name, &template), LIMIT)
}

/// Returns the template with a strategy: the script has none of its own.
fn rendered(
    setting: &Setting,
    deployments: &Deployments<'_>,
    strategy: &str,
) -> Result<PathBuf, Error> {
    let path = setting.scratch().join(format!("{strategy}.yaml"));
    if !path.exists() {
        let mut template = deployments.deployer(strategy, &["template"]);
        template.env("DEPLOYER_STRATEGY", strategy);
        let answer = run(&mut template, LIMIT)?.stdout;
        let text = serde_json::from_str::<serde_json::Value>(&answer).ok();
        let text = text.as_ref().and_then(|it| it.get("template")?.as_str());
        let text = text.ok_or_else(|| Error::Failed(format!("no template: {answer}")))?;
        std::fs::write(&path, text).map_err(Error::at(path.display()))?;
    }
    Ok(path)
}

/// Returns when the new version passed first, in seconds since 1970. Without a gate, the verdict
/// comes last.
fn verdict(finished: &Finished) -> Option<f64> {
    finished.stdout.lines().find_map(|line| {
        if let Some(seconds) = line.strip_prefix("verdict ") {
            return seconds.parse().ok();
        }
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = event.get("event")? == "gate_answered";
        let time = event.get("time")?.as_str().filter(|_| is_it)?;
        let time = chrono::DateTime::parse_from_rfc3339(time).ok()?;
        Some(
            std::time::Duration::from_millis(u64::try_from(time.timestamp_millis()).ok()?)
                .as_secs_f64(),
        )
    })
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
