//! Availability zones of a stack: chosen once and kept. Pure.
//!
//! By default, the template takes the first two zones that `Fn::GetAZs` lists. That list follows
//! the account's default subnets, so it may change. Subnets cannot move to another zone: after a
//! change, every update would fail.

use super::Observed;
use super::change::{Change, ChangeAction};
use super::request::Wanted;
use super::resource::declares_parameter;
use super::template_names::ParameterName;

/// Parameters of the template, and outputs of the same names with the zones that the stack uses.
const ZONES: [&str; 2] = [ParameterName::ZoneA.as_str(), ParameterName::ZoneB.as_str()];

/// Keeps the zones that the stack was pinned to, unless the user names others.
pub fn keep(stack: &Observed, wanted: &mut Wanted) {
    let is_set = |name: &str| {
        stack
            .parameters
            .get(name)
            .is_some_and(|zone| !zone.is_empty())
    };
    if ZONES.into_iter().all(is_set) {
        pin(stack, wanted);
    }
}

/// Pins a request to the zones that the stack uses; returns whether it was not pinned before.
///
/// Does nothing if the user names zones, the template has no parameters for them, or the stack has
/// no such outputs.
pub fn pin(stack: &Observed, wanted: &mut Wanted) -> bool {
    let template = wanted.template.text();
    let is_asked_for = ZONES.iter().all(|name| declares_parameter(template, name));
    let is_set = |name: &&str| {
        wanted
            .parameters
            .get(*name)
            .is_some_and(|zone| !zone.is_empty())
    };
    if !is_asked_for || ZONES.iter().any(is_set) {
        return false;
    }
    let found = ZONES.map(|name| stack.outputs.get(name));
    let [Some(a), Some(b)] = found else {
        return false;
    };
    for (name, zone) in ZONES.into_iter().zip([a, b]) {
        // A kept parameter would be sent with its previous value, which is empty.
        wanted.kept.remove(name);
        wanted.parameters.insert(name.to_owned(), zone.clone());
    }
    true
}

/// Returns whether these changes would move a subnet to another zone.
pub fn move_with(changes: &[Change]) -> bool {
    changes.iter().any(|change| {
        change.resource_type == "AWS::EC2::Subnet"
            && change.action == ChangeAction::Modify
            && change
                .properties
                .iter()
                // CloudFormation replaces such a subnet, and fails: the old one still has the
                // address range.
                .any(|property| property.name == "AvailabilityZone")
    })
}

/// Returns whether CloudFormation reports fewer than two zones.
pub fn are_too_few(message: &str) -> bool {
    // The template selects the second element of `Fn::GetAZs`.
    message.contains("Fn::Select cannot select nonexistent value")
}

/// Returns a hint if CloudFormation finds fewer than two zones.
pub fn hint(message: &str) -> Option<&'static str> {
    are_too_few(message).then_some(
        "the account has default subnets in one availability zone only, and these are the zones that CloudFormation lists: \
         name two of `aws ec2 describe-availability-zones`, as in \
         `--parameter ZoneA=eu-central-1a --parameter ZoneB=eu-central-1b`, or set them under `[parameters]`",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::request::Template;
    use super::*;
    use crate::stack::change::PropertyChange;
    use crate::stack::status::StackStatus;

    const TEMPLATE: &str = "Parameters:\n  ZoneA:\n    Type: String\n  ZoneB:\n    Type: String\n";
    const THERE: [(&str, &str); 2] = [("ZoneA", "eu-central-1b"), ("ZoneB", "eu-central-1c")];

    fn stack(outputs: &[(&str, &str)], parameters: &[(&str, &str)]) -> Observed {
        Observed {
            id: "arn:aws:cloudformation:eu-central-1:123456789012:stack/clock/1"
                .parse()
                .unwrap(),
            status: StackStatus::CreateComplete,
            reason: None,
            outputs: map(outputs),
            parameters: map(parameters),
            tags: BTreeMap::new(),
        }
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entries.iter().map(owned).collect()
    }

    fn wanted(template: &str, parameters: &[(&str, &str)]) -> Wanted {
        Wanted {
            template: Template::Text(template.to_owned()),
            parameters: map(parameters),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_stack_stays_where_it_is() {
        for parameters in [&[][..], &[("ZoneA", ""), ("ZoneB", "")]] {
            let mut wanted = wanted(TEMPLATE, parameters);
            assert!(pin(&stack(&THERE, &[]), &mut wanted));
            assert_eq!(wanted.parameters, map(&THERE));
            assert!(!pin(&stack(&THERE, &[]), &mut wanted));
        }
    }

    #[test]
    fn what_was_pinned_once_stays_pinned() {
        let mut first = wanted(TEMPLATE, &[]);
        keep(&stack(&THERE, &[("ZoneA", ""), ("ZoneB", "")]), &mut first);
        assert!(first.parameters.is_empty());
        keep(&stack(&THERE, &THERE), &mut first);
        assert_eq!(first.parameters, map(&THERE));
    }

    #[test]
    fn nothing_is_sent_that_is_not_known_or_not_asked_for() {
        let not_asked_for = wanted("Parameters:\n  Cpu:\n", &[]);
        let chosen = wanted(TEMPLATE, &[("ZoneA", "eu-central-1a")]);
        for mut wanted in [not_asked_for, chosen] {
            let before = wanted.parameters.clone();
            assert!(!pin(&stack(&THERE, &[]), &mut wanted));
            assert_eq!(wanted.parameters, before);
        }
        assert!(!pin(&stack(&THERE[..1], &[]), &mut wanted(TEMPLATE, &[])));
    }

    #[test]
    fn moves_are_noticed() {
        let change = |kind: &str, action: &str, property: &str| Change {
            action: action.into(),
            logical_id: "SubnetA".to_owned(),
            physical_id: None,
            resource_type: kind.to_owned(),
            replacement: None,
            properties: vec![PropertyChange {
                name: property.to_owned(),
                recreation: None,
            }],
            causes: None,
        };
        let zone = "AvailabilityZone";
        assert!(move_with(&[change("AWS::EC2::Subnet", "Modify", zone)]));
        assert!(!move_with(&[
            change("AWS::EC2::Subnet", "Modify", "Tags"),
            change("AWS::EC2::Subnet", "Add", zone),
            change("AWS::EC2::Volume", "Modify", zone),
        ]));
    }

    #[test]
    fn an_account_with_one_zone_gets_a_hint() {
        let message = "Template error: Fn::Select cannot select nonexistent value at index 1";
        assert!(hint(message).unwrap().contains("--parameter ZoneA="));
        assert_eq!(hint("Template format error"), None);
    }
}
