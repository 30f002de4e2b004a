//! The only place that writes: one JSON object a line, as CloudWatch Logs Insights reads it.
//!
//! What went as planned goes to standard output, warnings and errors to standard error.

use std::io::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
    Error,
}

/// Logs an event that was meant to happen. `fields` is an object.
pub(crate) fn info(message: &str, fields: &Value) {
    write(Level::Info, message, fields);
}

/// Logs something that should be looked at; the service goes on. `fields` is an object.
pub(crate) fn warn(message: &str, fields: &Value) {
    write(Level::Warn, message, fields);
}

/// Logs what ends the process. `fields` is an object.
pub(crate) fn error(message: &str, fields: &Value) {
    write(Level::Error, message, fields);
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that writes log lines"
)]
fn write(level: Level, message: &str, fields: &Value) {
    let line = line(Utc::now(), level, message, fields);
    // A log that nobody can read any more is no reason to stop telling the time. One write call for
    // the whole line, so that lines of two threads never mix.
    let _ = match level {
        Level::Info => std::io::stdout().write_all(line.as_bytes()),
        Level::Warn | Level::Error => std::io::stderr().write_all(line.as_bytes()),
    };
}

fn line(now: DateTime<Utc>, level: Level, message: &str, fields: &Value) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        level: Level,
        message: &'a str,
        #[serde(flatten)]
        fields: &'a Value,
    }
    let line = Line {
        time: timestamp::format(now),
        level,
        message,
        fields,
    };
    // Serialising fails only when `fields` is no object; the message is still worth having.
    let mut text =
        serde_json::to_string(&line).unwrap_or_else(|_| Value::from(message).to_string());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_is_one_json_object() {
        let now = DateTime::from_timestamp(1_795_341_845, 123_456_000).unwrap();
        assert_eq!(
            line(now, Level::Warn, "two\nlines", &json!({ "port": 8080 })),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"warn\",\"message\":\"two\\nlines\",\"port\":8080}\n"
        );
        assert_eq!(
            line(now, Level::Info, "m", &json!({})),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"info\",\"message\":\"m\"}\n"
        );
    }
}
