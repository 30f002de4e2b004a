//! Progress of a stack operation, forwards or during a rollback.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::usual::{Usual, seconds_between};
use deployment::stack::resource::{describe, usual_duration, usual_seconds};
use deployment::stack::resource_status::{ResourceProgress, ResourceStatus};

/// Share of a resource's usual time that counts before it completes, because it may take longer.
const NEARLY: f64 = 0.9;

/// Stack operation in progress.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) since: DateTime<Utc>,
    pub(super) direction: Direction,
    /// Resources that CloudFormation is working on.
    pub(super) active: Active,
    /// Number of resources that completed or failed.
    pub(super) finished: usize,
    /// Usual duration in seconds, if known.
    pub(super) usual: Option<f64>,
    /// Weight of all resources in seconds; 0 if unknown.
    total: f64,
    /// Weight of the completed resources.
    done: f64,
}

/// Resource that CloudFormation is working on.
#[derive(Debug)]
pub(super) struct Resource {
    /// Resource type, for example `AWS::ECS::Service`.
    kind: String,
    pub(super) since: DateTime<Utc>,
    status: ResourceStatus,
}

/// Direction of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Towards the requested state.
    Forwards,
    /// Rollback to the previous state.
    Backwards,
}

impl Resource {
    /// Returns the display name: `load balancer (LoadBalancer)`.
    pub(super) fn name(&self, logical_id: &str) -> String {
        format!("{} ({logical_id})", describe(&self.kind))
    }
}

impl Operation {
    pub(super) fn new(
        at: DateTime<Utc>,
        operation: &str,
        resource_types: &[String],
        local: bool,
    ) -> Self {
        let types = || resource_types.iter().map(String::as_str);
        // Usual durations are known for creating and updating resources on AWS, not for deleting
        // them.
        let known = !local && matches!(operation, "create" | "update");
        let usual =
            Some(as_seconds(usual_duration(types()))).filter(|seconds| known && *seconds > 0.0);
        Self {
            since: at,
            direction: Direction::Forwards,
            active: Active::new(),
            finished: 0,
            usual,
            total: types().map(weight).sum(),
            done: 0.0,
        }
    }

    /// Records a new status of a resource or of the stack itself.
    pub(super) fn change(
        &mut self,
        at: DateTime<Utc>,
        logical_id: &str,
        resource_type: &str,
        status: &ResourceStatus,
    ) {
        if resource_type == "AWS::CloudFormation::Stack" {
            if status.is_of_rollback() {
                self.turn_back(at);
            }
            return;
        }
        if status.progress() == ResourceProgress::InProgress {
            let same = |resource: &Resource| resource.status == *status;
            // CloudFormation may report a status twice; the first report started the timer.
            if !self.active.get(logical_id).is_some_and(same) {
                let resource = Resource {
                    kind: resource_type.to_owned(),
                    since: at,
                    status: status.clone(),
                };
                self.active.insert(logical_id.to_owned(), resource);
            }
        } else if self.active.remove(logical_id).is_some() {
            // Counts a resource only once, and only if its start was observed.
            self.finished += 1;
            self.done = match self.direction {
                Direction::Forwards => (self.done + weight(resource_type)).min(self.total),
                Direction::Backwards => (self.done - weight(resource_type)).max(0.0),
            };
        }
    }

    fn turn_back(&mut self, at: DateTime<Utc>) {
        if self.direction == Direction::Forwards {
            // The rollback starts at the progress that was reached.
            self.done = self.fraction(at).unwrap_or_default() * self.total;
            self.direction = Direction::Backwards;
            // Neither value is known for a rollback.
            self.usual = None;
            self.finished = 0;
        }
    }

    /// Returns the completed share from 0 to 1; during a rollback, the remaining share. `None` if
    /// it is unknown.
    pub(super) fn fraction(&self, now: DateTime<Utc>) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let part = |resource: &Resource| {
            let usual = weight(&resource.kind) * NEARLY;
            seconds_between(resource.since, now).min(usual)
        };
        let under_way = match self.direction {
            Direction::Forwards => self.active.values().map(part).sum(),
            // How long the removal of a resource takes is unknown.
            Direction::Backwards => 0.0,
        };
        Some(((self.done + under_way) / self.total).clamp(0.0, 1.0))
    }

    /// Returns the usual duration, if it is known and long enough to mention.
    pub(super) fn usual(&self) -> Option<Usual> {
        Usual::of(self.usual, self.since)
    }
}

/// Resources in progress by logical id.
pub(super) type Active = BTreeMap<String, Resource>;

fn weight(resource_type: &str) -> f64 {
    as_seconds(usual_seconds(resource_type))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a deployment: far below 2^52"
)]
const fn as_seconds(seconds: u64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD_BALANCER: &str = "AWS::ElasticLoadBalancingV2::LoadBalancer";
    const SERVICE: &str = "AWS::ECS::Service";
    const STACK: &str = "AWS::CloudFormation::Stack";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_341_845 + seconds, 0).unwrap()
    }

    fn percent(operation: &Operation, seconds: i64) -> String {
        let fraction = operation.fraction(at(seconds)).unwrap();
        format!("{:.0} %", fraction * 100.0)
    }

    #[test]
    fn forwards_and_back_again() {
        let types = [LOAD_BALANCER.to_owned(), SERVICE.to_owned()];
        let mut operation = Operation::new(at(0), "update", &types, false);
        assert_eq!(operation.usual, Some(119.0));
        assert_eq!(percent(&operation, 0), "0 %");
        operation.change(
            at(0),
            "Balancer",
            LOAD_BALANCER,
            &"CREATE_IN_PROGRESS".into(),
        );
        operation.change(
            at(58),
            "Balancer",
            LOAD_BALANCER,
            &"CREATE_IN_PROGRESS".into(),
        );
        assert_eq!(percent(&operation, 58), "25 %");
        assert_eq!(percent(&operation, 900), "44 %", "never done before it is");
        assert!(operation.usual().unwrap().is_exceeded(at(900)));
        operation.change(
            at(100),
            "Balancer",
            LOAD_BALANCER,
            &"CREATE_COMPLETE".into(),
        );
        assert_eq!(percent(&operation, 100), "49 %");
        operation.change(at(100), "Service", SERVICE, &"CREATE_IN_PROGRESS".into());
        operation.change(at(150), "Service", SERVICE, &"CREATE_FAILED".into());
        operation.change(
            at(150),
            "clock",
            STACK,
            &"UPDATE_ROLLBACK_IN_PROGRESS".into(),
        );
        assert_eq!(operation.direction, Direction::Backwards);
        assert_eq!(percent(&operation, 150), "100 %");
        for id in ["Balancer", "Service"] {
            let kind = if id == "Service" {
                SERVICE
            } else {
                LOAD_BALANCER
            };
            operation.change(at(160), id, kind, &"DELETE_IN_PROGRESS".into());
            operation.change(at(170), id, kind, &"DELETE_COMPLETE".into());
        }
        assert_eq!(percent(&operation, 200), "0 %");
        assert_eq!(operation.finished, 2);
        assert!(operation.usual().is_none());
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        assert_eq!(
            Operation::new(at(0), "attach", &[], false).fraction(at(9)),
            None
        );
        let types = [SERVICE.to_owned()];
        assert_eq!(Operation::new(at(0), "delete", &types, false).usual, None);
        assert_eq!(Operation::new(at(0), "create", &types, true).usual, None);
    }
}
