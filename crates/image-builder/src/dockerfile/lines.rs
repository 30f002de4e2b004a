//! Splits a Dockerfile into instructions: directives, comments, continuation lines and heredocs.

use super::error::{DockerfileError, MAX_INSTRUCTIONS, Problem};
use super::words::quoted_words;

/// Instruction on one logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Number of its first line, from 1.
    pub(super) line: usize,
    /// Keyword in upper case.
    pub(super) keyword: String,
    /// Set behind `ONBUILD`: the instruction is for the stages that are built on this one.
    pub(super) is_trigger: bool,
    /// Arguments, with continuation lines joined.
    pub(super) arguments: String,
    /// Heredocs in the order of its words.
    pub(super) heredocs: Vec<Heredoc>,
}

/// Heredoc of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    pub(super) name: String,
    strips_tabs: bool,
    /// Set if the name is quoted, which disables expansion.
    pub(super) is_literal: bool,
    /// Text up to the end line, with its line breaks and tabs.
    pub(super) content: String,
}

impl Instruction {
    pub(super) fn error(&self, problem: Problem) -> DockerfileError {
        DockerfileError {
            line: Some(self.line),
            problem,
        }
    }
}

/// Instructions of a Dockerfile, with its escape character.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) instructions: Vec<Instruction>,
    pub(super) escape: char,
}

pub(super) fn read(text: &str) -> Result<Source, DockerfileError> {
    // Docker ignores a byte order mark as well.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    // A heredoc keeps the line breaks of the file.
    let raw: Vec<&str> = text.split_inclusive('\n').collect();
    let escape = escape_directive(&lines)?;
    let mut instructions = Vec::new();
    let mut position = 0;
    while let Some(line) = lines.get(position) {
        if is_comment_or_empty(line) {
            position += 1;
            continue;
        }
        let first = position;
        let (joined, next) = join_continued(&lines, first, escape);
        position = next;
        let (mut keyword, mut arguments) = split_word(&joined);
        let is_trigger = keyword.eq_ignore_ascii_case("ONBUILD");
        if is_trigger {
            (keyword, arguments) = split_word(arguments);
        }
        let mut instruction = Instruction {
            line: first + 1,
            keyword: keyword.to_ascii_uppercase(),
            is_trigger,
            arguments: arguments.to_owned(),
            heredocs: Vec::new(),
        };
        // `read_text` has replaced invalid UTF-8 by this character.
        if joined.contains('\u{fffd}') {
            return Err(instruction.error(Problem::NotUtf8));
        }
        for mut heredoc in heredocs(&instruction, escape) {
            let Some(end) = end_of_heredoc(&lines, position, &heredoc) else {
                return Err(instruction.error(Problem::EndlessHeredoc(heredoc.name)));
            };
            let lines = raw[position..end].iter();
            heredoc.content = lines.copied().collect();
            instruction.heredocs.push(heredoc);
            position = end + 1;
        }
        // Reading takes a time that grows with the square of their number.
        if instructions.len() == MAX_INSTRUCTIONS {
            return Err(instruction.error(Problem::TooManyInstructions));
        }
        instructions.push(instruction);
    }
    Ok(Source {
        instructions,
        escape,
    })
}

/// Splits off the first word.
fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// Returns the escape character. Lines `# name=value` at the very top are directives; `syntax` and
/// `check` have no effect here.
fn escape_directive(lines: &[&str]) -> Result<char, DockerfileError> {
    for (index, line) in lines.iter().enumerate() {
        let Some((name, value)) = line
            .trim()
            .strip_prefix('#')
            .and_then(|directive| directive.split_once('='))
        else {
            break;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match (name.as_str(), value) {
            ("escape", "\\") => return Ok('\\'),
            ("escape", "`") => return Ok('`'),
            ("escape", other) => {
                return Err(DockerfileError {
                    line: Some(index + 1),
                    problem: Problem::BadEscape(other.to_owned()),
                });
            }
            ("syntax" | "check", _) => {}
            // Any other comment ends the directives.
            _ => break,
        }
    }
    Ok('\\')
}

fn is_comment_or_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Joins a line with its continuation lines. Comments and empty lines in between are dropped, as in
/// Docker.
fn join_continued(lines: &[&str], first: usize, escape: char) -> (String, usize) {
    let mut joined = String::new();
    let mut position = first;
    while let Some(line) = lines.get(position) {
        position += 1;
        if position > first + 1 && is_comment_or_empty(line) {
            continue;
        }
        // Docker keeps the indentation of continuation lines.
        let line = if position == first + 1 {
            line.trim_start()
        } else {
            line
        };
        if let Some(part) = continued(line, escape) {
            joined.push_str(part);
        } else {
            joined.push_str(line);
            break;
        }
    }
    (joined.trim_end().to_owned(), position)
}

/// Returns the line without the escape character at its end, or `None` if it has none or an escaped
/// one.
fn continued(line: &str, escape: char) -> Option<&str> {
    // Docker allows white space after the escape character.
    let part = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!part.ends_with(escape)).then_some(part)
}

impl Heredoc {
    /// Parses `<<NAME`, `<<-NAME` or `3<<NAME`. The name may be quoted.
    pub(super) fn parse(word: &str, escape: char) -> Option<Self> {
        let rest = word.trim_start_matches(is_digit).strip_prefix("<<")?;
        let (strips_tabs, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        // `<<<` is a here-string of the shell.
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        Some(Self {
            // The end line has the plain name.
            name: rest.replace(['"', '\'', escape], ""),
            strips_tabs,
            is_literal: rest.contains(['"', '\'']),
            content: String::new(),
        })
    }

    /// Returns the content, without the tabs that `<<-` strips.
    pub(super) fn text(&self) -> String {
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| self.stripped(line)).collect()
    }

    fn stripped<'a>(&self, line: &'a str) -> &'a str {
        if self.strips_tabs {
            line.trim_start_matches('\t')
        } else {
            line
        }
    }
}

fn heredocs(instruction: &Instruction, escape: char) -> Vec<Heredoc> {
    if !matches!(instruction.keyword.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    let words = quoted_words(&instruction.arguments, escape);
    let mut heredocs = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        // BuildKit accepts white space before the name since 2026.
        let is_divided = matches!(word.trim_start_matches(is_digit), "<<" | "<<-");
        let word = match words.peek() {
            Some(name) if is_divided => format!("{word}{name}"),
            Some(_) | None => word.clone(),
        };
        heredocs.extend(Heredoc::parse(&word, escape));
    }
    heredocs
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

fn end_of_heredoc(lines: &[&str], from: usize, heredoc: &Heredoc) -> Option<usize> {
    let mut lines = lines.get(from..)?.iter();
    let end = lines.position(|line| heredoc.stripped(line) == heredoc.name)?;
    Some(from + end)
}
