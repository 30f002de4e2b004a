//! `.dockerignore`, with Docker's rules: what it keeps out of Docker's image must not get into ours.

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    characters: Vec<char>,
    /// `!pattern`: what it matches is not ignored after all.
    keeps: bool,
}

impl Ignore {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let patterns = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let line = line.trim();
                let (keeps, pattern) = match line.strip_prefix('!') {
                    Some(pattern) => (true, pattern.trim()),
                    None => (false, line),
                };
                let clean: Vec<&str> = pattern
                    .split('/')
                    .filter(|part| !part.is_empty() && *part != ".")
                    .collect();
                (!clean.is_empty()).then(|| Pattern {
                    characters: clean.join("/").chars().collect(),
                    keeps,
                })
            })
            .collect();
        Self { patterns }
    }

    /// Whether an excluded folder may hold something that is kept.
    pub(super) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.keeps)
    }

    /// Whether a path, relative to the context and with `/` between its parts, is left out. A folder's pattern covers all
    /// that is in it; the last pattern that matches decides.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let characters: Vec<char> = path.chars().collect();
        let ends: Vec<usize> = characters
            .iter()
            .enumerate()
            .filter(|(_, character)| **character == '/')
            .map(|(index, _)| index)
            .chain([characters.len()])
            .collect();
        self.patterns
            .iter()
            .rev()
            .find(|pattern| {
                ends.iter()
                    .any(|end| matches(&pattern.characters, &characters[..*end]))
            })
            .is_some_and(|pattern| !pattern.keeps)
    }
}

/// `*` and `?` stay within one folder, `**` does not.
fn matches(pattern: &[char], path: &[char]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*', '/', rest @ ..] => {
            matches(rest, path)
                || (0..path.len())
                    .filter(|index| path[*index] == '/')
                    .any(|index| matches(rest, &path[index + 1..]))
        }
        ['*', '*', rest @ ..] => (0..=path.len()).any(|index| matches(rest, &path[index..])),
        ['*', rest @ ..] => {
            let end = path
                .iter()
                .position(|character| *character == '/')
                .unwrap_or(path.len());
            (0..=end).any(|index| matches(rest, &path[index..]))
        }
        ['?', rest @ ..] => matches!(path, [first, others @ ..]
            if *first != '/' && matches(rest, others)),
        ['[', rest @ ..] => match (class(rest), path) {
            (Some((class, rest)), [first, others @ ..]) => {
                *first != '/' && in_class(class, *first) && matches(rest, others)
            }
            (Some(_), []) => false,
            (None, _) => literal('[', rest, path),
        },
        ['\\', escaped, rest @ ..] => literal(*escaped, rest, path),
        [character, rest @ ..] => literal(*character, rest, path),
    }
}

fn literal(character: char, rest: &[char], path: &[char]) -> bool {
    matches!(path, [first, others @ ..] if *first == character && matches(rest, others))
}

/// What is between the brackets, and what follows them.
fn class(pattern: &[char]) -> Option<(&[char], &[char])> {
    let end = pattern
        .iter()
        .position(|character| *character == ']')
        .filter(|end| *end > 0)?;
    Some((&pattern[..end], &pattern[end + 1..]))
}

fn in_class(class: &[char], character: char) -> bool {
    let (negated, mut rest) = match class {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [first, '-', last, others @ ..] => {
                found |= (*first..=*last).contains(&character);
                others
            }
            [one, others @ ..] => {
                found |= *one == character;
                others
            }
        };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_rules() {
        let table = [
            ("target", "target", true),
            ("target", "target/debug/app", true),
            ("target", "app/target", false),
            ("/target/", "target/debug", true),
            ("**/target", "target", true),
            ("**/target", "app/target/debug", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/image.md", false),
            ("**/*.md", "docs/image.md", true),
            ("docs/**", "docs/a/b", true),
            ("docs/**", "docs", false),
            ("*\n!README.md", "README.md", false),
            ("*\n!README.md", "Cargo.toml", true),
            ("!README.md\n*", "README.md", true),
            ("docs\n!docs/image.md", "docs/image.md", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("# comment\n\n .env ", ".env", true),
            (".", "anything", false),
            ("./a", "a", true),
        ];
        for (text, path, expected) in table {
            assert_eq!(
                Ignore::parse(text).excludes(path),
                expected,
                "{text:?} {path:?}"
            );
        }
    }
}
