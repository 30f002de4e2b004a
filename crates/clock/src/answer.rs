//! Parser for response bodies: JSON with a timestamp in it, or a bare timestamp as text.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use support::printable::one_line;

use crate::field::Field;
use crate::timestamp::{Timestamp, TimestampError};

/// Maximum number of characters of a name, which shares its line with other columns.
const LONGEST_NAME: usize = 128;

/// Answer of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Time by the clock of the service.
    #[serde(flatten)]
    pub now: Timestamp,
    /// Instance that answered; `None` if it gives no name.
    pub instance: Option<String>,
    /// Version of the service; `None` if it gives none.
    pub version: Option<String>,
    /// Nonce that the answer echoes; `None` without one.
    pub nonce: Option<String>,
}

/// Reason that a body is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "body", content = "detail", rename_all = "snake_case")]
pub enum AnswerError {
    /// Neither UTF-8 text nor JSON.
    #[error("the body is not text")]
    NotText,
    /// Empty body.
    #[error("the body is empty")]
    Empty,
    /// Invalid JSON: the body begins like JSON but cannot be parsed.
    #[error("the body is not valid JSON")]
    InvalidJson,
    /// JSON without the field.
    #[error("the body has no text or number at `{0}`")]
    NoField(Field),
    /// Value that is not a timestamp.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
}

impl Answer {
    /// Parses a body. JSON and text are told apart by their form, so that a wrong `Content-Type`
    /// does no harm.
    pub fn parse(body: &[u8], field: &Field) -> Result<Self, AnswerError> {
        let text = std::str::from_utf8(body)
            .map_err(|_| AnswerError::NotText)?
            // RFC 8259 lets readers ignore a byte order mark.
            .trim_start_matches('\u{feff}')
            .trim();
        if text.is_empty() {
            return Err(AnswerError::Empty);
        }
        if !text.starts_with(['{', '[', '"']) {
            return Ok(Self::anonymous(Timestamp::parse(text)?));
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(|_| AnswerError::InvalidJson)?;
        let time = if text.starts_with('"') {
            Some(whole)
        } else {
            field.of(whole)
        };
        let no_field = || AnswerError::NoField(field.clone());
        let time = time.ok_or_else(no_field)?.get();
        let now = match time.as_bytes().first() {
            Some(b'"') => {
                let time: String =
                    serde_json::from_str(time).map_err(|_| AnswerError::InvalidJson)?;
                Timestamp::parse(time.trim())?
            }
            // Parsed as written: the number of digits behind the point is the resolution.
            Some(b'0'..=b'9' | b'-') => Timestamp::parse(time)?,
            Some(_) | None => return Err(no_field()),
        };
        Ok(Self::new(now, Names::of(text.as_bytes())))
    }

    /// Returns the names in a body that has no time, together with the time `now`.
    pub fn without_time(body: &[u8], now: Timestamp) -> Self {
        Self::new(now, Names::of(body))
    }

    /// Returns a time without names.
    pub fn anonymous(now: Timestamp) -> Self {
        Self::new(now, Names::default())
    }

    fn new(now: Timestamp, names: Names) -> Self {
        Self {
            now,
            instance: names.instance,
            version: names.version,
            nonce: names.nonce,
        }
    }
}

/// Instance, version and nonce of a response.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) instance: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) nonce: Option<String>,
}

impl Names {
    /// Reads the names; none if the body is not a JSON object.
    pub(crate) fn of(body: &[u8]) -> Self {
        // Of several fields with the same name the last counts, as for the time.
        let Ok(fields) = serde_json::from_slice::<serde_json::Map<String, Value>>(body) else {
            return Self::default();
        };
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            // Some services use a number, such as that of a build, as their version.
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) | None => None,
        };
        let name = |field| text(field).filter(|name| !name.is_empty());
        Self {
            instance: name("instance").map(|name| distinct(&name)),
            version: name("version")
                .map(|name| one_line(&name).chars().take(LONGEST_NAME).collect()),
            nonce: text("nonce"),
        }
    }
}

