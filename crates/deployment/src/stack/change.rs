//! What a change set would change, and which of it somebody has to agree to.

use serde::Serialize;

use super::resource::describe;
use crate::api_enum::api_enum;

api_enum! {
    /// What a change set does with a resource.
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
    /// Whether a modified resource is replaced.
    pub enum Replacement {
        True = "True",
        False = "False",
        Conditional = "Conditional",
    }
}

api_enum! {
    /// Whether a property that changes makes its resource be replaced.
    pub enum Recreation {
        Never = "Never",
        Conditionally = "Conditionally",
        Always = "Always",
    }
}

/// One change that a change set would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is done with the resource.
    pub action: ChangeAction,
    /// Name in the template.
    pub logical_id: String,
    /// Name or ARN in the account, of what exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_id: Option<String>,
    /// For example `AWS::ECS::Service`.
    pub resource_type: String,
    /// Whether it is replaced, where the service says so.
    pub replacement: Option<Replacement>,
    /// What changes in the resource, as far as the service says.
    pub properties: Vec<PropertyChange>,
    /// Parameters and resources that cause it; absent where the service says nothing about that.
    #[serde(skip)]
    pub causes: Option<Vec<String>>,
}

/// A property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropertyChange {
    /// For example `ContainerDefinitions`.
    pub name: String,
    /// Whether the property makes the resource be replaced, where the service says so.
    pub recreation: Option<Recreation>,
}

/// What a change does to what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Something new is made.
    Added,
    /// It is changed where it is.
    Changed,
    /// It may be created again, and then the old one be removed: that is known only when it happens.
    PerhapsReplaced,
    /// It is created again, and the old one removed.
    Replaced,
    /// It is removed.
    Removed,
    /// Something else, as the service calls it (`Import`, `Dynamic`, …).
    Other,
}

impl Effect {
    /// As a word for people.
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
    /// What it does to what exists.
    pub fn effect(&self) -> Effect {
        match self.action {
            ChangeAction::Add => Effect::Added,
            ChangeAction::Remove => Effect::Removed,
            ChangeAction::Modify => match self.replacement {
                Some(Replacement::True) => Effect::Replaced,
                // A word that is new to this program may mean the worst.
                Some(Replacement::Conditional | Replacement::Unknown(_)) => Effect::PerhapsReplaced,
                Some(Replacement::False) | None => Effect::Changed,
            },
            ChangeAction::Import
            | ChangeAction::Dynamic
            | ChangeAction::SyncWithActual
            | ChangeAction::Unknown(_) => Effect::Other,
        }
    }

    /// The properties that make it be replaced.
    pub fn reasons(&self) -> Vec<&str> {
        let replaces = |property: &&PropertyChange| {
            let recreation = property.recreation.as_ref();
            recreation.is_some_and(|recreation| *recreation != Recreation::Never)
        };
        let reasons = self.properties.iter().filter(replaces);
        reasons.map(|property| property.name.as_str()).collect()
    }

    /// Does it take something away that exists, so that somebody has to agree?
    ///
    /// What every new version brings with it does not: a task definition is never changed, each version is a new one, and the
    /// service goes over to it without interruption (CloudFormation's reference of `AWS::ECS::Service`), whatever an endpoint
    /// thinks possible. What does not exist yet cannot be lost, and neither can what holds nothing: alarms, dashboards and rules for
    /// the number of tasks name the service, and so may be replaced with it. A change that the service calls by a name that is new to this
    /// program is not waved through.
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
        let can_be_lost = self.physical_id.is_some() && holds_something;
        match self.effect() {
            Effect::Added | Effect::Changed => false,
            Effect::PerhapsReplaced => can_be_lost && !is_new_version,
            Effect::Replaced => can_be_lost,
            Effect::Removed | Effect::Other => true,
        }
    }

    /// In one line for people: `replace load balancer (LoadBalancer), because of Scheme`.
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
