//! Deployments that wait at the gate, at each stage of their life.

use std::fmt::Write as _;

use super::answer::OLD;
use super::service_names;
use deployment::names::TaskDefinitionArn;
use deployment::rollout::gate::{LifecycleStage, PausedDeployment};

/// A deployment of this task definition waits at this stage.
pub(crate) fn waiting(
    hook: &str,
    stage: &LifecycleStage,
    task_definition: &str,
) -> Vec<PausedDeployment> {
    vec![PausedDeployment {
        arn: format!("arn:service-deployment/{task_definition}"),
        hook: hook.to_owned(),
        stage: stage.clone(),
        task_definition: TaskDefinitionArn::new(task_definition),
        share: 0.0,
        expires_at: chrono::DateTime::from_timestamp(1_795_341_840, 0),
    }]
}

/// The new version waits at this stage, for three looks, then the one of before on its way back, then nothing.
pub(crate) fn there_and_back(stage: &LifecycleStage) -> Vec<Vec<PausedDeployment>> {
    let new = waiting("new", stage, service_names().task_definition.as_str());
    let old = waiting("old", stage, OLD);
    vec![new.clone(), new.clone(), new, old, Vec::new()]
}

/// How a command answers hooks at each stage, and how it ends: a line a stage, of the transcripts that `run` returns.
pub(crate) async fn at_every_stage(run: impl AsyncFn(&LifecycleStage) -> String) -> String {
    let unknown = LifecycleStage::Unknown("NEW_STAGE".to_owned());
    let mut table = String::new();
    for stage in LifecycleStage::KNOWN.iter().chain([&unknown]) {
        let transcript = run(stage).await;
        let mut found = Vec::new();
        for line in transcript.lines() {
            let answer = line.strip_prefix("> ContinueServiceDeployment ");
            found.extend(answer.or_else(|| line.starts_with("exit code").then_some(line)));
        }
        // A hook stays, and is answered again, until ECS has taken the answer.
        found.dedup();
        let _ = writeln!(table, "{:<30} {}", stage.as_str(), found.join(", "));
    }
    table
}
