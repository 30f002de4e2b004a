//! ASCII form of templates. Pure.
//!
//! `GetTemplate` returns `?` for every character outside ASCII. Only a template in ASCII can be
//! read back unchanged. YAML and JSON have escapes for all other characters.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Converts a template to ASCII with the same meaning; `None` if the equivalence cannot be
/// verified.
///
/// Other characters in comments have no meaning and become `?`.
pub fn to_ascii(template: &str) -> Option<Cow<'_, str>> {
    if template.is_ascii() {
        return Some(Cow::Borrowed(template));
    }
    // The byte order mark is no part of the document, and often the only character outside ASCII.
    let text = template.strip_prefix('\u{feff}').unwrap_or(template);
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    if is_json(text) {
        return Some(Cow::Owned(json_escaped(text)));
    }
    // YAML allows escapes only in double quotes: other styles of scalars are rewritten.
    let scalars = scalars(text)?;
    let changed = scalars.iter().filter_map(|scalar| {
        let source = text.get(scalar.start..scalar.end)?;
        (!source.is_ascii()).then(|| (scalar, scalar.escaped(source)))
    });
    let escaped = without_other_characters(&replaced(text, changed)?);
    // Parsing both texts guards against every mistake of the rewriting above.
    (meaning(text)? == meaning(&escaped)?).then_some(Cow::Owned(escaped))
}

/// Template that was read back, with its uncertain values.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Text with the restored values.
    pub text: String,
    /// Values with `?` that may stand for other characters.
    pub unsure: Vec<String>,
}

/// Restores a template that `GetTemplate` returned.
///
/// A value in which `?` stands for other characters is looked up in `known`, the template to deploy
/// next. It is restored if exactly one value there looks the same.
pub fn read_back(returned: &str, known: &str) -> ReadBack {
    let as_it_is = |unsure| ReadBack {
        text: returned.to_owned(),
        unsure,
    };
    if !returned.contains('?') || returned == known {
        return as_it_is(Vec::new());
    }
    let (Some(scalars), Some(known)) = (scalars(returned), scalars(known)) else {
        return as_it_is(vec!["the whole template".to_owned()]);
    };
    let known: BTreeSet<&str> = known.iter().map(|scalar| scalar.value.as_str()).collect();
    let mut unsure = Vec::new();
    let mut found = Vec::new();
    for scalar in &scalars {
        let value = scalar.value.as_str();
        if !value.contains('?') || known.contains(value) {
            continue;
        }
        let mut alike = known
            .iter()
            .filter(|known| !known.is_ascii() && looks_like(value, known));
        match (alike.next(), alike.next()) {
            (Some(known), None) => found.push((scalar, quoted(known))),
            (_, _) => unsure.push(value.to_owned()),
        }
    }
    match replaced(returned, found) {
        Some(text) => ReadBack { text, unsure },
        None => as_it_is(vec!["the whole template".to_owned()]),
    }
}

/// Returns whether `GetTemplate` may show `text` as `returned`.
pub fn looks_like(returned: &str, text: &str) -> bool {
    // It is not documented how many `?` replace a character outside the Basic Multilingual Plane.
    let blurred = |text: &str| {
        let mut blurred = String::with_capacity(text.len());
        for sign in text.chars() {
            let sign = if sign.is_ascii() { sign } else { '?' };
            if sign != '?' || !blurred.ends_with('?') {
                blurred.push(sign);
            }
        }
        blurred
    };
    blurred(returned) == blurred(text)
}

/// Scalar with its range of bytes in the source, without tag and anchor.
struct Scalar {
    value: String,
    style: ScalarStyle,
    start: usize,
    end: usize,
}

impl Scalar {
    fn is_block(&self) -> bool {
        matches!(self.style, ScalarStyle::Literal | ScalarStyle::Folded)
    }

    /// Returns the replacement of its source in ASCII.
    fn escaped(&self, source: &str) -> String {
        if self.style == ScalarStyle::DoubleQuoted {
            let mut escaped = String::with_capacity(source.len());
            for sign in source.chars() {
                push_escaped(&mut escaped, sign);
            }
            return escaped;
        }
        let mut escaped = quoted(&self.value);
        if self.is_block() {
            // The number of lines is kept, so that the line numbers in CloudFormation's messages
            // stay correct.
            escaped.extend(source.matches('\n'));
        }
        escaped
    }
}

