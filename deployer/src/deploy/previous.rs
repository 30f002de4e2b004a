//! Definition of the previous deployment as CloudFormation returns it, and the parts that cannot be
//! restored. Pure.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::explain::{command_line, command_line_with};
use deployment::names::Digest;
use deployment::stack::Observed;
use deployment::stack::ascii::{looks_like, read_back};
use deployment::stack::change::Change;
use deployment::stack::request::{Definition, HIDDEN, Template, Wanted};
use deployment::stack::tags;
use deployment::stack::template_names::ParameterName;
use deployment::template;

/// Previous deployment.
#[derive(Debug, Clone)]
pub(super) struct Previous {
    /// Request that restores it.
    pub(super) wanted: Wanted,
    /// Parts that the request does not restore.
    pub(super) losses: Vec<Loss>,
}

/// Part that cannot be restored, or not reliably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// Value of this `NoEcho` parameter.
    Secret(String),
    /// Value of this parameter, in which `?` may stand for another character.
    Parameter(String),
    /// Text of the template, in which `?` may stand for another character.
    Text(String),
    /// Tags of the stack, in which `?` may stand for another character.
    Tags,
    /// Template and parameters, which could not be read.
    Definition,
}

impl Loss {
    /// Returns a description for users.
    pub(super) fn line(&self) -> String {
        const UNSURE: &str = "in which CloudFormation may show `?` for another character";
        match self {
            Self::Secret(name) => format!(
                "the parameter `{name}`, whose value CloudFormation does not return (NoEcho)"
            ),
            Self::Parameter(name) => format!("the parameter `{name}`, {UNSURE}"),
            Self::Text(text) => format!("`{text}` in the template, {UNSURE}"),
            Self::Tags => format!("the tags of the stack, {UNSURE}"),
            Self::Definition => {
                "template and parameters: CloudFormation did not return them".to_owned()
            }
        }
    }

    /// Returns a hint for users to restore it.
    pub(super) fn remedy(&self, config: &Config) -> String {
        match self {
            Self::Secret(name) | Self::Parameter(name) => format!(
                "restore `{name}` from the source of the version before: `{}`",
                command_line_with(config, "up", &format!("--parameter {name}=VALUE"))
            ),
            Self::Text(_) | Self::Tags | Self::Definition => format!(
                "restore it from the source of the version before: `{}`",
                command_line(config, "up")
            ),
        }
    }
}

impl Previous {
    /// Builds the request that restores `deployed` after these changes have replaced it with
    /// `wanted`.
    pub(super) fn of(deployed: Definition, wanted: &Wanted, changes: &[Change]) -> Self {
        let mut losses = Vec::new();
        let mut kept = BTreeSet::new();
        for (name, before) in &deployed.parameters {
            let after = wanted.parameters.get(name);
            let stays = wanted.kept.contains(name) || after == Some(before);
            // A `NoEcho` value comes back as asterisks. Once a new value has replaced it, nothing
            // can restore it.
            if before == HIDDEN {
                if !stays && may_have_changed(name, changes) {
                    losses.push(Loss::Secret(name.clone()));
                }
            // "Previous value" avoids sending back a text that CloudFormation has mangled.
            } else if stays || after.is_some_and(|after| is_shown_as(after, before)) {
                kept.insert(name.clone());
            } else if before.contains('?') {
                losses.push(Loss::Parameter(name.clone()));
            }
        }
        let template = match &wanted.template {
            Template::Text(text) if *text != deployed.template => {
                let read = read_back(&deployed.template, text);
                losses.extend(read.unsure.into_iter().map(Loss::Text));
                Template::Text(read.text)
            }
            Template::Text(_) | Template::Deployed(_) => Template::Deployed(deployed.template),
        };
        // The previous version has passed its release command, and need not run it again.
        let template = match template::without_release(template.text()) {
            Some(text) => Template::Text(text),
            None => template,
        };
        let tags = wanted.tags.as_ref().map(|_| tags::of_users(&deployed.tags));
        let is_mangled = tags.as_ref().is_some_and(tags::is_mangled);
        // A request with mangled tags would be rejected, so it names none and keeps the new ones.
        losses.extend(is_mangled.then_some(Loss::Tags));
        Self {
            wanted: Wanted {
                template,
                parameters: deployed.parameters,
                kept,
                tags: tags.filter(|_| !is_mangled),
                capabilities: wanted.capabilities.clone(),
                express: wanted.express,
            },
            losses,
        }
    }

    /// Builds a request that restores only the image, if nothing else is known. Template and
    /// parameters are the new ones.
    pub(super) fn of_image(image: &str, wanted: &Wanted) -> Self {
        let mut wanted = wanted.clone();
        // A kept parameter would be sent with its previous value, which is the new image.
        wanted.kept.remove(ParameterName::ImageUri.as_str());
        let image = image.to_owned();
        wanted
            .parameters
            .insert(ParameterName::ImageUri.to_string(), image);
        Self {
            wanted,
            losses: vec![Loss::Definition],
        }
    }

    /// Adapts the request to a stack that has only these parameters by now. A parameter that the
    /// stack lacks has no previous value to keep.
    pub(super) fn in_place_of(&self, stack: &Observed) -> Self {
        let mut previous = self.clone();
        let wanted = &mut previous.wanted;
        wanted
            .kept
            .retain(|name| stack.parameters.contains_key(name));
        wanted.parameters.retain(|name, value| {
            let is_lost = value == HIDDEN && !stack.parameters.contains_key(name);
            let loss = Loss::Secret(name.clone());
            if is_lost && !previous.losses.contains(&loss) {
                previous.losses.push(loss);
            }
            !is_lost
        });
        previous
    }

