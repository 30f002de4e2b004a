//! Location of the timestamp in a JSON body: a JSON pointer (RFC 6901).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::excerpt::excerpt;

/// Maximum length in bytes. A longer pointer is a mistake.
const LONGEST: usize = 256;

/// JSON pointer, such as `/now` or `/data/0/time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Field(String);

/// Error for a text that is no JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{text}` as a JSON pointer: write for example `/now` or `/data/time`")]
pub struct FieldError {
    text: String,
}

impl Field {
    /// Returns the raw value at the pointer.
    pub(crate) fn of<'a>(&self, body: &'a RawValue) -> Option<&'a RawValue> {
        let mut value = body;
        for token in self.0.split('/').skip(1) {
            // RFC 6901 requires `~1` before `~0`; otherwise `~01` would become `/`.
            let name = token.replace("~1", "/").replace("~0", "~");
            value = match value.get().as_bytes().first()? {
                b'{' => {
                    // Of several fields with the same name, the map keeps the last one.
                    let mut fields: HashMap<Cow<'a, str>, &'a RawValue> =
                        serde_json::from_str(value.get()).ok()?;
                    fields.remove(name.as_str())?
                }
                b'[' => {
                    // RFC 6901 allows neither leading zeros nor a sign.
                    let is_index = name == "0" || !name.starts_with(['0', '+']);
                    let index: usize = name.parse().ok().filter(|_| is_index)?;
                    let entries: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
                    entries.get(index).copied()?
                }
                _ => return None,
            };
        }
        Some(value)
    }
}

impl Default for Field {
    /// Returns `/now`.
    fn default() -> Self {
        Self("/now".to_owned())
    }
}

impl FromStr for Field {
    type Err = FieldError;

    /// Parses a pointer. The leading slash is optional.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let pointer = if text.starts_with('/') {
            text.to_owned()
        } else {
            format!("/{text}")
        };
        let escapes = pointer.split('~').skip(1);
        let strange = escapes
            .into_iter()
            .any(|rest| !rest.starts_with(['0', '1']));
        if text.is_empty() || text.len() > LONGEST || strange || text.chars().any(char::is_control)
        {
            return Err(FieldError {
                text: excerpt(text),
            });
        }
        Ok(Self(pointer))
    }
}

impl TryFrom<String> for Field {
    type Error = FieldError;

    fn try_from(text: String) -> Result<Self, FieldError> {
        text.parse()
    }
}

impl From<Field> for String {
    fn from(field: Field) -> Self {
        field.0
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_strictly() {
        for (text, pointer) in [
            ("/now", "/now"),
            ("now", "/now"),
            ("/a/0/b~1c~0", "/a/0/b~1c~0"),
        ] {
            assert_eq!(text.parse::<Field>().unwrap().to_string(), pointer);
        }
        for text in ["", "/a~2", "/a~", "a\nb"] {
            assert!(text.parse::<Field>().is_err(), "{text:?}");
        }
    }
}