/// Parses all scalars of a YAML document, in order; `None` if it cannot be parsed.
fn scalars(text: &str) -> Option<Vec<Scalar>> {
    // The parser counts characters, and slices need bytes.
    let mut offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    offsets.push(text.len());
    let mut scalars = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, Span { start, end }) = event.ok()?;
        let Event::Scalar(value, style, anchor, tag) = event else {
            continue;
        };
        let (mut start, mut end) = (*offsets.get(start.index())?, *offsets.get(end.index())?);
        if anchor != 0 || tag.is_some() {
            start += length_of_properties(text.get(start..end)?);
        }
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            // The parser reports the first line with content, not the `|` or `>` before it.
            start = start_of_block(text, start)?;
            // The span ends with the indentation of the next node, which must stay.
            let source = text.get(start..end)?;
            let kept = source.trim_end_matches([' ', '\t']);
            if kept.ends_with('\n') {
                end = start + kept.len();
            }
        } else {
            let source = text.get(start..end)?;
            end = start + source.trim_end().len();
        }
        scalars.push(Scalar {
            value: value.into_owned(),
            style,
            start,
            end,
        });
    }
    Some(scalars)
}

/// Returns the length of tag, anchor and comments in front of a value, with the whitespace after
/// them.
fn length_of_properties(source: &str) -> usize {
    let mut rest = source;
    loop {
        rest = rest.trim_start();
        if rest.starts_with('#') {
            rest = rest
                .find('\n')
                .and_then(|end| rest.get(end..))
                .unwrap_or("");
        } else if rest.starts_with(['&', '!']) {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or("");
        } else {
            return source.len() - rest.len();
        }
    }
}

/// Finds the `|` or `>` of the block scalar whose content starts at `content`.
fn start_of_block(text: &str, content: usize) -> Option<usize> {
    // Chomping and indentation indicators, and a comment, may follow the `|` or `>`.
    let is_header = |rest: &str| {
        let rest =
            rest.trim_start_matches(|sign: char| "+-".contains(sign) || sign.is_ascii_digit());
        rest.trim().is_empty() || (rest.starts_with([' ', '\t']) && rest.trim().starts_with('#'))
    };
    if text.get(content..)?.starts_with(['|', '>']) {
        return Some(content);
    }
    let before = text.get(..content)?.trim_end();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let header = before.get(line..)?;
    let found = header.char_indices().find(|(at, sign)| {
        matches!(sign, '|' | '>') && header.get(at + 1..).is_some_and(is_header)
    });
    found.map(|(at, _)| line + at)
}

/// Returns the text with replaced scalars.
fn replaced<'a>(
    text: &str,
    replacements: impl IntoIterator<Item = (&'a Scalar, String)>,
) -> Option<String> {
    let mut changed = String::with_capacity(text.len());
    let mut at = 0;
    for (scalar, replacement) in replacements {
        changed.push_str(text.get(at..scalar.start)?);
        changed.push_str(&replacement);
        at = scalar.end;
    }
    changed.push_str(text.get(at..)?);
    Some(changed)
}

/// Returns the text with `?` for the remaining characters outside ASCII, which are in comments.
fn without_other_characters(text: &str) -> String {
    let ascii = |sign: char| if sign.is_ascii() { sign } else { '?' };
    text.chars().map(ascii).collect()
}

/// Returns the events of a document without positions and quoting styles, for a comparison of
/// meanings.
fn meaning(text: &str) -> Option<Vec<Event<'_>>> {
    let meaning = |event| {
        let Event::Scalar(value, style, anchor, tag) = event else {
            return event;
        };
        // Quotes change no type here: a plain scalar outside ASCII is never a number, a boolean or
        // null.
        let style = if style == ScalarStyle::Plain && value.is_ascii() {
            ScalarStyle::Plain
        } else {
            ScalarStyle::DoubleQuoted
        };
        Event::Scalar(value, style, anchor, tag)
    };
    Parser::new_from_str(text)
        .map(|parsed| parsed.ok().map(|(event, _)| meaning(event)))
        .collect()
}

/// Quotes a text for YAML, in ASCII.
pub(crate) fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for sign in value.chars() {
        match sign {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            sign if sign.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(sign));
            }
            sign => push_escaped(&mut quoted, sign),
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(text: &mut String, sign: char) {
    let number = u32::from(sign);
    // Writing to a string does not fail.
    let _ = match number {
        0..=0x7f => {
            text.push(sign);
            Ok(())
        }
        0x80..=0xffff => write!(text, "\\u{number:04x}"),
        _ => write!(text, "\\U{number:08x}"),
    };
}

fn is_json(text: &str) -> bool {
    // The parse is needed as well: a YAML flow mapping also starts with `{`.
    text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Escapes JSON, where other characters occur only in strings, as UTF-16 code units.
fn json_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0; 2];
    for sign in text.chars() {
        if sign.is_ascii() {
            escaped.push(sign);
            continue;
        }
        for unit in sign.encode_utf16(&mut units) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
