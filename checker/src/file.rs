//! Configuration file with targets.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clock::{Field, Header, JsonValues, Kind, Statuses, duration};
use serde::{Deserialize, Deserializer};

use crate::request;

/// Maximum length in bytes. A longer file is a mistake.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Contents of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) interval: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) jitter: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) retry_interval: Option<Duration>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
    #[serde(default, rename = "reference", deserialize_with = "one_or_several")]
    pub(crate) references: Vec<String>,
    #[serde(flatten)]
    pub(crate) all: How,
    #[serde(default, rename = "target")]
    pub(crate) targets: Vec<Entry>,
}

/// Entry of one target.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) url: String,
    pub(crate) connect_to: Option<String>,
    #[serde(flatten)]
    pub(crate) how: How,
}

/// Settings of one target, or common settings of all targets.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct How {
    pub(crate) kind: Option<Kind>,
    pub(crate) status: Option<Statuses>,
    pub(crate) contains: Option<String>,
    pub(crate) json: Option<JsonValues>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) timeout: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) max_skew: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) warn_skew: Option<Duration>,
    #[serde(default, deserialize_with = "optional_days")]
    pub(crate) warn_certificate: Option<u32>,
    pub(crate) samples: Option<u32>,
    pub(crate) field: Option<Field>,
    pub(crate) date_header: Option<bool>,
    pub(crate) expect_version: Option<String>,
    pub(crate) expect_instances: Option<u32>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bearer_file: Option<PathBuf>,
    pub(crate) basic_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
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
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error, "/dev/zero: longer than 4 MiB");
    }
}
