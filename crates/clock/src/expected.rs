//! Expectations of a response beyond its time: status, text in the body, values in its JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::excerpt::excerpt;
use crate::field::Field;

/// Maximum length in bytes of a text or a value. A longer one is a mistake.
const LONGEST: usize = 4096;

/// Expectations of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Status codes that are a success.
    pub status: Statuses,
    /// Text that the body contains.
    pub contains: Option<String>,
    /// Values that the body, then JSON, has.
    pub json: Vec<JsonValue>,
}

/// Status codes, written as a load balancer's matcher: `200`, `200-299`, `200,404`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

/// Expected value in a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonValue {
    /// JSON pointer to the value.
    pub pointer: Field,
    /// Text of the value: a string without quotes, a number, `true`, `false` or `null`.
    pub value: String,
}

/// Table of expected JSON values in a settings file: `{ "/status" = "ok", "/ready" = true }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonValues(pub Vec<JsonValue>);

/// Error for an invalid expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectedError {
    /// Not a list of status codes.
    #[error(
        "cannot read `{0}` as status codes from 100 to 599: write for example `200-299` or `200,404`"
    )]
    Statuses(String),
    /// Not a pointer with a value.
    #[error("cannot read `{0}` as POINTER=VALUE: write for example `/status=ok`")]
    JsonValue(String),
    /// An empty text, or one that is too long.
    #[error("cannot look for a text that is empty or longer than 4096 bytes")]
    Text,
}

impl Statuses {
    /// Returns whether the set contains a status code.
    pub fn contain(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

impl Default for Statuses {
    /// Returns 200 to 299.
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl FromStr for Statuses {
    type Err = ExpectedError;

    fn from_str(text: &str) -> Result<Self, ExpectedError> {
        let code = |text: &str| {
            let text = text.trim();
            // Rejects signs, which `parse` accepts.
            let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            let code: Option<u16> = text.parse().ok().filter(|_| is_code);
            code.filter(|code| (100..=599).contains(code))
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = code(first)?..=code(last)?;
            (!range.is_empty()).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges
            .map(Self)
            .ok_or_else(|| ExpectedError::Statuses(excerpt(text)))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let (first, last) = (range.start(), range.end());
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Statuses {
    /// Accepts a text or, for one code, a number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u16),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(code) => code.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for JsonValue {
    type Err = ExpectedError;

    /// Parses `POINTER=VALUE`.
    fn from_str(text: &str) -> Result<Self, ExpectedError> {
        let invalid = || ExpectedError::JsonValue(excerpt(text));
        let (pointer, value) = text.split_once('=').ok_or_else(invalid)?;
        Ok(Self {
            pointer: pointer.parse().map_err(|_| invalid())?,
            value: text_to_find(value).map_err(|_| invalid())?,
        })
    }
}

impl<'de> Deserialize<'de> for JsonValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Truth(bool),
            // Before `Number`: serde takes the first variant that matches, and a float loses
            // digits.
            Integer(i64),
            Number(f64),
            Text(String),
        }
        let written = BTreeMap::<String, Written>::deserialize(deserializer)?;
        let values = written.into_iter().map(|(pointer, value)| {
            Ok(JsonValue {
                pointer: pointer.parse().map_err(serde::de::Error::custom)?,
                value: match value {
                    Written::Truth(truth) => truth.to_string(),
                    Written::Integer(number) => number.to_string(),
                    Written::Number(number) => number.to_string(),
                    Written::Text(text) => text,
                },
            })
        });
        values.collect::<Result<_, _>>().map(Self)
    }
}

/// Validates a text that a body has to contain.
pub fn text_to_find(text: &str) -> Result<String, ExpectedError> {
    if text.is_empty() || text.len() > LONGEST {
        return Err(ExpectedError::Text);
    }
    Ok(text.to_owned())
}

impl JsonValue {
    /// Explains how a body differs; `None` if it has the value.
    pub(crate) fn difference(&self, body: &RawValue) -> Option<String> {
        let Self { pointer, value } = self;
        let found = pointer.of(body);
        let Some(found) = found.and_then(|found| serde_json::from_str(found.get()).ok()) else {
            return Some(format!("its body has nothing at `{pointer}`"));
        };
        let text = match &found {
            Value::String(text) => text.clone(),
            Value::Number(number) => {
                // Numbers are compared by value, so that `1` matches `1.0`. Otherwise their texts
                // are compared.
                let expected: Option<f64> = value.parse().ok();
                let both = number.as_f64().zip(expected);
                if both.is_some_and(|(found, expected)| found.total_cmp(&expected).is_eq()) {
                    return None;
                }
                number.to_string()
            }
            Value::Bool(_) | Value::Null => found.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Some(format!("`{pointer}` is neither text nor number"));
            }
        };
        (text != *value).then(|| format!("`{pointer}` is `{}`, not `{value}`", excerpt(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_those_of_a_load_balancers_matcher() {
        for (text, yes, no) in [
            ("200-299", &[200, 204, 299][..], &[199, 300, 404][..]),
            ("200", &[200], &[201]),
            ("200, 404,500-503", &[200, 404, 502], &[201, 504]),
        ] {
            let statuses: Statuses = text.parse().unwrap();
            assert!(yes.iter().all(|code| statuses.contain(*code)), "{text}");
            assert!(!no.iter().any(|code| statuses.contain(*code)), "{text}");
            assert_eq!(statuses.to_string(), text.replace(' ', ""));
        }
        for text in [
            "", "2xx", "299-200", "99", "600", "+20", "200-", "200,,", "0200",
        ] {
            assert!(text.parse::<Statuses>().is_err(), "{text}");
        }
        let of = |json: &str| serde_json::from_str::<Statuses>(json);
        assert_eq!(of("204").unwrap().to_string(), "204");
        assert_eq!(of(r#""200-399""#).unwrap().to_string(), "200-399");
        assert!(of("1000").is_err());
    }
}
