//! Tags of a stack: those in the settings are added to the existing ones. Pure.

use std::collections::BTreeMap;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Returns the tags that users can set, without those of AWS.
pub fn of_users(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|key, _| !is_reserved(key));
    tags
}

/// Returns the tags for a request; `None` if the stack already has ours.
///
/// A request replaces all tags, so that it has to include the existing ones.
pub fn added(ours: &Tags, of_stack: &Tags) -> Option<Tags> {
    let is_there = |(key, value)| of_stack.get(key) == Some(value);
    if ours.iter().all(is_there) {
        return None;
    }
    let mut tags = of_users(of_stack);
    tags.extend(ours.clone());
    Some(tags)
}

/// Returns whether a key or value contains `?`, which tags do not allow and CloudFormation shows
/// for other characters.
pub fn is_mangled(tags: &Tags) -> bool {
    tags.iter()
        .any(|(key, value)| key.contains('?') || value.contains('?'))
}

/// Returns whether only AWS may set this key.
pub fn is_reserved(key: &str) -> bool {
    // AWS reserves the prefix in any combination of upper and lower case.
    key.get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn those_of_others_are_kept() {
        let of_stack = tags([("aws:x", "1"), ("team", "blue"), ("stage", "test")]);
        let ours = tags([("team", "red")]);
        let sent = tags([("stage", "test"), ("team", "red")]);
        assert_eq!(added(&ours, &of_stack), Some(sent));
        assert_eq!(added(&tags([("team", "blue")]), &of_stack), None);
        assert_eq!(added(&Tags::new(), &of_stack), None);
        assert!(is_mangled(&tags([("a", "b?")])) && !is_mangled(&of_stack));
    }
}
