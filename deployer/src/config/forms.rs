//! Forms of settings that a type does not say: as JSON Schemas, and what parsers share with them.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{CAPABILITIES, MOST_TAGS};
use deployment::stack::reviewer::PARAMETERS as OF_REVIEWERS;
use deployment::stack::template_names::ParameterName;

/// Name of a package or program.
pub(super) const TARGET_NAME: &str = r"^[\p{Alphabetic}\p{N}_][\p{Alphabetic}\p{N}_.-]*$";
/// Path of health checks.
pub(super) const PATH: &str = r"^/[!$%&()*+,./0-9:;=?@A-Z\[\]_a-z~-]{0,1023}$";
/// Status codes of health checks.
pub(super) const HEALTH_CODES: &str =
    "^[2-4][0-9]{2}(-[2-4][0-9]{2})?(,[2-4][0-9]{2}(-[2-4][0-9]{2})?)*$";

/// Parameters that only commands set, and the command that does.
pub(super) const NOT_SET_BY_HAND: [(&str, &str); 4] = [
    (
        ParameterName::ImageUri.as_str(),
        "`deployer up` sets it to what it pushed",
    ),
    (OF_REVIEWERS[0], "`deployer reviewer` sets it"),
    (OF_REVIEWERS[1], "`deployer reviewer` sets it"),
    (OF_REVIEWERS[2], "`deployer reviewer` sets it"),
];

/// CPU sizes that the template offers, with the least and the most memory, and its step, in MiB
/// (ECS developer guide, task sizes for Linux). Fargate has larger ones.
pub(super) const FARGATE_SIZES: [(u32, u32, u32, u32); 5] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
];

/// Pattern of values that cannot be passed on: with such a reference, or a NUL character.
pub(super) const UNSAFE: &str = r"\u0000|\{\{resolve:";
/// Variables that the template sets.
pub(super) const SET_BY_TEMPLATE: [(&str, &str); 2] = [
    ("PORT", "set `port` under `[service]`"),
    ("IMAGE_DIGEST", "the template sets it to what is deployed"),
];
/// Returns the schema of text that CloudFormation and the container pass on as it is.
fn safe_text() -> Value {
    json!({ "type": "string", "not": { "pattern": UNSAFE } })
}

pub(super) fn parameters(_: &mut SchemaGenerator) -> Schema {
    let reserved = NOT_SET_BY_HAND.map(|(name, _)| name);
    json_schema!({
        "type": "object",
        "propertyNames": { "not": { "enum": reserved } },
        "additionalProperties": { "type": ["string", "integer", "boolean"] },
    })
}

pub(super) fn tags(_: &mut SchemaGenerator) -> Schema {
    let characters = r"^[\p{Alphabetic}\p{N} _.:/=+@-]*$";
    json_schema!({
        "type": "object",
        "maxProperties": MOST_TAGS,
        "propertyNames": {
            "minLength": 1,
            "maxLength": 128,
            "pattern": characters,
            "not": { "pattern": "^[aA][wW][sS]:" },
        },
        "additionalProperties": {
            "type": ["string", "integer", "boolean"],
            "maxLength": 256,
            "pattern": characters,
        },
    })
}

pub(super) fn capabilities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "enum": CAPABILITIES } })
}

pub(super) fn cpu(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "enum": FARGATE_SIZES.map(|(cpu, ..)| cpu) })
}

pub(super) fn architecture(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "enum": ["X86_64", "ARM64"] },
        // The names of OCI images and of Linux, in any case.
        { "type": "string", "pattern": "^([xX]86_64|[aA][mM][dD]64|[aA][rR][mM]64|[aA]{2}[rR][cC][hH]64)$" },
    ] })
}

pub(super) fn command(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "items": safe_text() })
}

pub(super) fn user(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$",
        // Root.
        "not": { "pattern": "^(root|0+)(:|$)" },
    })
}

pub(super) fn writable(_: &mut SchemaGenerator) -> Schema {
    // Neither `.` nor `..`.
    let name = r"([.]*[A-Za-z0-9_-][A-Za-z0-9_.-]*|[.]{3,})";
    json_schema!({
        "type": "array",
        "maxItems": 10,
        "uniqueItems": true,
        "items": { "type": "string", "maxLength": 255, "pattern": format!("^(/{name})+/*$") },
    })
}

pub(super) fn egress(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 50,
        "items": { "type": "integer", "minimum": 1, "maximum": 65535 },
        "contains": { "const": 443 },
    })
}

pub(super) fn environment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": variable(),
        "additionalProperties": {
            "type": ["string", "integer", "boolean"],
            "not": { "type": "string", "pattern": UNSAFE },
        },
    })
}

pub(super) fn secrets(_: &mut SchemaGenerator) -> Schema {
    let arn = |service: &str| format!("arn:[^:]*:{service}:[^:]+:[0-9]{{12}}");
    let secret = format!(
        "{}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?",
        arn("secretsmanager")
    );
    let name = "[/A-Za-z0-9_.-]*[A-Za-z0-9_.-][/A-Za-z0-9_.-]*";
    let parameter = format!("({}:parameter)?{name}", arn("ssm"));
    json_schema!({
        "type": "object",
        "propertyNames": variable(),
        "additionalProperties": {
            "type": "string",
            "maxLength": 2048,
            "allOf": [
                { "pattern": "^[A-Za-z0-9/_+=.@:-]+$" },
                { "pattern": format!("^({secret}|{parameter})$") },
            ],
        },
    })
}

fn variable() -> Value {
    json!({
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "not": { "enum": SET_BY_TEMPLATE.map(|(name, _)| name) },
    })
}

pub(super) fn cidr(_: &mut SchemaGenerator) -> Schema {
    let number = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let pattern = format!("^{number}([.]{number}){{3}}/(1[6-9]|2[0-8])$");
    json_schema!({ "type": "string", "pattern": pattern })
}

pub(super) fn subnets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 2,
        "uniqueItems": true,
        "items": { "type": "string", "pattern": "^subnet-([0-9a-fA-F]{8}|[0-9a-fA-F]{17})$" },
    })
}
