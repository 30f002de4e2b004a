//! Gate of a deployment: decides how to answer ECS when it pauses a deployment at a lifecycle hook.
//! Pure.

use chrono::{DateTime, Utc};

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
    /// Time at which ECS rolls the deployment back unless the hook is answered.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Formats the time at which ECS rolls back a paused deployment.
pub fn expiry(at: DateTime<Utc>) -> String {
    format!("{}, when ECS rolls it back", at.format("%F %TZ"))
}

api_enum! {
    /// Status of a service deployment.
    pub enum ServiceDeploymentStatus {
        Pending = "PENDING",
        InProgress = "IN_PROGRESS",
        StopRequested = "STOP_REQUESTED",
        Stopped = "STOPPED",
        RollbackRequested = "ROLLBACK_REQUESTED",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackSuccessful = "ROLLBACK_SUCCESSFUL",
        RollbackFailed = "ROLLBACK_FAILED",
        Successful = "SUCCESSFUL",
    }
}

/// Service deployment that moves traffic between two target groups, and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveDeployment {
    /// ARN of the service deployment.
    pub arn: String,
    /// Status of the service deployment.
    pub status: ServiceDeploymentStatus,
    /// Stage that it has reached.
    pub stage: LifecycleStage,
    /// ARN of the task definition that is being deployed.
    pub task_definition: TaskDefinitionArn,
    /// Set if a previous version exists, to which ECS can move the traffic back.
    pub has_previous: bool,
    /// Share of the public requests that the new version gets, percent.
    pub share: f64,
    /// Hooks that pause it.
    pub paused: Vec<PausedDeployment>,
}

/// Fastest way to take back a deployment that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TakeBack {
    /// Answer the hook at which it is paused.
    AnswerHook(PausedDeployment),
    /// Stop the service deployment: ECS moves the traffic back to the previous tasks, which still
    /// run.
    Stop,
    /// ECS rolls it back already.
    UnderWay,
    /// Only CloudFormation can take it back.
    CancelUpdate,
}

impl ServiceDeploymentStatus {
    /// Returns whether the deployment still proceeds to the new version.
    pub const fn goes_on(&self) -> bool {
        match self {
            Self::Pending | Self::InProgress => true,
            Self::StopRequested
            | Self::Stopped
            | Self::RollbackRequested
            | Self::RollbackInProgress
            | Self::RollbackSuccessful
            | Self::RollbackFailed
            | Self::Successful
            | Self::Unknown(_) => false,
        }
    }
}

/// Decides how to take back a deployment.
pub fn take_back(active: &ActiveDeployment) -> TakeBack {
    use ServiceDeploymentStatus as S;
    match active.status {
        S::Pending | S::InProgress => {}
        S::StopRequested | S::RollbackRequested | S::RollbackInProgress => {
            return TakeBack::UnderWay;
        }
        S::Stopped | S::RollbackSuccessful | S::RollbackFailed | S::Successful | S::Unknown(_) => {
            return TakeBack::CancelUpdate;
        }
    }
    if let Some(paused) = active.paused.first() {
        return TakeBack::AnswerHook(paused.clone());
    }
    if !active.has_previous {
        return TakeBack::CancelUpdate;
    }
    match active.stage {
        LifecycleStage::ReconcileService
        | LifecycleStage::PreScaleUp
        | LifecycleStage::ScaleUp
        | LifecycleStage::PostScaleUp
        | LifecycleStage::TestTrafficShift
        | LifecycleStage::PostTestTrafficShift
        | LifecycleStage::PreProductionTrafficShift
        | LifecycleStage::ProductionTrafficShift
        | LifecycleStage::PostProductionTrafficShift
        | LifecycleStage::BakeTime => TakeBack::Stop,
        // The previous tasks are being stopped: there is nothing left to go back to.
        LifecycleStage::CleanUp | LifecycleStage::Unknown(_) => TakeBack::CancelUpdate,
    }
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
    /// Check it, and leave the answer to a person if it passes.
    Hold,
    /// Leave it alone: the deployment belongs to another run, or its stage is unknown.
    Leave,
}

/// Purpose of the deployment, which decides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Roll out a new version, which has to pass the check.
    Prove,
    /// The same, but before the first public request a person decides.
    Hold,
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
        // Once only: whoever approved the version did so for all steps of the traffic.
        (Intent::Hold, true) if paused.stage == LifecycleStage::PostTestTrafficShift => {
            AtTheGate::Hold
        }
        (Intent::Prove | Intent::Hold, true) if paused.stage.is_behind_the_gate() => {
            AtTheGate::Check
        }
        (Intent::Undo, true) => AtTheGate::Answer(HookAnswer::RollBack),
        // At an unknown stage, it is not known where requests go. Without an answer, the hook times
        // out and ECS rolls back.
        (Intent::Prove | Intent::Hold, _) if matches!(paused.stage, LifecycleStage::Unknown(_)) => {
            AtTheGate::Leave
        }
        (Intent::Prove | Intent::Hold, false) => AtTheGate::Leave,
        // At earlier stages the header does not reach our version yet, and the later ones come
        // after the check. While rolling back, CloudFormation deploys the previous task definition,
        // which must not wait at the gate.
        (Intent::Prove | Intent::Hold | Intent::Restore, true)
        | (Intent::Undo | Intent::Restore, false) => AtTheGate::Answer(HookAnswer::Continue),
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
            expires_at: None,
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
                (Intent::Hold, "ours"),
                (Intent::Hold, "other"),
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
                    AtTheGate::Hold => "hold",
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

    /// Every stage of a deployment in progress, with and without a hook and a previous version; and
    /// every status in the bake time.
    #[test]
    fn every_way_to_take_it_back_is_decided() {
        let active = |status: &ServiceDeploymentStatus,
                      stage: &LifecycleStage,
                      has_previous,
                      is_paused: bool| {
            ActiveDeployment {
                arn: "arn:service-deployment".to_owned(),
                status: status.clone(),
                stage: stage.clone(),
                task_definition: TaskDefinitionArn::new("ours"),
                has_previous,
                share: 0.0,
                paused: is_paused
                    .then(|| at(stage.clone(), "ours"))
                    .into_iter()
                    .collect(),
            }
        };
        let name = |active: ActiveDeployment| match take_back(&active) {
            TakeBack::AnswerHook(_) => "answer the hook",
            TakeBack::Stop => "stop",
            TakeBack::UnderWay => "under way",
            TakeBack::CancelUpdate => "cancel the update",
        };
        let mut table = String::new();
        let unknown = LifecycleStage::Unknown("NEW_STAGE".to_owned());
        for stage in LifecycleStage::KNOWN.iter().chain([&unknown]) {
            let under_way = |has_previous, is_paused| {
                name(active(
                    &ServiceDeploymentStatus::InProgress,
                    stage,
                    has_previous,
                    is_paused,
                ))
            };
            let row = [
                under_way(true, false),
                under_way(true, true),
                under_way(false, false),
                under_way(false, true),
            ];
            let _ = writeln!(table, "{:<30} {}", stage.as_str(), row.join(" | "));
        }
        let unknown = ServiceDeploymentStatus::Unknown("NEW_STATUS".to_owned());
        for status in ServiceDeploymentStatus::KNOWN.iter().chain([&unknown]) {
            let row = [false, true]
                .map(|paused| name(active(status, &LifecycleStage::BakeTime, true, paused)));
            let _ = writeln!(table, "{:<30} {}", status.as_str(), row.join(" | "));
        }
        insta::assert_snapshot!(table);
    }
}
