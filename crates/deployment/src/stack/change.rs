//! Changes of a change set, and which of them need the user's consent.

use serde::Serialize;

use super::resource::{RELEASE_TYPE, describe};
use crate::api_enum::api_enum;

api_enum! {
    /// Action of a change set on a resource.
    pub enum ChangeAction {
        Add = "Add",
        Modify = "Modify",
        Remove = "Remove",
        Import = "Import",
        Dynamic = "Dynamic",
        SyncWithActual = "SyncWithActual",
    }
}

api_enum! {
    /// Replacement of a modified resource.
    pub enum Replacement {
        True = "True",
        False = "False",
        Conditional = "Conditional",
    }
}

api_enum! {
    /// Effect of a property's change on its resource: whether it is replaced.
    pub enum Recreation {
        Never = "Never",
        Conditionally = "Conditionally",
        Always = "Always",
    }
}

/// One change in a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// Action on the resource.
    pub action: ChangeAction,
    /// Name in the template.
    pub logical_id: String,
    /// Name or ARN in the account; absent for resources that do not exist yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_id: Option<String>,
    /// Type, for example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Replacement of the resource, if CloudFormation reports it.
    pub replacement: Option<Replacement>,
    /// Changed properties, as far as CloudFormation reports them.
    pub properties: Vec<PropertyChange>,
    /// Parameters and resources that cause the change; absent if CloudFormation does not report
    /// them.
    #[serde(skip)]
    pub causes: Option<Vec<String>>,
}

/// Changed property of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct PropertyChange {
    /// Name, for example `ContainerDefinitions`.
    pub name: String,
    /// Effect on the resource, if CloudFormation reports it.
    pub recreation: Option<Recreation>,
}

/// Effect of a change on the existing resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A new resource is created.
    Added,
    /// The resource is updated in place.
    Changed,
    /// The resource may be replaced, which only the execution of the change set decides.
    PerhapsReplaced,
    /// The resource is created again, and the old one deleted.
    Replaced,
    /// The resource is deleted.
    Removed,
    /// Any other action of CloudFormation (`Import`, `Dynamic`, …).
    Other,
}

impl Effect {
    /// Returns the effect as a verb for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "add",
            Self::Changed => "change",
            Self::PerhapsReplaced => "perhaps replace",
            Self::Replaced => "replace",
            Self::Removed => "remove",
            Self::Other => "touch",
        }
    }
}

impl Change {
    /// Returns the effect on the existing resource.
    pub fn effect(&self) -> Effect {
        match self.action {
            ChangeAction::Add => Effect::Added,
            ChangeAction::Remove => Effect::Removed,
            ChangeAction::Modify => match self.replacement {
                Some(Replacement::True) => Effect::Replaced,
                // An unknown value may mean a replacement.
                Some(Replacement::Conditional | Replacement::Unknown(_)) => Effect::PerhapsReplaced,
                Some(Replacement::False) | None => Effect::Changed,
            },
            // The effect of these on an existing resource is not known here.
            ChangeAction::Import
            | ChangeAction::Dynamic
            | ChangeAction::SyncWithActual
            | ChangeAction::Unknown(_) => Effect::Other,
        }
    }

    /// Returns the properties that cause a replacement.
    pub fn reasons(&self) -> Vec<&str> {
        let replaces = |property: &&PropertyChange| {
            let recreation = property.recreation.as_ref();
            // `Conditionally` and unknown values may replace the resource as well.
            recreation.is_some_and(|recreation| *recreation != Recreation::Never)
        };
        let reasons = self.properties.iter().filter(replaces);
        reasons.map(|property| property.name.as_str()).collect()
    }

    /// Returns whether the change may delete something that exists, so that the user has to agree.
    ///
    /// A new version alone does not: a task definition is never modified but registered again. The
    /// service moves to it without interruption (CloudFormation's reference of
    /// `AWS::ECS::Service`), even if an endpoint reports a possible replacement.
    ///
    /// A resource that does not exist yet cannot be lost, and neither can one without state.
    /// Alarms, dashboards, scalable targets and scaling policies name the service, and so may be
    /// replaced with it. An action that is unknown to this program always needs consent.
    pub fn needs_agreement(&self) -> bool {
        let is_new_version =
            self.resource_type == "AWS::ECS::Service" && self.reasons() == ["TaskDefinition"];
        let holds_something = !matches!(
            self.resource_type.as_str(),
            "AWS::ApplicationAutoScaling::ScalableTarget"
                | "AWS::ApplicationAutoScaling::ScalingPolicy"
                | "AWS::CloudWatch::Alarm"
                | "AWS::CloudWatch::Dashboard"
                | "AWS::ECS::TaskDefinition"
        );
        // Only the wait for a release command, which each deployment has for itself.
        if self.resource_type == RELEASE_TYPE {
            return false;
        }
        let can_be_lost = self.physical_id.is_some() && holds_something;
        match self.effect() {
            Effect::Added | Effect::Changed => false,
            Effect::PerhapsReplaced => can_be_lost && !is_new_version,
            Effect::Replaced => can_be_lost,
            // A removed alarm or dashboard does not come back, unlike a replaced one.
            Effect::Removed | Effect::Other => true,
        }
    }

