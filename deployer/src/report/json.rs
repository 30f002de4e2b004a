//! Reporter for JSON Lines on standard output: each event with its time.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use deployment::event::{Event, Reporter};
use support::printable::harmless_json;

/// Event with its time, as one line.
#[derive(Serialize, JsonSchema)]
pub(super) struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// Reporter for JSON Lines.
pub(super) struct Json;

impl Reporter for Json {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        super::to_stdout(&line(at, event));
    }
}

/// Returns one event as a line.
pub(super) fn line(at: DateTime<Utc>, event: &Event) -> String {
    let line = Line {
        time: at.to_rfc3339_opts(SecondsFormat::Millis, true),
        event,
    };
    // Serializing an event cannot fail. If it did, its line would be missing.
    object(&line).unwrap_or_default()
}

/// Returns the JSON Schema of output.
pub(super) fn schema_of<T: JsonSchema>() -> serde_json::Value {
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.untagged_enum_variant_titles = true;
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Returns an object as a line, without control sequences for terminals or commands to a pipeline.
pub(super) fn object(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(harmless_json(&serde_json::to_string(value)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployment::error::Failure;

    #[test]
    fn one_line_an_event() {
        let at = DateTime::from_timestamp(1_795_341_845, 120_000_000).unwrap();
        let started = Event::Started {
            format: deployment::event::FORMAT,
            command: "up",
            stack: "clock".parse().unwrap(),
            local: true,
            version: "0.1.0",
        };
        let failed = Event::Failed {
            exit_code: 3,
            failure: Failure::preflight("no AWS region is set").hint("name it\nor not"),
        };
        insta::assert_snapshot!(line(at, &started) + &line(at, &failed), @r#"
        {"time":"2026-11-22T10:04:05.120Z","event":"started","format":2,"command":"up","stack":"clock","local":true,"version":"0.1.0"}
        {"time":"2026-11-22T10:04:05.120Z","event":"failed","exit_code":3,"failure":{"kind":"preflight","message":"no AWS region is set","hints":["name it\nor not"]}}
        "#);
    }
}
