//! Reads the body of an answer: a JSON object with `now`, or a bare RFC 3339 timestamp as text.

use serde_json::{Map, Value};

use crate::timestamp::{Timestamp, TimestampError};

/// Names longer than this are cut: they are shown in one line.
const LONGEST_NAME: usize = 128;

/// What a service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The time by its clock.
    pub now: Timestamp,
    /// Which instance answered; `None` when it does not say.
    pub instance: Option<String>,
    /// The version it runs; `None` when it does not say.
    pub version: Option<String>,
    /// The nonce it echoed; `None` when it echoes none.
    pub nonce: Option<String>,
}

/// Why a body is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Neither UTF-8 text nor JSON.
    #[error("the body is not text")]
    NotText,
    /// Nothing in it.
    #[error("the body is empty")]
    Empty,
    /// It begins like a JSON object and is none.
    #[error("the body is not valid JSON")]
    InvalidJson,
    /// A JSON object without the field.
    #[error("the body has no text field `now`")]
    NoNow,
    /// Something else than a timestamp.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
}

impl Answer {
    /// Reads a body. Its form tells JSON and text apart; a wrong `Content-Type` does no harm to a clock.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let text = std::str::from_utf8(body)
            .map_err(|_| AnswerError::NotText)?
            .trim();
        if text.is_empty() {
            return Err(AnswerError::Empty);
        }
        if !text.starts_with('{') {
            return Ok(Self {
                now: Timestamp::parse(text)?,
                instance: None,
                version: None,
                nonce: None,
            });
        }
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| AnswerError::InvalidJson)?;
        let field = |name: &str| fields.get(name).and_then(Value::as_str);
        let name = |name: &str| field(name).map(printable).filter(|name| !name.is_empty());
        Ok(Self {
            now: Timestamp::parse(field("now").ok_or(AnswerError::NoNow)?)?,
            instance: name("instance"),
            version: name("version"),
            nonce: field("nonce").map(str::to_owned),
        })
    }
}

/// Text from outside, safe to show on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(LONGEST_NAME)
        .map(|character| {
            if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_text_are_read() {
        let body = br#"{"now":"2026-11-22T10:04:05.123456Z","instance":"a","version":"0.1.0","nonce":"n","more":1}"#;
        let answer = Answer::parse(body).unwrap();
        assert_eq!(answer.now.resolution, 1_000);
        assert_eq!(answer.instance.as_deref(), Some("a"));
        assert_eq!(answer.version.as_deref(), Some("0.1.0"));
        assert_eq!(answer.nonce.as_deref(), Some("n"));

        // How good a service says its clock is does not change what it proves.
        let with_clock = br#"{"now":"2026-11-22T10:04:05.123456Z","instance":"a","version":"0.1.0","nonce":"n","clock":{"status":"NOT_SYNCHRONIZED","error_bound_ms":12.000}}"#;
        assert_eq!(Answer::parse(with_clock).unwrap(), answer);

        let text = Answer::parse(b" 2026-11-22T10:04:05.123456Z\n").unwrap();
        assert_eq!(text.now, answer.now);
        assert_eq!(text.instance, None);
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let body = br#"{"now":"2026-11-22T10:04:05Z","instance":"\u001b[2Ja\nb","version":""}"#;
        let answer = Answer::parse(body).unwrap();
        assert_eq!(answer.instance.as_deref(), Some("\u{fffd}[2Ja\u{fffd}b"));
        assert_eq!(answer.version, None);
    }

    #[test]
    fn a_body_without_a_timestamp_says_why() {
        let table: [(&[u8], &str); 7] = [
            (b"", "the body is empty"),
            (b"\xff\xfe", "the body is not text"),
            (b"{\"now\":", "the body is not valid JSON"),
            (b"{}", "the body has no text field `now`"),
            (b"{\"now\":1795305600}", "the body has no text field `now`"),
            (b"hello", "`hello` is not an RFC 3339 time with a zone"),
            (
                b"{\"now\":\"2026-11-22T10:04:05\"}",
                "`2026-11-22T10:04:05` is not an RFC 3339 time with a zone",
            ),
        ];
        for (body, expected) in table {
            assert_eq!(Answer::parse(body).unwrap_err().to_string(), expected);
        }
    }
}