    /// Describes the change in one line: `replace load balancer (LoadBalancer), because of Scheme`.
    pub fn line(&self) -> String {
        let effect = self.effect();
        let what = describe(&self.resource_type);
        let mut line = format!("{} {what} ({})", effect.word(), self.logical_id);
        let reasons = self.reasons();
        match effect {
            Effect::Replaced | Effect::PerhapsReplaced if !reasons.is_empty() => {
                line.push_str(", because of ");
                line.push_str(&reasons.join(", "));
            }
            Effect::Changed | Effect::Replaced | Effect::PerhapsReplaced => {
                let names: Vec<&str> = self
                    .properties
                    .iter()
                    .map(|property| property.name.as_str())
                    .collect();
                if !names.is_empty() {
                    line.push_str(": ");
                    line.push_str(&names.join(", "));
                }
            }
            Effect::Added | Effect::Removed | Effect::Other => {}
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn change(action: &str, resource_type: &str, replacement: Option<&str>) -> Change {
        let property = |name: &str, recreation: &str| PropertyChange {
            name: name.to_owned(),
            recreation: Some(recreation.into()),
        };
        let properties = match (action, replacement) {
            ("Modify", Some("True" | "Conditional")) => {
                vec![property("Tags", "Never"), property("Scheme", "Always")]
            }
            ("Modify", _) => vec![property("Tags", "Never")],
            _ => Vec::new(),
        };
        Change {
            action: action.into(),
            logical_id: "Name".to_owned(),
            physical_id: Some("name-0123".to_owned()),
            resource_type: resource_type.to_owned(),
            replacement: replacement.map(Replacement::from),
            properties,
            causes: None,
        }
    }

    #[test]
    fn what_comes_with_every_version_is_agreed_to() {
        let mut service = change("Modify", "AWS::ECS::Service", Some("Conditional"));
        assert!(service.needs_agreement());
        service.properties[1].name = "TaskDefinition".to_owned();
        assert!(!service.needs_agreement());
        service.replacement = Some(Replacement::True);
        assert!(service.needs_agreement());
        let mut new = change("Modify", "AWS::EC2::VPC", Some("True"));
        assert!(new.needs_agreement());
        new.physical_id = None;
        assert!(!new.needs_agreement());
    }

    #[test]
    fn what_somebody_has_to_agree_to() {
        let mut table = String::new();
        for resource_type in [
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "AWS::ECS::TaskDefinition",
            "AWS::CloudWatch::Dashboard",
        ] {
            for (action, replacement) in [
                ("Add", None),
                ("Modify", None),
                ("Modify", Some("False")),
                ("Modify", Some("Conditional")),
                ("Modify", Some("True")),
                ("Modify", Some("Teleport")),
                ("Remove", None),
                ("Teleport", None),
            ] {
                let change = change(action, resource_type, replacement);
                let asks = if change.needs_agreement() { "ASK" } else { "" };
                writeln!(table, "{asks:<4}{}", change.line()).unwrap();
            }
        }
        insta::assert_snapshot!(table, @"
            add load balancer (Name)
            change load balancer (Name): Tags
            change load balancer (Name): Tags
        ASK perhaps replace load balancer (Name), because of Scheme
        ASK replace load balancer (Name), because of Scheme
        ASK perhaps replace load balancer (Name): Tags
        ASK remove load balancer (Name)
        ASK touch load balancer (Name)
            add task definition (Name)
            change task definition (Name): Tags
            change task definition (Name): Tags
            perhaps replace task definition (Name), because of Scheme
            replace task definition (Name), because of Scheme
            perhaps replace task definition (Name): Tags
        ASK remove task definition (Name)
        ASK touch task definition (Name)
            add dashboard (Name)
            change dashboard (Name): Tags
            change dashboard (Name): Tags
            perhaps replace dashboard (Name), because of Scheme
            replace dashboard (Name), because of Scheme
            perhaps replace dashboard (Name): Tags
        ASK remove dashboard (Name)
        ASK touch dashboard (Name)
        ");
    }
}
