//! Request headers from settings.

use std::path::Path;

use clock::{Header, excerpt};
use support::input;

/// Maximum length of a secret in bytes. A longer one is a mistake.
const LONGEST: u64 = 64 << 10;

/// Parses a header. A value `@FILE` is the line in that file, relative to `folder`. Errors never
/// contain the value, because it may be a secret.
pub fn header(name: &str, value: &str, folder: &Path) -> Result<Header, String> {
    let (name, value) = (name.trim(), value.trim());
    // The characters of a token in RFC 9110.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`{}` is no name of a header", excerpt(name)));
    }
    let value = match value.strip_prefix('@') {
        Some(file) => secret(&folder.join(file))?,
        None => value.to_owned(),
    };
    // A line break would end the header; a tab is allowed by RFC 9110.
    if value
        .bytes()
        .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(format!(
            "the value of the header `{name}` has a control character in it"
        ));
    }
    Ok(Header {
        name: name.to_owned(),
        value,
    })
}

/// Reads a file that holds one line.
pub fn secret(file: &Path) -> Result<String, String> {
    let named = |detail: &dyn std::fmt::Display| format!("{}: {detail}", file.display());
    let text = input::text(file, LONGEST).map_err(|error| named(&error))?;
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(named(&"one line of text is needed"));
    }
    Ok(text.to_owned())
}
