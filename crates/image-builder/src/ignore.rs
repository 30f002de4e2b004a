//! `.dockerignore`, with Docker's rules: what it keeps out of Docker's image must not get into ours.

use std::path::{Path, PathBuf};

use crate::paths::components;

/// Returns the file that says what is kept out: `<Dockerfile>.dockerignore` if it exists, else `.dockerignore` in the build
/// context, which need not exist.
pub fn ignore_file(dockerfile: &Path, context: &Path) -> PathBuf {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    let own = PathBuf::from(own);
    if own.exists() {
        own
    } else {
        context.join(".dockerignore")
    }
}

/// The patterns of a `.dockerignore`.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

/// A pattern that Docker does not take either.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPattern {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) pattern: String,
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
    /// `[a-z]`: one of these. Also a `/`, where it is among them: so it is with Docker.
    Class(Class),
    /// `*`: any part of a name.
    Name,
    /// `**`: anything.
    Anything,
    /// The beginning of `**/`: what follows may be left out.
    Perhaps,
    /// The rest of `**/`: anything that ends with a `/`.
    Folders,
}

/// What stands between brackets.
#[derive(Debug)]
struct Class {
    /// With `^` in front: all but these.
    negated: bool,
    /// First and last.
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, character: char) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&character)) != self.negated
    }
}

impl Ignore {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (keeps, pattern) = match line.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, line),
            };
            let characters: Vec<char> = clean(pattern).chars().collect();
            if characters.is_empty() {
                continue;
            }
            let steps = steps(&characters).ok_or_else(|| BadPattern {
                line: index + 1,
                pattern: pattern.to_owned(),
            })?;
            patterns.push(Pattern { steps, keeps });
        }
        Ok(Self { patterns })
    }

    /// Whether an excluded folder may hold something that is kept.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.keeps)
    }

    /// Whether a path, relative to the context and with `/` between its parts, is left out. A folder's pattern covers all
    /// that is in it; the last pattern that matches decides.
    pub(crate) fn excludes(&self, path: &str) -> bool {
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
                    Step::Class(class) => (false, class.has(character)),
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

/// Without `.`, `..` and superfluous `/`, as paths are that it is compared with.
fn clean(pattern: &str) -> String {
    let (above, parts) = components(pattern);
    // Above the root there is nothing.
    let above = if pattern.starts_with('/') { 0 } else { above };
    let mut clean = vec![".."; above];
    clean.extend(parts);
    clean.join("/")
}

/// `*` and `?` stay within one folder, `**` does not. `None` where Docker takes the pattern for a mistake.
fn steps(pattern: &[char]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    // Docker looks for the end of a path where nothing but `**` at the beginning is special, also within a name.
    if let ['*', '*', end @ ..] = pattern
        && !end
            .iter()
            .any(|it| matches!(it, '*' | '?' | '[' | ']' | '\\'))
        && end.first() != Some(&'/')
    {
        steps.push(Step::Anything);
        rest = end;
    }
    while let [first, others @ ..] = rest {
        rest = match (first, others) {
            ('*', ['*'] | ['*', '/']) => {
                steps.push(Step::Anything);
                &[]
            }
            ('*', ['*', '/', others @ ..] | ['*', others @ ..]) => {
                steps.extend([Step::Perhaps, Step::Folders]);
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
                let (class, others) = class(others)?;
                steps.push(Step::Class(class));
                others
            }
            ('\\', []) => return None,
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
    Some(steps)
}

/// What is between the brackets, and what follows them.
fn class(pattern: &[char]) -> Option<(Class, &[char])> {
    let (negated, mut rest) = match pattern {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [']', others @ ..] if !ranges.is_empty() => {
                return Some((Class { negated, ranges }, others));
            }
            rest => {
                let (first, others) = class_character(rest)?;
                let (last, others) = match others {
                    ['-', others @ ..] => class_character(others)?,
                    others => (first, others),
                };
                if first > last {
                    return None;
                }
                ranges.push((first, last));
                others
            }
        };
    }
}

fn class_character(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern {
        ['\\', character, rest @ ..] => Some((*character, rest)),
        [] | ['-' | ']' | '\\', ..] => None,
        [character, rest @ ..] => Some((*character, rest)),
    }
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
            // Also what separates folders, where a class has it.
            ("a[^x]b", "a/b", true),
            ("[\\]a]x", "]x", true),
            ("[\\]a]x", "\\x", false),
            ("[a\\-c]x", "-x", true),
            ("[a\\-c]x", "bx", false),
            ("[\\a-\\c]x", "bx", true),
            ("a/../b", "b", true),
            ("a/../b", "a", false),
            ("a/./b/..", "a/x", true),
            ("/../a", "a", true),
            ("../a", "a", false),
            ("a/..", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("# comment\n\n .env ", ".env", true),
            (".", "anything", false),
            ("./a", "a", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b/c", true),
            ("a/**/b", "a/xb", false),
            ("**", "a", true),
            // `**` in the middle takes whole folders, or nothing.
            ("a**b", "a/b", true),
            ("a**b", "axb", false),
            ("a**b", "ax/b", true),
            ("a**b", "ab", true),
            ("a**/b", "axb", false),
            // At the beginning it takes anything before a plain end, and folders before any other pattern.
            ("**b", "axb", true),
            ("**b/c", "axb/c", true),
            ("**b*", "axb", false),
            ("**b*", "a/bx", true),
            ("**[b]", "axb", false),
            ("**\\b", "axb", false),
            ("**/b", "axb", false),
            // And at the end.
            ("a**", "axb", true),
            ("a/**/", "a/x/y", true),
            ("***", "a/b", true),
            ("a*b", "a/b", false),
            ("*/*", "a", false),
        ];
        for (text, path, expected) in table {
            assert_eq!(
                Ignore::parse(text).unwrap().excludes(path),
                expected,
                "{text:?} {path:?}"
            );
        }
    }

    #[test]
    fn what_docker_takes_for_a_mistake() {
        for pattern in [
            "[x", "[]a]", "[]", "[^]", "[-a]", "[a-]", "[b-a]", "a\\", "[a\\",
        ] {
            let error = Ignore::parse(&format!("# first\n!{pattern}\n")).unwrap_err();
            let pattern = pattern.to_owned();
            assert_eq!(error, BadPattern { line: 2, pattern });
        }
    }

    #[test]
    fn a_dockerfile_may_have_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("service.Dockerfile");
        let usual = folder.path().join(".dockerignore");
        assert_eq!(ignore_file(&dockerfile, folder.path()), usual);
        let own = folder.path().join("service.Dockerfile.dockerignore");
        std::fs::write(&own, "").unwrap();
        assert_eq!(ignore_file(&dockerfile, folder.path()), own);
    }

    /// Tried one way after the other, these would take for ever, or more stack than there is.
    #[test]
    fn no_pattern_takes_long() {
        let path = "a/".repeat(500);
        let patterns = ["**/a/".repeat(200), "**a".repeat(200), "*".repeat(2_000)];
        for pattern in patterns {
            let ignore = Ignore::parse(&format!("{pattern}b")).unwrap();
            assert!(!ignore.excludes(&path));
        }
    }
}
