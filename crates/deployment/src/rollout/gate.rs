//! Gate of a deployment: decides how to answer ECS when it pauses a deployment at a lifecycle hook.
//! Pure.

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
    /// Returns whether the gate's header reaches the new version while a deployment is paused at
    /// this stage.
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
            // The tasks of the previous version may be stopped at any moment.
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

/// Deployment that is paused at a lifecycle hook.
#[derive(Debug, Clone, PartialEq)]
pub struct PausedDeployment {
    /// ARN of the service deployment.
    pub arn: String,
    /// Identifier of the hook that awaits an answer.
    pub hook: String,
    /// Stage at which it is paused.
    pub stage: LifecycleStage,
    /// ARN of the task definition that is being deployed.
    pub task_definition: TaskDefinitionArn,
    /// Share of the public requests that the new version gets, percent.
    pub share: f64,
}

/// Answer to a lifecycle hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookAnswer {
    /// Continues the deployment.
    Continue,
    /// Makes ECS roll back to the previous version.
    RollBack,
}

/// Action for a paused deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtTheGate {
    /// Answer the hook.
    Answer(HookAnswer),
    /// Check the new version through the gate's header first.
    Check,
    /// Leave it alone: the deployment belongs to another run, or its stage is unknown.
    Leave,
}

/// Purpose of the deployment, which decides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Roll out a new version, which has to pass the check.
    Prove,
    /// Remove the new version, because the check refused it or the user cancelled.
    Undo,
    /// Restore a version that has served before.
    Restore,
}

/// Decides what to do about a paused deployment.
///
/// `ours` is the task definition that this run deploys, or `None` until it is known.
pub fn decide(
    paused: &PausedDeployment,
    ours: Option<&TaskDefinitionArn>,
    intent: Intent,
) -> AtTheGate {
    let is_ours = ours == Some(&paused.task_definition);
    match (intent, is_ours) {
        (Intent::Prove, true) if paused.stage.is_behind_the_gate() => AtTheGate::Check,
        (Intent::Undo, true) => AtTheGate::Answer(HookAnswer::RollBack),
        // At an unknown stage, it is not known where requests go. Without an answer, the hook times
        // out and ECS rolls back.
        (Intent::Prove, _) if matches!(paused.stage, LifecycleStage::Unknown(_)) => {
            AtTheGate::Leave
        }
        (Intent::Prove, false) => AtTheGate::Leave,
        // At earlier stages the header does not reach our version yet, and the later ones come
        // after the check. While rolling back, CloudFormation deploys the previous task definition,
        // which must not wait at the gate.
        (Intent::Prove | Intent::Restore, true) | (Intent::Undo | Intent::Restore, false) => {
            AtTheGate::Answer(HookAnswer::Continue)
        }
    }
}

/// Returns whether public requests fail since the new version gets some of them, from the counts
/// before and now. Failures that there were before do not count against it.
pub const fn fails_in_public(before: &Counts, now: &Counts) -> bool {
    now.since(before).are_failing() && !before.are_failing()
}

/// Counts of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of requests that completed, with or without success.
    pub requests: u64,
    /// Number of requests that failed.
    pub failed: u64,
}

impl Counts {
    /// Returns the counts since earlier ones.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    /// Returns whether more than one request in a hundred failed. A single one may be chance.
    const fn are_failing(&self) -> bool {
        self.failed > 1 && self.failed.saturating_mul(100) > self.requests
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
            share: 0.0,
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
    fn the_public_way_is_judged_by_what_the_new_version_changed() {
        let counts = |requests, failed| Counts { requests, failed };
        let table = [
            (counts(50, 0), counts(80, 0), false),
            (counts(50, 0), counts(80, 1), false),
            (counts(50, 0), counts(62, 2), true),
            (counts(50, 0), counts(350, 3), false),
            (counts(0, 0), counts(20, 20), true),
            // It failed before, too.
            (counts(50, 9), counts(80, 16), false),
        ];
        for (before, now, expected) in table {
            assert_eq!(fails_in_public(&before, &now), expected, "{now:?}");
        }
    }

    #[test]
    fn without_a_task_definition_nothing_is_ours() {
        let paused = at(LifecycleStage::PostTestTrafficShift, "ours");
        assert_eq!(decide(&paused, None, Intent::Prove), AtTheGate::Leave);
    }
}
