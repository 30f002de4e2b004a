//! Template to deploy: the built-in or a custom one, with the settings of the service in its slots.
//! Pure.
//!
//! A slot is a comment, `# deployer:NAME`. At the end of a line it marks a value that a setting
//! replaces. On a line of its own it marks the place where lines are inserted, and `NAME {` to
//! `NAME }` enclose lines that a setting removes. Without settings, a template is deployed
//! unchanged.

mod gate;
mod policy_document;
mod release;
mod secret;
mod settings;
mod slots;
mod strategy;
#[cfg(test)]
mod tests;

pub use gate::{HEADER as GATE_HEADER, can_hold, is_gated};
pub use policy_document::{InvalidPolicy, policy_document};
pub use release::{
    Release, STARTED_BY as RELEASE_STARTED_BY, TaskNetwork, WaitingRelease, has_release,
    with_release_of, without_release,
};
pub use secret::{InvalidSecret, SecretSource, Store};
pub use settings::{Network, Settings};
pub use strategy::Strategy;

/// Built-in template, `infra/service.yaml`.
pub const BUILT_IN: &str = include_str!("../../../../infra/service.yaml");

use slots::Filling;

/// Length from which the built-in template is rendered without comments, in bytes. CloudFormation
/// takes 51,200, and a request makes it somewhat longer.
const LIMIT: usize = 51_000;

/// Start of the comment that marks a slot.
const MARK: &str = "# deployer:";

/// Error for a template that has no slot for a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSlot {
    /// Name of the slot.
    pub slot: &'static str,
    /// Setting, as it is written in `deployer.toml`.
    pub setting: &'static str,
}

/// Renders a template with the settings of a service. Comments are kept, unless the built-in template
/// would become too long with them.
pub fn render(template: &str, settings: &Settings) -> Result<String, MissingSlot> {
    let slots = settings.slots();
    if slots.is_empty() {
        return Ok(template.to_owned());
    }
    let mut found = vec![false; slots.len()];
    let mut rendered = String::with_capacity(template.len() * 5 / 4);
    let mut is_removed = false;
    for line in template.split_inclusive('\n') {
        let mark = mark_of(line);
        // A block has two marks of the same name, `NAME {` and `NAME }`.
        let name = mark.map(|mark| mark.trim_end_matches([' ', '{', '}']));
        let slot = name.and_then(|name| slots.iter().position(|slot| slot.name == name));
        if is_removed && !mark.is_some_and(|mark| mark.ends_with('}')) {
            continue;
        }
        let Some((slot, index)) = slot.and_then(|index| Some((slots.get(index)?, index))) else {
            rendered.push_str(line);
            continue;
        };
        if let Some(found) = found.get_mut(index) {
            *found = true;
        }
        // The copy of the target group is taken from the rendered text, so that it has the same
        // settings.
        if slot.name == "gate" {
            let other = gate::other_target_group(&rendered);
            let indented = other.iter().map(|line| format!("  {line}\n"));
            rendered.extend(indented);
        }
        match &slot.filling {
            Filling::Value(value) => rendered.push_str(&with_value(line, value)),
            Filling::Lines(lines) => {
                let indentation = &line[..line.len() - line.trim_start().len()];
                // The task of the release command runs where those of the rendered service do.
                let copied = match slot.name {
                    "release" => release::of_service(&rendered),
                    _ => Vec::new(),
                };
                rendered.push_str(line.trim_end_matches('\n'));
                for line in lines.iter().chain(&copied) {
                    rendered.push('\n');
                    rendered.push_str(indentation);
                    rendered.push_str(line);
                }
                rendered.push('\n');
            }
            Filling::Removal => is_removed = mark.is_some_and(|mark| mark.ends_with('{')),
        }
    }
    // Only the built-in template has no text in which such a line is something else.
    if rendered.len() > LIMIT && template == BUILT_IN {
        let is_comment = |line: &&str| line.trim_start().starts_with('#');
        rendered = rendered
            .split_inclusive('\n')
            .filter(|line| !is_comment(line))
            .collect();
    }
    let missing = slots.iter().zip(found);
    let mut missing = missing.filter(|(slot, is_found)| slot.is_needed && !is_found);
    match missing.next() {
        Some((slot, _)) => Err(MissingSlot {
            slot: slot.name,
            setting: slot.setting,
        }),
        None => Ok(rendered),
    }
}

/// Returns the name of the slot that a line marks.
fn mark_of(line: &str) -> Option<&str> {
    let (_, name) = line.rsplit_once(MARK)?;
    Some(name.trim_end())
}

/// Returns a marked line with another value.
///
/// The value starts after `: ` of a key, or after the `- ` of a list item.
fn with_value(line: &str, value: &str) -> String {
    let (code, _) = line.split_at(line.rfind(MARK).unwrap_or(line.len()));
    let comment = &line[code.len()..];
    let begin = code.len() - code.trim_start().len();
    let text = &code[begin..];
    let item = text.strip_prefix("- ").unwrap_or(text);
    // Only a plain word is a key: `!Sub 'arn:…'` is a value that contains a colon.
    let key = item.find(": ").map(|at| at + 2);
    let key = key.filter(|at| item[..at - 2].chars().all(char::is_alphanumeric));
    let at = begin + (text.len() - item.len()) + key.unwrap_or(0);
    format!("{}{value}  {comment}", &code[..at])
}
