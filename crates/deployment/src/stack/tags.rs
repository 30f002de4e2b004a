//! Tags of a stack: those of the settings are added to those that others put there. Pure.

use std::collections::BTreeMap;

/// Tags: key → value.
pub type Tags = BTreeMap<String, String>;

/// Those that can be set; AWS sets its own.
pub fn of_users(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|key, _| !is_reserved(key));
    tags
}

/// What a request has to name, which replaces all tags; `None` where the stack has ours already.
pub fn added(ours: &Tags, of_stack: &Tags) -> Option<Tags> {
    let is_there = |(key, value)| of_stack.get(key) == Some(value);
    if ours.iter().all(is_there) {
        return None;
    }
    let mut tags = of_users(of_stack);
    tags.extend(ours.clone());
    Some(tags)
}

/// Is `?`, which no tag may hold, shown for something else?
pub fn is_mangled(tags: &Tags) -> bool {
    tags.iter()
        .any(|(key, value)| key.contains('?') || value.contains('?'))
}

/// Is this a key that only AWS may set?
pub fn is_reserved(key: &str) -> bool {
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
