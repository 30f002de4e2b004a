//! Minimal parser for shell scripts, to find `cargo build` in a `RUN`.

/// Keywords and prefixes that precede a command.
const BEFORE: [&str; 16] = [
    "if", "then", "else", "elif", "do", "while", "until", "!", "{", "}", "time", "exec", "env",
    "command", "fi", "done",
];

/// Simple command, with the variables that are set for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) variables: Vec<(String, String)>,
    pub(super) words: Vec<String>,
    /// Set for `export NAME=value`.
    pub(super) is_export: bool,
    /// Set within `if` or `case`, whose conditions are not evaluated.
    pub(super) is_conditional: bool,
}

/// Commands found so far, and the constructs around the next one.
#[derive(Debug, Default)]
struct Script {
    commands: Vec<Command>,
    /// Words of the current command.
    words: Vec<String>,
    /// Nesting depth of `if`.
    ifs: usize,
    /// Nesting depth of `case`.
    cases: usize,
    /// Set where a pattern of `case` may stand.
    expects_pattern: bool,
}

impl Script {
    fn take(&mut self, word: &mut String) {
        if !word.is_empty() {
            self.words.push(std::mem::take(word));
        }
    }

    /// Ends the current command at a separator.
    fn end(&mut self, separator: char) {
        let words = std::mem::take(&mut self.words);
        let is_last = words.first().is_some_and(|word| word == "esac");
        if self.expects_pattern && !is_last {
            // An empty line may precede a pattern.
            self.expects_pattern = separator != ')';
            return;
        }
        let is_keyword = |word: &&String| BEFORE.contains(&word.as_str());
        for keyword in words.iter().take_while(is_keyword) {
            match keyword.as_str() {
                "if" => self.ifs += 1,
                "fi" => self.ifs = self.ifs.saturating_sub(1),
                _ => {}
            }
        }
        match words
            .iter()
            .find(|word| !is_keyword(word))
            .map(String::as_str)
        {
            Some("case") => {
                self.cases += 1;
                self.expects_pattern = separator != ')';
                return;
            }
            Some("esac") => {
                self.cases = self.cases.saturating_sub(1);
                self.expects_pattern = false;
                return;
            }
            Some(_) | None => {}
        }
        let command = simple(words, self.ifs + self.cases > 0);
        if !command.words.is_empty() || !command.variables.is_empty() {
            self.commands.push(command);
        }
    }
}

/// Splits a script into its simple commands. Quotes are kept.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut found = Script::default();
    let mut word = String::new();
    let mut characters = script.chars().peekable();
    let mut quote = None;
    // Nesting depth of `$(…)`, whose content stays in the surrounding word.
    let mut depth = 0_usize;
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
            None if character == '(' && word.ends_with('$') => depth += 1,
            None if character == ')' && depth > 0 && !is_in_case(&word) => depth -= 1,
            None if depth > 0 || is_redirected => {}
            None if character == '#' && word.is_empty() => {
                while characters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            None if matches!(character, ';' | '&' | '|' | '(' | ')' | '\n') => {
                found.take(&mut word);
                found.end(character);
                // `;;` ends a branch of `case`.
                if character == ';' && characters.next_if_eq(&';').is_some() {
                    found.expects_pattern = found.cases > 0;
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
    }
    found.take(&mut word);
    found.end('\n');
    found.commands
}

/// Returns whether a `)` ends a pattern of a `case` within `$(…)`.
fn is_in_case(word: &str) -> bool {
    let starts = word.matches("(case ").count() + word.matches(" case ").count();
    starts > word.matches("esac").count()
}

fn simple(words: Vec<String>, is_conditional: bool) -> Command {
    let mut command = Command {
        is_conditional,
        ..Command::default()
    };
    for word in words {
        if !command.words.is_empty() {
            command.words.push(word);
        } else if let Some((name, value)) = assignment(&word) {
            command.variables.push((name.to_owned(), value.to_owned()));
        } else if !BEFORE.contains(&word.as_str()) {
            command.words.push(word);
        }
    }
    if command.words.first().is_some_and(|word| word == "export") {
        command.is_export = true;
        // Without words, the caller applies the variables to the rest of the script.
        let exported = std::mem::take(&mut command.words);
        let exported = exported.iter().filter_map(|word| assignment(word));
        let exported = exported.map(|(name, value)| (name.to_owned(), value.to_owned()));
        command.variables.extend(exported);
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