    /// Returns the previous image, if there was one.
    fn image(&self) -> Option<&str> {
        let image = self.wanted.parameters.get(ParameterName::ImageUri.as_str());
        image.map(String::as_str).filter(|uri| !uri.is_empty())
    }

    pub(super) fn digest(&self) -> Option<Digest> {
        Digest::of_image(self.image()?)
    }

    /// Returns a short name of the previous version, if there was one.
    pub(super) fn shown(&self) -> Option<String> {
        let image = self.image()?;
        let digest = self.digest().map(|digest| digest.short().to_owned());
        Some(digest.unwrap_or_else(|| image.to_owned()))
    }

    /// Returns all losses in one line.
    pub(super) fn lost(&self) -> String {
        let lines: Vec<String> = self.losses.iter().map(Loss::line).collect();
        lines.join("; ")
    }
}

/// Returns whether CloudFormation shows `after` as `before`, with `?` for other characters.
fn is_shown_as(after: &str, before: &str) -> bool {
    !after.is_ascii() && looks_like(before, after)
}

/// Returns whether the value of this parameter may have changed. A change set names the parameters
/// that cause its changes.
fn may_have_changed(name: &str, changes: &[Change]) -> bool {
    let mut causes = changes.iter().filter_map(|change| change.causes.as_ref());
    let mut told = false;
    let named = causes.any(|causes| {
        told = true;
        causes.iter().any(|cause| cause == name)
    });
    named || !told
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    fn deployed() -> Definition {
        Definition {
            template: "A: 'Gr??e'\nB: what?\n".to_owned(),
            parameters: map([
                ("ApiKey", HIDDEN),
                ("Greeting", "Gr??e"),
                ("Query", "/?a=1"),
                ("Same", "x?"),
            ]),
            tags: map([("team", "blue"), ("aws:x", "y")]),
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            template: Template::Text("A: \"Gr\\u00fc\\u00dfe\"\nB: what?\n".to_owned()),
            parameters: map([
                ("ApiKey", "new"),
                ("Greeting", "Grüße"),
                ("Query", "/?a=2"),
                ("Same", "x?"),
            ]),
            tags: Some(map([("team", "red")])),
            ..Wanted::default()
        }
    }

    fn change(causes: &[&str]) -> Change {
        Change {
            causes: Some(causes.iter().map(|cause| (*cause).to_owned()).collect()),
            ..crate::testing::answer::change("Modify", "TaskDefinition")
        }
    }

    #[test]
    fn what_is_restored_and_what_is_lost() {
        let previous = Previous::of(deployed(), &wanted(), &[change(&["ApiKey"])]);
        let lost = [
            Loss::Secret("ApiKey".to_owned()),
            Loss::Parameter("Query".to_owned()),
        ];
        assert_eq!(previous.losses, lost);
        let kept: Vec<&str> = previous.wanted.kept.iter().map(String::as_str).collect();
        assert_eq!(kept, ["Greeting", "Same"]);
        let text = previous.wanted.template.text();
        assert_eq!(text, "A: \"Gr\\u00fc\\u00dfe\"\nB: what?\n");
        assert_eq!(previous.wanted.tags, Some(map([("team", "blue")])));
    }

    #[test]
    fn a_secret_that_is_the_same_is_not_lost() {
        let lost = |changes: &[Change]| {
            let previous = Previous::of(deployed(), &wanted(), changes);
            previous.losses.contains(&Loss::Secret("ApiKey".to_owned()))
        };
        assert!(!lost(&[change(&["ImageUri"])]));
        assert!(lost(&[change(&["ImageUri"]), change(&["ApiKey"])]));
        // An endpoint that names no causes proves nothing.
        assert!(lost(&[]));
    }

    #[test]
    fn what_is_not_to_change_is_not_sent() {
        let wanted = Wanted {
            template: Template::Deployed(deployed().template),
            kept: deployed().parameters.into_keys().collect(),
            parameters: deployed().parameters,
            ..Wanted::default()
        };
        let previous = Previous::of(deployed(), &wanted, &[]);
        assert_eq!(previous.losses, []);
        assert!(matches!(previous.wanted.template, Template::Deployed(_)));
        assert_eq!(previous.wanted.tags, None);
    }

    #[test]
    fn a_secret_that_the_new_template_does_not_have_is_lost() {
        let stack = Observed {
            id: "arn:stack/clock/1".parse().unwrap(),
            status: deployment::stack::status::StackStatus::UpdateComplete,
            reason: None,
            outputs: BTreeMap::new(),
            parameters: map([("Same", "x?")]),
            tags: BTreeMap::new(),
        };
        let previous = Previous::of(deployed(), &wanted(), &[change(&[])]);
        assert_eq!(previous.losses.len(), 1);
        let previous = previous.in_place_of(&stack);
        assert!(previous.losses.contains(&Loss::Secret("ApiKey".to_owned())));
        assert!(!previous.wanted.parameters.contains_key("ApiKey"));
        assert_eq!(previous.wanted.kept, BTreeSet::from(["Same".to_owned()]));
    }
}
