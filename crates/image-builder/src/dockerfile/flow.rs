//! Control flow of a shell script: which of its commands run, as far as the text tells.
//!
//! Commands are assumed to succeed, since the build would fail otherwise, unless their status is
//! asked for.

use super::shell::{Separator, Step};

/// Answer that the text may not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    No,
    Unknown,
    Yes,
}

impl Answer {
    fn and(self, other: Self) -> Self {
        self.min(other)
    }

    fn or(self, other: Self) -> Self {
        self.max(other)
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }

    pub(super) const fn from(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }
}

/// Commands whose status is a finding: failing is no error.
const QUESTIONS: [&str; 9] = [
    "cmp", "command", "diff", "getent", "grep", "hash", "id", "type", "which",
];

/// Construct that the next command is in.
#[derive(Debug)]
struct Frame {
    /// Whether the construct runs.
    runs: Answer,
    /// Whether its surroundings run.
    outside: Answer,
    /// Whether one of its branches has run.
    taken: Answer,
    /// Set between `if` and `then`, and between `while` and `do`.
    is_condition: bool,
    /// Word that `case` compares.
    compared: Option<String>,
}

/// State of a script before its next command.
#[derive(Debug)]
pub(super) struct Flow {
    frames: Vec<Frame>,
    /// Whether the current list of commands runs.
    active: Answer,
    /// Status of the last command that ran.
    status: Answer,
    /// Whether the command before ran, for the next one of a pipe.
    ran: Answer,
    separator: Separator,
    is_inverted: bool,
}

impl Flow {
    pub(super) const fn new() -> Self {
        Self {
            frames: Vec::new(),
            active: Answer::Yes,
            status: Answer::Yes,
            ran: Answer::Yes,
            separator: Separator::Next,
            is_inverted: false,
        }
    }

    /// Returns whether the next command runs.
    pub(super) fn runs(&self) -> Answer {
        self.active.and(match self.separator {
            Separator::Next => Answer::Yes,
            Separator::And => self.status,
            Separator::Or => self.status.not(),
            Separator::Pipe => self.ran,
        })
    }

    /// Goes on behind a command. `status` is `None` if only running it would tell.
    pub(super) fn ended(&mut self, name: &str, status: Option<Answer>) {
        let runs = self.runs();
        let is_condition = self.frames.last().is_some_and(|it| it.is_condition);
        let is_question = is_condition || QUESTIONS.contains(&name);
        let assumed = if is_question {
            Answer::Unknown
        } else {
            Answer::Yes
        };
        let mut status = status.unwrap_or(assumed);
        if std::mem::take(&mut self.is_inverted) {
            status = status.not();
        }
        match runs {
            Answer::Yes => self.status = status,
            Answer::Unknown if self.status != status => self.status = Answer::Unknown,
            Answer::Unknown | Answer::No => {}
        }
        self.ran = runs;
        self.separator = Separator::Next;
    }

