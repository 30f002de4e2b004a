//! What a look at the stack finds.

use std::collections::BTreeMap;

use super::answer::OLD;
use super::world::service_names;
use aws::remote::{RemoteError, RemoteErrorKind};
use deployment::names::RequestToken;
use deployment::stack::ResourceEvent;

/// The wait condition of a release command.
pub(crate) const RELEASE: &str = "ReleaseCommand0a1b2c3d";

/// What one look at the stack finds, and what happened since the look before.
#[derive(Clone)]
pub(crate) enum Moment {
    /// There is no such stack.
    Absent,
    /// The look fails.
    Failed(RemoteError),
    /// The stack is there.
    There(There),
}

/// A stack that is there.
#[derive(Clone)]
pub(crate) struct There {
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) events: Vec<ResourceEvent>,
}

/// There is no stack.
pub(crate) const fn absent() -> Moment {
    Moment::Absent
}

/// The stack has this status. Unless said otherwise it names all outputs.
pub(crate) fn at(status: &'static str) -> Moment {
    let names = service_names();
    let outputs = [
        ("Url", "http://clock.example/now".to_owned()),
        ("RepositoryName", "clock-repository".to_owned()),
        ("ClusterName", names.cluster.to_string()),
        ("ServiceName", names.service.to_string()),
        ("TaskDefinitionArn", names.task_definition.to_string()),
        ("TargetGroupArn", names.target_group.to_string()),
        ("LogGroupName", names.log_group.to_string()),
    ];
    Moment::There(There {
        status,
        reason: None,
        outputs: outputs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        parameters: BTreeMap::new(),
        events: Vec::new(),
    })
}

/// The address of the image whose digest consists of this digit.
pub(crate) fn image(digit: char) -> String {
    let digits = digit.to_string().repeat(64);
    format!("registry.example/clock-repository@sha256:{digits}")
}

/// The look fails in this way.
pub(crate) fn failed(error: RemoteError) -> Moment {
    Moment::Failed(error)
}

impl Moment {
    fn change(self, change: impl FnOnce(&mut There)) -> Self {
        match self {
            Self::There(mut there) => {
                change(&mut there);
                Self::There(there)
            }
            other @ (Self::Absent | Self::Failed(_)) => other,
        }
    }

    /// The stack has this parameter.
    pub(crate) fn with_parameter(self, name: &str, value: &str) -> Self {
        self.change(|there| {
            there.parameters.insert(name.to_owned(), value.to_owned());
        })
    }

    /// This happened since the look before, in this order.
    pub(crate) fn after(self, events: impl IntoIterator<Item = ResourceEvent>) -> Self {
        self.change(|there| there.events.extend(events))
    }

    /// The same when nothing happened since the look before.
    pub(super) fn without_events(self) -> Self {
        self.change(|there| there.events.clear())
    }

    /// The service gives this reason for the status.
    pub(crate) fn because(self, reason: &str) -> Self {
        self.change(|there| there.reason = Some(reason.to_owned()))
    }

    /// The stack was given the image whose digest consists of this digit.
    pub(crate) fn with_image(self, digit: char) -> Self {
        let uri = image(digit);
        self.change(|there| {
            there.parameters.insert("ImageUri".to_owned(), uri);
        })
    }

    /// The stack was given these parameters, among others.
    pub(crate) fn with_parameters<const N: usize>(self, parameters: [(&str, &str); N]) -> Self {
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.change(|there| there.parameters.extend(parameters))
    }

    /// The stack names the task definition of the version before.
    pub(crate) fn with_old_version(self) -> Self {
        self.change(|there| {
            let key = "TaskDefinitionArn".to_owned();
            there.outputs.insert(key, OLD.to_owned());
        })
    }

    /// The stack also names this output.
    pub(crate) fn with_output(self, key: &str, value: &str) -> Self {
        self.change(|there| {
            there.outputs.insert(key.to_owned(), value.to_owned());
        })
    }

    /// The stack names no such output.
    pub(crate) fn without_output(self, key: &str) -> Self {
        self.change(|there| {
            there.outputs.remove(key);
        })
    }
}

/// An event of the resource with this name in the template, `clock` being the stack itself. It carries the token of the
/// request before it unless said otherwise ([`of_others`]).
pub(crate) fn event(logical_id: &str, status: &str) -> ResourceEvent {
    let resource_type = match logical_id {
        "clock" => "AWS::CloudFormation::Stack",
        "ReviewerUser" => "AWS::IAM::User",
        "Repository" => "AWS::ECR::Repository",
        "Cluster" => "AWS::ECS::Cluster",
        "LoadBalancer" => "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "Service" => "AWS::ECS::Service",
        "TaskDefinition" => "AWS::ECS::TaskDefinition",
        "LogGroup" => "AWS::Logs::LogGroup",
        RELEASE => "AWS::CloudFormation::WaitCondition",
        "ProductionRule" | "GateRule" => "AWS::ElasticLoadBalancingV2::ListenerRule",
        other => panic!("no type is known for `{other}`"),
    };
    ResourceEvent {
        // Both are filled in when it happens.
        id: String::new(),
        at_ms: 0,
        token: None,
        logical_id: logical_id.to_owned(),
        physical_id: Some(match logical_id {
            "TaskDefinition" => service_names().task_definition.to_string(),
            other => format!("clock-{}", other.to_lowercase()),
        }),
        resource_type: resource_type.to_owned(),
        status: status.into(),
        reason: None,
    }
}

/// The same with the reason that the service gives.
pub(crate) fn event_because(logical_id: &str, status: &str, reason: &str) -> ResourceEvent {
    ResourceEvent {
        reason: Some(reason.to_owned()),
        ..event(logical_id, status)
    }
}

/// The same, of an operation that somebody else began.
pub(crate) fn of_others(event: ResourceEvent) -> ResourceEvent {
    ResourceEvent {
        token: Some(RequestToken::new("of somebody else")),
        ..event
    }
}

/// A call that fails in this way.
pub(crate) fn error(kind: RemoteErrorKind, code: &str, message: &str) -> RemoteError {
    RemoteError {
        kind,
        operation: "Call",
        code: Some(code.to_owned()),
        message: message.to_owned(),
        request_id: None,
    }
}

/// Too many requests.
pub(crate) fn throttled() -> RemoteError {
    error(RemoteErrorKind::Throttled, "Throttling", "rate exceeded")
}

/// The service is out of order.
pub(crate) fn out_of_order() -> RemoteError {
    error(RemoteErrorKind::Server, "InternalFailure", "try again")
}

/// Nobody answers.
pub(crate) fn unreachable() -> RemoteError {
    RemoteError {
        code: None,
        ..error(RemoteErrorKind::Unreachable, "", "connection reset")
    }
}

/// The credentials are too old.
pub(crate) fn expired() -> RemoteError {
    let message = "the security token included in the request is expired";
    error(RemoteErrorKind::Credentials, "ExpiredToken", message)
}
