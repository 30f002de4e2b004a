//! Minimal parser for shell scripts, to find `cargo build` in a `RUN`.

use std::collections::BTreeSet;

/// Words that may precede a command and do not affect what it does.
const PREFIXES: [&str; 5] = ["time", "exec", "env", "command", "nice"];

/// Part of a script, in the order of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Command(Command),
    /// `!`, which inverts the status of the next command.
    Not,
    /// What follows a command.
    Separator(Separator),
    If,
    /// `while` or `until`.
    While,
    /// `for`, with the name of its variable.
    For(String),
    Then,
    Elif,
    Else,
    Do,
    /// `fi`, `done` or `esac`.
    End,
    /// `case`, with the word to compare.
    Case(String),
    /// Patterns of a branch of `case`.
    Patterns(Vec<String>),
    /// `{` or `(`.
    Open,
    /// `}` or `)`.
    Close,
}

/// Separator between two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// `;`, `&` or a line break.
    Next,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
}

/// Simple command, with the variables that are set for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) variables: Vec<(String, String)>,
    pub(super) words: Vec<String>,
    /// Variables named by `export`, with or without a value.
    pub(super) exported: Vec<String>,
}

/// Parts found so far, and the state of the next one.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    /// Words of the current command.
    words: Vec<String>,
    /// Nesting depth of `case`.
    cases: usize,
    /// Set in an unfinished `[[ … ]]`, where `&&` belongs to the test.
    is_in_test: bool,
    /// Names of the functions that are defined. Their commands are found where they are defined.
    functions: BTreeSet<String>,
    /// Patterns of the branch, where a pattern of `case` may stand.
    patterns: Option<Vec<String>>,
}

impl Script {
    fn take(&mut self, word: &mut String) {
        if !word.is_empty() {
            self.is_in_test = word == "[[" || self.is_in_test && word != "]]";
            self.words.push(std::mem::take(word));
        }
    }

    /// Ends the current command at this character.
    fn end(&mut self, at: char) {
        self.is_in_test = false;
        let words = std::mem::take(&mut self.words);
        let is_last = words.first().is_some_and(|word| word == "esac");
        if let (Some(patterns), false) = (&mut self.patterns, is_last) {
            patterns.extend(words);
            if at == ')' {
                let patterns = self.patterns.take().unwrap_or_default();
                self.steps.push(Step::Patterns(patterns));
            }
            return;
        }
        if self.construct(words, at) && at == ')' {
            self.steps.push(Step::Close);
        }
    }

    /// Adds the keywords at the start, and the command behind them. Returns whether a separator may
    /// follow.
    fn construct(&mut self, words: Vec<String>, at: char) -> bool {
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.peek() {
            let step = match word.as_str() {
                "if" => Step::If,
                "while" | "until" => Step::While,
                "then" => Step::Then,
                "elif" => Step::Elif,
                "else" => Step::Else,
                "do" => Step::Do,
                "fi" | "done" => Step::End,
                "{" => Step::Open,
                "}" => Step::Close,
                "!" => Step::Not,
                "esac" => {
                    self.cases = self.cases.saturating_sub(1);
                    self.patterns = None;
                    Step::End
                }
                "function" => {
                    self.functions.extend(words.nth(1));
                    continue;
                }
                "for" | "select" => {
                    let name = words.nth(1).unwrap_or_default();
                    self.steps.push(Step::For(name));
                    return true;
                }
                "case" => {
                    let compared = words.nth(1).unwrap_or_default();
                    self.steps.push(Step::Case(compared));
                    self.cases += 1;
                    // Behind `in`.
                    let patterns = words.skip(1).collect();
                    if at == ')' {
                        self.steps.push(Step::Patterns(patterns));
                    } else {
                        self.patterns = Some(patterns);
                    }
                    return false;
                }
                _ => break,
            };
            self.steps.push(step);
            words.next();
        }
        let command = simple(words);
        let is_empty =
            command.words.is_empty() && command.variables.is_empty() && command.exported.is_empty();
        if !is_empty {
            self.steps.push(Step::Command(command));
        }
        true
    }

    /// Starts the definition of a function, `name()`.
    fn define(&mut self, name: String) {
        if self.words.last().is_some_and(|word| word == "function") {
            self.words.pop();
        }
        self.functions.insert(name);
    }

    /// Opens a subshell, unless the parenthesis is that of a pattern.
    fn open(&mut self) {
        if self.patterns.is_none() {
            self.steps.push(Step::Open);
        }
    }
}

