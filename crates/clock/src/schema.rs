//! JSON Schemas of settings that have a form of their own, as strict as their parsers.

use std::borrow::Cow;
use std::fmt::Write as _;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::{Field, JsonValues, Statuses};

/// Returns the schema of a [duration](crate::duration::parse).
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    const WEEK: u64 = 7 * 24 * 3600;
    let forms: Vec<String> = [
        ("ms", WEEK * 1000),
        ("s", WEEK),
        ("m(in)?", WEEK / 60),
        ("h", WEEK / 3600),
    ]
    .into_iter()
    .map(|(unit, most)| format!("({}){unit}", up_to(most)))
    .collect();
    json_schema!({ "type": "string", "pattern": format!("^0*({})$", forms.join("|")) })
}

/// Returns the schema of a [number of days](crate::duration::days).
pub fn days(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^0*({})d$", up_to(3_650)) })
}

/// Returns the schema of a table of request headers.
pub fn headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": r"^\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*$" },
        "additionalProperties": {
            "type": "string",
            "pattern": r"^\s*([^\u0000-\u001f\u007f]|\t)*\s*$",
        },
    })
}

/// Removes from the schema of a type what TOML cannot say (`null`), and what only repeats a range or
/// the default of a parser.
pub fn as_in_toml(schema: &mut Schema) {
    schema.remove("format");
    schema.remove("default");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [name] = types.as_slice() {
            let name = name.clone();
            schema.insert("type".to_owned(), name);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&"null".into()));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.ensure_object().entry(key).or_insert(value);
            }
        }
    }
}

/// Returns a pattern of the numbers from 1 to `most`, without leading zeros.
pub fn up_to(most: u64) -> String {
    let digits = most.to_string();
    // Fewer digits, and the limit itself.
    let mut pattern = match digits.len() {
        1 => digits.clone(),
        length => format!("[1-9][0-9]{{0,{}}}|{digits}", length - 2),
    };
    // The same digits up to a place, and a smaller one there.
    for (place, digit) in digits.bytes().enumerate() {
        let least = if place == 0 { b'1' } else { b'0' };
        if digit > least {
            let (same, rest) = (&digits[..place], digits.len() - place - 1);
            let (least, smaller) = (char::from(least), char::from(digit - 1));
            let _ = write!(pattern, "|{same}[{least}-{smaller}][0-9]{{{rest}}}");
        }
    }
    pattern
}

impl JsonSchema for Field {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": POINTER, "maxLength": 256 })
    }
}

/// Pattern of a JSON pointer; the leading slash is optional.
const POINTER: &str = r"^([^~\u0000-\u001f\u007f-\u009f]|~[01])+$";

impl JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let range = r"\s*[1-5][0-9]{2}\s*(-\s*[1-5][0-9]{2}\s*)?";
        json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": format!("^{range}(,{range})*$") },
        ] })
    }
}

impl JsonSchema for JsonValues {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonValues".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": POINTER, "maxLength": 256 },
            "additionalProperties": { "type": ["boolean", "number", "string"] },
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_up_to_a_limit() {
        assert_eq!(super::up_to(7), "7|[1-6][0-9]{0}");
        let pattern = "[1-9][0-9]{0,1}|168|1[0-5][0-9]{1}|16[0-7][0-9]{0}";
        assert_eq!(super::up_to(168), pattern);
    }
}
