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
}

/// Splits a script into its simple commands. Quotes are kept.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut command = Vec::new();
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
            None if character == ')' && depth > 0 => depth -= 1,
            None if depth > 0 || is_redirected => {}
            None if character == '#' && word.is_empty() => {
                while characters.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            None if matches!(character, ';' | '&' | '|' | '(' | ')' | '\n') => {
                take(&mut word, &mut command);
                commands.push(std::mem::take(&mut command));
                continue;
            }
            None if character.is_whitespace() => {
                take(&mut word, &mut command);
                continue;
            }
            Some(_) | None => {}
        }
        word.push(character);
    }
    take(&mut word, &mut command);
    commands.push(command);
    let commands = commands.into_iter().map(simple);
    commands
        .filter(|command| !command.words.is_empty() || !command.variables.is_empty())
        .collect()
}

fn take(word: &mut String, command: &mut Vec<String>) {
    if !word.is_empty() {
        command.push(std::mem::take(word));
    }
}

fn simple(words: Vec<String>) -> Command {
    let mut command = Command::default();
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
