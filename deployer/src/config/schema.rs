//! JSON Schema of `deployer.toml`, as strict as the settings are resolved.
//!
//! A schema cannot compare two values. What only another value makes wrong is accepted: `tests`
//! lists those rules.

#[cfg(test)]
mod tests;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Value, json};

use super::environments;
use super::file::File;
use super::forms::FARGATE_SIZES;

/// Returns the schema of `deployer.toml`.
pub(crate) fn schema() -> Value {
    // Draft 7 is what editors know best. Inlined, so that environments can have looser tables.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    RecursiveTransform(clock::schema::as_in_toml).transform(&mut schema);
    let mut overrides = schema.clone();
    RecursiveTransform(without_required).transform(&mut overrides);
    let overrides = overrides.get("properties").cloned();
    let mut overrides = overrides.unwrap_or_default();
    if let Some(properties) = overrides.as_object_mut() {
        properties.remove("environments");
    }
    let environments = json!({
        "description": "Settings that override the others in an environment: `--env NAME`.",
        "type": "object",
        "propertyNames": { "pattern": environments::NAME },
        "additionalProperties": {
            "type": "object",
            "properties": overrides,
            "additionalProperties": false,
        },
    });
    if let Some(property) = schema.pointer_mut("/properties/environments") {
        *property = environments;
    }
    // With environments, the rest need not be complete.
    schema.insert("if".to_owned(), json!({ "required": ["environments"] }));
    schema.insert(
        "else".to_owned(),
        json!({ "properties": {
        "service": { "allOf": sizes() },
        "check": { "allOf": kinds() },
    } }),
    );
    schema.to_value()
}

/// Removes what the rest of the file may bring.
fn without_required(schema: &mut Schema) {
    schema.remove("required");
}

/// Returns a rule for each CPU size: which memory Fargate offers with it.
fn sizes() -> Vec<Value> {
    let sizes = FARGATE_SIZES.iter();
    let rules = sizes.map(|(cpu, least, most, step)| {
        let memory = match cpu {
            256 => json!({ "enum": [512, 1024, 2048] }),
            _ => json!({ "minimum": least, "maximum": most, "multipleOf": step }),
        };
        // The defaults are 256 and 512, which go together.
        let required: &[&str] = if *cpu == 256 { &[] } else { &["cpu"] };
        let is_set: &[&str] = if *cpu == 256 { &[] } else { &["memory"] };
        json!({
            "if": { "properties": { "cpu": { "const": cpu } }, "required": required },
            "then": { "properties": { "memory": memory }, "required": is_set },
        })
    });
    rules.collect()
}

/// Returns rules against keys of both kinds of checks.
fn kinds() -> [Value; 2] {
    let any = |keys: [&str; 3]| json!({ "anyOf": keys.map(|key| json!({ "required": [key] })) });
    let of_clock = any(["field", "date_header", "max_skew"]);
    let of_http = any(["status", "contains", "json"]);
    let is_http = json!({ "properties": { "kind": { "const": "http" } }, "required": ["kind"] });
    [
        json!({ "not": { "allOf": [is_http, of_clock] } }),
        json!({ "if": { "allOf": [of_clock, of_http] }, "then": { "required": ["kind"] } }),
    ]
}
