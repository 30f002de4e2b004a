//! Words of an instruction, with quotes, escapes and `$NAME` interpreted as in Docker.

use super::error::Problem;

/// Limit for nested substitutions, `${A:-${B:-…}}`.
const MAX_NESTING: usize = 32;
/// Number of characters of a word that an error message shows.
const MAX_SHOWN: usize = 80;

/// Function that returns the value of a variable, or `None` if it is not set.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Parses the exec form: `["a", "b"]`. Docker treats everything else as the shell form, even an
/// invalid array.
pub(super) fn json_array(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

/// Removes quotes and escapes, and expands variables. Fails if the result exceeds `limit` bytes.
pub(super) fn expand(
    word: &str,
    escape: char,
    limit: usize,
    lookup: Lookup<'_>,
) -> Result<String, Problem> {
    Expansion::new(word, escape, limit, lookup).until(None)
}

/// Expands variables in a heredoc, where quotes have no meaning. As in BuildKit, its escape
/// character is a backslash, whatever the `escape` directive says.
pub(super) fn expand_heredoc(
    text: &str,
    limit: usize,
    lookup: Lookup<'_>,
) -> Result<String, Problem> {
    let mut expansion = Expansion::new(text, '\\', limit, lookup);
    expansion.has_quotes = false;
    expansion.until(None)
}

/// Returns the names of the variables that a text has without a default: `$NAME` or `${NAME}`.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|part| {
        let braced = part.strip_prefix('{');
        let part = braced.unwrap_or(part);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = part.find(|c| !is_of_name(c)).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        let is_whole = braced.is_none() || rest.starts_with('}');
        (is_whole && !name.is_empty()).then_some(name)
    })
}

/// Splits `name=value` pairs without expanding them. Supports the legacy form
/// `name value of several words`.
pub(super) fn pairs(
    keyword: &'static str,
    text: &str,
    escape: char,
) -> Result<Vec<(String, String)>, Problem> {
    let not_a_pair = |word: &str| Problem::NotAPair {
        keyword,
        word: word.to_owned(),
    };
    let words = quoted_words(text, escape);
    match words.first() {
        None => Err(Problem::MissingArgument(keyword)),
        // Legacy form without `=`: the rest of the line is the value.
        Some(first) if !first.contains('=') => {
            let (name, value) = text
                .split_once(char::is_whitespace)
                .ok_or_else(|| not_a_pair(text))?;
            Ok(vec![(name.to_owned(), value.trim_start().to_owned())])
        }
        Some(_) => words
            .iter()
            .map(|word| match word.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
                Some(_) | None => Err(not_a_pair(word)),
            })
            .collect(),
    }
}

/// Splits a text at white space outside of quotes. Quotes and escapes are kept.
pub(super) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        // Within single quotes, the escape character has no effect.
        if character == escape && quote != Some('\'') {
            word.push(character);
            word.extend(characters.next());
            continue;
        }
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            None | Some(_) => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

struct Expansion<'a> {
    rest: &'a str,
    whole: &'a str,
    escape: char,
    /// Size limit for the result, in bytes.
    limit: usize,
    nesting: usize,
    /// Set if quotes are removed.
    has_quotes: bool,
    lookup: Lookup<'a>,
}

