//! Policy document of the program's task role.

use std::fmt;

use serde_json::Value;

/// Maximum number of characters of a role's inline policies, without whitespace (IAM quotas).
const LIMIT: usize = 10_240;

/// Error for a text that is not a policy for a role.
#[derive(Debug)]
pub enum InvalidPolicy {
    /// The text is not JSON.
    Json(serde_json::Error),
    /// The text is not an object with a `Statement`.
    NoStatement,
    /// A statement has a `Principal`, as only resource-based policies may.
    Principal,
    /// The policy exceeds IAM's quota; its length in characters.
    TooLong(usize),
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(formatter, "{error}"),
            Self::NoStatement => formatter.write_str("it has no `Statement`"),
            Self::Principal => formatter.write_str("a role's policy has no `Principal`"),
            Self::TooLong(length) => write!(
                formatter,
                "it has {length} characters, and a role's policies may have {LIMIT}"
            ),
        }
    }
}

impl std::error::Error for InvalidPolicy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NoStatement | Self::Principal | Self::TooLong(_) => None,
        }
    }
}

/// Returns a policy document as one line of JSON that is also valid YAML.
pub fn policy_document(text: &str) -> Result<String, InvalidPolicy> {
    let policy: Value = serde_json::from_str(text).map_err(InvalidPolicy::Json)?;
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.as_slice(),
        // IAM accepts a single statement without the array.
        Some(statement @ Value::Object(_)) => std::slice::from_ref(statement),
        _ => return Err(InvalidPolicy::NoStatement),
    };
    if statements
        .iter()
        .any(|statement| statement.get("Principal").is_some())
    {
        // IAM would refuse it, but only during the deployment.
        return Err(InvalidPolicy::Principal);
    }
    // `serde_json` writes no whitespace, which IAM does not count either.
    let length = policy.to_string().chars().count();
    if length > LIMIT {
        return Err(InvalidPolicy::TooLong(length));
    }
    let mut line = String::new();
    write(&policy, &mut line);
    Ok(line)
}

/// Writes JSON with a space after each colon and comma.
///
/// Without it, some YAML parsers read `"a":1` as one word.
fn write(value: &Value, line: &mut String) {
    match value {
        Value::Object(entries) => {
            line.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                line.push_str(if index == 0 { "" } else { ", " });
                line.push_str(&crate::stack::ascii::quoted(key));
                line.push_str(": ");
                write(value, line);
            }
            line.push('}');
        }
        Value::Array(items) => {
            line.push('[');
            for (index, item) in items.iter().enumerate() {
                line.push_str(if index == 0 { "" } else { ", " });
                write(item, line);
            }
            line.push(']');
        }
        Value::String(text) => line.push_str(&crate::stack::ascii::quoted(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => line.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_on_one_line() {
        let text = r#"{"Version":"2012-10-17",
            "Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::büro/*"}}"#;
        let line = policy_document(text).unwrap();
        assert_eq!(
            line,
            "{\"Statement\": {\"Action\": [\"s3:GetObject\", \"s3:PutObject\"], \"Effect\": \"Allow\", \
             \"Resource\": \"arn:aws:s3:::b\\u00fcro/*\"}, \"Version\": \"2012-10-17\"}"
        );
    }

    #[test]
    fn what_is_no_policy_of_a_role() {
        let error = |text: &str| policy_document(text).unwrap_err().to_string();
        assert!(error("Statement: []").contains("expected value"));
        assert_eq!(error("[]"), "it has no `Statement`");
        assert_eq!(error(r#"{"Statement": []}"#), "it has no `Statement`");
        let foreign = r#"{"Statement": [{"Effect": "Allow", "Principal": "*"}]}"#;
        assert_eq!(error(foreign), "a role's policy has no `Principal`");
        let long = format!(r#"{{"Statement": {{"Sid": "{}"}}}}"#, "x".repeat(LIMIT));
        assert!(error(&long).contains("may have 10240"));
    }
}