/// Returns a printable name that is unique to `name`. A name that is too long or has control
/// characters gets a digest of the whole: ARNs of two tasks often differ only at their end.
fn distinct(name: &str) -> String {
    let shown: Vec<char> = one_line(name).chars().collect();
    if shown.len() <= LONGEST_NAME && shown.iter().copied().eq(name.chars()) {
        return name.to_owned();
    }
    // FNV-1a gives the same digest in every run, so that logs of several runs can be compared.
    let digest = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let text = |characters: &[char]| characters.iter().collect::<String>();
    let shown = match shown.len().checked_sub(LONGEST_NAME / 2) {
        Some(rest) if shown.len() > LONGEST_NAME => {
            format!(
                "{}…{}",
                text(&shown[..LONGEST_NAME / 4]),
                text(&shown[rest..])
            )
        }
        Some(_) | None => text(&shown),
    };
    format!("{shown} #{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_good_as_it_is_written() {
        let parse = |text: &str| Answer::parse(text.as_bytes(), &Field::default());
        for (number, resolution) in [
            ("1795310000", 1_000_000_000),
            ("1795310000.0", 1_000_000_000),
            ("1795310000.250", 10_000_000),
            ("1795310000.123456789012", 1),
        ] {
            let answer = parse(&format!(r#"{{"now": {number} }}"#)).unwrap();
            assert_eq!(answer.now.resolution, resolution, "{number}");
        }
        // Six digits of ten: good to an hour, and nothing says so.
        for number in ["1.79531e9", "1.79531E+09", "17953100000e-1", "-1795310000"] {
            assert!(
                parse(&format!(r#"{{"now":{number}}}"#)).is_err(),
                "{number}"
            );
        }
    }

    #[test]
    fn a_body_without_a_time_may_still_say_whose_it_is() {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let body =
            br#"{"status":"ok","version":"1.2","instance":"i-1","nonce":"other","now":null}"#;
        let answer = Answer::without_time(body, now);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            (answer.version, answer.instance, answer.nonce),
            (text("1.2"), text("i-1"), text("other"))
        );
        for body in [&b"<html>"[..], b"[1]", b"", b"7"] {
            assert_eq!(Answer::without_time(body, now), Answer::anonymous(now));
        }
    }

    #[test]
    fn json_and_text_are_read() {
        let body = br#"{"now":"2026-11-22T10:04:05.123456Z","instance":"a","version":"0.1.0","nonce":"n","more":1}"#;
        let answer = Answer::parse(body, &Field::default()).unwrap();
        assert_eq!(answer.now.resolution, 1_000);
        assert_eq!(answer.instance.as_deref(), Some("a"));
        assert_eq!(answer.version.as_deref(), Some("0.1.0"));
        assert_eq!(answer.nonce.as_deref(), Some("n"));

        // How good a service says its clock is does not change what it proves.
        let with_clock = br#"{"now":"2026-11-22T10:04:05.123456Z","instance":"a","version":"0.1.0","nonce":"n","clock":{"status":"NOT_SYNCHRONIZED","error_bound_ms":12.000}}"#;
        assert_eq!(
            Answer::parse(with_clock, &Field::default()).unwrap(),
            answer
        );

        let text = Answer::parse(
            b"\xef\xbb\xbf 2026-11-22T10:04:05.123456Z\n",
            &Field::default(),
        );
        let text = text.unwrap();
        assert_eq!(text.now, answer.now);
        assert_eq!(text.instance, None);
    }

    #[test]
    fn names_may_be_numbers_and_the_last_of_several_counts() {
        let body = br#"{"now":1795305605.25,"nonce":"n","instance":7,"version":1.20,"nonce":"m"}"#;
        let answer = Answer::parse(body, &Field::default()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            (answer.instance, answer.version, answer.nonce),
            (text("7"), text("1.2"), text("m"))
        );
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let instance = |name: &str| {
            let body =
                format!(r#"{{"now":"2026-11-22T10:04:05Z","instance":"{name}","version":""}}"#);
            let answer = Answer::parse(body.as_bytes(), &Field::default()).unwrap();
            assert_eq!(answer.version, None);
            answer.instance.unwrap()
        };
        let steering = instance("\\u001b[2Ja\\nb\\u202e");
        assert_eq!(steering, "a b #6d2cae1399097252");
        // It is another one than the one that is called so.
        assert_eq!(instance("a b"), "a b");
    }

    #[test]
    fn long_names_are_told_apart_by_all_of_them() {
        let cluster = "c".repeat(200);
        let name =
            |task: char| distinct(&format!("arn:aws:ecs:eu:1:task/{cluster}/{task}{cluster}"));
        assert_ne!(name('1'), name('2'));
        assert_eq!(name('1'), name('1'));
        assert!(name('1').chars().count() < 128, "{}", name('1'));
        assert_eq!(distinct(&"i".repeat(128)), "i".repeat(128));
    }

    #[test]
    fn a_body_without_a_timestamp_says_why() {
        let table: [(&[u8], &str); 9] = [
            (b"", "the body is empty"),
            (b"\xff\xfe", "the body is not text"),
            (b"{\"now\":", "the body is not valid JSON"),
            (b"{}", "the body has no text or number at `/now`"),
            (b"[1]", "the body has no text or number at `/now`"),
            (
                b"{\"now\":{\"a\":1}}",
                "the body has no text or number at `/now`",
            ),
            (
                b"hello",
                "`hello` is neither an RFC 3339 time with a zone nor one since 1970",
            ),
            (
                b"{\"now\":\"2026-11-22T10:04:05\"}",
                "`2026-11-22T10:04:05` is neither an RFC 3339 time with a zone nor one since 1970",
            ),
            (
                b"58552",
                "`58552` is no plausible time since 1970 in s, ms, \u{b5}s or ns",
            ),
        ];
        for (body, expected) in table {
            assert_eq!(
                Answer::parse(body, &Field::default())
                    .unwrap_err()
                    .to_string(),
                expected
            );
        }
    }

    #[test]
    fn the_time_is_taken_from_the_field_that_is_named() {
        let field: Field = "/data/0/unix~1time".parse().unwrap();
        let body = br#"{"data":[{"unix/time":1795305605.25}],"instance":"a"}"#;
        let answer = Answer::parse(body, &field).unwrap();
        assert_eq!(answer.now.nanoseconds, 1_795_305_605_250_000_000);
        assert_eq!(answer.now.resolution, 10_000_000);
        assert_eq!(answer.instance.as_deref(), Some("a"));

        for body in [
            &b"1795305605123"[..],
            b"\"1795305605123\"",
            b"{\"now\":1795305605123}",
        ] {
            let answer = Answer::parse(body, &Field::default()).unwrap();
            assert_eq!(answer.now.nanoseconds, 1_795_305_605_123_000_000);
        }
    }
}
