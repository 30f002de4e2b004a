//! Configuration file with targets.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clock::{Field, Header, JsonValues, Kind, Statuses, duration, schema};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::cli::{MOST_IN_A_ROW, MOST_INSTANCES, MOST_SAMPLES};
use crate::request;

/// Maximum length in bytes. A longer file is a mistake.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Contents of the configuration file. Doc comments of fields are what editors show.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Targets of the checker")]
pub(crate) struct File {
    /// Time from check to check, at least `"100ms"`. Without it, each target is checked once.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) interval: Option<Duration>,
    /// Maximum random delay of a check.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) jitter: Option<Duration>,
    /// Time to the next check while a change of state is not confirmed.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) retry_interval: Option<Duration>,
    /// Good checks in a row until a state is good again. Default: 1.
    #[schemars(range(min = 1, max = MOST_IN_A_ROW))]
    pub(crate) rise: Option<u32>,
    /// Bad checks in a row until a state is bad. Default: 1.
    #[schemars(range(min = 1, max = MOST_IN_A_ROW))]
    pub(crate) fall: Option<u32>,
    /// Time servers (SNTP), which tell whose clock is off: `"HOST[:PORT]"`, one or several.
    #[serde(default, rename = "reference", deserialize_with = "one_or_several")]
    #[schemars(schema_with = "servers")]
    pub(crate) references: Vec<String>,
    #[serde(flatten)]
    pub(crate) all: How,
    /// Targets, each with settings of its own.
    #[serde(default, rename = "target")]
    pub(crate) targets: Vec<Entry>,
}

/// Entry of one target.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What to ask. `http://` is optional; without a path it is `/now`, with `kind = "http"` `/`.
    #[schemars(length(min = 1))]
    pub(crate) url: String,
    /// Host and port to connect to instead; the URL's host stays in the Host header and in TLS.
    #[serde(default)]
    #[schemars(schema_with = "connect_to")]
    pub(crate) connect_to: Option<String>,
    #[serde(flatten)]
    pub(crate) how: How,
}

/// Settings of one target, or common settings of all targets.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct How {
    /// What is proven: the service is up and its clock is right, or only the first. Default: clock.
    pub(crate) kind: Option<Kind>,
    /// Status codes that are a success: `204`, `"200,404"`. Default: `"200-299"`.
    pub(crate) status: Option<Statuses>,
    /// Text that the body contains.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) contains: Option<String>,
    /// JSON pointers, and the values that a JSON body has there: `{ "/status" = "ok" }`.
    pub(crate) json: Option<JsonValues>,
    /// Time limit of each request. Default: `"5s"`.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) timeout: Option<Duration>,
    /// Maximum offset of a clock, in either direction. Default: `"1s"`.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) max_skew: Option<Duration>,
    /// Offset of a clock that is worth a warning.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(schema_with = "schema::duration")]
    pub(crate) warn_skew: Option<Duration>,
    /// Days before the end of a certificate that are worth a warning: `"14d"`.
    #[serde(default, deserialize_with = "optional_days")]
    #[schemars(schema_with = "schema::days")]
    pub(crate) warn_certificate: Option<u32>,
    /// Maximum number of requests on a connection. Default: 8.
    #[schemars(range(min = 1, max = MOST_SAMPLES))]
    pub(crate) samples: Option<u32>,
    /// JSON pointer to the time in a body. Default: `/now`.
    pub(crate) field: Option<Field>,
    /// Whether the time may come from the `Date` header. Default: false.
    pub(crate) date_header: Option<bool>,
    /// Version that every answer has to come from.
    pub(crate) expect_version: Option<String>,
    /// Number of instances that have to answer, and be right.
    #[schemars(range(min = 1, max = MOST_INSTANCES))]
    pub(crate) expect_instances: Option<u32>,
    /// Headers of every request. A value `"@FILE"` is read from that file.
    #[serde(default)]
    #[schemars(schema_with = "schema::headers")]
    pub(crate) headers: BTreeMap<String, String>,
    /// File with a token that is sent as `Authorization: Bearer`.
    pub(crate) bearer_file: Option<PathBuf>,
    /// File with `USER:PASSWORD` that is sent as `Authorization: Basic`.
    pub(crate) basic_file: Option<PathBuf>,
    /// PEM file with the certificate authorities to trust, and no others.
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with a client certificate.
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file with its private key. Default: in the same file.
    pub(crate) client_key: Option<PathBuf>,
}

