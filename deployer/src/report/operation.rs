//! How far an operation on the stack is, forwards or backwards: pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::usual::{Usual, seconds_between};
use deployment::stack::resource::{describe, usual_duration, usual_seconds};
use deployment::stack::resource_status::{ResourceProgress, ResourceStatus};

/// Share of a resource's usual time that counts while it is not done: it may take longer.
const NEARLY: f64 = 0.9;

/// An operation that is under way.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) since: DateTime<Utc>,
    pub(super) direction: Direction,
    /// Those being worked on.
    pub(super) active: Active,
    /// Resources that were seen to end, well or not.
    pub(super) finished: usize,
    /// How long it usually takes, seconds, where that is known.
    pub(super) usual: Option<f64>,
    /// Weight of all resources, seconds; 0 where it is not known.
    total: f64,
    /// Weight of those that are done.
    done: f64,
}

/// A resource that is being worked on.
#[derive(Debug)]
pub(super) struct Resource {
    /// Its type, for example `AWS::ECS::Service`.
    kind: String,
    pub(super) since: DateTime<Utc>,
    status: ResourceStatus,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To what was wanted.
    Forwards,
    /// Back to what was before.
    Backwards,
}

impl Resource {
    /// What people call it: `load balancer (LoadBalancer)`.
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
        // What it takes to delete a resource is not known.
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

    /// A resource, or the stack itself, changed its status.
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
            if !self.active.get(logical_id).is_some_and(same) {
                let resource = Resource {
                    kind: resource_type.to_owned(),
                    since: at,
                    status: status.clone(),
                };
                self.active.insert(logical_id.to_owned(), resource);
            }
        } else if self.active.remove(logical_id).is_some() {
            self.finished += 1;
            self.done = match self.direction {
                Direction::Forwards => (self.done + weight(resource_type)).min(self.total),
                Direction::Backwards => (self.done - weight(resource_type)).max(0.0),
            };
        }
    }

    fn turn_back(&mut self, at: DateTime<Utc>) {
        if self.direction == Direction::Forwards {
            self.done = self.fraction(at).unwrap_or_default() * self.total;
            self.direction = Direction::Backwards;
            // Neither is known of the way back.
            self.usual = None;
            self.finished = 0;
        }
    }

    /// How much of it is done, from 0 to 1; going back, how much is still there. Nothing where it cannot be known.
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
            Direction::Backwards => 0.0,
        };
        Some(((self.done + under_way) / self.total).clamp(0.0, 1.0))
    }

    /// How long it usually takes, where that is known and worth telling.
    pub(super) fn usual(&self) -> Option<Usual> {
        Usual::of(self.usual, self.since)
    }
}

/// Resources being worked on: name in the template → what is known.
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
