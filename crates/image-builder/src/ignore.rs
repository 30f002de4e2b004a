//! Patterns of `.dockerignore` and of `COPY`, compatible with Docker's: a file that Docker excludes
//! must not get into the image.

use std::path::{Path, PathBuf};

use crate::paths::components;

/// Returns the ignore file: `<Dockerfile>.dockerignore` if it exists, or else `.dockerignore` or
/// podman's `.containerignore` in the build context, which need not exist.
pub fn ignore_file(dockerfile: &Path, context: &Path) -> PathBuf {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    let [dockers, podmans] = [DOCKERIGNORE, CONTAINERIGNORE].map(|name| context.join(name));
    let name = dockerfile.file_name().unwrap_or_default();
    // Podman prefers its own name. Whoever writes a Containerfile builds with podman.
    let is_podmans = name.to_string_lossy().contains("Containerfile");
    let order = if is_podmans {
        [PathBuf::from(own), podmans, dockers.clone()]
    } else {
        [PathBuf::from(own), dockers.clone(), podmans]
    };
    order
        .into_iter()
        .find(|file| file.exists())
        .unwrap_or(dockers)
}

/// Name of the ignore file for Docker, which podman reads as well.
pub(crate) const DOCKERIGNORE: &str = ".dockerignore";

/// Name of the ignore file for podman alone.
pub(crate) const CONTAINERIGNORE: &str = ".containerignore";

/// Patterns of a `.dockerignore`.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

/// Pattern that Docker rejects as well.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPattern {
    /// Line number, from 1.
    pub(crate) line: usize,
    pub(crate) pattern: String,
}

#[derive(Debug)]
pub(crate) struct Pattern {
    steps: Vec<Step>,
    /// Set for `!pattern`, which includes its matches again.
    keeps: bool,
}

/// Element of a pattern.
#[derive(Debug)]
enum Step {
    /// Literal character, compared exactly.
    Literal(char),
    /// `?`: any one character but `/`.
    Any,
    /// `[a-z]`: one character of a class. As in Docker, the class may contain `/`.
    Class(Class),
    /// `*`: any characters but `/`.
    Name,
    /// `**`: any characters, including `/`.
    Anything,
    /// First half of `**/`: makes the next element optional.
    Perhaps,
    /// Second half of `**/`: any characters up to a `/`.
    Folders,
}

/// Character class in brackets.
#[derive(Debug)]
struct Class {
    /// Set for `[^…]`, which matches any other character.
    negated: bool,
    /// Ranges, each with its first and last character.
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
        // Editors on Windows may write a byte order mark, which Docker ignores as well.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // As in Docker, a comment starts in the first column; the line is trimmed only
            // afterwards.
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

    /// Returns whether an excluded folder may contain files that a `!` pattern includes.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.keeps)
    }

    /// Returns whether a path is excluded. The path is relative to the context, with `/` between
    /// its components. A pattern for a folder covers all its content, and the last matching pattern
    /// decides.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.patterns
            .iter()
            .rev()
            .find(|pattern| pattern.covers(path))
            .is_some_and(|pattern| !pattern.keeps)
    }
}

impl Pattern {
    /// Parses a pattern of `COPY`, in which `**` is the same as `*`. Returns `None` if it is
    /// invalid.
    pub(crate) fn of_copy(text: &str) -> Option<Self> {
        let mut characters: Vec<char> = text.chars().collect();
        characters.dedup_by(|next, previous| *next == '*' && *previous == '*');
        Some(Self {
            steps: steps(&characters)?,
            keeps: false,
        })
    }

    /// Returns whether the pattern matches the path or a folder above it. Tracks all partial
    /// matches at once, like an NFA, so that no pattern takes exponential time.
    pub(crate) fn covers(&self, path: &str) -> bool {
        // Elements that may match next, with one more for the end of the pattern.
        let mut next = vec![false; self.steps.len() + 1];
        next[0] = true;
        self.leave_out(&mut next);
        for character in path.chars() {
            // A folder matches, so everything below it does.
            if character == '/' && next[self.steps.len()] {
                return true;
            }
            next = self.take(&next, character);
            self.leave_out(&mut next);
        }
        next[self.steps.len()]
    }

    /// Adds the states that are reachable without a character.
    fn leave_out(&self, next: &mut [bool]) {
        // In order, since a state that is added may lead to the next one.
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

/// Removes `.`, `..` and superfluous `/`, since the paths to compare with have none.
fn clean(pattern: &str) -> String {
    let (above, parts) = components(pattern);
    // `..` at the root stays at the root.
    let above = if pattern.starts_with('/') { 0 } else { above };
    let mut clean = vec![".."; above];
    clean.extend(parts);
    clean.join("/")
}

/// Parses a pattern, in which `*` and `?` stay within one folder and `**` does not. Returns `None`
/// for patterns that Docker rejects.
fn steps(pattern: &[char]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = pattern;
    // Docker compares with the end of a path if nothing but `**` at the start is special, even
    // within a name.
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

/// Parses a character class after its `[`, and returns the rest of the pattern.
fn class(pattern: &[char]) -> Option<(Class, &[char])> {
    let (negated, mut rest) = match pattern {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            // Docker checks patterns by Go's `filepath.Match`, which allows no empty class.
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

    #[test]
    fn podman_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| ignore_file(&folder.path().join(name), folder.path());
        let [dockers, podmans] = [DOCKERIGNORE, CONTAINERIGNORE].map(|it| folder.path().join(it));
        assert_eq!(of("Containerfile"), dockers);
        std::fs::write(&podmans, "").unwrap();
        assert_eq!([of("Dockerfile"), of("Containerfile")], [&*podmans; 2]);
        std::fs::write(&dockers, "").unwrap();
        assert_eq!(of("Dockerfile"), dockers);
        assert_eq!(of("Containerfile"), podmans);
        assert_eq!(of("service.Containerfile"), podmans);
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