impl<'a> Expansion<'a> {
    const fn new(text: &'a str, escape: char, limit: usize, lookup: Lookup<'a>) -> Self {
        Self {
            rest: text,
            whole: text,
            escape,
            limit,
            nesting: 0,
            has_quotes: true,
            lookup,
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let character = characters.next();
        self.rest = characters.as_str();
        character
    }

    /// Returns the start of the word for an error message.
    fn shown(&self) -> String {
        let shown = match self.whole.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}…", &self.whole[..end]),
            None => self.whole.to_owned(),
        };
        shown.replace('\n', " ")
    }

    fn open_quote(&self) -> Problem {
        Problem::OpenQuote(self.shown())
    }

    fn bad_substitution(&self) -> Problem {
        Problem::Substitution(self.shown())
    }

    /// Checks the size limit: variables that refer to variables can double in size with each line.
    fn check(&self, result: &str) -> Result<(), Problem> {
        if result.len() > self.limit {
            return Err(Problem::TooLong);
        }
        Ok(())
    }

    /// Expands up to the end, or up to the `stop` that closes `${NAME:-…}`.
    fn until(&mut self, stop: Option<char>) -> Result<String, Problem> {
        let mut result = String::new();
        while let Some(character) = self.next() {
            if Some(character) == stop {
                return Ok(result);
            }
            match character {
                '\'' if self.has_quotes => self.single_quoted(&mut result)?,
                '"' if self.has_quotes => self.double_quoted(&mut result)?,
                '$' => result.push_str(&self.variable()?),
                escape if escape == self.escape => result.extend(self.next()),
                other => result.push(other),
            }
            self.check(&result)?;
        }
        match stop {
            Some(_) => Err(self.bad_substitution()),
            None => Ok(result),
        }
    }

    fn single_quoted(&mut self, result: &mut String) -> Result<(), Problem> {
        let (inside, rest) = self
            .rest
            .split_once('\'')
            .ok_or_else(|| self.open_quote())?;
        result.push_str(inside);
        self.rest = rest;
        Ok(())
    }

    fn double_quoted(&mut self, result: &mut String) -> Result<(), Problem> {
        loop {
            match self.next() {
                None => return Err(self.open_quote()),
                Some('"') => return Ok(()),
                Some('$') => result.push_str(&self.variable()?),
                Some(escape) if escape == self.escape => match self.next() {
                    None => return Err(self.open_quote()),
                    Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.escape => {
                        result.push(escaped);
                    }
                    // Within double quotes, the escape character is kept before any other
                    // character.
                    Some(other) => result.extend([escape, other]),
                },
                Some(other) => result.push(other),
            }
            self.check(result)?;
        }
    }

    fn variable(&mut self) -> Result<String, Problem> {
        if self.rest.starts_with('{') {
            self.next();
            self.nesting += 1;
            if self.nesting > MAX_NESTING {
                return Err(self.bad_substitution());
            }
            let value = self.braced_variable()?;
            self.nesting -= 1;
            return Ok(value);
        }
        let name = self.name();
        if name.is_empty() {
            // A `$` without a name stays as it is.
            return Ok("$".to_owned());
        }
        // As in Docker, a variable that is not set expands to nothing.
        Ok((self.lookup)(&name).unwrap_or_default())
    }

    /// Parses the name of a variable, or of a shell parameter: digits or a special character.
    /// Parameters have no value here, and Docker replaces them by nothing as well.
    fn name(&mut self) -> String {
        let is_of_parameter = match self.rest.chars().next() {
            Some(first) if first.is_ascii_digit() => |character: char| character.is_ascii_digit(),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                let (name, rest) = self.rest.split_at(1);
                self.rest = rest;
                return name.to_owned();
            }
            Some(_) | None => |character: char| character.is_alphanumeric() || character == '_',
        };
        let length = self
            .rest
            .find(|character: char| !is_of_parameter(character))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }

    fn braced_variable(&mut self) -> Result<String, Problem> {
        let name = self.name();
        if name.is_empty() {
            return Err(self.bad_substitution());
        }
        let value = (self.lookup)(&name);
        // With a colon, an empty value counts as unset.
        let counts_empty = self.rest.starts_with(':');
        let mut operator = self.next();
        if operator == Some(':') {
            operator = self.next();
        } else if operator == Some('}') {
            return Ok(value.unwrap_or_default());
        }
        let set = value.filter(|value| !(counts_empty && value.is_empty()));
        match operator {
            Some('-') => {
                // Parsed even if it is not used, to find the closing brace.
                let default = self.until(Some('}'))?;
                Ok(set.unwrap_or(default))
            }
            Some('+') => {
                let alternative = self.until(Some('}'))?;
                Ok(set.map(|_| alternative).unwrap_or_default())
            }
            Some('?') => {
                let message = self.until(Some('}'))?;
                set.ok_or(Problem::Required { name, message })
            }
            // BuildKit also supports patterns, such as `${NAME#prefix}` and `${NAME/a/b}`.
            Some(_) | None => Err(self.bad_substitution()),
        }
    }
}