/// Returns the JSON Schema of the configuration file.
pub(crate) fn schema() -> serde_json::Value {
    // Draft 7 is what editors know best.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    RecursiveTransform(schema::as_in_toml).transform(&mut schema);
    schema.to_value()
}

fn servers(_: &mut SchemaGenerator) -> Schema {
    let host = r"[^\s/@?#\[\]:]+|\[[^\s/@?#\[\]]+\]";
    let server = format!("^({host})(:0*({}))?$", schema::up_to(65_535));
    let server = json_schema!({ "type": "string", "pattern": server });
    json_schema!({ "anyOf": [server, { "type": "array", "items": server, "maxItems": 16 }] })
}

fn connect_to(_: &mut SchemaGenerator) -> Schema {
    let host = r"[^\s/@?#\[\]:]+|\[[0-9a-fA-F:.]+\]";
    let pattern = format!("^({host}):0*({})$", schema::up_to(65_535));
    json_schema!({ "type": "string", "pattern": pattern })
}

/// Reads the configuration file. Errors name the file.
pub(crate) fn read(path: &Path) -> Result<File, String> {
    let named = |detail: &dyn std::fmt::Display| format!("{}: {detail}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| named(&error))?;
    // One byte more shows that the file is too long. A device reports no length in advance.
    let read = file.take(LONGEST + 1).read_to_string(&mut text);
    if text.len() as u64 > LONGEST {
        return Err(named(&"longer than 4 MiB"));
    }
    read.map_err(|error| named(&error))?;
    // Errors of `toml` end with a line break.
    let mut file: File =
        toml::from_str(&text).map_err(|error| named(&error.to_string().trim_end()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    file.all.resolve(folder);
    for target in &mut file.targets {
        target.how.resolve(folder);
    }
    Ok(file)
}

impl How {
    /// Makes names of files relative to the folder of the configuration file.
    fn resolve(&mut self, folder: &Path) {
        let files = [
            &mut self.bearer_file,
            &mut self.basic_file,
            &mut self.ca_file,
            &mut self.client_cert,
            &mut self.client_key,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&file);
        }
        for value in self.headers.values_mut() {
            if let Some(file) = value.strip_prefix('@') {
                *value = format!("@{}", folder.join(file).display());
            }
        }
    }

    /// Returns the headers and credentials.
    pub(crate) fn headers(&self) -> Result<Vec<Header>, String> {
        if self.bearer_file.is_some() && self.basic_file.is_some() {
            return Err("only one of `bearer_file` and `basic_file` can be sent".to_owned());
        }
        // The colon ends the name in an argument, which the rest is written as.
        if let Some(name) = self.headers.keys().find(|name| name.contains(':')) {
            return Err(format!("`{name}` is no name of a header"));
        }
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| format!("{name}: {value}"));
        request::headers(
            &headers.collect::<Vec<_>>(),
            self.bearer_file.as_deref(),
            self.basic_file.as_deref(),
        )
    }
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    // A TOML number would have no unit, so a duration is a string such as `30s`.
    let text = String::deserialize(deserializer)?;
    duration::parse(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    // Accepts a single server as well as a list, so that the common case needs no brackets.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(text) => vec![text],
        Written::Several(texts) => texts,
    })
}

