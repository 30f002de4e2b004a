//! YAML with CloudFormation's short forms, as JSON with the long ones.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The template.
pub(crate) fn template(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    value(&documents[0])
}

fn value(node: &Yaml) -> Value {
    match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.iter().map(|(key, inner)| {
                let key = value(key);
                (key.as_str().unwrap().to_owned(), value(inner))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Yaml::Tagged(tag, inner) => long(&tag.suffix, value(inner)),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            unreachable!("CloudFormation takes no {node:?}")
        }
    }
}

/// `!Ref X` is `{"Ref": X}`, `!Sub X` is `{"Fn::Sub": X}`.
fn long(tag: &str, inner: Value) -> Value {
    match (tag, inner) {
        ("Ref" | "Condition", inner) => json!({ tag: inner }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap();
            json!({ "Fn::GetAtt": [resource, attribute] })
        }
        (tag, inner) => json!({ format!("Fn::{tag}"): inner }),
    }
}

/// Properties of all resources of a kind, by name.
pub(crate) fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a String, &'a Value)> {
    template["Resources"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, resource)| resource["Type"] == format!("AWS::{kind}"))
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

/// Properties of the only resource of a kind.
pub(crate) fn one<'a>(template: &'a Value, kind: &str) -> &'a Value {
    let found = resources(template, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0].1
}

/// A list, or a single item that stands for one.
pub(crate) fn items(value: &Value) -> Vec<&Value> {
    if value.is_null() {
        return Vec::new();
    }
    value
        .as_array()
        .map_or_else(|| vec![value], |items| items.iter().collect())
}

/// What breaks a rule, unless it holds.
pub(crate) fn unless(holds: bool, broken: impl Into<String>) -> Vec<String> {
    if holds {
        Vec::new()
    } else {
        vec![broken.into()]
    }
}

/// Whom a reference names.
pub(crate) fn target(reference: &Value) -> String {
    let name = reference
        .get("Ref")
        .or_else(|| reference["Fn::GetAtt"].get(0));
    name.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A copy in which whatever `replacement` knows something for is that instead.
pub(crate) fn replaced(value: &Value, replacement: &dyn Fn(&Value) -> Option<Value>) -> Value {
    if let Some(other) = replacement(value) {
        return other;
    }
    let inner = |value: &Value| replaced(value, replacement);
    match value {
        Value::Array(list) => list.iter().map(inner).collect(),
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), inner(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
