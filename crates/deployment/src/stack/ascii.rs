//! Templates in ASCII. `GetTemplate` returns `?` for every other character, so that what is sent has to do without them if it is
//! ever to be read back. YAML and JSON have escapes for all of them. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Writes a template in ASCII, with the same meaning to every parser; `None` where that cannot be shown.
///
/// Characters in comments, which mean nothing, become `?`.
pub fn to_ascii(template: &str) -> Option<Cow<'_, str>> {
    if template.is_ascii() {
        return Some(Cow::Borrowed(template));
    }
    let text = template.strip_prefix('\u{feff}').unwrap_or(template);
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    if is_json(text) {
        return Some(Cow::Owned(json_escaped(text)));
    }
    let scalars = scalars(text)?;
    let changed = scalars.iter().filter_map(|scalar| {
        let source = text.get(scalar.start..scalar.end)?;
        (!source.is_ascii()).then(|| (scalar, scalar.escaped(source)))
    });
    let escaped = without_other_characters(&replaced(text, changed)?);
    (meaning(text)? == meaning(&escaped)?).then_some(Cow::Owned(escaped))
}

/// A template that was read back, and what of it may not be as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Its text, as far as it is known.
    pub text: String,
    /// Values with `?` that may stand for other characters.
    pub unsure: Vec<String>,
}

/// Reads a template that `GetTemplate` returned. A value in which `?` stands for other characters is found in `known`, the template
/// that comes in its place, where exactly one value there looks the same.
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

/// Can `returned` be what the service shows of `text`?
pub fn looks_like(returned: &str, text: &str) -> bool {
    // How many signs stand for a character outside the basic plane is not documented.
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

/// A scalar, and where it is in its text: bytes, without tag and anchor.
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

    /// What takes the place of its source.
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
            // Its lines stay, so that the service's messages name the right ones.
            escaped.extend(source.matches('\n'));
        }
        escaped
    }
}

/// All scalars of a document in YAML, in their order; `None` where it cannot be parsed.
fn scalars(text: &str) -> Option<Vec<Scalar>> {
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
            // The parser's place is that of the first line with content.
            start = start_of_block(text, start)?;
            // What follows on the line of the next node is its indentation.
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

/// How long tag and anchor are, with the blanks that follow.
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

/// Where the block scalar begins whose content is at `content`: with its `|` or `>`.
fn start_of_block(text: &str, content: usize) -> Option<usize> {
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

/// The text with these in the place of those scalars.
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

/// The text with `?` for what is left of other characters: it is in comments.
fn without_other_characters(text: &str) -> String {
    let ascii = |sign: char| if sign.is_ascii() { sign } else { '?' };
    text.chars().map(ascii).collect()
}

/// What a document means: its events, without places and ways to write a text.
fn meaning(text: &str) -> Option<Vec<Event<'_>>> {
    let meaning = |event| {
        let Event::Scalar(value, style, anchor, tag) = event else {
            return event;
        };
        // A text that is not in ASCII is never a number, a truth value or nothing, in quotes or without.
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

/// A text in double quotes, which both YAML and the eye take for the same.
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
    text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// JSON has other characters nowhere but in texts, and escapes them in units of UTF-16.
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
