//! Settings of the check from outside: `[check]` of `deployer.toml`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clock::{Field, Header, JsonValue, Kind, Statuses, text_to_find};

use super::file::CheckFile;
use super::{duration, of_file};
use deployment::error::Failure;

/// Settings of the check from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSettings {
    /// Kind of the check; `None` detects it from the service's responses.
    pub kind: Option<Kind>,
    /// Path to request. The default is the output `Url` for a clock, and the health path otherwise.
    pub path: Option<String>,
    /// Status codes that count as success, instead of 200 to 299.
    pub status: Option<Statuses>,
    /// Text that the body must contain.
    pub contains: Option<String>,
    /// Values that a JSON body must have.
    pub json: Vec<JsonValue>,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// Location of the time in a JSON body.
    pub field: Field,
    /// Set if the `Date` header is accepted as the time.
    pub date_header: bool,
    /// Maximum offset of the service's clock.
    pub max_skew: Duration,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            kind: None,
            path: None,
            status: None,
            contains: None,
            json: Vec::new(),
            headers: Vec::new(),
            field: Field::default(),
            date_header: false,
            max_skew: Duration::from_secs(1),
        }
    }
}

impl CheckSettings {
    /// Describes the check in one line; returns `None` for the default check of a clock.
    pub fn words(&self) -> Option<String> {
        // An explicit `clock` and its tolerance do not count as a special check.
        let usual = Self {
            kind: self.kind.filter(|kind| *kind == Kind::Clock),
            max_skew: self.max_skew,
            ..Self::default()
        };
        if *self == usual {
            return None;
        }
        let mut text = match (self.kind, &self.path) {
            (Some(Kind::Clock), None) => "clock".to_owned(),
            (Some(Kind::Clock), Some(path)) => format!("clock at {path}"),
            (Some(Kind::Http), None) => "http at the health path".to_owned(),
            (Some(Kind::Http), Some(path)) => format!("http at {path}"),
            (None, None) => "clock or, if the service tells no time, http".to_owned(),
            (None, Some(path)) => format!("clock or, if it tells no time, http at {path}"),
        };
        if let Some(status) = &self.status {
            let _ = write!(text, ", status {status}");
        }
        if let Some(contained) = &self.contains {
            let _ = write!(text, ", contains `{}`", clock::excerpt(contained));
        }
        for JsonValue { pointer, value } in &self.json {
            let _ = write!(text, ", {pointer} = {}", clock::excerpt(value));
        }
        // Only the names: values may be secret.
        for Header { name, .. } in &self.headers {
            let _ = write!(text, ", with {name}");
        }
        Some(text)
    }
}

/// Resolves the settings. `root` is the base folder of files with header values.
pub(super) fn resolve(file: CheckFile, root: &Path) -> Result<CheckSettings, Failure> {
    let usual = CheckSettings::default();
    let of_clock = [
        ("field", file.field.is_some()),
        ("date_header", file.date_header.is_some()),
        ("max_skew", file.max_skew.is_some()),
    ];
    let of_http = file.status.is_some() || file.contains.is_some() || file.json.is_some();
    // The first key is enough for the message.
    let of_clock = of_clock.into_iter().find(|(_, is_set)| *is_set);
    let kind = match (file.kind, of_clock, of_http) {
        (Some(Kind::Http), Some((key, _)), _) => {
            return Err(
                Failure::preflight(format!("`check.{key}` is about a clock")).hint(format!(
                    "remove `{key}` or `kind = \"http\"` under `[check]`"
                )),
            );
        }
        (None, Some((key, _)), true) => {
            return Err(Failure::preflight(format!(
                "`check.{key}` is about a clock, and `status`, `contains` or `json` about any answer"
            ))
            .hint("set `kind` under `[check]` to \"clock\" or \"http\""));
        }
        (Some(kind), ..) => Some(kind),
        (None, Some(_), false) => Some(Kind::Clock),
        (None, None, true) => Some(Kind::Http),
        (None, None, false) => None,
    };
    let refused = |key: &str, detail: String, hint: &str| {
        Failure::preflight(format!("`check.{key}` cannot be used"))
            .because(detail)
            .hint(hint)
    };
    // Only the path is checked here, so that any host will do.
    if let Some(path) = &file.path {
        probe::Target::exact("http://localhost", None)
            .and_then(|target| target.at(path))
            .map_err(|error| {
                refused(
                    "path",
                    error.to_string(),
                    "write it like `/` or `/status?full=1`",
                )
            })?;
    }
    let contains = file.contains.as_deref().map(text_to_find).transpose();
    let headers = file.headers.iter().map(|(name, value)| {
        probe::header(name, value, root).map_err(|detail| {
            refused(
                "headers",
                detail,
                "write it like `headers = { \"X-Key\" = \"@key.txt\" }`: `@` reads the value from a file",
            )
        })
    });
    Ok(CheckSettings {
        kind,
        path: file.path.clone(),
        status: file.status,
        contains: contains
            .map_err(|error| refused("contains", error.to_string(), "name a text of the answer"))?,
        json: file.json.map(|values| values.0).unwrap_or_default(),
        headers: headers.collect::<Result<_, _>>()?,
        field: file.field.unwrap_or(usual.field),
        date_header: file.date_header.unwrap_or_default(),
        max_skew: match &file.max_skew {
            Some(text) => of_file(duration("check.max_skew", text))?,
            None => usual.max_skew,
        },
    })
}