/// Splits a script into its simple commands, and what decides whether they run. Quotes are kept.
pub(super) fn steps(script: &str) -> Vec<Step> {
    let mut found = Script::default();
    let mut word = String::new();
    let mut characters = script.chars().peekable();
    let mut quote = None;
    // Nesting depth of `$(…)` and `${…}`, whose content stays in the surrounding word.
    let mut depth = 0_usize;
    // Nesting depth of `case` within it.
    let mut cases = 0_usize;
    while let Some(character) = characters.next() {
        if character == '\\' && quote != Some('\'') {
            match characters.next() {
                // A backslash at the end of a line continues it.
                Some('\n') | None => {}
                Some(escaped) => word.extend([character, escaped]),
            }
            continue;
        }
        // In `2>&1` and `&>`, the `&` does not separate commands.
        let is_redirected =
            character == '&' && (word.ends_with('>') || characters.peek() == Some(&'>'));
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'' | '`') => quote = Some(character),
            // Also that of an array.
            None if character == '(' && word.ends_with(['$', '=']) => depth += 1,
            None if character == '{' && word.ends_with('$') => depth += 1,
            None if character == '}' && depth > 0 => depth -= 1,
            // Those of patterns of `case` close nothing.
            None if character == ')' && depth > 0 && cases == 0 => depth -= 1,
            None if depth > 0 || is_redirected => {}
            None if matches!(character, '&' | '|' | '(' | ')') && found.is_in_test => {}
            None if character == '#' && word.is_empty() => {
                while characters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            // Definition of a function.
            None if character == '(' && !word.is_empty() && characters.peek() == Some(&')') => {
                characters.next();
                found.define(std::mem::take(&mut word));
                continue;
            }
            None if matches!(character, ';' | '&' | '|' | '(' | ')' | '\n') => {
                found.take(&mut word);
                found.end(character);
                let is_double = characters.next_if_eq(&character).is_some();
                let separator = match character {
                    '(' => {
                        found.open();
                        is_double.then(|| found.open());
                        continue;
                    }
                    ')' => {
                        is_double.then(|| found.end(')'));
                        continue;
                    }
                    // `;;` ends a branch of `case`.
                    ';' if is_double => {
                        found.patterns = (found.cases > 0).then(Vec::new);
                        continue;
                    }
                    '&' if is_double => Separator::And,
                    '|' if is_double => Separator::Or,
                    '|' => Separator::Pipe,
                    _ => Separator::Next,
                };
                if found.patterns.is_none() {
                    found.steps.push(Step::Separator(separator));
                }
                continue;
            }
            None if character.is_whitespace() => {
                found.take(&mut word);
                continue;
            }
            Some(_) | None => {}
        }
        word.push(character);
        if depth == 0 {
            cases = 0;
        } else if word.ends_with("(case ") || word.ends_with(" case ") {
            cases += 1;
        } else if word.ends_with("esac") {
            cases = cases.saturating_sub(1);
        }
    }
    found.take(&mut word);
    found.end('\n');
    let Script {
        mut steps,
        functions,
        ..
    } = found;
    let is_function = |command: &Command| {
        let name = command.words.first();
        name.is_some_and(|name| functions.contains(name))
    };
    steps.retain(|step| !matches!(step, Step::Command(command) if is_function(command)));
    steps
}

fn simple(words: impl Iterator<Item = String>) -> Command {
    let mut command = Command::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let is_option = |word: &String| word.starts_with('-');
        if !command.words.is_empty() {
            command.words.push(word);
        } else if let Some((name, value)) = assignment(&word) {
            command.variables.push((name.to_owned(), value.to_owned()));
        } else if !PREFIXES.contains(&word.as_str())
            // `command -v` runs nothing.
            || word == "command" && words.peek().is_some_and(is_option)
        {
            command.words.push(word);
        } else {
            while let Some(option) = words.next_if(is_option) {
                // Those of `env` and `nice` that take a value.
                if matches!(option.as_str(), "-u" | "-C" | "-n") {
                    words.next();
                }
            }
        }
    }
    if command.words.first().is_some_and(|word| word == "export") {
        // Without words, the caller applies the variables to the rest of the script.
        let words = std::mem::take(&mut command.words).into_iter().skip(1);
        for word in words.filter(|word| !word.starts_with('-')) {
            match assignment(&word) {
                Some((name, value)) => {
                    command.exported.push(name.to_owned());
                    command.variables.push((name.to_owned(), value.to_owned()));
                }
                None => command.exported.push(word),
            }
        }
    }
    command
}

/// Parses `NAME=value`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_variable = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(is_name);
    is_variable.then_some((name, value))
}
