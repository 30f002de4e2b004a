//! What the environment says, read once and checked before anything starts.

use std::ffi::OsString;
use std::num::NonZeroU16;

use crate::error::Error;

/// The port when `PORT` is not set.
pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(8080).expect("8080 is not zero");

/// The settings that come from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// TCP port to listen on, from `PORT`.
    pub port: NonZeroU16,
    /// Digest of the image we run in as it was given, from `IMAGE_DIGEST`. Empty counts as not set.
    pub image_digest: Option<String>,
    /// Base address of the ECS task metadata, from `ECS_CONTAINER_METADATA_URI_V4`, which the
    /// container agent sets. Empty counts as not set.
    pub metadata_uri: Option<String>,
}

impl Config {
    /// Reads the settings through `lookup`, which is the environment or a table in tests.
    ///
    /// Only `PORT` can be wrong: the other two merely tell who we are, and are judged where they are used.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let optional_text = |name| {
            lookup(name)
                .map(|value| value.to_string_lossy().into_owned())
                .filter(|value| !value.is_empty())
        };
        Ok(Self {
            port: lookup("PORT").map_or(Ok(DEFAULT_PORT), |value| {
                parse_port(&value.to_string_lossy())
            })?,
            image_digest: optional_text("IMAGE_DIGEST"),
            metadata_uri: optional_text("ECS_CONTAINER_METADATA_URI_V4"),
        })
    }
}

fn parse_port(value: &str) -> Result<NonZeroU16, Error> {
    // The standard parser takes a leading plus sign, which nobody means.
    let parsed = if value.starts_with('+') {
        None
    } else {
        value.parse().ok()
    };
    parsed.ok_or_else(|| Error::InvalidPort {
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        Config::from_environment(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        let expected = Config {
            port: DEFAULT_PORT,
            image_digest: None,
            metadata_uri: None,
        };
        assert_eq!(config(&[]).unwrap(), expected);
        assert_eq!(
            config(&[("IMAGE_DIGEST", ""), ("ECS_CONTAINER_METADATA_URI_V4", "")]).unwrap(),
            expected
        );
    }

    #[test]
    fn all_values_are_taken() {
        let config = config(&[
            ("PORT", "65535"),
            ("IMAGE_DIGEST", "sha256:00"),
            ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x"),
        ])
        .unwrap();
        assert_eq!(config.port.get(), 65535);
        assert_eq!(config.image_digest.as_deref(), Some("sha256:00"));
        assert_eq!(
            config.metadata_uri.as_deref(),
            Some("http://169.254.170.2/v4/x")
        );
    }

    #[test]
    fn wrong_ports_are_named_in_the_error() {
        for value in [
            "", "0", "00", "+80", "-1", "65536", " 80", "80 ", "http", "8080/tcp", "８０",
        ] {
            let error = config(&[("PORT", value)]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{value:?}");
            assert_eq!(
                error.to_string(),
                format!("`PORT` is not a port number: {value:?}")
            );
        }
    }
}