    /// Goes on behind anything that is no command. `expand` returns the value of a word.
    pub(super) fn enter(&mut self, step: &Step, expand: &dyn Fn(&str) -> String) {
        match step {
            Step::Command(_) => {}
            Step::Not => self.is_inverted = !self.is_inverted,
            // A line break behind `&&` has no meaning.
            Step::Separator(Separator::Next) if self.separator != Separator::Next => {}
            Step::Separator(separator) => self.separator = *separator,
            Step::If | Step::While => self.open(true, None),
            Step::For(_) | Step::Open => self.open(false, None),
            Step::Case(word) => self.open(false, Some(expand(word))),
            Step::Then => {
                let condition = self.status;
                self.branch(condition);
            }
            Step::Else => self.branch(Answer::Yes),
            Step::Elif => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.is_condition = true;
                    self.active = frame.runs.and(frame.taken.not());
                }
                self.separator = Separator::Next;
            }
            Step::Do => {
                if let Some(frame) = self.frames.last_mut()
                    && std::mem::take(&mut frame.is_condition)
                {
                    // The number of rounds is unknown.
                    self.active = self.active.and(Answer::Unknown);
                }
                self.separator = Separator::Next;
            }
            Step::Patterns(patterns) => {
                let compared = self.frames.last().and_then(|it| it.compared.clone());
                let compared = compared.unwrap_or_default();
                let fits = patterns
                    .iter()
                    .map(|pattern| matches(&expand(pattern), &compared))
                    .fold(Answer::No, Answer::or);
                self.branch(fits);
            }
            Step::End => {
                self.close();
                // Also if no branch was taken.
                self.status = Answer::Yes;
            }
            Step::Close => self.close(),
        }
    }

    fn open(&mut self, is_condition: bool, compared: Option<String>) {
        let runs = self.runs();
        self.frames.push(Frame {
            runs,
            outside: self.active,
            taken: Answer::No,
            is_condition,
            compared,
        });
        self.active = runs;
        self.separator = Separator::Next;
    }

    /// Begins a branch that is taken under a condition, if none before was.
    fn branch(&mut self, condition: Answer) {
        if let Some(frame) = self.frames.last_mut() {
            frame.is_condition = false;
            self.active = frame.runs.and(condition).and(frame.taken.not());
            frame.taken = frame.taken.or(condition);
        }
        self.separator = Separator::Next;
    }

    fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.ran = frame.runs;
            self.active = frame.outside;
        }
        self.separator = Separator::Next;
    }
}

/// Evaluates `test`, `[` or `[[`. Returns `None` if this is none of them.
pub(super) fn test(words: &[String]) -> Option<Answer> {
    let (name, rest) = words.split_first()?;
    let rest = match (name.as_str(), rest.split_last()) {
        ("test", _) => rest,
        ("[", Some((end, inner))) if end == "]" => inner,
        ("[[", Some((end, inner))) if end == "]]" => inner,
        ("true" | ":", _) => return Some(Answer::Yes),
        ("false", _) => return Some(Answer::No),
        ("[" | "[[", _) => return Some(Answer::Unknown),
        _ => return None,
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    Some(match rest.as_slice() {
        ["!", rest @ ..] => expression(rest, name == "[[").not(),
        rest => expression(rest, name == "[["),
    })
}

fn expression(words: &[&str], has_patterns: bool) -> Answer {
    if words.iter().any(|word| !is_known(word)) {
        return Answer::Unknown;
    }
    let number = |word: &str| word.parse::<i64>().ok();
    match words {
        [] | ["-n"] => Answer::from(words.len() == 1),
        ["-z", text] => Answer::from(text.is_empty()),
        ["-n", text] | [text] => Answer::from(!text.is_empty()),
        [a, "=" | "==", b] if has_patterns => matches(b, a),
        [a, "!=", b] if has_patterns => matches(b, a).not(),
        [a, "=" | "==", b] => Answer::from(a == b),
        [a, "!=", b] => Answer::from(a != b),
        [a, "-eq", b] if number(a).is_some() => Answer::from(number(a) == number(b)),
        [a, "-ne", b] if number(a).is_some() => Answer::from(number(a) != number(b)),
        _ => Answer::Unknown,
    }
}

/// Returns whether a text fits a pattern of the shell. Only `*` is understood.
pub(super) fn matches(pattern: &str, text: &str) -> Answer {
    if !is_known(pattern) || !is_known(text) || pattern.contains(['?', '[', '\\']) {
        return Answer::Unknown;
    }
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return Answer::No;
    };
    let Some(last) = pieces.next_back() else {
        return Answer::from(rest.is_empty());
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return Answer::No,
        }
    }
    Answer::from(rest.ends_with(last))
}

/// Returns whether a word has no expansion left that only a shell can do.
pub(super) fn is_known(word: &str) -> bool {
    !word.contains(['$', '`'])
}
