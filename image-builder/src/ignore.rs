//! `.dockerignore`, with Docker's rules: what it keeps out of Docker's image must not get into ours.

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    steps: Vec<Step>,
    /// `!pattern`: what it matches is not ignored after all.
    keeps: bool,
}

/// What one part of a pattern takes of a path.
#[derive(Debug)]
enum Step {
    /// This character.
    Literal(char),
    /// `?`: one character of a name.
    Any,
    /// `[a-z]`: one of these.
    Class(Vec<char>),
    /// `*`: any part of a name.
    Name,
    /// `**`: anything.
    Anything,
    /// The beginning of `**/`: what follows may be left out.
    Perhaps,
    /// The rest of `**/`: anything that ends with a `/`.
    Folders,
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
                let characters: Vec<char> = clean.join("/").chars().collect();
                (!clean.is_empty()).then(|| Pattern {
                    steps: steps(&characters),
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
        self.patterns
            .iter()
            .rev()
            .find(|pattern| pattern.covers(path))
            .is_some_and(|pattern| !pattern.keeps)
    }
}

impl Pattern {
    /// Whether it matches the path or a folder above it. All ways to match are followed at once, so that no pattern takes long.
    fn covers(&self, path: &str) -> bool {
        // Which steps may be next; one more than there are, for the end.
        let mut next = vec![false; self.steps.len() + 1];
        next[0] = true;
        self.leave_out(&mut next);
        for character in path.chars() {
            if character == '/' && next[self.steps.len()] {
                return true;
            }
            next = self.take(&next, character);
            self.leave_out(&mut next);
        }
        next[self.steps.len()]
    }

    /// What may take nothing may be left out.
    fn leave_out(&self, next: &mut [bool]) {
        for (index, step) in self.steps.iter().enumerate() {
            if next[index] {
                match step {
                    Step::Name | Step::Anything => next[index + 1] = true,
                    Step::Perhaps => next[index + 1..=index + 2].fill(true),
                    Step::Literal(_) | Step::Any | Step::Class(_) | Step::Folders => {}
                }
            }
        }
    }

    fn take(&self, next: &[bool], character: char) -> Vec<bool> {
        let in_name = character != '/';
        let mut after = vec![false; next.len()];
        for (index, step) in self.steps.iter().enumerate() {
            if next[index] {
                let (stays, goes_on) = match step {
                    Step::Literal(literal) => (false, *literal == character),
                    Step::Any => (false, in_name),
                    Step::Class(class) => (false, in_name && in_class(class, character)),
                    Step::Name => (in_name, false),
                    Step::Anything => (true, false),
                    Step::Perhaps => (false, false),
                    Step::Folders => (true, character == '/'),
                };
                after[index] |= stays;
                after[index + 1] |= goes_on;
            }
        }
        after
    }
}

/// `*` and `?` stay within one folder, `**` does not.
fn steps(pattern: &[char]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    while let [first, others @ ..] = rest {
        rest = match (first, others) {
            ('*', ['*', '/', others @ ..]) => {
                steps.extend([Step::Perhaps, Step::Folders]);
                others
            }
            ('*', ['*', others @ ..]) => {
                steps.push(Step::Anything);
                others
            }
            ('*', others) => {
                steps.push(Step::Name);
                others
            }
            ('?', others) => {
                steps.push(Step::Any);
                others
            }
            ('[', others) => {
                if let Some((class, others)) = class(others) {
                    steps.push(Step::Class(class.to_vec()));
                    others
                } else {
                    steps.push(Step::Literal('['));
                    others
                }
            }
            ('\\', [escaped, others @ ..]) => {
                steps.push(Step::Literal(*escaped));
                others
            }
            (character, others) => {
                steps.push(Step::Literal(*character));
                others
            }
        };
    }
    steps
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
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b/c", true),
            ("a/**/b", "a/xb", false),
            ("**", "a", true),
            ("a**b", "a/b", true),
            ("a*b", "a/b", false),
            ("*/*", "a", false),
            ("[/]", "/", false),
            ("a\\", "a\\", true),
        ];
        for (text, path, expected) in table {
            assert_eq!(
                Ignore::parse(text).excludes(path),
                expected,
                "{text:?} {path:?}"
            );
        }
    }

    /// Tried one way after the other, these would take for ever, or more stack than there is.
    #[test]
    fn no_pattern_takes_long() {
        let path = "a/".repeat(500);
        let patterns = ["**/a/".repeat(200), "**a".repeat(200), "*".repeat(2_000)];
        for pattern in patterns {
            assert!(!Ignore::parse(&format!("{pattern}b")).excludes(&path));
        }
    }
}
