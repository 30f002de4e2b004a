//! The gate: a deployment that ECS has paused, and what to answer. Pure.

use crate::api_enum::api_enum;
use crate::names::TaskDefinitionArn;

api_enum! {
    /// Stage of a service deployment, in ECS's order.
    pub enum LifecycleStage {
        ReconcileService = "RECONCILE_SERVICE",
        PreScaleUp = "PRE_SCALE_UP",
        ScaleUp = "SCALE_UP",
        PostScaleUp = "POST_SCALE_UP",
        TestTrafficShift = "TEST_TRAFFIC_SHIFT",
        PostTestTrafficShift = "POST_TEST_TRAFFIC_SHIFT",
        PreProductionTrafficShift = "PRE_PRODUCTION_TRAFFIC_SHIFT",
        ProductionTrafficShift = "PRODUCTION_TRAFFIC_SHIFT",
        PostProductionTrafficShift = "POST_PRODUCTION_TRAFFIC_SHIFT",
        BakeTime = "BAKE_TIME",
        CleanUp = "CLEAN_UP",
    }
}

impl LifecycleStage {
    /// Returns whether the new version can be reached through the gate's header while a deployment
    /// is paused at this stage.
    pub fn is_behind_the_gate(&self) -> bool {
        match self {
            Self::PostTestTrafficShift
            | Self::PreProductionTrafficShift
            | Self::ProductionTrafficShift
            | Self::PostProductionTrafficShift => true,
            Self::ReconcileService
            | Self::PreScaleUp
            | Self::ScaleUp
            | Self::PostScaleUp
            | Self::TestTrafficShift
            // The tasks of before may be stopped at any moment.
            | Self::BakeTime
            | Self::CleanUp
            | Self::Unknown(_) => false,
        }
    }
}

api_enum! {
    /// Status of a lifecycle hook.
    pub enum HookStatus {
        AwaitingAction = "AWAITING_ACTION",
        InProgress = "IN_PROGRESS",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
        TimedOut = "TIMED_OUT",
    }
}

/// A deployment that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedDeployment {
    /// ARN of the service deployment.
    pub arn: String,
    /// Identifier of the hook that waits.
    pub hook: String,
    /// Where it waits.
    pub stage: LifecycleStage,
    /// ARN of the task definition that it deploys.
    pub task_definition: TaskDefinitionArn,
}

/// Answer to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookAnswer {
    /// The deployment goes on.
    Continue,
    /// ECS goes back to the version of before.
    RollBack,
}

/// What to do about a paused deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtTheGate {
    /// Answer the hook.
    Answer(HookAnswer),
    /// Check the new version through the gate's header first.
    Check,
    /// Nothing: it is somebody else's, who answers it.
    Leave,
}

/// Why this program deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A new version, which has to be proven.
    Prove,
    /// The new version is to go: it was refused, or somebody cancelled.
    Undo,
    /// A version that has served before is to serve again.
    Restore,
}

/// Decides about a paused deployment; `ours` is the task definition that this run deploys, where it is known yet.
pub fn decide(
    paused: &PausedDeployment,
    ours: Option<&TaskDefinitionArn>,
    intent: Intent,
) -> AtTheGate {
    let is_ours = ours == Some(&paused.task_definition);
    match (intent, is_ours) {
        (Intent::Prove, true) if paused.stage.is_behind_the_gate() => AtTheGate::Check,
        (Intent::Undo, true) => AtTheGate::Answer(HookAnswer::RollBack),
        // Where requests go at a stage that is new to this program is not known: without an answer, ECS goes back.
        (Intent::Prove, _) if matches!(paused.stage, LifecycleStage::Unknown(_)) => {
            AtTheGate::Leave
        }
        (Intent::Prove, false) => AtTheGate::Leave,
        // Ours cannot be asked yet, or not any more: the stages that matter come. On the way back, CloudFormation deploys what was
        // there before.
        (Intent::Prove | Intent::Restore, true) | (Intent::Undo | Intent::Restore, false) => {
            AtTheGate::Answer(HookAnswer::Continue)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn at(stage: LifecycleStage, task_definition: &str) -> PausedDeployment {
        PausedDeployment {
            arn: "arn:service-deployment".to_owned(),
            hook: "hook-1".to_owned(),
            stage,
            task_definition: TaskDefinitionArn::new(task_definition),
        }
    }

    /// Every stage, for each intent, of our version and of another one.
    #[test]
    fn every_stage_is_decided() {
        let ours = TaskDefinitionArn::new("ours");
        let mut table = String::new();
        let unknown = LifecycleStage::Unknown("NEW_STAGE".to_owned());
        for stage in LifecycleStage::KNOWN.iter().chain([&unknown]) {
            let row = [
                (Intent::Prove, "ours"),
                (Intent::Prove, "other"),
                (Intent::Undo, "ours"),
                (Intent::Undo, "other"),
                (Intent::Restore, "ours"),
                (Intent::Restore, "other"),
            ];
            let row = row.map(|(intent, version)| {
                match decide(&at(stage.clone(), version), Some(&ours), intent) {
                    AtTheGate::Answer(HookAnswer::Continue) => "continue",
                    AtTheGate::Answer(HookAnswer::RollBack) => "roll back",
                    AtTheGate::Check => "check",
                    AtTheGate::Leave => "leave",
                }
            });
            let _ = writeln!(table, "{:<30} {}", stage.as_str(), row.join(" | "));
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn without_a_task_definition_nothing_is_ours() {
        let paused = at(LifecycleStage::PostTestTrafficShift, "ours");
        assert_eq!(decide(&paused, None, Intent::Prove), AtTheGate::Leave);
    }
}
