//! Validation against JSON Schemas.

use serde::Serialize;
use serde_json::Value;

use crate::commands::schema::Of;
use deployment::event::Event;

thread_local! {
    static EVENTS: Validator = Validator::new(&crate::report::schema(Of::Events));
    static RESULTS: Validator = Validator::new(&crate::report::schema(Of::Results));
}

/// Compiled schema.
pub(crate) struct Validator {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Validator {
    pub(crate) fn new(schema: &Value) -> Self {
        let mut compiler = boon::Compiler::new();
        let mut schemas = boon::Schemas::new();
        let address = "http://localhost/schema.json";
        compiler.add_resource(address, schema.clone()).unwrap();
        let index = compiler.compile(address, &mut schemas).unwrap();
        Self { schemas, index }
    }

    /// Returns why the value is not valid.
    pub(crate) fn validate(&self, value: &Value) -> Result<(), String> {
        let valid = self.schemas.validate(value, self.index);
        valid.map_err(|error| format!("{error:#}"))
    }

    fn assert(&self, line: &str) {
        let value = serde_json::from_str(line).unwrap();
        if let Err(error) = self.validate(&value) {
            panic!("{line}\n{error}");
        }
    }
}

/// Asserts that an event, as a line, matches the schema of events.
pub(crate) fn assert_event(event: &Event) {
    let line = crate::report::as_line(event);
    EVENTS.with(|schema| schema.assert(&line));
}

/// Asserts that a result, as `--output json` prints it, matches the schema of results.
pub(crate) fn assert_result(result: &impl Serialize) {
    let line = serde_json::to_string(result).unwrap();
    RESULTS.with(|schema| schema.assert(&line));
}
