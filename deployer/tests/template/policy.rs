//! What a policy allows: as much of IAM's evaluation as the policies here use.

use serde_json::Value;

use crate::read::items;

/// Something that somebody would like to do.
pub(crate) struct Request<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// Condition keys and their values.
    pub(crate) context: &'a [(&'a str, &'a str)],
}

/// Is it allowed, and not denied?
pub(crate) fn allows(policy: &Value, request: &Request<'_>) -> bool {
    let applies = |effect: &str| {
        items(&policy["Statement"])
            .into_iter()
            .any(|statement| statement["Effect"] == effect && matches(statement, request))
    };
    applies("Allow") && !applies("Deny")
}

/// Does any statement allow this action on anything?
pub(crate) fn names(policy: &Value, action: &str) -> bool {
    items(&policy["Statement"]).into_iter().any(|statement| {
        statement["Effect"] == "Allow" && any(&statement["Action"], |name| is_action(name, action))
    })
}

fn matches(statement: &Value, request: &Request<'_>) -> bool {
    for key in ["NotAction", "NotResource", "Principal", "NotPrincipal"] {
        assert!(
            statement.get(key).is_none(),
            "not evaluated here: {statement}"
        );
    }
    any(&statement["Action"], |name| is_action(name, request.action))
        && any(&statement["Resource"], |name| {
            is_like(name, request.resource)
        })
        && holds(&statement["Condition"], request)
}

fn holds(condition: &Value, request: &Request<'_>) -> bool {
    let Some(condition) = condition.as_object() else {
        return condition.is_null();
    };
    condition.iter().all(|(operator, keys)| {
        assert!(
            ["StringEquals", "ArnEquals", "ArnLike"].contains(&operator.as_str()),
            "not evaluated here: {operator}"
        );
        let keys = keys.as_object().unwrap();
        keys.iter().all(|(key, values)| {
            let given = request.context.iter().find(|(name, _)| name == key);
            let is_met = |value: &str, given: &str| match operator.as_str() {
                "StringEquals" => value == given,
                _ => is_like(value, given),
            };
            given.is_some_and(|(_, given)| any(values, |value| is_met(value, given)))
        })
    })
}

fn any(list: &Value, holds: impl Fn(&str) -> bool) -> bool {
    items(list)
        .into_iter()
        .any(|item| item.as_str().is_some_and(&holds))
}

fn is_action(pattern: &str, action: &str) -> bool {
    is_like(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    (0..=text.len())
        .filter_map(|start| text.get(start..))
        .any(|tail| is_like(rest, tail))
}

#[test]
fn wildcards() {
    for (pattern, text, matches) in [
        ("*", "", true),
        ("a*c", "abc", true),
        ("a*c", "abcd", false),
        ("a*b*", "axxbyy", true),
        ("stack/clock/*", "stack/clock-2/1", false),
    ] {
        assert_eq!(is_like(pattern, text), matches, "{pattern} {text}");
    }
}