fn optional_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::days(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use test_support::schema::Comparison;
    use toml::{Table, Value};

    use super::*;
    use crate::cli::Cli;
    use crate::plan::Plan;

    /// What the schema accepts and the plan refuses, by the message: each compares two values, or
    /// reads a file.
    const BEYOND_A_SCHEMA: [&str; 9] = [
        "--interval must be at least 100ms",
        "--retry-interval must be at least 100ms",
        "--jitter must be shorter than --interval",
        "--warn-skew must not be larger than --max-skew",
        "cannot read `299-200` as status codes",
        "cannot read the URL",
        "cannot check `",
        "of another file",
        "cannot take credentials in a URL",
    ];

    /// Strings that are right for some setting, or nearly, between bars.
    const TEXTS: &str = "\
        | |a|A-b|a b|ä|a\nb|\u{0}|a/b|0|/|//|/health|~|/a~1b|/a~2|a\tb|\u{7f}|x-key|x key|@no-such-file|\
        1s|0s|5|500ms|50ms|99ms|1.5s|2m|1h|168h|169h|14d|0d|3650d|3651d|014d|d|1d|\
        200|0200|99|600|200,204|200, 204|200-299|299-200|200-|clock|http|Clock|/now|now|\
        a:80|a:0|a:65535|a:65536|[::1]:80|[::1]|::1|[::1]:|a:|:80|a@b:80|time.example:123|\
        http://a.example|https://a.example/x|ftp://a.example|http://user@a.example|http://|8080";

    /// Returns what validates a file against the schema.
    fn validator(schema: &serde_json::Value) -> impl Fn(&serde_json::Value) -> Result<(), String> {
        let mut compiler = boon::Compiler::new();
        let mut schemas = boon::Schemas::new();
        let address = "http://localhost/schema.json";
        compiler.add_resource(address, schema.clone()).unwrap();
        let index = compiler.compile(address, &mut schemas).unwrap();
        move |file| {
            schemas
                .validate(file, index)
                .map_err(|error| error.to_string())
        }
    }

    fn parse(file: &Table) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.toml");
        std::fs::write(&path, toml::to_string(file).unwrap()).unwrap();
        let arguments = ["checker".as_ref(), "--config".as_ref(), path.as_os_str()];
        let plan = Plan::new(Cli::read(arguments).unwrap().watch);
        plan.map(|_| ()).map_err(|error| {
            let message = error.to_string();
            let folder = folder.path().to_str().unwrap();
            // What a setting names is no file, or holds something else: absolute paths come first.
            let is_file = message.contains(folder) || message.starts_with("error: /");
            if is_file && !message.contains("targets.toml") {
                return format!("of another file: {message}");
            }
            message
        })
    }

    #[test]
    fn the_schema_accepts_what_the_plan_accepts() {
        let schema = schema();
        let validate = validator(&schema);
        let texts: Vec<&str> = TEXTS.split('|').collect();
        let mut comparison = Comparison::new(&schema, &validate, &parse, &BEYOND_A_SCHEMA);
        comparison.compare_all(&texts, &|path| {
            let target = "target = [{ url = 'http://a.example' }]".parse().unwrap();
            let common = [
                "interval",
                "jitter",
                "retry_interval",
                "rise",
                "fall",
                "reference",
                "target",
            ];
            let mut files = vec![(Table::new(), Vec::new())];
            if !common.contains(&path[0]) {
                files.push((target, vec!["target".to_owned()]));
            }
            files
        });
        for url in &texts {
            let target: Table = [("url".to_owned(), Value::from(*url))]
                .into_iter()
                .collect();
            let targets = Value::Array(vec![Value::Table(target)]);
            comparison.compare(&[("target".to_owned(), targets)].into_iter().collect());
        }
        for two_values in [
            "interval = '50ms'",
            "interval = '1s'\nretry_interval = '50ms'",
            "interval = '1s'\njitter = '2s'",
            "max_skew = '1s'\nwarn_skew = '2s'",
            "status = '299-200'",
            "client_cert = '/none'",
        ] {
            assert!(
                !comparison.compare(&two_values.parse().unwrap()),
                "{two_values}"
            );
        }
        comparison.assert_thorough(20, 500);
    }

    #[test]
    fn the_example_names_the_schema_and_matches_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring");
        let text = std::fs::read_to_string(folder.join("targets.toml")).unwrap();
        let named = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("#:schema ")
            .unwrap();
        assert!(folder.join(named).exists(), "{named}");
        let schema = schema();
        let validate = validator(&schema);
        let mut comparison = Comparison::new(&schema, &validate, &parse, &[]);
        assert!(comparison.compare(&text.parse().unwrap()));
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error, "/dev/zero: longer than 4 MiB");
    }
}
