//! Settings from the environment, read once and checked before anything starts.

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::access::Sampling;
use crate::clock::ClockPolicy;
use crate::error::Error;

/// Port if `PORT` is not set.
pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(8080).expect("8080 is not zero");

/// Time that requests are still accepted after the signal to stop, if `LINGER_MS` is not set.
pub const DEFAULT_LINGER: Duration = Duration::from_millis(300);

/// Settings from the environment. An empty variable counts as not set, except `PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// TCP port to listen on, from `PORT`.
    pub port: NonZeroU16,
    /// Digest of the image as it was given, from `IMAGE_DIGEST`.
    pub image_digest: Option<String>,
    /// Base address of the ECS task metadata, from `ECS_CONTAINER_METADATA_URI_V4`, which the
    /// container agent sets.
    pub metadata_uri: Option<String>,
    /// Share of the requests that is logged, from `ACCESS_LOG`.
    pub access_log: Sampling,
    /// Limits for the clock, from `CLOCK_ERROR_LIMIT_MS` and `CLOCK_GRACE_SECONDS`.
    pub clock: ClockPolicy,
    /// Time that requests are still accepted after the signal to stop, from `LINGER_MS`.
    pub linger: Duration,
}

impl Config {
    /// Reads the settings through `lookup`, which is the environment or a table in tests.
    ///
    /// `IMAGE_DIGEST` and the metadata's address are never an error here: they only name this
    /// process, and are checked where they are used.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let text = |name| lookup(name).map(|value| value.to_string_lossy().into_owned());
        let optional = |name| text(name).filter(|value| !value.is_empty());
        let standard = ClockPolicy::default();
        Ok(Self {
            port: text("PORT").map_or(Ok(DEFAULT_PORT), parse_port)?,
            image_digest: optional("IMAGE_DIGEST"),
            metadata_uri: optional("ECS_CONTAINER_METADATA_URI_V4"),
            access_log: optional("ACCESS_LOG").map_or(Ok(Sampling::Off), parse_sampling)?,
            clock: ClockPolicy {
                error_limit: optional("CLOCK_ERROR_LIMIT_MS")
                    .map_or(Ok(standard.error_limit), |value| {
                        CLOCK_ERROR_LIMIT.parse(value).map(Duration::from_millis)
                    })?,
                grace: optional("CLOCK_GRACE_SECONDS").map_or(Ok(standard.grace), |value| {
                    CLOCK_GRACE.parse(value).map(Duration::from_secs)
                })?,
            },
            linger: optional("LINGER_MS").map_or(Ok(DEFAULT_LINGER), |value| {
                LINGER.parse(value).map(Duration::from_millis)
            })?,
        })
    }
}

/// A variable that is a whole number.
struct Number {
    name: &'static str,
    allowed: RangeInclusive<u64>,
    expected: &'static str,
    hint: &'static str,
}

const CLOCK_ERROR_LIMIT: Number = Number {
    name: "CLOCK_ERROR_LIMIT_MS",
    allowed: 1..=3_600_000,
    expected: "a number of milliseconds",
    hint: "set CLOCK_ERROR_LIMIT_MS to a number from 1 to 3600000, or leave it out for 500",
};
const CLOCK_GRACE: Number = Number {
    name: "CLOCK_GRACE_SECONDS",
    allowed: 0..=86_400,
    expected: "a number of seconds",
    hint: "set CLOCK_GRACE_SECONDS to a number from 0 to 86400, or leave it out for 60",
};
const LINGER: Number = Number {
    name: "LINGER_MS",
    allowed: 0..=60_000,
    expected: "a number of milliseconds",
    hint: "set LINGER_MS to a number from 0 to 60000, or leave it out for 300",
};

impl Number {
    fn parse(&self, value: String) -> Result<u64, Error> {
        // The standard parser accepts a leading plus sign, which nobody means.
        let plain = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if plain && self.allowed.contains(&number) => Ok(number),
            _ => Err(Error::InvalidSetting {
                name: self.name,
                expected: self.expected,
                value,
                hint: self.hint,
            }),
        }
    }
}

fn parse_port(value: String) -> Result<NonZeroU16, Error> {
    // Refuses a leading plus sign, as `Number::parse` does.
    let plain = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(Error::InvalidSetting {
            name: "PORT",
            expected: "a port number",
            value,
            hint: "set PORT to a number from 1 to 65535, or leave it out for 8080",
        }),
    }
}

fn parse_sampling(value: String) -> Result<Sampling, Error> {
    Sampling::parse(&value).ok_or(Error::InvalidSetting {
        name: "ACCESS_LOG",
        expected: "off, all or a share such as 1/100",
        value,
        hint: "set ACCESS_LOG to off, all, or 1/N for one request in N, or leave it out for off",
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
            access_log: Sampling::Off,
            clock: ClockPolicy {
                error_limit: Duration::from_millis(500),
                grace: Duration::from_mins(1),
            },
            linger: Duration::from_millis(300),
        };
        assert_eq!(config(&[]).unwrap(), expected);
        let empty = [
            "IMAGE_DIGEST",
            "ECS_CONTAINER_METADATA_URI_V4",
            "ACCESS_LOG",
            "CLOCK_ERROR_LIMIT_MS",
            "CLOCK_GRACE_SECONDS",
            "LINGER_MS",
        ]
        .map(|name| (name, ""));
        assert_eq!(config(&empty).unwrap(), expected);
    }

    #[test]
    fn all_values_are_taken() {
        let config = config(&[
            ("PORT", "65535"),
            ("IMAGE_DIGEST", "sha256:00"),
            ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x"),
            ("ACCESS_LOG", "1/100"),
            ("CLOCK_ERROR_LIMIT_MS", "20"),
            ("CLOCK_GRACE_SECONDS", "0"),
            ("LINGER_MS", "10000"),
        ])
        .unwrap();
        assert_eq!(config.port.get(), 65535);
        assert_eq!(config.image_digest.as_deref(), Some("sha256:00"));
        assert_eq!(
            config.metadata_uri.as_deref(),
            Some("http://169.254.170.2/v4/x")
        );
        assert_eq!(Some(config.access_log), Sampling::parse("1/100"));
        assert_eq!(config.clock.error_limit, Duration::from_millis(20));
        assert_eq!(config.clock.grace, Duration::ZERO);
        assert_eq!(config.linger, Duration::from_secs(10));
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

    #[test]
    fn other_wrong_settings_are_named_with_a_remedy() {
        for (name, value, message) in [
            (
                "ACCESS_LOG",
                "1/0",
                "`ACCESS_LOG` is not off, all or a share such as 1/100: \"1/0\"",
            ),
            (
                "CLOCK_ERROR_LIMIT_MS",
                "0",
                "`CLOCK_ERROR_LIMIT_MS` is not a number of milliseconds: \"0\"",
            ),
            (
                "CLOCK_ERROR_LIMIT_MS",
                "0.5",
                "`CLOCK_ERROR_LIMIT_MS` is not a number of milliseconds: \"0.5\"",
            ),
            (
                "CLOCK_GRACE_SECONDS",
                "+5",
                "`CLOCK_GRACE_SECONDS` is not a number of seconds: \"+5\"",
            ),
            (
                "LINGER_MS",
                "60001",
                "`LINGER_MS` is not a number of milliseconds: \"60001\"",
            ),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.exit_code(), 2);
            assert!(error.hint().contains(name), "{}", error.hint());
        }
    }
}
